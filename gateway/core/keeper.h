/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_KEEPER_H
#define GATEWAY_CORE_KEEPER_H

/*
 * Watches connections: lists the tools of each, stores them as its catalog, and says in its
 * status how it fares. One worker of a node runs it; all read what it found.
 */

#include "base/db.h"
#include "base/loop.h"
#include "gateway/core/tenant.h"

struct keeper;
struct meter;
struct upstreams;

#define KEEPER_POLL_MS	       60000 /* between two lists of a healthy upstream */
#define KEEPER_RETRY_MIN_MS    1000  /* after a failure; doubles, with jitter */
#define KEEPER_RETRY_MAX_MS    60000
#define KEEPER_LIST_TIMEOUT_MS 30000
#define KEEPER_MAX_BUSY	       128 /* listings and their writes at one time */
#define KEEPER_CROWDED_MS      200 /* over that: about when to ask again */

struct keeper *keeper_new(struct loop *loop, struct db *db, struct upstreams *upstreams);
/* Where it tells which connections are up. The meter must outlive it. */
void keeper_measure(struct keeper *keeper, struct meter *meter);
void keeper_free(struct keeper **keeper);
/* The tenant's snapshot was replaced; NULL: the tenant has gone. */
void keeper_tenant_changed(struct keeper *keeper, const char *tenant_id, struct tenant *tenant);

#endif
