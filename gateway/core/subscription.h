/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_SUBSCRIPTION_H
#define GATEWAY_CORE_SUBSCRIPTION_H

/*
 * Every open stream of this worker on which a client wants to hear that its list of tools has
 * changed, in either era. When a tenant's snapshot is replaced, the list that a principal sees at
 * an endpoint is compared by digest with the one that its client knows; whoever sees another one
 * now is told, nobody else. The same change ends the streams of those who may no longer listen.
 *
 * Knows nothing of HTTP or of messages.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/db.h"
#include "base/loop.h"
#include "gateway/core/mcp.h"

struct connection;
struct principal;
struct tenant;

/* Open at a time; more are refused. */
#define SUBSCRIPTIONS_PER_WORKER    10000
#define SUBSCRIPTIONS_PER_PRINCIPAL 1000
/* Several changes in a row are one, and the first to be loaded does not speak for the last. */
#define SUBSCRIPTION_DEBOUNCE_MS 50
/* After a failed query. */
#define SUBSCRIPTION_RETRY_MS 1000
/* So long after it was told, a client may have been given the old list by a worker that was behind
 * (its poll of versions runs every TENANT_POLL_MS): then it is told again. */
#define SUBSCRIPTION_SETTLE_MS 5000
/* How often sessions with a stream are looked at although nothing happened. */
#define SUBSCRIPTION_VISIT_MS 3600000

struct subscriptions;
struct subscription; /* one stream: the slot */

struct subscriptions *subscriptions_new(struct loop *loop, struct db *db);
/* All slots must be empty. */
void subscriptions_free(struct subscriptions **subscriptions);
/* The tenant's snapshot was replaced, or the tenant has gone (NULL). */
void subscriptions_changed(struct subscriptions *subscriptions, const char *tenant_id,
			   struct tenant *tenant);
/* Something about the tenant's sessions, or (NULL) about any, may have changed. */
void subscriptions_hint(struct subscriptions *subscriptions, const char *tenant_id);
/* Ends all streams, and takes no more. */
void subscriptions_drain(struct subscriptions *subscriptions);
size_t subscriptions_count(const struct subscriptions *subscriptions);

enum subscription_end {
	SUBSCRIPTION_REVOKED,  /* the key is no longer good */
	SUBSCRIPTION_REMOVED,  /* the tenant or the endpoint is not there any more */
	SUBSCRIPTION_REPLACED, /* the session has ended, or has a newer stream */
	SUBSCRIPTION_DRAINED,  /* the worker stops */
};

struct subscription_params {
	struct principal *principal;
	struct tenant *tenant;
	const char *endpoint; /* "" or the connection's name */
	enum mcp_era era;
	const char *session_id; /* legacy: of a session that exists; modern: NULL */
	/* The list has changed. Must neither start nor cancel a subscription. */
	void (*changed)(void *ctx);
	/* It is over, and the slot is empty. */
	void (*ended)(void *ctx, enum subscription_end why);
	void *ctx;
};
/* Whether one more of the principal's would be taken. ERR_RATE_LIMITED, ERR_UNAVAILABLE. */
int subscription_check(struct subscriptions *subscriptions, const struct principal *principal,
		       struct err *err) MUST_CHECK;
/* -1 as of subscription_check. Both callbacks come from the loop. */
int subscription_start(struct subscriptions *subscriptions, struct subscription **slot,
		       const struct subscription_params *params, struct err *err) MUST_CHECK;
void subscription_cancel(struct subscription **slot);

/* A legacy client was given the first page of its list: it knows this one. */
struct subscription_listed {
	const struct principal *principal;
	struct tenant *tenant;
	const struct connection *only; /* NULL: the aggregate */
	const char *session_id;
};
void subscriptions_listed(struct subscriptions *subscriptions,
			  const struct subscription_listed *listed);

#endif
