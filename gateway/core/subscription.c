/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens: streams come, are counted, and end. */

#include "gateway/core/subscription.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/mem.h"
#include "gateway/core/policy.h"
#include "gateway/core/subscription_priv.h"

struct subscriptions *subscriptions_new(struct loop *loop, struct db *db)
{
	struct subscriptions *subscriptions = mem_new(sizeof(*subscriptions));

	*subscriptions = (struct subscriptions){ .loop = loop, .db = db };
	return subscriptions;
}

static struct audience *audience_find(const struct subscriptions *subscriptions,
				      const char *tenant_id)
{
	struct audience *audience;

	HASH_FIND_STR(subscriptions->audiences, tenant_id, audience);
	return audience;
}

struct audience *audience_get(struct subscriptions *subscriptions, const char *tenant_id,
			      struct tenant *tenant)
{
	struct audience *audience = audience_find(subscriptions, tenant_id);

	if (audience != NULL)
		return audience;
	audience = mem_new(sizeof(*audience));
	audience->owner = subscriptions;
	audience->tenant = tenant_ref(tenant);
	snprintf(audience->tenant_id, sizeof(audience->tenant_id), "%s", tenant_id);
	HASH_ADD_STR(subscriptions->audiences, tenant_id, audience);
	return audience;
}

struct view *view_get(struct audience *audience, enum mcp_era era, const char *endpoint,
		      const struct principal *principal)
{
	char *key = mem_printf("%s\n%s\n%s", mcp_era_name(era), policy_view(principal), endpoint);
	struct view *view;

	HASH_FIND_STR(audience->views, key, view);
	if (view != NULL) {
		free(key);
		return view;
	}
	view = mem_new(sizeof(*view));
	view->key = key;
	view->endpoint = mem_strdup(endpoint);
	view->era = era;
	HASH_ADD_KEYPTR(hh, audience->views, view->key, strlen(view->key), view);
	return view;
}

static void view_free(struct audience *audience, struct view *view)
{
	assert(view->subscriptions == NULL);
	HASH_DEL(audience->views, view);
	free(view->key);
	free(view->endpoint);
	free(view);
}

/* What nobody listens to was only remembered. */
static void forget_digests(struct audience *audience)
{
	struct view *view;
	struct view *next;

	HASH_ITER(hh, audience->views, view, next)
	{
		view->known = false;
		if (view->subscriptions == NULL)
			view_free(audience, view);
	}
}

static void end_all(struct audience *audience, enum subscription_end why)
{
	struct view *view;
	struct view *next;

	HASH_ITER(hh, audience->views, view, next)
	{
		while (view->subscriptions != NULL)
			subscription_end(view->subscriptions, why);
	}
}

static void audience_free(struct audience *audience)
{
	forget_digests(audience);
	assert(audience->views == NULL && audience->quotas == NULL && audience->n == 0);
	timer_stop(&audience->flush);
	timer_stop(&audience->settle);
	timer_stop(&audience->visit);
	identity_check_cancel(&audience->check);
	session_stream_cancel(&audience->streams);
	tenant_unref(&audience->tenant);
	HASH_DEL(audience->owner->audiences, audience);
	free(audience);
}

void subscriptions_free(struct subscriptions **slot)
{
	struct subscriptions *subscriptions = *slot;
	struct audience *audience;
	struct audience *next;

	if (subscriptions == NULL)
		return;
	*slot = NULL;
	assert(subscriptions->n == 0 && subscriptions->ending == NULL);
	deferred_cancel(&subscriptions->tell_ended);
	notes_free(subscriptions);
	HASH_ITER(hh, subscriptions->audiences, audience, next)
	{
		audience_free(audience);
	}
	free(subscriptions);
}

void subscriptions_changed(struct subscriptions *subscriptions, const char *tenant_id,
			   struct tenant *tenant)
{
	struct audience *audience = audience_find(subscriptions, tenant_id);

	if (tenant == NULL || !tenant->enabled) {
		if (audience != NULL) {
			end_all(audience, SUBSCRIPTION_REMOVED);
			audience_free(audience);
		}
		return;
	}
	/* Also of a tenant to which nobody listens: who comes next compares with the newest. */
	audience = audience_get(subscriptions, tenant_id, tenant);
	tenant_unref(&audience->tenant);
	audience->tenant = tenant_ref(tenant);
	forget_digests(audience);
	for (struct view *view = audience->views; view != NULL; view = view->hh.next) {
		struct subscription *at;

		DL_FOREACH(view->subscriptions, at)
		{
			at->wants |= WANTS_KEY_CHECK;
		}
	}
	if (audience->n > 0)
		audience_schedule(audience, SUBSCRIPTION_DEBOUNCE_MS);
}

void subscriptions_hint(struct subscriptions *subscriptions, const char *tenant_id)
{
	struct audience *audience;
	struct audience *next;

	if (tenant_id != NULL) {
		audience = audience_find(subscriptions, tenant_id);
		if (audience != NULL)
			audience_want(audience, WANTS_SESSION);
		return;
	}
	HASH_ITER(hh, subscriptions->audiences, audience, next)
	{
		audience_want(audience, WANTS_SESSION);
	}
}

void subscriptions_drain(struct subscriptions *subscriptions)
{
	struct audience *audience;
	struct audience *next;

	subscriptions->draining = true;
	HASH_ITER(hh, subscriptions->audiences, audience, next)
	{
		end_all(audience, SUBSCRIPTION_DRAINED);
	}
}

size_t subscriptions_count(const struct subscriptions *subscriptions)
{
	return subscriptions->n;
}

/* One subscription. */

static void leave_quota(struct audience *audience, struct quota *quota)
{
	if (--quota->n > 0)
		return;
	HASH_DEL(audience->quotas, quota);
	free(quota);
}

static struct audience *audience_of(const struct subscription *subscription)
{
	return audience_find(subscription->owner, subscription->principal->tenant_id);
}

/* Nothing is done about it any more. */
static void detach(struct subscription *subscription)
{
	struct audience *audience = audience_of(subscription);

	timer_stop(&subscription->expiry);
	DL_DELETE(subscription->view->subscriptions, subscription);
	subscription->view = NULL;
	if (subscription->number != 0)
		HASH_DEL(audience->by_session, subscription);
	leave_quota(audience, subscription->quota);
	audience->n--;
	subscription->owner->n--;
}

static void on_tell_ended(void *ctx)
{
	struct subscriptions *subscriptions = ctx;
	struct subscription *at;

	while ((at = subscriptions->ending) != NULL) {
		struct subscription was = *at;

		DL_DELETE(subscriptions->ending, at);
		*at->slot = NULL;
		free(at);
		was.ended(was.ctx, was.why);
		principal_unref(&was.principal);
	}
}

void subscription_end(struct subscription *subscription, enum subscription_end why)
{
	struct subscriptions *owner = subscription->owner;

	detach(subscription);
	subscription->why = why;
	DL_APPEND(owner->ending, subscription);
	if (owner->tell_ended.loop == NULL)
		loop_defer(owner->loop, &owner->tell_ended, on_tell_ended, owner);
}

void subscription_cancel(struct subscription **slot)
{
	struct subscription *subscription = *slot;

	if (subscription == NULL)
		return;
	*slot = NULL;
	if (subscription->view != NULL)
		detach(subscription);
	else
		DL_DELETE(subscription->owner->ending, subscription);
	principal_unref(&subscription->principal);
	free(subscription);
}

static int check_quota(const struct quota *quota, struct err *err)
{
	if (quota == NULL || quota->n < SUBSCRIPTIONS_PER_PRINCIPAL)
		return 0;
	return err_set(err, ERR_RATE_LIMITED,
		       "too many streams are open: close some of the %d that this key or user has",
		       SUBSCRIPTIONS_PER_PRINCIPAL);
}

static struct quota *quota_find(const struct audience *audience, const struct principal *principal)
{
	struct quota *quota;

	HASH_FIND_STR(audience->quotas, principal->subject, quota);
	return quota;
}

int subscription_check(struct subscriptions *subscriptions, const struct principal *principal,
		       struct err *err)
{
	const struct audience *audience = audience_find(subscriptions, principal->tenant_id);

	if (subscriptions->draining)
		return err_set(err, ERR_UNAVAILABLE, "the gateway is stopping");
	if (subscriptions->n >= SUBSCRIPTIONS_PER_WORKER)
		return err_set(err, ERR_UNAVAILABLE, "too many streams are open");
	return audience == NULL ? 0 : check_quota(quota_find(audience, principal), err);
}

static struct quota *join_quota(struct audience *audience, const struct principal *principal)
{
	struct quota *quota = quota_find(audience, principal);

	if (quota == NULL) {
		quota = mem_new(sizeof(*quota));
		snprintf(quota->subject, sizeof(quota->subject), "%s", principal->subject);
		HASH_ADD_STR(audience->quotas, subject, quota);
	}
	quota->n++;
	return quota;
}

static int64_t random_number(void)
{
	int64_t number = 0;

	while (number <= 0)
		crypto_random(&number, sizeof(number));
	return number;
}

/* An older stream of the session hears nothing more: no message goes out on two. */
static void join_session(struct audience *audience, struct subscription *subscription,
			 const char *session_id)
{
	struct subscription *older;

	crypto_sha256(session_id, strlen(session_id), subscription->session);
	HASH_FIND(hh, audience->by_session, subscription->session, SHA256_BYTES, older);
	if (older != NULL)
		subscription_end(older, SUBSCRIPTION_REPLACED);
	subscription->number = random_number();
	subscription->wants |= WANTS_SESSION | SESSION_STREAM_CLAIM | SESSION_STREAM_COMPARE;
	HASH_ADD(hh, audience->by_session, session, SHA256_BYTES, subscription);
}

static void join(struct audience *audience, struct subscription *subscription,
		 const struct subscription_params *params)
{
	struct view *view = view_get(audience, params->era, params->endpoint, params->principal);

	subscription->view = view;
	subscription->quota = join_quota(audience, params->principal);
	audience->n++;
	audience->owner->n++;
	DL_APPEND(view->subscriptions, subscription);
	memcpy(subscription->told, view_digest(audience, view, params->principal), SHA256_BYTES);
	if (params->session_id != NULL)
		join_session(audience, subscription, params->session_id);
	subscription_watch_expiry(subscription);
	if (audience_admits(audience, params->principal, params->endpoint))
		audience_schedule(audience, SUBSCRIPTION_DEBOUNCE_MS);
	else
		subscription_end(subscription, SUBSCRIPTION_REMOVED);
}

int subscription_start(struct subscriptions *subscriptions, struct subscription **slot,
		       const struct subscription_params *params, struct err *err)
{
	const struct principal *principal = params->principal;
	struct subscription *subscription;

	assert(*slot == NULL);
	if (subscription_check(subscriptions, principal, err) < 0)
		return -1;
	subscription = mem_new(sizeof(*subscription));
	*subscription = (struct subscription){
		.slot = slot,
		.owner = subscriptions,
		.principal = principal_ref(params->principal),
		.changed = params->changed,
		.ended = params->ended,
		.ctx = params->ctx,
		.expires_at_us = principal->expires_at_us,
		/* It may have been revoked since it was read. */
		.wants = WANTS_KEY_CHECK,
	};
	*slot = subscription;
	join(audience_get(subscriptions, principal->tenant_id, params->tenant), subscription,
	     params);
	return 0;
}
