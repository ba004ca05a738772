/* SPDX-License-Identifier: Apache-2.0 */

/* Whose call a cancel ends, whether it runs here or elsewhere. */

#include "tests/unit/gateway/core/call_world.h"

static struct asks cancel_of(const char *params)
{
	return (struct asks){ .method = "notifications/cancelled", .params = params };
}

static void list_running(struct world *world, const char *tenant_id)
{
	struct cancel_list list = { world };

	call_list_cancellable(&world->gate, tenant_id, &list);
}

static void cancel_by_key(struct world *world, const char *text)
{
	struct cancel_key key = { { 0 } };

	snprintf((char *)key.digest, sizeof(key.digest), "%s", text);
	call_cancel_by_key(&world->gate, &key);
}

/* A call that nothing has ended. */
static void expect_running(struct world *world)
{
	assert_int_equal(call_count(&world->gate), 1);
	world->finishes = 0;
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
}

static void a_cancel_ends_the_call_with_no_answer(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();
	struct asks cancel = cancel_of("{\"requestId\": 7 ,\"reason\":\"x\"}");

	send_call(world, &asks);
	run_call(world, &cancel);
	/* The notification is taken; it leaves no row. */
	expect_journal(world, "cancel upstream\noutcome cancelled\nreply 202\n");
	assert_string_equal(world->body, "");
	assert_string_equal(world->error_type, "cancelled");
	durable(world);
	/* Of a body that is empty HTTP makes a stream that ends. */
	expect_journal(world, "reply 200\n");
	assert_string_equal(world->body, "");
	assert_int_equal(call_count(&world->gate), 0);
}

static void what_is_no_id_cancels_nothing(void **state)
{
	static const char *const params[] = {
		"{}", "{\"requestId\":null}", "{\"requestId\":{}}", "{\"requestId\":[7]}", NULL,
	};
	struct world *world = *state;
	struct asks asks = legacy_call();

	send_call(world, &asks);
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		struct asks cancel = cancel_of(params[i]);

		run_call(world, &cancel);
		expect_journal(world, "reply 202\n");
	}
	expect_running(world);
}

static void a_call_that_does_not_run_here_may_run_elsewhere(void **state)
{
	static const char *const ids[] = { "\"7\"", "8", "70", "7.0" };
	struct world *world = *state;
	struct asks asks = legacy_call();

	send_call(world, &asks);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char params[64];
		char journal[128];
		struct asks cancel = cancel_of(params);

		snprintf(params, sizeof(params), "{\"requestId\":%s}", ids[i]);
		snprintf(journal, sizeof(journal), "pass on user:u-1 0123 %s of t-1\n", ids[i]);
		run_call(world, &cancel);
		expect_journal(world, journal);
		cancels_says(world, NULL);
		expect_journal(world, "reply 202\n");
	}
	expect_running(world);
}

static void a_cancel_that_cannot_be_passed_on_says_so(void **state)
{
	struct world *world = *state;
	struct asks cancel = cancel_of("{\"requestId\":7}");
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "no database");
	run_call(world, &cancel);
	buf_clear(&world->journal);
	cancels_says(world, &err);
	expect_journal(world, "entry unavailable\n");
	expect_end(world, 503);
	assert_int_equal(world->retry_after_s, 2);
}

static void a_cancel_without_a_session_is_nobodys(void **state)
{
	struct world *world = *state;
	struct asks cancel = cancel_of("{\"requestId\":7}");

	cancel.no_session = true;
	run_call(world, &cancel);
	expect_journal(world, "reply 202\n");
	cancel.modern = true;
	run_call(world, &cancel);
	expect_journal(world, "reply 202\n");
}

static void a_drain_does_not_wait_for_what_is_passed_on(void **state)
{
	struct world *world = *state;
	struct asks cancel = cancel_of("{\"requestId\":7}");

	run_call(world, &cancel);
	buf_clear(&world->journal);
	call_drain_all(&world->gate);
	expect_journal(world, "cancel passing on\nentry drained\n");
	expect_end(world, 503);
}

static void nobody_cancels_what_is_somebody_elses(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();
	struct principal other = *world->principal;

	send_call(world, &asks);
	snprintf(other.subject, sizeof(other.subject), "user:u-2");
	assert_false(call_cancel(&world->gate, &other, "0123456789abcdef", SPAN("7")));
	other = *world->principal;
	snprintf(other.tenant_id, sizeof(other.tenant_id), "t-2");
	assert_false(call_cancel(&world->gate, &other, "0123456789abcdef", SPAN("7")));
	assert_false(call_cancel(&world->gate, world->principal, "fedcba9876543210", SPAN("7")));
	cancel_by_key(world, "user:u-2 0123 7");
	cancel_by_key(world, "user:u-1 fedc 7");
	cancel_by_key(world, "user:u-1 0123 8");
	expect_journal(world, "");
	expect_running(world);
}

static void what_runs_is_listed_and_cancelled_by_its_key(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	send_call(world, &asks);
	assert_int_equal(world->expected, 1);
	list_running(world, NULL);
	expect_journal(world, "runs: user:u-1 0123 7 of t-1\n");
	list_running(world, "t-1");
	expect_journal(world, "runs: user:u-1 0123 7 of t-1\n");
	list_running(world, "t-2");
	expect_journal(world, "");
	cancel_by_key(world, "user:u-1 0123 7");
	expect_journal(world, "cancel upstream\noutcome cancelled\n");
	/* It is being recorded: nothing can end it once more. */
	list_running(world, NULL);
	cancel_by_key(world, "user:u-1 0123 7");
	assert_false(call_cancel(&world->gate, world->principal, "0123456789abcdef", SPAN("7")));
	expect_journal(world, "");
	durable(world);
	expect_journal(world, "reply 200\n");
}

static void an_answer_that_is_being_recorded_is_not_taken_back(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();
	struct asks cancel = cancel_of("{\"requestId\":7}");

	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{\"content\":[]}", NULL);
	expect_journal(world, "outcome ok\n");
	run_call(world, &cancel);
	cancels_says(world, NULL);
	world->finishes = 0;
	buf_clear(&world->journal);
	durable(world);
	expect_journal(world, "reply 200\n");
	assert_non_null(strstr(world->body, "\"content\":[]"));
}

static void modern_calls_are_cancelled_by_leaving_only(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_call();

	send_call(world, &asks);
	assert_int_equal(world->expected, 0);
	list_running(world, NULL);
	expect_journal(world, "");
	upstream_answers(world, MCP_MODERN, "{}", NULL);
	expect_end(world, 200);
}

/* MCP 2025-11-25, cancellation. */
static void initialize_is_never_cancelled(void **state)
{
	struct world *world = *state;
	struct asks asks = { .id = "7",
			     .method = "initialize",
			     .params = "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
				       "\"clientInfo\":{\"name\":\"n\",\"version\":\"1\"}}" };

	/* With the id of a session that is there already. */
	run_call(world, &asks);
	assert_non_null(world->session_op.pending.slot);
	buf_clear(&world->journal);
	list_running(world, NULL);
	assert_false(call_cancel(&world->gate, world->principal, "0123456789abcdef", SPAN("7")));
	cancel_by_key(world, "user:u-1 0123 7");
	expect_journal(world, "");
	session_says(world, world->session, NULL);
	expect_end(world, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(a_cancel_ends_the_call_with_no_answer),
		CALL_TEST(what_is_no_id_cancels_nothing),
		CALL_TEST(a_call_that_does_not_run_here_may_run_elsewhere),
		CALL_TEST(a_cancel_that_cannot_be_passed_on_says_so),
		CALL_TEST(a_cancel_without_a_session_is_nobodys),
		CALL_TEST(a_drain_does_not_wait_for_what_is_passed_on),
		CALL_TEST(nobody_cancels_what_is_somebody_elses),
		CALL_TEST(what_runs_is_listed_and_cancelled_by_its_key),
		CALL_TEST(an_answer_that_is_being_recorded_is_not_taken_back),
		CALL_TEST(modern_calls_are_cancelled_by_leaving_only),
		CALL_TEST(initialize_is_never_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
