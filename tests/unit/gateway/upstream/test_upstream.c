/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions that workers share, what is sent, and every early end of a request. */

#include "tests/unit/gateway/upstream/upstream_world.h"

static void another_worker_uses_the_same_session(void **state)
{
	const struct upstream_facts *facts;
	struct upstreams *first;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	first = world.upstreams;
	world.upstreams = upstreams_new(world.gate->loop, world.gate->app, NULL);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 1)->head,
			       "\r\nmcp-session-id: s1\r\n"));
	/* It was not told who the server is. */
	facts = upstream_facts(world.upstreams, world.tenant->id, world.connection, NULL);
	assert_string_equal(facts->protocol_version, "2025-06-18");
	assert_false(facts->introduced);
	assert_null(facts->server_name);
	upstreams_free(&first);
	end(&world);
}

static void two_that_initialize_at_once_agree_on_one_session(void **state)
{
	struct upstreams *first;
	struct ask here;
	struct ask there;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	here = new_ask(&world);
	there = new_ask(&world);
	first = world.upstreams;
	start_ask(&here);
	world.upstreams = upstreams_new(world.gate->loop, world.gate->app, NULL);
	start_ask(&there);
	expect_result(&here, MCP_LEGACY);
	expect_result(&there, MCP_LEGACY);
	call(&world, MCP_LEGACY);
	/* The row's session is the one in use, whoever was faster. */
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 2)->head,
			       gate_db_ask(world.gate, "SELECT 'mcp-session-id: ' || session_id"
						       " AS v FROM tollgate.upstream_sessions")));
	upstreams_free(&first);
	end(&world);
}

static void without_postgres_a_worker_has_a_session_of_its_own(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	pg_cluster_halt(&world.gate->cluster);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	end(&world);
}

static void an_edit_forgets_era_and_session(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	gate_db_do(world.gate, "UPDATE tollgate.connections SET version = 2, settings_version = 2");
	take_snapshot(&world, 2);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 2);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 1)->head,
			       "\r\nmcp-session-id: s2\r\n"));
	assert_string_equal(gate_db_ask(world.gate, "SELECT session_id AS v"
						    " FROM tollgate.upstream_sessions"),
			    "s2");
	end(&world);
}

static void a_request_with_an_older_snapshot_takes_no_session_of_a_newer_one(void **state)
{
	struct tenant *old;
	struct ask ask;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	old = tenant_ref(world.tenant);
	gate_db_do(world.gate, "UPDATE tollgate.connections SET version = 2, settings_version = 2");
	take_snapshot(&world, 2);
	call(&world, MCP_LEGACY);

	struct upstream_request request = call_request(&world);

	request.tenant = old;
	request.connection = &old->connections[0];
	ask = new_ask(&world);
	start_with(&ask, &request);
	expect_result(&ask, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 1)->head,
			       "\r\nmcp-session-id: s2\r\n"));
	/* And leaves none behind. */
	assert_string_equal(gate_db_ask(world.gate, "SELECT session_id AS v"
						    " FROM tollgate.upstream_sessions"),
			    "s1");
	tenant_unref(&old);
	end(&world);
}

static void a_refused_credential_is_said_and_nothing_is_tried_again(void **state)
{
	static const struct mcp_reply refused = {
		MCP_ANSWER, 401, JSON, NULL, ERROR("null", "-32000"), 0
	};
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "tools/call", &refused, 1);
	call_fails(&world, ERR_UNAUTHENTICATED, "HTTP 401");
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1);
	end(&world);
}

static void nobody_listening_and_a_forbidden_address_are_told_apart(void **state)
{
	struct world world;

	begin(state, &world);
	mcp_peer_stop(&world.peer);
	call_fails(&world, ERR_UPSTREAM, "127.0.0.1");
	world.connection->url = "http://10.0.0.1/mcp";
	call_fails(&world, ERR_FORBIDDEN, "10.0.0.1");
	end(&world);
}

static void credentials_and_headers_travel_and_the_tools_arguments_too(void **state)
{
	static struct http_header extra[] = {
		{"X-Env", "prod"}
	};
	static char token[] = "S3cret";
	struct tool *tool;
	const char *head;
	struct world world;

	begin(state, &world);
	be_modern(&world);
	tool = arena_alloc(world.tenant->arena, sizeof(*tool));
	*tool = (struct tool){
		.name = "get",
		.param_headers = true,
		.text = SPAN("{\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"integer\","
			     "\"x-mcp-header\":\"Amount\"}}}}"),
	};
	world.connection->tools = tool;
	world.connection->n_tools = 1;
	world.connection->headers = extra;
	world.connection->n_headers = 1;
	world.connection->auth_mode = AUTH_BEARER;
	world.connection->credential = (struct secret){ token, 6 };
	call(&world, MCP_MODERN);
	for (size_t i = 0; i < 2; i++) {
		head = mcp_peer_seen(world.peer, i)->head;
		assert_non_null(strstr(head, "\r\nauthorization: bearer s3cret\r\n"));
		assert_non_null(strstr(head, "\r\nx-env: prod\r\n"));
		assert_non_null(strstr(head, "\r\ncontent-type: application/json\r\n"));
		assert_non_null(
			strstr(head, "\r\naccept: application/json, text/event-stream\r\n"));
		assert_int_equal(strstr(head, "\r\nmcp-param-amount: 1e400\r\n") != NULL, i == 1);
	}
	world.connection->auth_mode = AUTH_API_KEY;
	world.connection->auth_header = "X-Key";
	call(&world, MCP_MODERN);
	head = mcp_peer_seen(world.peer, 2)->head;
	assert_non_null(strstr(head, "\r\nx-key: s3cret\r\n"));
	assert_null(strstr(head, "authorization"));
	end(&world);
}

static void a_legacy_session_is_set_to_the_least_level_that_anybody_wants(void **state)
{
	static const struct {
		const char *level;
		size_t expected; /* logging/setLevel so far */
	} rows[] = {
		{NULL,	0},
		  { "warning", 1},
		    { "error",   1},
		{ "warning", 1},
		  { "debug",   2},
		    { NULL,	    2}
	};
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	MCP_ON(world.peer, "logging/setLevel", { MCP_ANSWER, 200, JSON, NULL, RESULT("{}"), 0 },
	       { MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32601"), 0 });
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct upstream_request request = call_request(&world);
		struct ask ask = new_ask(&world);

		request.log_level = rows[i].level;
		start_with(&ask, &request);
		expect_result(&ask, MCP_LEGACY);
		assert_int_equal(mcp_peer_count(world.peer, "logging/setLevel"), rows[i].expected);
	}
	assert_non_null(strstr(mcp_peer_find(world.peer, "logging/setLevel", 1)->body,
			       "\"params\":{\"level\":\"debug\"}"));
	end(&world);
}

static void start_held(struct world *world, struct ask *ask, int64_t timeout_ms)
{
	static const struct mcp_reply hold = { MCP_HOLD, 0, NULL, NULL, NULL, 0 };
	struct upstream_request request = call_request(world);

	request.timeout_ms = timeout_ms;
	mcp_peer_on(world->peer, "tools/call", &hold, 1);
	*ask = new_ask(world);
	start_with(ask, &request);
	await_request(world, "tools/call", 1);
}

static void expect_cancelled_note(struct world *world)
{
	char expected[128];

	await_request(world, "notifications/cancelled", 1);
	snprintf(expected, sizeof(expected), "\"params\":{\"requestId\":%s,",
		 mcp_peer_find(world->peer, "tools/call", 0)->id);
	assert_non_null(
		strstr(mcp_peer_find(world->peer, "notifications/cancelled", 0)->body, expected));
	assert_non_null(strstr(mcp_peer_find(world->peer, "notifications/cancelled", 0)->head,
			       "\r\nmcp-session-id: s1\r\n"));
}

static void a_deadline_tells_a_legacy_server_and_closes_on_a_modern_one(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_held(&world, &ask, 300);
	expect_failure(&ask, ERR_TIMEOUT, "no answer within 300 ms");
	expect_cancelled_note(&world);
	end(&world);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");

	begin(state, &world);
	be_modern(&world);
	start_held(&world, &ask, 300);
	expect_failure(&ask, ERR_TIMEOUT, "no answer within 300 ms");
	await_left(&world, 1);
	assert_int_equal(mcp_peer_n(world.peer), 2);
	end(&world);
}

static void the_deadline_covers_the_opening_too(void **state)
{
	static const struct mcp_reply hold = { MCP_HOLD, 0, NULL, NULL, NULL, 0 };
	struct upstream_request request;
	struct world world;
	struct ask ask;

	begin(state, &world);
	mcp_peer_on(world.peer, "server/discover", &hold, 1);
	request = call_request(&world);
	request.timeout_ms = 100;
	ask = new_ask(&world);
	start_with(&ask, &request);
	expect_failure(&ask, ERR_TIMEOUT, "no answer within 100 ms");
	end(&world);
}

static void cancel_means_silence_and_the_upstream_is_told(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	start_held(&world, &ask, 10000);
	upstream_cancel(&ask.op, "the client \"left\"");
	assert_null(ask.op);
	upstream_cancel(&ask.op, "again");
	expect_cancelled_note(&world);
	assert_int_equal(ask.dones, 0);
	end_ask(&ask);
	end(&world);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");

	begin(state, &world);
	be_modern(&world);
	start_held(&world, &ask, 10000);
	upstream_cancel(&ask.op, "the client left");
	await_left(&world, 1);
	assert_int_equal(mcp_peer_n(world.peer), 2);
	assert_int_equal(ask.dones, 0);
	end_ask(&ask);
	end(&world);
}

static void a_cancel_before_anything_was_sent_tells_nobody(void **state)
{
	static const struct mcp_reply hold = { MCP_HOLD, 0, NULL, NULL, NULL, 0 };
	static const char *const waits[] = { "initialize", "logging/setLevel" };

	for (size_t i = 0; i < COUNT(waits); i++) {
		struct upstream_request request;
		struct world world;
		struct ask ask;

		begin(state, &world);
		be_legacy(&world);
		mcp_peer_on(world.peer, waits[i], &hold, 1);
		request = call_request(&world);
		request.log_level = "info";
		ask = new_ask(&world);
		start_with(&ask, &request);
		await_request(&world, waits[i], 1);
		end_ask(&ask);
		/* The next one does not believe that the level was set. */
		be_legacy(&world);
		MCP_ON(world.peer, "logging/setLevel",
		       { MCP_ANSWER, 200, JSON, NULL, RESULT("{}"), 0 });
		if (i == 1) {
			ask = new_ask(&world);
			start_with(&ask, &request);
			expect_result(&ask, MCP_LEGACY);
			assert_int_equal(mcp_peer_count(world.peer, "logging/setLevel"), 2);
		}
		assert_int_equal(mcp_peer_count(world.peer, "notifications/cancelled"), 0);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void an_upstream_may_cancel_what_it_was_asked(void **state)
{
	static const struct {
		const char *params;
		const char *text; /* NULL: not this request */
	} rows[] = {
		{"{\"requestId\":$ID}",				 "it cancelled the request"},
		{ "{\"requestId\":$ID,\"reason\":\"too busy\"}",
		  "cancelled the request: too busy"					    },
		{ "{\"requestId\":$ID,\"reason\":7}",	      "it cancelled the request"},
		{ "{\"requestId\":\"$ID\"}",		     NULL			  },
		{ "{\"requestId\":1}",			       NULL			    },
		{ "{}",					  NULL			     },
	};
	static const struct mcp_reply stream = { MCP_STREAM, 200, SSE, NULL, ": hi\n\n", 0 };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;
		struct ask ask;
		char text[512];

		begin(state, &world);
		be_legacy(&world);
		mcp_peer_on(world.peer, "tools/call", &stream, 1);
		ask = new_ask(&world);
		start_ask(&ask);
		await_request(&world, "tools/call", 1);
		snprintf(text, sizeof(text),
			 EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
			       "\"params\":%s}"),
			 rows[i].params);
		mcp_peer_say(world.peer, text);
		if (rows[i].text != NULL) {
			expect_failure(&ask, ERR_UPSTREAM, rows[i].text);
		} else {
			mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
			expect_result(&ask, MCP_LEGACY);
		}
		assert_int_equal(mcp_peer_count(world.peer, "notifications/cancelled"), 0);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void the_sessions_of_a_removed_connection_are_ended(void **state)
{
	struct upstream_request request;
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	MCP_ON(world.peer, "DELETE", { MCP_ANSWER, 200, NULL, NULL, NULL, 0 });
	world.connection->call_timeout_ms = 1;
	call(&world, MCP_LEGACY);
	request = call_request(&world);
	request.scope = "user:1";
	ask = new_ask(&world);
	start_with(&ask, &request);
	expect_result(&ask, MCP_LEGACY);
	/* As long as it is there nothing ends. */
	upstreams_tenant_changed(world.upstreams, world.tenant->id, world.tenant);
	call(&world, MCP_LEGACY);
	upstreams_tenant_changed(world.upstreams, world.tenant->id, NULL);
	await_request(&world, "DELETE", 2);
	assert_non_null(strstr(mcp_peer_find(world.peer, "DELETE", 0)->head, "mcp-session-id: s"));
	assert_string_not_equal(
		strstr(mcp_peer_find(world.peer, "DELETE", 0)->head, "mcp-session-id: s"),
		strstr(mcp_peer_find(world.peer, "DELETE", 1)->head, "mcp-session-id: s"));
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	assert_null(upstream_facts(world.upstreams, world.tenant->id, world.connection, NULL));
	end(&world);
}

/* Calls that began before it may still run in the old session. */
static void those_of_an_edited_one_are_left_to_expire(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	gate_db_do(world.gate, "UPDATE tollgate.connections SET version = 2, settings_version = 2");
	take_snapshot(&world, 2);
	upstreams_tenant_changed(world.upstreams, world.tenant->id, world.tenant);
	assert_null(upstream_facts(world.upstreams, world.tenant->id, world.connection, NULL));
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "DELETE"), 0);
	end(&world);
}

static void a_forgotten_upstream_lets_its_requests_end_and_is_asked_anew(void **state)
{
	static const struct mcp_reply stream = { MCP_STREAM, 200, SSE, NULL, ": hi\n\n", 0 };
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_modern(&world);
	mcp_peer_on(world.peer, "tools/call", &stream, 1);
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "tools/call", 1);
	upstreams_tenant_changed(world.upstreams, world.tenant->id, NULL);
	upstreams_tenant_changed(world.upstreams, world.tenant->id, NULL);
	assert_null(upstream_facts(world.upstreams, world.tenant->id, world.connection, NULL));
	mcp_peer_say(world.peer, EVENT(RESULT(OK_BODY)));
	mcp_peer_end(world.peer);
	expect_result(&ask, MCP_MODERN);
	be_modern(&world);
	call(&world, MCP_MODERN);
	assert_int_equal(mcp_peer_count(world.peer, "server/discover"), 2);
	end(&world);
}

static void a_request_that_is_too_large_fails_after_the_start(void **state)
{
	enum { BYTES = 10 * 1024 * 1024 };
	struct upstream_request request;
	struct world world;
	struct ask ask;
	char *params;

	begin(state, &world);
	be_modern(&world);
	params = mem_new(BYTES + 1);
	memset(params, ' ', BYTES);
	memcpy(params, "{\"name\":\"x\"", 11);
	params[BYTES - 1] = '}';
	request = call_request(&world);
	request.params = (struct span){ params, BYTES };
	call(&world, MCP_MODERN);
	ask = new_ask(&world);
	start_with(&ask, &request);
	expect_failure(&ask, ERR_TOO_LARGE, "too large");
	free(params);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(another_worker_uses_the_same_session),
		GATE_DB_TEST(two_that_initialize_at_once_agree_on_one_session),
		GATE_DB_TEST(without_postgres_a_worker_has_a_session_of_its_own),
		GATE_DB_TEST(an_edit_forgets_era_and_session),
		GATE_DB_TEST(a_request_with_an_older_snapshot_takes_no_session_of_a_newer_one),
		GATE_DB_TEST(a_refused_credential_is_said_and_nothing_is_tried_again),
		GATE_DB_TEST(nobody_listening_and_a_forbidden_address_are_told_apart),
		GATE_DB_TEST(credentials_and_headers_travel_and_the_tools_arguments_too),
		GATE_DB_TEST(a_legacy_session_is_set_to_the_least_level_that_anybody_wants),
		GATE_DB_TEST(a_deadline_tells_a_legacy_server_and_closes_on_a_modern_one),
		GATE_DB_TEST(the_deadline_covers_the_opening_too),
		GATE_DB_TEST(cancel_means_silence_and_the_upstream_is_told),
		GATE_DB_TEST(a_forgotten_upstream_lets_its_requests_end_and_is_asked_anew),
		GATE_DB_TEST(a_request_that_is_too_large_fails_after_the_start),
		GATE_DB_TEST(a_cancel_before_anything_was_sent_tells_nobody),
		GATE_DB_TEST(an_upstream_may_cancel_what_it_was_asked),
		GATE_DB_TEST(the_sessions_of_a_removed_connection_are_ended),
		GATE_DB_TEST(those_of_an_edited_one_are_left_to_expire),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
