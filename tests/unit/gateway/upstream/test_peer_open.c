/* SPDX-License-Identifier: Apache-2.0 */

/* Which era an upstream speaks, and in which session. */

#include "tests/unit/gateway/upstream/upstream_world.h"

static const struct mcp_reply call_ok = { MCP_ANSWER, 200, JSON, NULL, RESULT(OK_BODY), 0 };

static void what_answers_the_probe_as_a_legacy_server_is_one(void **state)
{
	static const struct mcp_reply rows[] = {
		{MCP_ANSWER,		      400,	   JSON,	 NULL,		       ERROR("null",				     "-32000"),0 },
		{ MCP_ANSWER,			      400,			   JSON,	 NULL, ERROR("$ID",				    "-32600"),0 },
		{ MCP_ANSWER,			      400,				   "text/html",					NULL,			      "<p>Bad Request",				0},
		{ MCP_ANSWER,			      404,				   NULL,				 NULL,			       NULL,	     0},
		{ MCP_ANSWER,			      404,				   JSON,				 NULL,			       ERROR("null",			     "-32001"),0 },
		{ MCP_ANSWER,		      404,			   JSON,					 NULL,						"{\"detail\":\"Not Found\"}",					     100000},
		{ MCP_ANSWER, 405, NULL,		 NULL,NULL,0},
		{ MCP_ANSWER,			      406,				   JSON,					 NULL,									     ERROR("null",														       "-32000"),0 },
		{ MCP_ANSWER,		      422,		   JSON,			 NULL,"{}",0},
		{ MCP_ANSWER,			      200,			   JSON,		 NULL,								    ERROR("$ID",																											 "-32601"),																																				0 },
		{ MCP_ANSWER,			      200,			   SSE,	NULL,EVENT(ERROR("$ID","-32601")),0 },
		{ MCP_ANSWER,			      200,	   JSON,NULL,
		  RESULT("{\"supportedVersions\":[\"2030-01-01\"],\"capabilities\":{}}"),																																					   0																																																																																																				       },
		{ MCP_ANSWER, 200,JSON,	 NULL,      RESULT("{}"),0},
		{ MCP_ANSWER,			      202,				   NULL,					 NULL,					       NULL,																																									      0																																																																																																																																																																														 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;

		begin(state, &world);
		be_legacy(&world);
		mcp_peer_on(world.peer, "server/discover", &rows[i], 1);
		call(&world, MCP_LEGACY);
		call(&world, MCP_LEGACY);
		assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 1);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
		assert_int_equal(mcp_peer_count(world.peer, "notifications/initialized"), 1);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void other_refusals_and_failures_say_nothing_of_the_era(void **state)
{
	static const struct {
		struct mcp_reply reply;
		enum err_code code;
		const char *text;
	} rows[] = {
		{{ MCP_ANSWER, 401, NULL, NULL, NULL, 0 },			    ERR_UNAUTHENTICATED, "HTTP 401"			    },
		{ { MCP_ANSWER, 403, JSON, NULL, ERROR("null", "-32000"), 0 },
		  ERR_UNAUTHENTICATED,							       "HTTP 403"			     },
		{ { MCP_ANSWER, 302, NULL, NULL, NULL, 0 },		    ERR_UPSTREAM,	  "HTTP 302"			     },
		{ { MCP_ANSWER, 408, NULL, NULL, NULL, 0 },		    ERR_UPSTREAM,	  "HTTP 408"			     },
		{ { MCP_ANSWER, 429, NULL, NULL, NULL, 0 },		    ERR_UPSTREAM,	  "HTTP 429"			     },
		{ { MCP_ANSWER, 500, JSON, NULL, ERROR("$ID", "-32603"), 0 },
		  ERR_UPSTREAM,								      "HTTP 500"			     },
		{ { MCP_ANSWER, 503, NULL, NULL, NULL, 0 },		    ERR_UPSTREAM,	  "HTTP 503"			     },
		{ { MCP_ANSWER, 200, "text/html", NULL, "<p>welcome", 0 },
		  ERR_UPSTREAM,								      "neither JSON nor an event stream"},
		{ { MCP_CLOSE, 0, NULL, NULL, NULL, 0 },			 ERR_UPSTREAM,	       "127.0.0.1"			   },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;

		begin(state, &world);
		be_legacy(&world);
		mcp_peer_on(world.peer, "server/discover", &rows[i].reply, 1);
		call_fails(&world, rows[i].code, rows[i].text);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 0);
		/* Nothing was learnt: the next one asks again. */
		be_modern(&world);
		call(&world, MCP_MODERN);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_modern_server_is_probed_once_and_spoken_to_in_its_words(void **state)
{
	const struct upstream_facts *facts;
	const struct mcp_seen *seen;
	struct world world;

	begin(state, &world);
	be_modern(&world);
	assert_null(upstream_facts(world.upstreams, world.tenant->id, world.connection, NULL));
	call(&world, MCP_MODERN);
	call(&world, MCP_MODERN);
	assert_int_equal(mcp_peer_n(world.peer), 3);
	seen = mcp_peer_seen(world.peer, 0);
	assert_string_equal(seen->method, "server/discover");
	assert_non_null(strstr(seen->head, "\r\nmcp-method: server/discover\r\n"));
	seen = mcp_peer_seen(world.peer, 2);
	assert_non_null(strstr(seen->head, "\r\nmcp-protocol-version: 2026-07-28\r\n"));
	assert_non_null(strstr(seen->head, "\r\nmcp-method: tools/call\r\n"));
	assert_non_null(strstr(seen->head, "\r\nmcp-name: get\r\n"));
	assert_null(strstr(seen->head, "mcp-session-id"));
	assert_non_null(strstr(seen->body, "\"arguments\":{\"a\":1e400}"));
	facts = upstream_facts(world.upstreams, world.tenant->id, world.connection, NULL);
	assert_int_equal(facts->era, MCP_MODERN);
	assert_string_equal(facts->protocol_version, "2026-07-28");
	assert_true(facts->introduced);
	assert_string_equal(facts->server_name, "m");
	assert_string_equal(facts->server_version, "2");
	assert_string_equal(facts->instructions, "be modern");
	end(&world);
}

static void a_legacy_server_is_initialized_and_its_session_used(void **state)
{
	const struct upstream_facts *facts;
	const struct mcp_seen *seen;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	seen = mcp_peer_find(world.peer, "initialize", 0);
	assert_null(strstr(seen->head, "mcp-session-id"));
	assert_null(strstr(seen->head, "mcp-protocol-version"));
	assert_null(strstr(seen->head, "mcp-method"));
	seen = mcp_peer_find(world.peer, "notifications/initialized", 0);
	assert_non_null(strstr(seen->head, "\r\nmcp-session-id: s1\r\n"));
	assert_non_null(strstr(seen->head, "\r\nmcp-protocol-version: 2025-06-18\r\n"));
	seen = mcp_peer_find(world.peer, "tools/call", 0);
	assert_non_null(strstr(seen->head, "\r\nmcp-session-id: s1\r\n"));
	assert_non_null(strstr(seen->head, "\r\nmcp-protocol-version: 2025-06-18\r\n"));
	assert_null(strstr(seen->head, "mcp-method"));
	assert_null(strstr(seen->body, "_meta"));
	facts = upstream_facts(world.upstreams, world.tenant->id, world.connection, NULL);
	assert_int_equal(facts->era, MCP_LEGACY);
	assert_string_equal(facts->server_name, "l");
	assert_string_equal(facts->instructions, "be kind");
	end(&world);
}

static void a_configured_era_is_not_argued_with(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	world.connection->era = ERA_LEGACY;
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 0);
	end(&world);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");

	begin(state, &world);
	be_legacy(&world);
	world.connection->era = ERA_MODERN;
	call_fails(&world, ERR_UPSTREAM, "does not answer server/discover");
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 0);
	end(&world);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");

	begin(state, &world);
	be_modern(&world);
	world.connection->era = ERA_LEGACY;
	call_fails(&world, ERR_UPSTREAM, "does not answer initialize");
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 0);
	end(&world);
}

static void a_stored_verdict_spares_the_probe_and_a_wrong_one_is_noticed(void **state)
{
	static const struct mcp_reply refusals[] = {
		{MCP_ANSWER,  400, JSON, NULL, ERROR("$ID", "-32022"), 0},
		{ MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32602"), 0},
		{ MCP_ANSWER, 404, JSON, NULL, ERROR("$ID", "-32601"), 0},
	};
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	world.connection->listed = true;
	world.connection->listed_era = MCP_LEGACY;
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 0);
	end(&world);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");

	for (size_t i = 0; i < COUNT(refusals); i++) {
		begin(state, &world);
		be_modern(&world);
		mcp_peer_on(world.peer, "initialize", &refusals[i], 1);
		world.connection->listed = true;
		world.connection->listed_era = MCP_LEGACY;
		call(&world, MCP_MODERN);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void what_speaks_neither_is_given_up_after_one_try_of_each(void **state)
{
	struct world world;

	begin(state, &world);
	call_fails(&world, ERR_UPSTREAM,
		   "does not answer initialize as an MCP server would (HTTP 404)");
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 1);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	world.connection->listed = true;
	world.connection->listed_era = MCP_LEGACY;
	call_fails(&world, ERR_UPSTREAM, "does not answer server/discover");
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 2);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	end(&world);
}

static void a_version_that_nobody_knows_is_no_answer_to_initialize(void **state)
{
	static const struct mcp_reply odd = { MCP_ANSWER,
					      200,
					      JSON,
					      "s1",
					      RESULT("{\"protocolVersion\":\"2031-01-01\","
						     "\"capabilities\":{},\"serverInfo\":{}}"),
					      0 };
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &odd, 1);
	call_fails(&world, ERR_UPSTREAM, "does not answer initialize");
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 0);
	end(&world);
}

static void a_server_without_sessions_is_spoken_to_without_one(void **state)
{
	static const struct mcp_reply init = { MCP_ANSWER, 200, JSON, NULL, INITIALIZED, 0 };
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &init, 1);
	call(&world, MCP_LEGACY);
	assert_null(strstr(mcp_peer_find(world.peer, "tools/call", 0)->head, "mcp-session-id"));
	await_no_row(&world);
	end(&world);
}

/* Whatever is said to notifications/initialized, no answer is due. */
static void odd_answers_to_a_notification_do_no_harm(void **state)
{
	static const struct mcp_reply rows[] = {
		{MCP_ANSWER,  200, NULL,	 NULL, NULL, 0},
		{ MCP_ANSWER, 204, NULL,	 NULL, NULL, 0},
		{ MCP_ANSWER, 200, "text/plain", NULL, "OK", 0},
		{ MCP_ANSWER, 200, JSON,	 NULL, "{}", 0},
		{ MCP_ANSWER, 500, NULL,	 NULL, NULL, 0},
		{ MCP_CLOSE,  0,	NULL,	      NULL, NULL, 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;

		begin(state, &world);
		be_legacy(&world);
		mcp_peer_on(world.peer, "notifications/initialized", &rows[i], 1);
		call(&world, MCP_LEGACY);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

/* The first event of the newest legacy servers only carries an id. */
static void a_stream_may_begin_with_an_empty_event_and_need_not_end(void **state)
{
	static const struct mcp_reply init = {
		MCP_STREAM, 200, SSE, "s1", "id: 1\nretry: 5\ndata:\n\n" EVENT(INITIALIZED), 0
	};
	static const struct mcp_reply whole = {
		MCP_ANSWER, 200, SSE, "s1", "id: 1\ndata: \n\n" EVENT(INITIALIZED), 0
	};
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &init, 1);
	call(&world, MCP_LEGACY);
	end(&world);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &whole, 1);
	call(&world, MCP_LEGACY);
	end(&world);
}

static void many_first_calls_open_it_once(void **state)
{
	enum { CALLS = 20 };
	struct ask asks[CALLS];
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	for (size_t i = 0; i < CALLS; i++) {
		asks[i] = new_ask(&world);
		start_ask(&asks[i]);
	}
	for (size_t i = 0; i < CALLS; i++)
		expect_result(&asks[i], MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 1);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), CALLS);
	end(&world);
}

static void all_who_wait_hear_of_a_failure_and_a_new_one_tries_anew(void **state)
{
	static const struct mcp_reply down = { MCP_ANSWER, 503, NULL, NULL, NULL, 0 };
	struct ask asks[3];
	struct ask again;
	struct world world;

	begin(state, &world);
	mcp_peer_on(world.peer, "server/discover", &down, 1);
	mcp_peer_on(world.peer, "tools/call", &call_ok, 1);
	again = new_ask(&world);
	for (size_t i = 0; i < COUNT(asks); i++) {
		asks[i] = new_ask(&world);
		start_ask(&asks[i]);
	}
	asks[0].starts = &again;
	for (size_t i = 0; i < COUNT(asks); i++)
		expect_failure(&asks[i], ERR_UPSTREAM, "HTTP 503");
	expect_failure(&again, ERR_UPSTREAM, "HTTP 503");
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 2);
	end(&world);
}

static void who_waits_may_be_cancelled_and_the_opening_goes_on(void **state)
{
	struct ask first;
	struct ask second;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	first = new_ask(&world);
	second = new_ask(&world);
	start_ask(&first);
	start_ask(&second);
	upstream_cancel(&first.op, "no longer");
	assert_null(first.op);
	expect_result(&second, MCP_LEGACY);
	assert_int_equal(first.dones, 0);
	/* Nothing was sent for it, so there is nothing to cancel over there. */
	assert_int_equal(mcp_peer_count(world.peer, "notifications/cancelled"), 0);
	end_ask(&first);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(what_answers_the_probe_as_a_legacy_server_is_one),
		GATE_DB_TEST(other_refusals_and_failures_say_nothing_of_the_era),
		GATE_DB_TEST(a_modern_server_is_probed_once_and_spoken_to_in_its_words),
		GATE_DB_TEST(a_legacy_server_is_initialized_and_its_session_used),
		GATE_DB_TEST(a_configured_era_is_not_argued_with),
		GATE_DB_TEST(a_stored_verdict_spares_the_probe_and_a_wrong_one_is_noticed),
		GATE_DB_TEST(what_speaks_neither_is_given_up_after_one_try_of_each),
		GATE_DB_TEST(a_version_that_nobody_knows_is_no_answer_to_initialize),
		GATE_DB_TEST(a_server_without_sessions_is_spoken_to_without_one),
		GATE_DB_TEST(odd_answers_to_a_notification_do_no_harm),
		GATE_DB_TEST(a_stream_may_begin_with_an_empty_event_and_need_not_end),
		GATE_DB_TEST(many_first_calls_open_it_once),
		GATE_DB_TEST(all_who_wait_hear_of_a_failure_and_a_new_one_tries_anew),
		GATE_DB_TEST(who_waits_may_be_cancelled_and_the_opening_goes_on),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
