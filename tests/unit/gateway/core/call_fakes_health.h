/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_HEALTH_H
#define TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_HEALTH_H

/* How the upstream of a call fares. Part of call_fakes.h, which includes it last. */

enum breaker_verdict health_admit(struct healths *healths, const struct tenant *tenant,
				  const struct connection *connection,
				  struct health_refusal *refusal)
{
	(void)tenant;
	(void)connection;
	if (healths->world->verdict == BREAKER_REFUSE)
		*refusal = (struct health_refusal){ .retry_ms = 800,
						    .failures = 6,
						    .last_error = "it answered HTTP 503" };
	return healths->world->verdict;
}

void health_ask_start(struct healths *healths, struct health_op **slot, const struct tenant *tenant,
		      const struct connection *connection, health_asked *done, void *ctx)
{
	struct world *world = healths->world;

	(void)tenant;
	note(world, "ask for a probe of %s", connection->name);
	pend(&world->health_op.pending, world, slot, &world->health_op, (void *)done, ctx);
}

void health_ask_cancel(struct health_op **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "probe");
}

static inline void health_says(struct world *world, bool granted)
{
	struct pending was = take(&world->health_op.pending);

	((health_asked *)was.done)(was.ctx, granted);
}

void health_heard(struct healths *healths, const struct tenant *tenant,
		  const struct connection *connection, enum breaker_verdict as,
		  const struct err *err)
{
	(void)tenant;
	(void)connection;
	healths->world->n_heard++;
	healths->world->heard_as = as;
	healths->world->heard_well = err == NULL;
}

void health_abandoned(struct healths *healths, const struct tenant *tenant,
		      const struct connection *connection, enum breaker_verdict as)
{
	(void)tenant;
	(void)connection;
	healths->world->n_abandoned++;
	healths->world->heard_as = as;
}

#endif
