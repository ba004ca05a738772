/* SPDX-License-Identifier: Apache-2.0 */

/* Streams that end before the answer: gone on with by GET, never by another POST. */

#include "gateway/upstream/upstream_priv.h"
#include "tests/unit/gateway/upstream/upstream_world.h"

#define PRIME "id: 1\nretry: 60\ndata:\n\n"

static const struct mcp_reply primed = { MCP_ANSWER, 200, SSE, NULL, PRIME, 0 };
static const struct mcp_reply answered = { MCP_STREAM, 200, SSE, NULL, "", 0 };

/* A call whose stream ends as scripted; the answer to its GET. */
static void begin_resumable(void **state, struct world *world, const struct mcp_reply *calls,
			    size_t n, const struct mcp_reply *gets, size_t n_gets)
{
	begin(state, world);
	be_legacy(world);
	mcp_peer_on(world->peer, "tools/call", calls, n);
	if (n_gets > 0)
		mcp_peer_on(world->peer, "GET", gets, n_gets);
}

/* The stream of a GET does not know the id of the call. */
static void say_answer(struct world *world)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "id: 9\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":" OK_BODY "}\n\n",
		 mcp_peer_find(world->peer, "tools/call", 0)->id);
	mcp_peer_say(world->peer, text);
	mcp_peer_end(world->peer);
}

static void expect_get(struct world *world, size_t i, const char *id)
{
	const char *head = mcp_peer_find(world->peer, "GET", i)->head;
	char header[64];

	snprintf(header, sizeof(header), "\r\nlast-event-id: %s\r\n", id);
	assert_non_null(strstr(head, header));
	assert_non_null(strstr(head, "\r\nmcp-session-id: s1\r\n"));
	assert_non_null(strstr(head, "\r\nmcp-protocol-version: 2025-06-18\r\n"));
	assert_non_null(strstr(head, "\r\naccept: text/event-stream\r\n"));
	assert_null(strstr(head, "content-type"));
}

static void a_stream_that_ends_early_is_gone_on_with_after_its_retry(void **state)
{
	static const struct mcp_reply slow = {
		MCP_ANSWER, 200, SSE, NULL, "id: 1\nretry: 400\ndata:\n\n", 0
	};
	struct world world;
	struct ask ask;
	int64_t before_ms;

	begin_resumable(state, &world, &slow, 1, &answered, 1);
	ask = new_ask(&world);
	before_ms = loop_now_ms(world.gate->loop);
	start_ask(&ask);
	await_request(&world, "GET", 1);
	assert_true(loop_now_ms(world.gate->loop) - before_ms >= 400);
	expect_get(&world, 0, "1");
	say_answer(&world);
	expect_result(&ask, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	end(&world);
}

static void so_is_one_that_breaks(void **state)
{
	static const struct mcp_reply begun = { MCP_STREAM, 200, SSE, NULL, PRIME, 0 };
	struct world world;
	struct ask ask;

	begin_resumable(state, &world, &begun, 1, &answered, 1);
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "tools/call", 1);
	mcp_peer_reset(world.peer);
	await_request(&world, "GET", 1);
	expect_get(&world, 0, "1");
	say_answer(&world);
	expect_result(&ask, MCP_LEGACY);
	end(&world);
}

static void each_time_from_the_event_that_came_last(void **state)
{
	static const struct mcp_reply gets[] = {
		{MCP_ANSWER,  200, SSE, NULL, "id: 2\ndata:\n\n", 0},
		{ MCP_ANSWER, 200, SSE, NULL, "id: 3\n\nid: 4\n", 0},
		{ MCP_STREAM, 200, SSE, NULL, "",		  0},
	};
	struct world world;
	struct ask ask;

	begin_resumable(state, &world, &primed, 1, gets, COUNT(gets));
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "GET", 3);
	expect_get(&world, 0, "1");
	expect_get(&world, 1, "2");
	expect_get(&world, 2, "3");
	say_answer(&world);
	expect_result(&ask, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1);
	end(&world);
}

static void what_cannot_be_gone_on_with_has_failed(void **state)
{
	static const struct {
		struct mcp_reply call;
		struct mcp_reply get;
		const char *text;
		size_t gets;
	} rows[] = {
	/* no id */
		{{ MCP_ANSWER, 200, SSE, NULL, "retry: 1\ndata:\n\n", 0 },
		  { MCP_ANSWER, 500, NULL, NULL, NULL, 0 },
		  "ended without a result",	  0},
 /* an id that was taken back */
		{ { MCP_ANSWER, 200, SSE, NULL, "id: 1\n\nid:\n\n", 0 },
		  { MCP_ANSWER, 500, NULL, NULL, NULL, 0 },
		  "ended without a result",	  0},
 /* nonsense */
		{ { MCP_ANSWER, 200, SSE, NULL, PRIME "data: x\n\n", 0 },
		  { MCP_ANSWER, 500, NULL, NULL, NULL, 0 },
		  "no JSON-RPC",		  0},
		{ { MCP_ANSWER, 200, SSE, NULL, PRIME, 0 },
		  { MCP_ANSWER, 405, NULL, NULL, NULL, 0 },
		  "cannot be resumed (HTTP 405)", 1},
		{ { MCP_ANSWER, 200, SSE, NULL, PRIME, 0 },
		  { MCP_ANSWER, 404, JSON, NULL, ERROR("null", "-32001"), 0 },
		  "cannot be resumed (HTTP 404)", 1},
 /* in vain */
		{ { MCP_ANSWER, 200, SSE, NULL, PRIME, 0 },
		  { MCP_ANSWER, 200, SSE, NULL, ": nothing\n", 0 },
		  "ended without a result",	  3},
		{ { MCP_ANSWER, 200, SSE, NULL, PRIME, 0 },
		  { MCP_CLOSE, 0, NULL, NULL, NULL, 0 },
		  "127.0.0.1",		    3},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;

		begin_resumable(state, &world, &rows[i].call, 1, &rows[i].get, 1);
		call_fails(&world, ERR_UPSTREAM, rows[i].text);
		assert_int_equal(mcp_peer_count(world.peer, "GET"), rows[i].gets);
		assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_modern_stream_is_lost(void **state)
{
	struct world world;

	begin(state, &world);
	be_modern(&world);
	mcp_peer_on(world.peer, "tools/call", &primed, 1);
	call_fails(&world, ERR_UPSTREAM, "ended without a result");
	assert_int_equal(mcp_peer_count(world.peer, "GET"), 0);
	end(&world);
}

static bool rests(void *ctx)
{
	const struct ask *ask = ctx;

	return ask->op->state == OP_RESUMING;
}

static void a_cancel_meanwhile_is_told(void **state)
{
	static const struct mcp_reply late = {
		MCP_ANSWER, 200, SSE, NULL, "id: 1\nretry: 3600000\ndata:\n\n", 0
	};
	struct world world;
	struct ask ask;

	begin_resumable(state, &world, &late, 1, NULL, 0);
	ask = new_ask(&world);
	start_ask(&ask);
	gate_db_until(world.gate, rests, &ask);
	upstream_cancel(&ask.op, "enough");
	await_request(&world, "notifications/cancelled", 1);
	assert_int_equal(ask.dones, 0);
	end_ask(&ask);
	end(&world);
}

static void the_deadline_holds_meanwhile(void **state)
{
	static const struct mcp_reply late = {
		MCP_ANSWER, 200, SSE, NULL, "id: 1\nretry: 3600000\ndata:\n\n", 0
	};
	struct upstream_request request;
	struct world world;
	struct ask ask;

	begin_resumable(state, &world, &late, 1, NULL, 0);
	request = call_request(&world);
	request.timeout_ms = 300;
	ask = new_ask(&world);
	start_with(&ask, &request);
	expect_failure(&ask, ERR_TIMEOUT, "no answer within 300 ms");
	await_request(&world, "notifications/cancelled", 1);
	assert_int_equal(mcp_peer_count(world.peer, "GET"), 0);
	end(&world);
}

static void progress_goes_on_where_the_stream_does(void **state)
{
	struct upstream_request request;
	char text[256];
	struct world world;
	struct ask ask;

	begin_resumable(state, &world, &primed, 1, &answered, 1);
	request = call_request(&world);
	request.progress = true;
	ask = new_ask(&world);
	start_with(&ask, &request);
	await_request(&world, "GET", 1);
	snprintf(text, sizeof(text),
		 EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
		       "{\"progressToken\":%s,\"progress\":1}}"),
		 mcp_peer_find(world.peer, "tools/call", 0)->id);
	mcp_peer_say(world.peer, text);
	say_answer(&world);
	finish_ask(&ask);
	assert_non_null(strstr(buf_str(&ask.messages), "notifications/progress"));
	expect_result(&ask, MCP_LEGACY);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_stream_that_ends_early_is_gone_on_with_after_its_retry),
		GATE_DB_TEST(so_is_one_that_breaks),
		GATE_DB_TEST(each_time_from_the_event_that_came_last),
		GATE_DB_TEST(what_cannot_be_gone_on_with_has_failed),
		GATE_DB_TEST(a_modern_stream_is_lost),
		GATE_DB_TEST(a_cancel_meanwhile_is_told),
		GATE_DB_TEST(the_deadline_holds_meanwhile),
		GATE_DB_TEST(progress_goes_on_where_the_stream_does),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
