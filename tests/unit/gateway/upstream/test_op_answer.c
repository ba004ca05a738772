/* SPDX-License-Identifier: Apache-2.0 */

/* What comes back for one request: notifications, requests, answers, and what is none of ours. */

#include "tests/unit/gateway/upstream/upstream_world.h"

#define PROGRESS(token, n)                                                                         \
	EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"             \
	      "{\"progressToken\":" token ",\"progress\":" n "}}")
#define LOG(level)                                                                                 \
	EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":"              \
	      "{\"level\":\"" level "\",\"data\":1e400}}")

static void start_streaming(struct world *world, struct ask *ask, bool progress)
{
	static const struct mcp_reply stream = { MCP_STREAM, 200, SSE, NULL, ": hi\n\n", 0 };
	struct upstream_request request = call_request(world);

	request.progress = progress;
	mcp_peer_on(world->peer, "tools/call", &stream, 1);
	*ask = new_ask(world);
	start_with(ask, &request);
	await_request(world, "tools/call", 1);
}

struct wanted {
	struct ask *ask;
	size_t bytes;
};

static bool has_bytes(void *ctx)
{
	const struct wanted *wanted = ctx;

	return wanted->ask->messages.len >= wanted->bytes;
}

static void await_messages(struct ask *ask, const char *expected)
{
	struct wanted wanted = { ask, strlen(expected) };

	gate_db_until(ask->world->gate, has_bytes, &wanted);
	assert_string_equal(buf_str(&ask->messages), expected);
}

static void messages_come_as_they_are_sent_and_the_answer_behind_them(void **state)
{
	struct world world;
	struct ask ask;
	char expected[512];

	begin(state, &world);
	be_legacy(&world);
	start_streaming(&world, &ask, true);
	snprintf(expected, sizeof(expected), "\"_meta\":{\"progressToken\":%s}",
		 mcp_peer_find(world.peer, "tools/call", 0)->id);
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 0)->body, expected));
	mcp_peer_say(world.peer, PROGRESS("$ID", "1"));
	snprintf(expected, sizeof(expected),
		 "notifications/progress {\"progressToken\":%s,\"progress\":1}\n",
		 mcp_peer_find(world.peer, "tools/call", 0)->id);
	await_messages(&ask, expected);
	assert_int_equal(ask.dones, 0);
	mcp_peer_say(world.peer, LOG("info") EVENT(RESULT(OK_BODY)));
	finish_ask(&ask);
	assert_non_null(strstr(buf_str(&ask.messages),
			       "notifications/message {\"level\":\"info\",\"data\":1e400}\n"));
	/* What comes behind the answer is dropped; the stream may end in peace. */
	mcp_peer_say(world.peer, PROGRESS("$ID", "2") EVENT(RESULT("{}")));
	mcp_peer_end(world.peer);
	expect_result(&ask, MCP_LEGACY);
	end(&world);
}

static void progress_of_others_is_not_passed_on(void **state)
{
	static const char *const tokens[] = { PROGRESS("1", "1"), PROGRESS("\"$ID\"", "1"),
					      PROGRESS("null", "1"), PROGRESS("$ID.0", "1") };
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_streaming(&world, &ask, true);
	for (size_t i = 0; i < COUNT(tokens); i++)
		mcp_peer_say(world.peer, tokens[i]);
	mcp_peer_say(world.peer,
		     EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}"));
	mcp_peer_say(world.peer,
		     EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}"));
	mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
	mcp_peer_end(world.peer);
	finish_ask(&ask);
	assert_string_equal(buf_str(&ask.messages), "");
	expect_result(&ask, MCP_LEGACY);
	end(&world);
}

static void progress_that_nobody_asked_for_is_dropped(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_streaming(&world, &ask, false);
	assert_null(strstr(mcp_peer_find(world.peer, "tools/call", 0)->body, "progressToken"));
	mcp_peer_say(world.peer, PROGRESS("$ID", "1") EVENT(RESULT(OK_BODY)));
	mcp_peer_end(world.peer);
	finish_ask(&ask);
	assert_string_equal(buf_str(&ask.messages), "");
	expect_result(&ask, MCP_LEGACY);
	end(&world);
}

static void requests_of_a_legacy_server_are_answered_and_those_of_a_modern_one_not(void **state)
{
	static const char requests[] =
		EVENT("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\"}")
			EVENT("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"sampling/createMessage\","
			      "\"params\":{}}");

	for (int modern = 0; modern <= 1; modern++) {
		struct world world;
		struct ask ask;

		begin(state, &world);
		(modern == 1 ? be_modern : be_legacy)(&world);
		MCP_ON(world.peer, "", { MCP_ANSWER, 202, NULL, NULL, NULL, 0 });
		start_streaming(&world, &ask, false);
		mcp_peer_say(world.peer, requests);
		if (modern == 0) {
			await_request(&world, "", 2);
			assert_string_equal(mcp_peer_find(world.peer, "", 0)->body,
					    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}");
			assert_non_null(strstr(mcp_peer_find(world.peer, "", 0)->head,
					       "\r\nmcp-session-id: s1\r\n"));
			assert_non_null(strstr(mcp_peer_find(world.peer, "", 1)->body,
					       "\"id\":0,\"error\":{\"code\":-32601,"));
		}
		mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
		mcp_peer_end(world.peer);
		expect_result(&ask, modern == 1 ? MCP_MODERN : MCP_LEGACY);
		assert_int_equal(mcp_peer_count(world.peer, ""), modern == 1 ? 0 : 2);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_flood_of_requests_is_answered_only_so_far(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	MCP_ON(world.peer, "", { MCP_ANSWER, 202, NULL, NULL, NULL, 0 });
	start_streaming(&world, &ask, false);
	for (int i = 0; i < 150; i++)
		mcp_peer_say(world.peer,
			     EVENT("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"));
	await_request(&world, "", 100);
	mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
	mcp_peer_end(world.peer);
	expect_result(&ask, MCP_LEGACY);
	gate_db_for(world.gate, 50);
	assert_int_equal(mcp_peer_count(world.peer, ""), 100);
	end(&world);
}

static void an_answer_with_another_id_is_none(void **state)
{
	static const char *const ids[] = { "1", "\"$ID\"", "$ID0", "-$ID", "$ID.0" };

	for (size_t i = 0; i < COUNT(ids); i++) {
		struct world world;
		struct ask ask;
		char event[256];

		begin(state, &world);
		be_legacy(&world);
		start_streaming(&world, &ask, false);
		snprintf(event, sizeof(event),
			 EVENT("{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}"), ids[i]);
		mcp_peer_say(world.peer, event);
		mcp_peer_end(world.peer);
		expect_failure(&ask, ERR_UPSTREAM, "");
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void junk_before_the_answer_does_no_harm(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_streaming(&world, &ask, false);
	mcp_peer_say(world.peer, "event: ping\ndata: 12:00\n\ndata:\n\nid: 7\n\n: comment\n\n");
	mcp_peer_say(world.peer, EVENT("not json") EVENT("[]") EVENT("[1,2]") EVENT("{}"));
	mcp_peer_say(world.peer, EVENT("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{}}"));
	mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
	mcp_peer_end(world.peer);
	expect_result(&ask, MCP_LEGACY);
	end(&world);
}

static void a_stream_that_ends_without_an_answer_is_a_failure(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_streaming(&world, &ask, true);
	mcp_peer_say(world.peer, PROGRESS("$ID", "1"));
	mcp_peer_end(world.peer);
	expect_failure(&ask, ERR_UPSTREAM, "ended without a result");
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1);
	end(&world);
}

static void an_error_is_an_answer_whatever_its_http_status(void **state)
{
	static const struct mcp_reply rows[] = {
		{MCP_ANSWER,  200, JSON, NULL, ERROR("$ID",	    "-32602"),  0},
		{ MCP_ANSWER, 200, SSE,	NULL, EVENT(ERROR("$ID", "-32602")), 0},
		{ MCP_ANSWER, 404, JSON, NULL, ERROR("$ID",	    "-32602"),  0},
		{ MCP_ANSWER, 400, JSON, NULL, ERROR("$ID",	    "-32602"),  0},
		{ MCP_ANSWER, 500, JSON, NULL, ERROR("$ID",	    "-32602"),  0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;
		struct ask ask;

		begin(state, &world);
		be_modern(&world);
		mcp_peer_on(world.peer, "tools/call", &rows[i], 1);
		ask = new_ask(&world);
		start_ask(&ask);
		finish_ask(&ask);
		assert_false(ask.failed);
		assert_string_equal(ask.error, "{\"code\":-32602,\"message\":\"no\"}");
		assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1);
		end_ask(&ask);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void an_answer_does_not_wait_for_the_end_of_its_stream(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_modern(&world);
	start_streaming(&world, &ask, false);
	mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
	expect_result(&ask, MCP_MODERN);
	assert_int_equal(mcp_peer_left(world.peer), 0);
	/* But nobody waits for that end for ever. */
	await_left(&world, 1);
	end(&world);
}

static void an_answer_may_linger_while_all_is_freed(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_streaming(&world, &ask, false);
	mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
	expect_result(&ask, MCP_LEGACY);
	end(&world);
}

static void leave(struct ask *ask)
{
	upstream_cancel(&ask->op, "the client has left");
}

static void a_request_may_be_cancelled_while_it_gets_a_message(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_streaming(&world, &ask, true);
	ask.on_message = leave;
	mcp_peer_say(world.peer, PROGRESS("$ID", "1") PROGRESS("$ID", "2") EVENT(RESULT(OK_BODY)));
	await_request(&world, "notifications/cancelled", 1);
	assert_int_equal(ask.dones, 0);
	assert_null(strstr(buf_str(&ask.messages), "\"progress\":2"));
	end_ask(&ask);
	end(&world);
}

static void an_answer_beyond_the_ceiling_is_refused(void **state)
{
	static const struct mcp_reply rows[] = {
		{MCP_ANSWER,  200, JSON, NULL, RESULT(OK_BODY), 17 * 1024 * 1024},
		{ MCP_ANSWER, 200, SSE,	NULL, "data: {",	 17 * 1024 * 1024},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;

		begin(state, &world);
		be_modern(&world);
		mcp_peer_on(world.peer, "tools/call", &rows[i], 1);
		call_fails(&world, ERR_TOO_LARGE, "too large");
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_large_answer_below_it_passes(void **state)
{
	static const struct mcp_reply rows[] = {
		{MCP_ANSWER,  200, JSON, NULL, RESULT(OK_BODY),	12 * 1024 * 1024},
		{ MCP_ANSWER, 200, SSE,	NULL, EVENT(RESULT(OK_BODY)), 1000		   },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;

		begin(state, &world);
		be_modern(&world);
		mcp_peer_on(world.peer, "tools/call", &rows[i], 1);
		call(&world, MCP_MODERN);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(messages_come_as_they_are_sent_and_the_answer_behind_them),
		GATE_DB_TEST(progress_of_others_is_not_passed_on),
		GATE_DB_TEST(progress_that_nobody_asked_for_is_dropped),
		GATE_DB_TEST(
			requests_of_a_legacy_server_are_answered_and_those_of_a_modern_one_not),
		GATE_DB_TEST(a_flood_of_requests_is_answered_only_so_far),
		GATE_DB_TEST(an_answer_with_another_id_is_none),
		GATE_DB_TEST(junk_before_the_answer_does_no_harm),
		GATE_DB_TEST(a_stream_that_ends_without_an_answer_is_a_failure),
		GATE_DB_TEST(an_error_is_an_answer_whatever_its_http_status),
		GATE_DB_TEST(an_answer_does_not_wait_for_the_end_of_its_stream),
		GATE_DB_TEST(an_answer_may_linger_while_all_is_freed),
		GATE_DB_TEST(a_request_may_be_cancelled_while_it_gets_a_message),
		GATE_DB_TEST(an_answer_beyond_the_ceiling_is_refused),
		GATE_DB_TEST(a_large_answer_below_it_passes),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
