/* SPDX-License-Identifier: Apache-2.0 */
/* What they hear: digests are compared, keys and sessions looked at again. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/policy.h"
#include "gateway/core/subscription_priv.h"
#include "gateway/core/tool_list.h"

/* The wall clock may be set: an expiry is looked at again at least so often. */
#define EXPIRY_LOOK_MS 60000

static void on_flush(void *ctx);

void audience_schedule(struct audience *audience, int64_t delay_ms)
{
	int64_t due_ms = loop_now_ms(audience->owner->loop) + delay_ms;

	if (audience->flush.loop == NULL || due_ms < audience->flush.due_ms)
		timer_start(audience->owner->loop, &audience->flush, delay_ms, on_flush, audience);
}

static void on_visit(void *ctx)
{
	struct audience *audience = ctx;

	audience_want(audience, WANTS_SESSION);
}

void audience_want(struct audience *audience, unsigned wants)
{
	struct subscription *at;
	struct subscription *next;

	if (audience->by_session == NULL)
		return;
	HASH_ITER(hh, audience->by_session, at, next)
	{
		at->wants |= wants;
	}
	timer_start(audience->owner->loop, &audience->visit, SUBSCRIPTION_VISIT_MS, on_visit,
		    audience);
	audience_schedule(audience, SUBSCRIPTION_DEBOUNCE_MS);
}

/* NULL for the aggregate endpoint, and for one that is not there: see audience_admits. */
static const struct connection *only_of(const struct audience *audience, const char *endpoint)
{
	return endpoint[0] == '\0' ? NULL : tenant_find_connection(audience->tenant, endpoint);
}

bool audience_admits(const struct audience *audience, const struct principal *principal,
		     const char *endpoint)
{
	const struct connection *only = only_of(audience, endpoint);

	if (endpoint[0] == '\0')
		return true;
	return only != NULL && policy_check(principal, only, NULL, NULL);
}

const uint8_t *view_digest(struct audience *audience, struct view *view,
			   const struct principal *principal)
{
	const struct tool_list_params params = {
		.principal = principal,
		.tenant = audience->tenant,
		.only = only_of(audience, view->endpoint),
		.era = view->era,
	};

	if (!view->known)
		tool_list_digest(&params, view->digest);
	view->known = true;
	return view->digest;
}

/* --- lists ----------------------------------------------------------------------------------- */

/* Of the streams of a legacy session its row says which one speaks, and whether it has to. */
static void tell(struct subscription *subscription)
{
	if (subscription->number != 0)
		subscription->wants |=
			WANTS_SESSION | SESSION_STREAM_COMPARE | SESSION_STREAM_CHANGED;
	else
		subscription->changed(subscription->ctx);
}

static void compare_view(struct audience *audience, struct view *view)
{
	struct subscription *at;
	struct subscription *next;

	DL_FOREACH_SAFE(view->subscriptions, at, next)
	{
		const uint8_t *digest;

		if (!audience_admits(audience, at->principal, view->endpoint)) {
			subscription_end(at, SUBSCRIPTION_REMOVED);
			continue;
		}
		digest = view_digest(audience, view, at->principal);
		if (memcmp(digest, at->told, SHA256_BYTES) == 0)
			continue;
		memcpy(at->told, digest, SHA256_BYTES);
		tell(at);
	}
}

/* --- keys ------------------------------------------------------------------------------------ */

static void on_expiry(void *ctx);

void subscription_watch_expiry(struct subscription *subscription)
{
	int64_t left_ms = (subscription->expires_at_us - loop_unix_us()) / 1000 + 1;

	if (subscription->expires_at_us == 0)
		timer_stop(&subscription->expiry);
	else
		timer_start(subscription->owner->loop, &subscription->expiry,
			    left_ms < EXPIRY_LOOK_MS ? left_ms : EXPIRY_LOOK_MS, on_expiry,
			    subscription);
}

static void on_expiry(void *ctx)
{
	struct subscription *subscription = ctx;

	if (subscription->expires_at_us <= loop_unix_us())
		subscription_end(subscription, SUBSCRIPTION_REVOKED);
	else
		subscription_watch_expiry(subscription);
}

static void take_key(struct subscription *subscription, const struct good_key *key)
{
	if (key == NULL) {
		subscription_end(subscription, SUBSCRIPTION_REVOKED);
		return;
	}
	subscription->expires_at_us = key->expires_at_us;
	subscription_watch_expiry(subscription);
}

/* What a query was asked is no longer under way. True if it was asked about this one. */
static bool answered(struct subscription *subscription, unsigned about)
{
	bool asked = (subscription->asked & about) != 0;

	subscription->asked &= ~about;
	return asked;
}

static void ask_again(struct audience *audience, const struct err *err)
{
	const struct log_subject subject = { .component = "streams",
					     .tenant = audience->tenant->name };

	log_warn(&subject, "open streams are not up to date: %s", err->text);
	audience_schedule(audience, SUBSCRIPTION_RETRY_MS);
}

static void on_keys(void *ctx, const struct good_key *good, size_t n, const struct err *err)
{
	struct audience *audience = ctx;

	for (struct view *view = audience->views; view != NULL; view = view->hh.next) {
		struct subscription *at;
		struct subscription *next;

		DL_FOREACH_SAFE(view->subscriptions, at, next)
		{
			if (!answered(at, WANTS_KEY_CHECK))
				continue;
			if (err != NULL)
				at->wants |= WANTS_KEY_CHECK;
			else
				take_key(at, good_key_find(good, n, at->principal->api_key_id));
		}
	}
	if (err != NULL)
		ask_again(audience, err);
	else
		audience_schedule(audience, 0);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t unique(const char **ids, size_t n)
{
	size_t kept = 0;

	qsort(ids, n, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || strcmp(ids[kept - 1], ids[i]) != 0)
			ids[kept++] = ids[i];
	}
	return kept;
}

static void check_keys(struct audience *audience)
{
	const char **ids;
	size_t n = 0;

	if (audience->check != NULL)
		return;
	ids = mem_new_array(audience->n, sizeof(*ids));
	for (struct view *view = audience->views; view != NULL; view = view->hh.next) {
		struct subscription *at;

		DL_FOREACH(view->subscriptions, at)
		{
			if ((at->wants & WANTS_KEY_CHECK) == 0)
				continue;
			at->wants &= ~(unsigned)WANTS_KEY_CHECK;
			at->asked |= WANTS_KEY_CHECK;
			ids[n++] = at->principal->api_key_id;
		}
	}
	n = unique(ids, n);
	if (n > 0)
		identity_check_start(audience->owner->db, &audience->check, audience->tenant_id,
				     ids, n, on_keys, audience);
	free(ids);
}

/* --- sessions -------------------------------------------------------------------------------- */

#define ABOUT_SESSION (WANTS_SESSION | WANTS_ASKS)

static void on_settle(void *ctx)
{
	audience_want(ctx, WANTS_SESSION | SESSION_STREAM_COMPARE);
}

/* They may be in any order, and of sessions whose stream has ended since or was replaced. */
static void take_found(struct audience *audience, const struct session_stream_found *found)
{
	struct subscription *subscription;

	HASH_FIND(hh, audience->by_session, found->session, SHA256_BYTES, subscription);
	if (subscription == NULL || !answered(subscription, ABOUT_SESSION))
		return;
	if (found->newest != subscription->number) {
		subscription_end(subscription, SUBSCRIPTION_REPLACED);
	} else if (found->tell) {
		timer_start(audience->owner->loop, &audience->settle, SUBSCRIPTION_SETTLE_MS,
			    on_settle, audience);
		subscription->changed(subscription->ctx);
	}
}

static void on_streams(void *ctx, const struct session_stream_found *found, size_t n,
		       const struct err *err)
{
	struct audience *audience = ctx;
	struct subscription *at;
	struct subscription *next;

	for (size_t i = 0; i < n; i++)
		take_found(audience, &found[i]);
	HASH_ITER(hh, audience->by_session, at, next)
	{
		unsigned asked = at->asked;

		if (!answered(at, ABOUT_SESSION))
			continue;
		if (err != NULL)
			at->wants |= asked & ABOUT_SESSION;
		else
			subscription_end(at, SUBSCRIPTION_REPLACED); /* the session has ended */
	}
	if (err != NULL)
		ask_again(audience, err);
	else
		audience_schedule(audience, 0);
}

static void ask_about(struct audience *audience, struct subscription *subscription,
		      struct session_stream *out)
{
	memcpy(out->session, subscription->session, SHA256_BYTES);
	memcpy(out->list, view_digest(audience, subscription->view, subscription->principal),
	       SHA256_BYTES);
	out->number = subscription->number;
	out->asks = subscription->wants & WANTS_ASKS;
	subscription->asked |= subscription->wants & ABOUT_SESSION;
	subscription->wants &= ~(unsigned)ABOUT_SESSION;
}

/* As many as fit; the others when these are done. */
static void look_at_sessions(struct audience *audience)
{
	struct session_stream *streams;
	struct subscription *at;
	struct subscription *next;
	size_t n = 0;

	if (audience->streams != NULL || audience->by_session == NULL)
		return;
	streams = mem_new_array(SESSION_STREAMS_AT_ONCE, sizeof(*streams));
	HASH_ITER(hh, audience->by_session, at, next)
	{
		if ((at->wants & WANTS_SESSION) != 0 && n < SESSION_STREAMS_AT_ONCE)
			ask_about(audience, at, &streams[n++]);
	}
	if (n > 0)
		session_stream_start(audience->owner->db, &audience->streams, audience->tenant_id,
				     streams, n, on_streams, audience);
	free(streams);
}

static void on_flush(void *ctx)
{
	struct audience *audience = ctx;

	for (struct view *view = audience->views; view != NULL; view = view->hh.next)
		compare_view(audience, view);
	check_keys(audience);
	look_at_sessions(audience);
	if (audience->by_session != NULL && audience->visit.loop == NULL)
		timer_start(audience->owner->loop, &audience->visit, SUBSCRIPTION_VISIT_MS,
			    on_visit, audience);
}
