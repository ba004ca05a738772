/* SPDX-License-Identifier: Apache-2.0 */

/* The session's row as the lock of its opening. Each struct upstreams is a worker. */

#include "tests/unit/gateway/upstream/upstream_world.h"

#define NEW_LEASE "'aaaaaaaa-0000-4000-8000-00000000000a'"

static const struct mcp_reply lost_404 = { MCP_ANSWER, 404, JSON, NULL, ERROR("$ID", "-32001"), 0 };

static void expect_session(struct world *world, size_t call, const char *session)
{
	char header[64];

	snprintf(header, sizeof(header), "\r\nmcp-session-id: %s\r\n", session);
	assert_non_null(strstr(mcp_peer_find(world->peer, "tools/call", call)->head, header));
}

static const char *row_of(struct world *world)
{
	return gate_db_ask(world->gate, "SELECT coalesce(session_id, 'none') || ' ' ||"
					" (lease IS NOT NULL)::text AS v"
					" FROM tollgate.upstream_sessions");
}

/* Somebody else's lease, for so many seconds. */
static void lease(struct world *world, const char *seconds)
{
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.upstream_sessions (tenant_id, connection_id,"
		   " settings_version, lease, lease_until, expires_at) SELECT tenant_id, id, 1,"
		   " " NEW_LEASE ", now() + interval '%s seconds', now() + interval '1 hour'"
		   " FROM tollgate.connections",
		   seconds);
}

static void opened_by_another(struct world *world, const char *session)
{
	gate_db_do(world->gate,
		   "UPDATE tollgate.upstream_sessions SET session_id = '%s',"
		   " protocol_version = '2025-06-18', lease = NULL, lease_until = NULL",
		   session);
}

static void a_session_that_many_workers_lose_at_once_is_opened_once(void **state)
{
	enum { WORKERS = 4, CALLS = 16 };
	struct upstreams *workers[WORKERS];
	struct ask asks[WORKERS][CALLS];
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	workers[0] = world.upstreams;
	for (size_t i = 1; i < WORKERS; i++)
		workers[i] = upstreams_new(world.gate->loop, world.gate->app, NULL);
	for (size_t i = 0; i < WORKERS; i++) {
		world.upstreams = workers[i];
		call(&world, MCP_LEGACY);
	}
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	mcp_peer_lose(world.peer, "s1", &lost_404);
	for (size_t i = 0; i < WORKERS; i++) {
		world.upstreams = workers[i];
		for (size_t k = 0; k < CALLS; k++) {
			asks[i][k] = new_ask(&world);
			start_ask(&asks[i][k]);
		}
	}
	for (size_t i = 0; i < WORKERS; i++) {
		for (size_t k = 0; k < CALLS; k++)
			expect_result(&asks[i][k], MCP_LEGACY);
	}
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), WORKERS + 2 * WORKERS * CALLS);
	assert_string_equal(row_of(&world), "s2 false");
	for (size_t i = 1; i < WORKERS; i++)
		upstreams_free(&workers[i]);
	world.upstreams = workers[0];
	end(&world);
}

static void who_finds_a_lease_waits_for_its_session(void **state)
{
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	lease(&world, "9");
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "server/discover", 1);
	opened_by_another(&world, "s9");
	expect_result(&ask, MCP_LEGACY);
	expect_session(&world, 0, "s9");
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 0);
	end(&world);
}

static void a_lease_that_has_run_out_is_taken(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	lease(&world, "0.2");
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	assert_string_equal(row_of(&world), "s1 false");
	end(&world);
}

/* Its opener worked for another address or credential. */
static void a_lease_for_an_older_version_is_taken_at_once(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	lease(&world, "3600");
	gate_db_do(world.gate, "UPDATE tollgate.connections SET version = 2, settings_version = 2");
	take_snapshot(&world, 2);
	call(&world, MCP_LEGACY);
	assert_string_equal(row_of(&world), "s1 false");
	end(&world);
}

static void an_expired_session_is_not_used(void **state)
{
	struct upstreams *first;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	gate_db_do(world.gate, "UPDATE tollgate.upstream_sessions SET expires_at = now()");
	first = world.upstreams;
	world.upstreams = upstreams_new(world.gate->loop, world.gate->app, NULL);
	call(&world, MCP_LEGACY);
	expect_session(&world, 1, "s2");
	assert_string_equal(row_of(&world), "s2 false");
	upstreams_free(&first);
	end(&world);
}

static void who_was_too_slow_takes_the_session_of_the_other_and_ends_its_own(void **state)
{
	static const struct mcp_reply slow = { MCP_STREAM, 200, SSE, "s1", "", 0 };
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &slow, 1);
	MCP_ON(world.peer, "DELETE", { MCP_ANSWER, 200, NULL, NULL, NULL, 0 });
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "initialize", 1);
	assert_string_equal(row_of(&world), "none true");
	opened_by_another(&world, "s9");
	mcp_peer_say(world.peer, EVENT(INITIALIZED));
	mcp_peer_end(world.peer);
	expect_result(&ask, MCP_LEGACY);
	expect_session(&world, 0, "s9");
	await_request(&world, "DELETE", 1);
	assert_non_null(
		strstr(mcp_peer_find(world.peer, "DELETE", 0)->head, "\r\nmcp-session-id: s1\r\n"));
	end(&world);
}

static void an_opening_that_fails_gives_its_lease_back(void **state)
{
	static const struct mcp_reply down = { MCP_ANSWER, 503, NULL, NULL, NULL, 0 };
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &down, 1);
	call_fails(&world, ERR_UPSTREAM, "HTTP 503");
	await_no_row(&world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	end(&world);
}

static void so_does_one_that_nobody_wants_any_more(void **state)
{
	static const struct mcp_reply hold = { MCP_HOLD, 0, NULL, NULL, NULL, 0 };
	struct world world;
	struct ask ask;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &hold, 1);
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "initialize", 1);
	end_ask(&ask);
	assert_string_equal(row_of(&world), "none true");
	upstreams_tenant_changed(world.upstreams, world.tenant->id, NULL);
	await_no_row(&world);
	end(&world);
}

static void so_do_servers_without_sessions_and_modern_ones(void **state)
{
	static const struct mcp_reply init = { MCP_ANSWER, 200, JSON, NULL, INITIALIZED, 0 };
	static const struct mcp_reply modern = {
		MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32022"), 0
	};
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	mcp_peer_on(world.peer, "initialize", &init, 1);
	call(&world, MCP_LEGACY);
	await_no_row(&world);
	end(&world);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");

	begin(state, &world);
	be_modern(&world);
	mcp_peer_on(world.peer, "initialize", &modern, 1);
	world.connection->listed = true;
	world.connection->listed_era = MCP_LEGACY;
	call(&world, MCP_MODERN);
	await_no_row(&world);
	end(&world);
}

/* The one in Postgres may be of before the restart as well. */
static void a_session_of_another_worker_that_is_lost_too_is_opened_anew(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	gate_db_do(world.gate, "UPDATE tollgate.upstream_sessions SET session_id = 's9'");
	mcp_peer_lose(world.peer, "s1", &lost_404);
	mcp_peer_lose(world.peer, "s9", &lost_404);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 4);
	expect_session(&world, 2, "s9");
	expect_session(&world, 3, "s2");
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	end(&world);
}

static void a_server_that_refuses_every_session_is_asked_three_times_at_most(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	gate_db_do(world.gate, "UPDATE tollgate.upstream_sessions SET session_id = 's9'");
	mcp_peer_on(world.peer, "tools/call", &lost_404, 1);
	call_fails(&world, ERR_UPSTREAM, "HTTP 404");
	assert_int_equal(mcp_peer_count(world.peer, "tools/call"), 1 + 3);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	end(&world);
}

static void another_worker_knows_the_level_that_was_set(void **state)
{
	static const char *const levels[] = { "debug", "warning", "info" };
	struct upstreams *first;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	MCP_ON(world.peer, "logging/setLevel", { MCP_ANSWER, 200, JSON, NULL, RESULT("{}"), 0 });
	first = world.upstreams;
	for (size_t i = 0; i < COUNT(levels); i++) {
		struct upstream_request request = call_request(&world);
		struct ask ask = new_ask(&world);

		request.log_level = levels[i];
		start_with(&ask, &request);
		expect_result(&ask, MCP_LEGACY);
		await_answer(&world,
			     "SELECT coalesce(log_level, '') AS v FROM tollgate.upstream_sessions",
			     "debug");
		if (i == 0)
			world.upstreams = upstreams_new(world.gate->loop, world.gate->app, NULL);
	}
	assert_int_equal(mcp_peer_count(world.peer, "logging/setLevel"), 1);
	assert_string_equal(
		gate_db_ask(world.gate, "SELECT log_level AS v FROM tollgate.upstream_sessions"),
		"debug");
	upstreams_free(&first);
	end(&world);
}

static void call_in(struct world *world, const char *scope, const char *level)
{
	struct upstream_request request = call_request(world);
	struct ask ask = new_ask(world);

	request.scope = scope;
	request.log_level = level;
	start_with(&ask, &request);
	expect_result(&ask, MCP_LEGACY);
}

static void each_scope_has_a_session_of_its_own(void **state)
{
	static const char *const scopes[] = { NULL,	    "user:1", "key:1", "user:1",
					      "session:ab", NULL,     "key:1" };
	static const char *const sessions[] = { "s1", "s2", "s3", "s2", "s4", "s1", "s3" };
	struct upstreams *first;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	MCP_ON(world.peer, "initialize", { MCP_ANSWER, 200, JSON, "s1", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "s2", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "s3", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "s4", INITIALIZED, 0 });
	for (size_t i = 0; i < COUNT(scopes); i++) {
		call_in(&world, scopes[i], NULL);
		expect_session(&world, i, sessions[i]);
	}
	/* Another worker uses the same ones. */
	first = world.upstreams;
	world.upstreams = upstreams_new(world.gate->loop, world.gate->app, NULL);
	for (size_t i = 0; i < COUNT(scopes); i++) {
		call_in(&world, scopes[i], NULL);
		expect_session(&world, COUNT(scopes) + i, sessions[i]);
	}
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 4);
	upstreams_free(&first);
	end(&world);
}

static void a_client_that_has_its_session_for_itself_has_its_own_level(void **state)
{
	static const struct {
		const char *scope;
		const char *level;
		size_t expected; /* logging/setLevel so far */
	} rows[] = {
		{"session:ab",	"debug", 1},
		      { "session:ab", "error", 2},
		{ "session:ab", "error", 2},
		      { "user:1",	  "debug", 3},
		{ "user:1",	    "error", 3},
	};
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	MCP_ON(world.peer, "logging/setLevel", { MCP_ANSWER, 200, JSON, NULL, RESULT("{}"), 0 });
	for (size_t i = 0; i < COUNT(rows); i++) {
		call_in(&world, rows[i].scope, rows[i].level);
		assert_int_equal(mcp_peer_count(world.peer, "logging/setLevel"), rows[i].expected);
	}
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_session_that_many_workers_lose_at_once_is_opened_once),
		GATE_DB_TEST(who_finds_a_lease_waits_for_its_session),
		GATE_DB_TEST(a_lease_that_has_run_out_is_taken),
		GATE_DB_TEST(a_lease_for_an_older_version_is_taken_at_once),
		GATE_DB_TEST(an_expired_session_is_not_used),
		GATE_DB_TEST(who_was_too_slow_takes_the_session_of_the_other_and_ends_its_own),
		GATE_DB_TEST(an_opening_that_fails_gives_its_lease_back),
		GATE_DB_TEST(so_does_one_that_nobody_wants_any_more),
		GATE_DB_TEST(so_do_servers_without_sessions_and_modern_ones),
		GATE_DB_TEST(a_session_of_another_worker_that_is_lost_too_is_opened_anew),
		GATE_DB_TEST(a_server_that_refuses_every_session_is_asked_three_times_at_most),
		GATE_DB_TEST(another_worker_knows_the_level_that_was_set),
		GATE_DB_TEST(each_scope_has_a_session_of_its_own),
		GATE_DB_TEST(a_client_that_has_its_session_for_itself_has_its_own_level),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
