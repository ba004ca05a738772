/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_SUBSCRIPTION_PRIV_H
#define GATEWAY_CORE_SUBSCRIPTION_PRIV_H

/* What subscription.c (who listens), subscription_watch.c (what they hear) and subscription_note.c
 * (what they were given) share. */

#include <stdbool.h>

#include <uthash.h>

#include "base/crypto.h"
#include "gateway/core/identity_check.h"
#include "gateway/core/principal.h"
#include "gateway/core/session_stream.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"

/* What is still to be done about a subscription; asks of session_stream.h come below. */
enum {
	WANTS_KEY_CHECK = 1 << 8,
	WANTS_SESSION = 1 << 9, /* with or without asks */
};
#define WANTS_ASKS (SESSION_STREAM_CLAIM | SESSION_STREAM_COMPARE | SESSION_STREAM_CHANGED)

struct subscription {
	struct subscription **slot;
	struct subscriptions *owner;
	struct view *view; /* NULL: it has ended and is about to be told */
	struct subscription *prev, *next;
	struct principal *principal;
	struct quota *quota;
	void (*changed)(void *ctx);
	void (*ended)(void *ctx, enum subscription_end why);
	void *ctx;
	enum subscription_end why;
	unsigned wants;
	unsigned asked; /* those of its wants that a query which runs is about */
	int64_t expires_at_us;
	struct timer expiry;
	uint8_t told[SHA256_BYTES]; /* digest of the list that its client knows */
	/* legacy */
	uint8_t session[SHA256_BYTES];
	int64_t number;
	UT_hash_handle hh; /* in audience->by_session */
};

/* Subscriptions of one principal. */
struct quota {
	char subject[sizeof(((struct principal *)NULL)->subject)];
	size_t n;
	UT_hash_handle hh;
};

/* Those who see the same list. */
struct view {
	char *key;
	char *endpoint;
	enum mcp_era era;
	bool known; /* digest is that of the audience's snapshot */
	uint8_t digest[SHA256_BYTES];
	struct subscription *subscriptions;
	UT_hash_handle hh;
};

/* All who listen to one tenant, and its newest snapshot. */
struct audience {
	struct subscriptions *owner;
	char tenant_id[UUID_TEXT_BYTES];
	struct tenant *tenant;
	struct view *views;
	struct quota *quotas;
	struct subscription *by_session;
	size_t n;
	struct timer flush;  /* something is wanted */
	struct timer settle; /* clients were told */
	struct timer visit;
	struct identity_check *check;
	struct session_stream_op *streams;
	UT_hash_handle hh;
};

struct subscriptions {
	struct loop *loop;
	struct db *db;
	struct audience *audiences;
	struct subscription *ending; /* not told yet */
	struct deferred tell_ended;
	struct note *notes;
	size_t n;
	bool draining;
};

/* Of the tenant; made if there is none. */
struct audience *audience_get(struct subscriptions *subscriptions, const char *tenant_id,
			      struct tenant *tenant);
struct view *view_get(struct audience *audience, enum mcp_era era, const char *endpoint,
		      const struct principal *principal);
/* Stops it; it is told from the loop. */
void subscription_end(struct subscription *subscription, enum subscription_end why);

/* subscription_watch.c */
/* Has what is wanted done, a moment from now. */
void audience_schedule(struct audience *audience, int64_t delay_ms);
void audience_want(struct audience *audience, unsigned wants); /* of all its legacy ones */
bool audience_admits(const struct audience *audience, const struct principal *principal,
		     const char *endpoint);
/* Ends it when its key expires. */
void subscription_watch_expiry(struct subscription *subscription);
/* The digest of what the principal sees in the view now. Borrowed. */
const uint8_t *view_digest(struct audience *audience, struct view *view,
			   const struct principal *principal);

/* subscription_note.c */
void notes_free(struct subscriptions *subscriptions);

#endif
