/* SPDX-License-Identifier: Apache-2.0 */

/* What is sent again, because it was refused before it ran; and what is not. */

#include "tests/unit/gateway/upstream/upstream_world.h"

static const struct mcp_reply ok = { MCP_ANSWER, 200, JSON, NULL, RESULT(OK_BODY), 0 };

static void a_lost_session_is_opened_anew_and_the_request_sent_again_once(void **state)
{
	static const struct mcp_reply losses[] = {
		{MCP_ANSWER,  404,  JSON, NULL,		       ERROR("null", "-32001"), 0},
		{ MCP_ANSWER, 404,  NULL, NULL,		       NULL,	     0	       },
		{ MCP_ANSWER,	      404, JSON, NULL,	       ERROR("$ID",    "-32001"),	       0 },
		{ MCP_ANSWER,	      400, JSON, NULL,	       ERROR("null",    "-32000"),		0},
		{ MCP_ANSWER,	      400, JSON, NULL, ERROR("\"server-error\"",	 "-32600"),	    0 },
	};

	for (size_t i = 0; i < COUNT(losses); i++) {
		const struct mcp_reply replies[] = { ok, losses[i], ok };
		struct world world;

		begin(state, &world);
		be_legacy(&world);
		mcp_peer_on(world.peer, "tools/call", replies, 3);
		call(&world, MCP_LEGACY);
		call(&world, MCP_LEGACY);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
		assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 3);
		assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 2)->head,
				       "\r\nmcp-session-id: s2\r\n"));
		assert_string_equal(gate_db_ask(world.gate, "SELECT session_id AS v"
							    " FROM tollgate.upstream_sessions"),
				    "s2");
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

/* As server-everything and others say it: with the request's id, if they have read that far. */
static void a_refusal_that_knows_the_request_has_to_speak_of_the_session(void **state)
{
	static const struct {
		struct mcp_reply reply;
		bool lost;
	} rows[] = {
		{{ MCP_ANSWER, 400, JSON, NULL,
		    "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":"
		    "\"Bad Request: No valid session ID provided\"}}",
		    0 },
		  true							      },
		{ { MCP_ANSWER, 400, JSON, NULL,
		    "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":-32000,\"message\":"
		    "\"Bad Request: No valid Session ID provided\"}}",
		    0 },
		  true							      },
		{ { MCP_ANSWER, 400, JSON, NULL,
		    "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":-32600,\"message\":"
		    "\"unknown session\"}}",
		    0 },
		  true							      },
		{ { MCP_ANSWER, 404, JSON, NULL, ERROR("$ID", "-32001"), 0 }, true },
		{ { MCP_ANSWER, 404, JSON, NULL, ERROR("$ID", "-32601"), 0 }, false},
		{ { MCP_ANSWER, 404, JSON, NULL, ERROR("$ID", "-32602"), 0 }, false},
		{ { MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32000"), 0 }, false},
		{ { MCP_ANSWER, 400, JSON, NULL,
		    "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":-32603,\"message\":"
		    "\"the session of the tool has ended\"}}",
		    0 },
		  false							     },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct mcp_reply replies[] = { ok, rows[i].reply, ok };
		struct world world;
		struct ask ask;

		begin(state, &world);
		be_legacy(&world);
		mcp_peer_on(world.peer, "tools/call", replies, 3);
		call(&world, MCP_LEGACY);
		ask = new_ask(&world);
		start_ask(&ask);
		finish_ask(&ask);
		assert_false(ask.failed);
		assert_int_equal(strcmp(ask.result, OK_BODY) == 0, rows[i].lost);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), rows[i].lost ? 2 : 1);
		assert_int_equal(mcp_peer_count(world.peer, "tools/call"), rows[i].lost ? 3 : 2);
		end_ask(&ask);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

/* No session was sent, so none can have been lost. */
static void a_wrong_path_is_not_asked_again(void **state)
{
	static const struct mcp_reply init = { MCP_ANSWER, 200, JSON, NULL, INITIALIZED, 0 };
	static const struct mcp_reply missing = { MCP_ANSWER, 404, "text/html", NULL, "<p>", 0 };
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &init, 1);
	mcp_peer_on(world.peer, "tools/call", &missing, 1);
	call_fails(&world, ERR_UPSTREAM, "HTTP 404");
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1);
	end(&world);
}

static void a_session_that_cannot_be_opened_anew_fails_the_call(void **state)
{
	static const struct mcp_reply inits[] = {
		{MCP_ANSWER,  200, JSON, "s1", INITIALIZED, 0},
		{ MCP_ANSWER, 503, NULL, NULL, NULL,	     0},
		{ MCP_ANSWER, 200, JSON, "s2", INITIALIZED, 0},
	};
	static const struct mcp_reply lost = { MCP_ANSWER, 404, NULL, NULL, NULL, 0 };
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", inits, COUNT(inits));
	call(&world, MCP_LEGACY);
	mcp_peer_lose(world.peer, "s1", &lost);
	call_fails(&world, ERR_UPSTREAM, "HTTP 503");
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 2);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 3);
	end(&world);
}

static void a_session_that_is_lost_again_is_a_failure(void **state)
{
	static const struct mcp_reply lost = { MCP_ANSWER, 404, JSON, NULL, ERROR("null", "-32001"),
					       0 };
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "tools/call", &lost, 1);
	call_fails(&world, ERR_UPSTREAM, "HTTP 404");
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 2);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	end(&world);
}

static void a_session_that_many_lose_at_once_is_opened_once(void **state)
{
	enum { CALLS = 10 };
	struct mcp_reply replies[CALLS + 2];
	struct ask asks[CALLS];
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	replies[0] = ok;
	for (size_t i = 1; i <= CALLS; i++)
		replies[i] = (struct mcp_reply){ MCP_ANSWER, 404, NULL, NULL, NULL, 0 };
	replies[CALLS + 1] = ok;
	mcp_peer_on(world.peer, "tools/call", replies, CALLS + 2);
	call(&world, MCP_LEGACY);
	for (size_t i = 0; i < CALLS; i++) {
		asks[i] = new_ask(&world);
		start_ask(&asks[i]);
	}
	for (size_t i = 0; i < CALLS; i++)
		expect_result(&asks[i], MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1 + 2 * CALLS);
	end(&world);
}

static void what_another_worker_has_struck_off_is_not_used_again(void **state)
{
	static const struct mcp_reply lost = { MCP_ANSWER, 404, NULL, NULL, NULL, 0 };
	const struct mcp_reply replies[] = { ok, ok, lost, ok, lost, ok };
	struct upstreams *first;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "tools/call", replies, 6);
	call(&world, MCP_LEGACY);
	first = world.upstreams;
	world.upstreams = upstreams_new(world.gate->loop, world.gate->app, NULL);
	call(&world, MCP_LEGACY);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	upstreams_free(&world.upstreams);
	/* The first one finds the new session in the row. */
	world.upstreams = first;
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 5)->head,
			       "\r\nmcp-session-id: s2\r\n"));
	end(&world);
}

/* A server that says HTTP 400 of a wrong argument has not changed its era, nor lost a session. */
static void who_doubts_the_era_keeps_the_session(void **state)
{
	static const struct mcp_reply invalid = {
		MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32602"), 0
	};
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "tools/call", &invalid, 1);
	ask = new_ask(&world);
	start_ask(&ask);
	finish_ask(&ask);
	assert_string_equal(ask.error, "{\"code\":-32602,\"message\":\"no\"}");
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 2);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	end_ask(&ask);
	end(&world);
}

static void a_server_that_changes_its_era_is_followed(void **state)
{
	static const struct mcp_reply no_envelope = {
		MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32602"), 0
	};
	static const struct mcp_reply no_session = {
		MCP_ANSWER, 400, JSON, NULL, ERROR("null", "-32000"), 0
	};
	const struct mcp_reply to_modern[] = { no_envelope, ok };
	const struct mcp_reply to_legacy[] = { no_session, ok };
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	be_modern(&world);
	mcp_peer_on(world.peer, "tools/call", to_modern, 2);
	call(&world, MCP_MODERN);
	be_legacy(&world);
	mcp_peer_on(world.peer, "tools/call", to_legacy, 2);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 5);
	end(&world);
}

/* It may have run there. */
static void what_was_sent_is_never_sent_again(void **state)
{
	static const struct mcp_reply rows[] = {
		{MCP_CLOSE,   0,	NULL,	      NULL,	    NULL,	  0	    },
		{ MCP_ANSWER, 500, NULL,	 NULL,	       NULL,	     0	       },
		{ MCP_ANSWER, 502, JSON,	 NULL,	       ERROR("null", "-32603"), 0 },
		{ MCP_ANSWER,	      429,   NULL, NULL,	       NULL,		     0	       },
		{ MCP_ANSWER,	      307,   NULL, NULL,	       NULL,		     0 },
		{ MCP_ANSWER,	      200,   "text/html", NULL, "<p>",	     0	       },
		{ MCP_ANSWER,	      200,   JSON, NULL,	       "{",		    0   },
		{ MCP_ANSWER,	      200,   JSON, NULL,	       "[]",		     0	       },
		{ MCP_ANSWER,	      202,   NULL, NULL,	       NULL,		     0   },
		{ MCP_ANSWER,	      200,   SSE, NULL,	      "",		  0		    },
	};

	for (int modern = 0; modern <= 1; modern++) {
		for (size_t i = 0; i < COUNT(rows); i++) {
			const struct mcp_reply replies[] = { ok, rows[i], ok };
			struct world world;

			begin(state, &world);
			(modern == 1 ? be_modern : be_legacy)(&world);
			mcp_peer_on(world.peer, "tools/call", replies, 3);
			call(&world, modern == 1 ? MCP_MODERN : MCP_LEGACY);
			call_fails(&world, ERR_UPSTREAM, "");
			assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 2);
			call(&world, modern == 1 ? MCP_MODERN : MCP_LEGACY);
			end(&world);
			gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_lost_session_is_opened_anew_and_the_request_sent_again_once),
		GATE_DB_TEST(a_refusal_that_knows_the_request_has_to_speak_of_the_session),
		GATE_DB_TEST(a_wrong_path_is_not_asked_again),
		GATE_DB_TEST(a_session_that_cannot_be_opened_anew_fails_the_call),
		GATE_DB_TEST(a_session_that_is_lost_again_is_a_failure),
		GATE_DB_TEST(a_session_that_many_lose_at_once_is_opened_once),
		GATE_DB_TEST(what_another_worker_has_struck_off_is_not_used_again),
		GATE_DB_TEST(who_doubts_the_era_keeps_the_session),
		GATE_DB_TEST(a_server_that_changes_its_era_is_followed),
		GATE_DB_TEST(what_was_sent_is_never_sent_again),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
