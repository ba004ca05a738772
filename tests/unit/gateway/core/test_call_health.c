/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/gateway/core/call_world.h"

static void a_call_that_would_only_fail_is_answered_at_once(void **state)
{
	const struct asks asks = legacy_call();
	struct world *world = *state;

	world->verdict = BREAKER_REFUSE;
	run_call(world, &asks);
	assert_null(world->upstream_op.pending.slot);
	durable(world);
	assert_int_equal(world->finishes, 1);
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(world->body, "\"isError\":true"));
	assert_non_null(strstr(world->body, "crm is not called now: 6 of its last 10 calls have "
					    "failed, the last one because it answered HTTP 503. It "
					    "is tried again in 0.8 s. (call "));
	assert_int_equal(world->result.outcome, BOOK_UPSTREAM_ERROR);
	assert_string_equal(world->error_type, "circuit_open");
	assert_int_equal(world->n_heard + world->n_abandoned, 0);
}

static void what_became_of_a_call_is_told_once(void **state)
{
	const struct asks asks = legacy_call();
	struct world *world = *state;

	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{\"content\":[],\"isError\":true}", NULL);
	durable(world);
	assert_int_equal(world->n_heard, 1);
	assert_true(world->heard_well);
	assert_int_equal(world->heard_as, BREAKER_PASS);
	send_call(world, &asks);
	upstream_fails(world, ERR_TIMEOUT, "no answer");
	durable(world);
	assert_int_equal(world->n_heard, 2);
	assert_false(world->heard_well);
	assert_int_equal(world->n_abandoned, 0);
}

static void a_probe_is_asked_for_before_it_goes(void **state)
{
	const struct asks asks = legacy_call();
	struct world *world = *state;

	world->verdict = BREAKER_PROBE;
	run_call(world, &asks);
	assert_null(world->record);
	health_says(world, true);
	durable(world);
	upstream_answers(world, MCP_LEGACY, "{\"content\":[]}", NULL);
	durable(world);
	assert_int_equal(world->n_heard, 1);
	assert_int_equal(world->heard_as, BREAKER_PROBE);
}

static void a_probe_that_is_not_granted_is_refused_like_the_others(void **state)
{
	const struct asks asks = legacy_call();
	struct world *world = *state;

	world->verdict = BREAKER_PROBE;
	run_call(world, &asks);
	world->verdict = BREAKER_REFUSE;
	health_says(world, false);
	assert_null(world->upstream_op.pending.slot);
	durable(world);
	assert_string_equal(world->error_type, "circuit_open");
	assert_int_equal(world->n_heard, 0);
}

static void a_probe_that_is_left_is_given_back(void **state)
{
	const struct asks asks = modern_call();
	struct world *world = *state;

	world->verdict = BREAKER_PROBE;
	run_call(world, &asks);
	health_says(world, true);
	durable(world);
	assert_non_null(world->upstream_op.pending.slot);
	call_client_gone(world->call);
	durable(world);
	assert_int_equal(world->n_heard, 0);
	assert_int_equal(world->n_abandoned, 1);
	assert_int_equal(world->heard_as, BREAKER_PROBE);
}

static void who_leaves_while_it_is_asked_for_takes_the_question_along(void **state)
{
	const struct asks asks = modern_call();
	struct world *world = *state;

	world->verdict = BREAKER_PROBE;
	run_call(world, &asks);
	call_client_gone(world->call);
	assert_null(world->health_op.pending.slot);
	durable(world);
	assert_int_equal(world->n_heard + world->n_abandoned, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(a_call_that_would_only_fail_is_answered_at_once),
		CALL_TEST(what_became_of_a_call_is_told_once),
		CALL_TEST(a_probe_is_asked_for_before_it_goes),
		CALL_TEST(a_probe_that_is_not_granted_is_refused_like_the_others),
		CALL_TEST(a_probe_that_is_left_is_given_back),
		CALL_TEST(who_leaves_while_it_is_asked_for_takes_the_question_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
