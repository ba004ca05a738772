/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_STREAMS_H
#define TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_STREAMS_H

/* The streams on which clients listen. Part of call_fakes.h, which includes it last. */

static inline int refuse_stream(const struct err *why, struct err *err)
{
	if (why != NULL)
		*err = *why;
	return why != NULL ? -1 : 0;
}

int subscription_check(struct subscriptions *subscriptions, const struct principal *principal,
		       struct err *err)
{
	assert_ptr_equal(principal, subscriptions->world->principal);
	return refuse_stream(subscriptions->world->no_check, err);
}

int subscription_start(struct subscriptions *subscriptions, struct subscription **slot,
		       const struct subscription_params *params, struct err *err)
{
	struct world *world = subscriptions->world;

	assert_ptr_equal(params->principal, world->principal);
	assert_ptr_equal(params->tenant, world->tenant);
	assert_null(params->session_id);
	if (refuse_stream(world->no_start, err) < 0)
		return -1;
	note(world, "listen at '%s' as %s", params->endpoint, mcp_era_name(params->era));
	world->subscription.changed = params->changed;
	pend(&world->subscription.pending, world, slot, &world->subscription, (void *)params->ended,
	     params->ctx);
	return 0;
}

void subscription_cancel(struct subscription **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "subscription");
}

static inline void list_changes(struct world *world)
{
	assert_non_null(world->subscription.pending.slot);
	world->subscription.changed(world->subscription.pending.ctx);
}

static inline void stream_ends(struct world *world, enum subscription_end why)
{
	struct pending was = take(&world->subscription.pending);

	((void (*)(void *, enum subscription_end))was.done)(was.ctx, why);
}

void subscriptions_listed(struct subscriptions *subscriptions,
			  const struct subscription_listed *listed)
{
	assert_ptr_equal(listed->principal, subscriptions->world->principal);
	note(subscriptions->world, "listed to %s at '%s'", listed->session_id,
	     listed->only != NULL ? listed->only->name : "");
}

#endif
