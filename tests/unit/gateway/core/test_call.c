/* SPDX-License-Identifier: Apache-2.0 */

/* The order of the steps, and every way in which a call can be cut short. */

#include "tests/unit/gateway/core/call_world.h"

static void nothing_leaves_before_the_intent_and_no_answer_before_the_outcome(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	run_call(world, &asks);
	expect_journal(world, "intent\n");
	assert_string_equal(world->recorded.tenant, "acme");
	assert_string_equal(world->recorded.user_name, "ana");
	assert_string_equal(world->recorded.api_key, "AAAAAAAAAAAA");
	assert_string_equal(world->recorded_connection, "crm");
	assert_string_equal(world->recorded_tool, "crm__get");
	assert_true(span_is(world->recorded.arguments, "{\"a\":1e400}"));
	assert_true(span_is(world->recorded.request_id, "7"));
	assert_true(span_is(world->recorded.client, "editor/1"));
	assert_string_equal(world->recorded.protocol_version, "2025-11-25");
	assert_string_equal(world->recorded.session_id, "0123456789abcdef");
	assert_int_equal(world->recorded.request_bytes, 10);
	durable(world);
	expect_journal(world, "send tools/call to crm\n");
	assert_string_equal(world->sent_name, "get");
	assert_string_equal(world->sent_params, asks.params);
	assert_int_equal(world->sent_timeout_ms, 5000);
	upstream_answers(world, MCP_LEGACY, "{\"content\":[]}", NULL);
	expect_journal(world, "outcome ok\n");
	assert_int_equal(world->finishes, 0);
	durable(world);
	expect_journal(world, "reply 200\n");
	assert_string_equal(world->body,
			    "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[]}}");
	assert_int_equal(world->result.http_status, 200);
	assert_true(world->result.upstream_us >= 0);
	assert_true(world->told_id);
	/* What was taken out of the body to compare it. */
	assert_int_equal(world->result.response_bytes,
			 strlen(world->body) + strlen("\"_meta\":{\"io.tollgate/call_id\":\"\"},") +
				 UUID_TEXT_BYTES - 1);
	assert_int_equal(world->result.upstream_status, 200);
	assert_null(world->result.account);
	assert_string_equal(world->call_id, world->recorded_id);
	assert_int_equal(call_count(&world->gate), 0);
}

static void what_the_gate_answers_itself_is_one_entry(void **state)
{
	struct world *world = *state;

	run_call(world, &(struct asks){ .id = "1", .method = "ping" });
	expect_journal(world, "entry ok\n");
	assert_int_equal(world->result.upstream_us, -1);
	expect_end(world, 200);
	assert_string_equal(world->body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
}

static void what_cannot_be_intended_does_not_leave(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	world->book_refuses = true;
	run_call(world, &asks);
	/* At once, with the entry refused too: then there is only the log. */
	expect_journal(world, "intent\nentry unavailable\nreply 503\n");
	assert_int_equal(world->retry_after_s, 2);
	assert_int_equal(call_count(&world->gate), 0);
}

/* legacy: the call that a tight book has room for still. */
static void expect_refused(struct world *world, const struct asks *asks)
{
	run_call(world, asks);
	expect_journal(world, "entry unavailable\n");
	durable(world);
	assert_int_equal(world->status, 503);
	assert_true(world->retry_after_s > 0);
	assert_non_null(strstr(world->body, "\"data\":{\"code\":\"audit_unavailable\"}"));
	expect_journal(world, "reply 503\n");
}

static void what_can_wait_is_refused_while_the_book_is_tight(void **state)
{
	static const struct {
		const char *method, *params;
		bool modern;
	} waits[] = {
		{"ping",		  NULL,					      false},
		{ "tools/list",		NULL,					      false},
		{ "tools/list",		"{}",					      true },
		{ "logging/setLevel",     "{\"level\":\"debug\"}",			       false},
		{ "subscriptions/listen", "{\"notifications\":{\"toolsListChanged\":true}}", true },
	};
	struct world *world = *state;
	struct asks asks = legacy_call();

	world->room = BOOK_ROOM_TIGHT;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		expect_refused(world, &(struct asks){ .id = "1",
						      .method = waits[i].method,
						      .params = waits[i].params,
						      .modern = waits[i].modern });
	run_call(world, &asks);
	expect_journal(world, "intent\n");
	durable(world);
	expect_journal(world, "send tools/call to crm\n");
	upstream_answers(world, MCP_LEGACY, "{\"content\":[]}", NULL);
	expect_journal(world, "outcome ok\n");
	expect_end(world, 200);
}

static void no_call_is_let_in_while_the_book_has_no_room(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	for (int room = BOOK_ROOM_NONE; room <= BOOK_ROOM_FAILED; room++) {
		world->room = (enum book_room)room;
		expect_refused(world, &asks);
		expect_refused(world, &(struct asks){ .id = "1", .method = "ping" });
		/* Nor is the refusal itself: the book took the first one. */
		world->book_refuses = true;
		run_call(world, &asks);
		expect_journal(world, "entry unavailable\nreply 503\n");
		assert_non_null(strstr(world->body, "audit_unavailable"));
		world->book_refuses = false;
	}
}

static void an_intent_that_fails_on_disk_does_not_leave(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "no space");
	run_call(world, &asks);
	buf_clear(&world->journal);
	disk_says(world, &err);
	expect_journal(world, "entry unavailable\n");
	expect_end(world, 503);
	assert_non_null(strstr(world->body, "cannot be recorded"));
}

static void what_cannot_be_recorded_is_not_answered(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();
	struct err err;

	send_call(world, &asks);
	world->book_refuses = true;
	upstream_answers(world, MCP_LEGACY, "{\"content\":[\"hush\"]}", NULL);
	expect_journal(world, "outcome ok\nabandon\nreply 503\n");
	assert_null(strstr(world->body, "hush"));
	assert_int_equal(world->retry_after_s, 2);

	world->book_refuses = false;
	err_set(&err, ERR_UNAVAILABLE, "no space");
	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{\"content\":[\"hush\"]}", NULL);
	disk_says(world, &err);
	assert_int_equal(world->status, 503);
	assert_null(strstr(world->body, "hush"));
}

static void a_modern_client_that_leaves_cancels(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_call();

	send_call(world, &asks);
	call_client_gone(world->call);
	expect_journal(world, "cancel upstream\noutcome client_closed\n");
	assert_int_equal(world->result.http_status, 0);
	assert_string_equal(world->error_type, "client_closed");
	durable(world);
	assert_int_equal(world->finishes, 0);
	assert_int_equal(call_count(&world->gate), 0);
}

static void a_legacy_client_that_leaves_lets_the_call_run_on(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	asks.progress = "1";
	send_call(world, &asks);
	call_client_gone(world->call);
	expect_journal(world, "");
	upstream_notifies(world, "notifications/progress", "{\"progress\":1}");
	upstream_answers(world, MCP_LEGACY, "{\"content\":[]}", NULL);
	expect_journal(world, "outcome client_closed\n");
	assert_int_equal(world->result.http_status, 0);
	durable(world);
	assert_int_equal(world->finishes, 0);
}

static void a_client_may_leave_at_any_step(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_call();
	struct err err;

	world->found = IDENTITY_UNKNOWN;
	run_call(world, &asks);
	call_client_gone(world->call);
	expect_journal(world, "identity\ncancel identity\nentry client_closed\n");
	durable(world);
	world->found = IDENTITY_KNOWN;
	world->tenant_in_memory = false;
	run_call(world, &asks);
	call_client_gone(world->call);
	expect_journal(world, "tenant\ncancel tenant\nentry client_closed\n");
	durable(world);
	world->tenant_in_memory = true;
	run_call(world, &asks);
	call_client_gone(world->call);
	/* The intent is written; its outcome follows it. */
	expect_journal(world, "intent\noutcome client_closed\n");
	durable(world);
	send_call(world, &asks);
	upstream_answers(world, MCP_MODERN, "{\"content\":[]}", NULL);
	call_client_gone(world->call);
	expect_journal(world, "outcome ok\n");
	err_set(&err, ERR_UNAVAILABLE, "no space");
	disk_says(world, &err);
	assert_int_equal(world->finishes, 0);
	assert_int_equal(call_count(&world->gate), 0);
}

static void leave(struct world *world)
{
	call_client_gone(world->call);
}

static void a_client_may_leave_while_it_is_sent_a_message(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_call();

	asks.progress = "\"p\"";
	send_call(world, &asks);
	world->on_message = leave;
	upstream_notifies(world, "notifications/progress", "{\"progress\":1}");
	expect_journal(world, "message {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
			      "\"params\":{\"progressToken\":\"p\",\"progress\":1}}\n"
			      "cancel upstream\noutcome client_closed\n");
	durable(world);
	/* The same when nobody keeps the record, so that the call ends on the spot. */
	send_call(world, &asks);
	world->book_refuses = true;
	upstream_notifies(world, "notifications/progress", "{\"progress\":1}");
	assert_int_equal(call_count(&world->gate), 0);
}

static void a_drain_ends_what_runs_and_says_when_to_come_back(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	send_call(world, &asks);
	call_drain_all(&world->gate);
	expect_journal(world, "cancel upstream\noutcome drained\n");
	call_drain_all(&world->gate);
	durable(world);
	expect_journal(world, "reply 503\n");
	assert_int_equal(world->retry_after_s, 2);
	assert_non_null(strstr(world->body, "stopping"));
}

static void what_is_abandoned_is_freed_without_a_word(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	send_call(world, &asks);
	call_drain_all(&world->gate);
	call_abandon_all(&world->gate);
	expect_journal(world, "cancel upstream\noutcome drained\n");
	assert_int_equal(call_count(&world->gate), 0);
	assert_int_equal(world->finishes, 0);
}

static void ask_again(struct world *world)
{
	world->on_finish = NULL;
	run_call(world, &(struct asks){ .id = "2", .method = "ping" });
}

static void the_client_may_ask_again_while_it_is_answered(void **state)
{
	struct world *world = *state;

	run_call(world, &(struct asks){ .id = "1", .method = "ping" });
	world->on_finish = ask_again;
	durable(world);
	assert_int_equal(call_count(&world->gate), 1);
	durable(world);
	assert_int_equal(call_count(&world->gate), 0);
	assert_string_equal(world->body, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
}

static void notifications_are_taken_and_leave_no_row(void **state)
{
	static const char *const methods[] = { "notifications/initialized", "notifications/x",
					       "tools/call", NULL };
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		run_call(world, &(struct asks){ .method = methods[i] });
		expect_journal(world, "reply 202\n");
		run_call(world, &(struct asks){ .method = methods[i], .modern = true });
		expect_journal(world, "reply 202\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(nothing_leaves_before_the_intent_and_no_answer_before_the_outcome),
		CALL_TEST(what_the_gate_answers_itself_is_one_entry),
		CALL_TEST(what_cannot_be_intended_does_not_leave),
		CALL_TEST(what_can_wait_is_refused_while_the_book_is_tight),
		CALL_TEST(no_call_is_let_in_while_the_book_has_no_room),
		CALL_TEST(an_intent_that_fails_on_disk_does_not_leave),
		CALL_TEST(what_cannot_be_recorded_is_not_answered),
		CALL_TEST(a_modern_client_that_leaves_cancels),
		CALL_TEST(a_legacy_client_that_leaves_lets_the_call_run_on),
		CALL_TEST(a_client_may_leave_at_any_step),
		CALL_TEST(a_client_may_leave_while_it_is_sent_a_message),
		CALL_TEST(a_drain_ends_what_runs_and_says_when_to_come_back),
		CALL_TEST(what_is_abandoned_is_freed_without_a_word),
		CALL_TEST(the_client_may_ask_again_while_it_is_answered),
		CALL_TEST(notifications_are_taken_and_leave_no_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
