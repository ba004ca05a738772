/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_KEEPER_H
#define GATEWAY_CORE_KEEPER_H

/*
 * Watches connections: lists the tools of each, listens for changes of them, stores them as its
 * catalog, and says in its status how it fares. Of all workers on one database exactly one watches
 * a connection, by a lease; all read what it found.
 */

#include "base/db.h"
#include "base/loop.h"
#include "gateway/core/tenant.h"

struct credentials;
struct healths;
struct keeper;
struct meter;
struct upstreams;

/* The lease is one for all connections that a node watches. */
#define KEEPER_LEASE_MS	     10000
#define KEEPER_RENEW_MS	     3000
#define KEEPER_RENEW_SOON_MS 500   /* after one that failed */
#define KEEPER_LOOK_MS	     100   /* from one look for what is new to the next, if hints come */
#define KEEPER_MAX_WATCHED   20000 /* connections of one worker */
#define KEEPER_MAX_STREAMS   1000  /* upstreams that it listens to; the others are polled */

#define KEEPER_POLL_MS		30000 /* between two lists of a healthy upstream */
#define KEEPER_RELIST_MS	250   /* from one list to the next, if changes are told */
#define KEEPER_RETRY_MIN_MS	1000  /* after a failure; doubles, with jitter */
#define KEEPER_RETRY_MAX_MS	60000
#define KEEPER_AUTH_RETRY_MS	60000 /* after a refused credential, or none; with jitter */
#define KEEPER_STREAM_STABLE_MS 10000 /* a stream that lived as long did not fail */
#define KEEPER_LIST_TIMEOUT_MS	30000
#define KEEPER_ACCOUNTS_MS	10000 /* between two counts of all accounts */
#define KEEPER_MAX_BUSY		128   /* listings and their writes at one time */
#define KEEPER_CROWDED_MS	200   /* over that: about when to ask again */

struct keeper_params {
	struct loop *loop;
	struct db *db;
	struct upstreams *upstreams;
	struct credentials *credentials; /* NULL: no connection has auth mode oauth */
	const struct healths *healths;	 /* an answered call is as good as a poll */
	struct meter *meter;		 /* where it tells which are up; NULL: nowhere */
	const char *node_id;		 /* in tollgate.nodes, once it is there */
	/* A new reference to the snapshot in memory; NULL: it is loaded, and
	 * keeper_tenant_changed follows. */
	struct tenant *(*want)(void *ctx, const char *tenant_id);
	void *ctx;
};
struct keeper *keeper_new(const struct keeper_params *params);
void keeper_free(struct keeper **keeper);
/* Something may be there to be watched or refreshed. */
void keeper_look(struct keeper *keeper);
/* What the channel of grants says begins with the id of a tenant; NULL: grants of any may have
 * changed. What waits for one is listed. */
void keeper_grants_changed(struct keeper *keeper, const char *payload);
/* The tenant's snapshot was replaced; NULL: the tenant has gone. */
void keeper_tenant_changed(struct keeper *keeper, const char *tenant_id, struct tenant *tenant);
/* Watches nothing from now on, so that others may at once. done: they have been told, or cannot
 * be. At most once. */
void keeper_release(struct keeper *keeper, loop_cb *done, void *ctx);

#endif
