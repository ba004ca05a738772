/* SPDX-License-Identifier: Apache-2.0 */

/* Tokens of connections with OAuth: on every request, of the right subject, or nothing is sent. */

#include "gateway/upstream/upstream_priv.h"
#include "tests/unit/gateway/upstream/upstream_world.h"

#define ANA	   "user:00000000-0000-4000-8000-00000000000a"
#define BEN	   "user:00000000-0000-4000-8000-00000000000b"
#define REFUSED(w) JSON "\r\nWWW-Authenticate: " w
#define BIG_BYTES  30000

/* What is in memory. */
struct memory {
	const char *shared, *ana, *ben; /* the header's value; NULL: none */
	int64_t version;
	int64_t connected_version;
	size_t n_asked;
};

static bool find(void *ctx, const char *tenant_id, const char *connection_id, const char *subject,
		 struct upstream_token *token)
{
	struct memory *memory = ctx;
	const char *value = strcmp(subject, ANA) == 0	? memory->ana
			    : strcmp(subject, BEN) == 0 ? memory->ben
							: memory->shared;

	assert_true(uuid_valid(tenant_id) && uuid_valid(connection_id));
	memory->n_asked++;
	*token = (struct upstream_token){ value, memory->version, memory->connected_version };
	return value != NULL;
}

static void begin_oauth(void **state, struct world *world, struct memory *memory)
{
	begin(state, world);
	world->tenant->connections[0].auth_mode = AUTH_OAUTH;
	upstreams_free(&world->upstreams);
	world->upstreams =
		upstreams_new(world->gate->loop, world->gate->app,
			      &(struct upstream_credentials){ .find = find, .ctx = memory });
}

struct refusal {
	struct ask ask;
	int refusals;
	int status;
	char challenge[POST_CHALLENGE_BYTES];
	int64_t version;
};

static void on_message(void *ctx, const char *method, struct span params)
{
	struct refusal *refusal = ctx;

	note_message(&refusal->ask, method, params);
}

static void on_done(void *ctx, const struct upstream_answer *answer, const struct err *err)
{
	struct refusal *refusal = ctx;

	note_done(&refusal->ask, answer, err);
}

static void on_refused(void *ctx, const struct upstream_refusal *said)
{
	struct refusal *refusal = ctx;

	assert_int_equal(refusal->ask.dones, 0);
	refusal->refusals++;
	refusal->status = said->status;
	snprintf(refusal->challenge, sizeof(refusal->challenge), "%s", said->challenge);
	refusal->version = said->token_version;
}

static void start_as(struct refusal *refusal, struct world *world, const char *subject)
{
	static const struct upstream_events events = { .message = on_message,
						       .done = on_done,
						       .refused = on_refused };
	struct upstream_request request = call_request(world);

	request.subject = subject;
	*refusal = (struct refusal){ .ask = new_ask(world) };
	upstream_start(world->upstreams, &refusal->ask.op, &request, &events, refusal);
	assert_int_equal(refusal->ask.dones + refusal->refusals, 0);
	assert_non_null(refusal->ask.op);
}

static void call_as(struct world *world, const char *subject, enum mcp_era era)
{
	struct refusal refusal;

	start_as(&refusal, world, subject);
	expect_result(&refusal.ask, era);
	assert_int_equal(refusal.refusals, 0);
}

static void expect_bears(const struct mcp_seen *seen, const char *value)
{
	char header[128];

	snprintf(header, sizeof(header), "\r\nauthorization: %s\r\n", value);
	if (strstr(seen->head, header) == NULL)
		fail_msg("%s: %s", seen->method, seen->head);
}

static void every_request_bears_the_token_of_its_moment(void **state)
{
	static const char *methods[] = { "server/discover", "initialize",
					 "notifications/initialized", "tools/call" };
	struct memory memory = { .shared = "Bearer one" };
	struct world world;
	struct ask ask;

	begin_oauth(state, &world, &memory);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	for (size_t i = 0; i < COUNT(methods); i++) {
		assert_int_equal(mcp_peer_count(world.peer, methods[i]), 1);
		expect_bears(mcp_peer_find(world.peer, methods[i], 0), "bearer one");
	}
	/* It was renewed meanwhile: the session stays. */
	memory.shared = "Bearer two";
	MCP_ON(world.peer, "tools/call", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "tools/call", 2);
	end_ask(&ask);
	await_request(&world, "notifications/cancelled", 1);
	expect_bears(mcp_peer_find(world.peer, "tools/call", 1), "bearer two");
	expect_bears(mcp_peer_find(world.peer, "notifications/cancelled", 0), "bearer two");
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
	upstreams_tenant_changed(world.upstreams, world.tenant->id, NULL);
	await_request(&world, "DELETE", 1);
	expect_bears(mcp_peer_find(world.peer, "DELETE", 0), "bearer two");
	end(&world);
}

static void a_stream_is_listened_to_with_it_too(void **state)
{
	struct memory memory = { .shared = "Bearer one", .ana = "Bearer ana" };
	static const struct upstream_watch_events events = { NULL, NULL, NULL };
	struct upstream_watch *watch = NULL;
	struct world world;

	begin_oauth(state, &world, &memory);
	be_legacy(&world);
	MCP_ON(world.peer, "GET", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	upstream_watch_start(
		world.upstreams, &watch,
		&(struct upstream_watch_request){ world.tenant, world.connection, ANA }, &events,
		NULL);
	await_request(&world, "GET", 1);
	expect_bears(mcp_peer_find(world.peer, "GET", 0), "bearer ana");
	upstream_watch_cancel(&watch);
	end(&world);
}

static void without_a_token_nothing_is_sent(void **state)
{
	struct memory memory = { .ana = "Bearer ana" };
	struct world world;

	for (int opened = 0; opened <= 1; opened++) {
		struct refusal refusal;
		size_t before;

		begin_oauth(state, &world, &memory);
		be_legacy(&world);
		if (opened == 1) {
			memory.shared = "Bearer one";
			call(&world, MCP_LEGACY);
			memory.shared = NULL;
		}
		before = mcp_peer_n(world.peer);
		start_as(&refusal, &world, NULL);
		expect_failure(&refusal.ask, ERR_UNAUTHENTICATED, UPSTREAM_NO_TOKEN);
		assert_int_equal(refusal.refusals, 0);
		start_as(&refusal, &world, BEN);
		expect_failure(&refusal.ask, ERR_UNAUTHENTICATED, UPSTREAM_NO_TOKEN);
		assert_int_equal(mcp_peer_n(world.peer), before);
		/* What one cannot do another still can. */
		call_as(&world, ANA, MCP_LEGACY);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_refusal_is_told_whole_wherever_it_comes(void **state)
{
	static const char challenge[] = "Bearer error=\"invalid_token\"";
	static const struct mcp_reply no = {
		MCP_ANSWER, 401, REFUSED("Bearer error=\"invalid_token\""), NULL, "{}", 0
	};
	static const char *methods[] = { "server/discover", "initialize", "tools/call" };
	struct world world;

	for (size_t i = 0; i < COUNT(methods); i++) {
		struct memory memory = { .ana = "Bearer old", .ben = "Bearer ben", .version = 7 };
		struct refusal refusal;

		begin_oauth(state, &world, &memory);
		be_legacy(&world);
		mcp_peer_on(world.peer, methods[i], &no, 1);
		start_as(&refusal, &world, ANA);
		expect_failure(&refusal.ask, ERR_UNAUTHENTICATED, "refuses the credential");
		assert_int_equal(refusal.refusals, 1);
		assert_int_equal(refusal.status, 401);
		assert_string_equal(refusal.challenge, challenge);
		assert_int_equal(refusal.version, 7);
		assert_int_equal(mcp_peer_count(world.peer, methods[i]), 1);
		/* Neither those of others, nor the next try, suffer from it. */
		be_legacy(&world);
		call_as(&world, BEN, MCP_LEGACY);
		memory.ana = "Bearer new";
		call_as(&world, ANA, MCP_LEGACY);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void all_lines_of_a_challenge_are_told(void **state)
{
	static const struct mcp_reply no = { MCP_ANSWER,
					     403,
					     REFUSED("Basic realm=\"x\"\r\nWWW-Authenticate: "
						     "Bearer error=\"insufficient_scope\""),
					     NULL,
					     "{}",
					     0 };
	struct memory memory = { .shared = "Bearer one", .version = 3 };
	struct refusal refusal;
	struct world world;

	begin_oauth(state, &world, &memory);
	be_modern(&world);
	mcp_peer_on(world.peer, "tools/call", &no, 1);
	start_as(&refusal, &world, "");
	expect_failure(&refusal.ask, ERR_UNAUTHENTICATED, "HTTP 403");
	assert_int_equal(refusal.status, 403);
	assert_string_equal(refusal.challenge,
			    "Basic realm=\"x\", Bearer error=\"insufficient_scope\"");
	end(&world);
}

/* The request runs over there: who takes this for a refusal sends it twice. */
static void a_stream_that_may_not_be_gone_on_with_is_no_refusal(void **state)
{
	static const struct mcp_reply primed = {
		MCP_ANSWER, 200, SSE, NULL, "id: 1\nretry: 60\ndata:\n\n", 0
	};
	static const struct mcp_reply no = { MCP_ANSWER, 401, REFUSED("Bearer"), NULL, "{}", 0 };
	struct world world;

	for (int lost = 0; lost <= 1; lost++) {
		struct memory memory = { .shared = "Bearer one" };
		struct refusal refusal;

		begin_oauth(state, &world, &memory);
		be_legacy(&world);
		mcp_peer_on(world.peer, "tools/call", &primed, 1);
		mcp_peer_on(world.peer, "GET", &no, 1);
		start_as(&refusal, &world, NULL);
		await_request(&world, "tools/call", 1);
		if (lost == 1)
			memory.shared = NULL;
		expect_failure(&refusal.ask, ERR_UPSTREAM, "its stream broke before the answer");
		assert_int_equal(refusal.refusals, 0);
		assert_int_equal(mcp_peer_count(world.peer, "GET"), lost == 1 ? 0 : 1);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

/* Of one connection and, if it says so, of one principal's scope. */
static void users_never_share_a_session(void **state)
{
	struct memory memory = { .ana = "Bearer ana", .ben = "Bearer ben", .shared = "Bearer one" };
	struct world world;

	begin_oauth(state, &world, &memory);
	be_legacy(&world);
	call_as(&world, ANA, MCP_LEGACY);
	call_as(&world, BEN, MCP_LEGACY);
	call_as(&world, ANA, MCP_LEGACY);
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 3);
	expect_bears(mcp_peer_find(world.peer, "initialize", 0), "bearer ana");
	expect_bears(mcp_peer_find(world.peer, "initialize", 1), "bearer ben");
	expect_bears(mcp_peer_find(world.peer, "initialize", 2), "bearer one");
	for (size_t i = 0; i < 4; i++) {
		static const char *sessions[] = { "s1", "s2", "s1", "s3" };
		static const char *tokens[] = { "bearer ana", "bearer ben", "bearer ana",
						"bearer one" };
		const struct mcp_seen *seen = mcp_peer_find(world.peer, "tools/call", i);
		char header[64];

		snprintf(header, sizeof(header), "\r\nmcp-session-id: %s\r\n", sessions[i]);
		assert_non_null(strstr(seen->head, header));
		expect_bears(seen, tokens[i]);
	}
	await_answer(&world,
		     "SELECT string_agg(scope, ' ' ORDER BY scope) AS v"
		     " FROM tollgate.upstream_sessions",
		     " " ANA " " BEN);
	end(&world);
}

/* What was opened with one is nothing that the next may see, or end. */
static void another_account_has_another_session(void **state)
{
	struct memory memory = { .shared = "Bearer one", .connected_version = 1 };
	struct world world;
	struct ask ask;

	begin_oauth(state, &world, &memory);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	MCP_ON(world.peer, "tools/call", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	ask = new_ask(&world);
	start_ask(&ask);
	await_request(&world, "tools/call", 2);
	memory.shared = "Bearer two";
	memory.connected_version = 5;
	end_ask(&ask);
	MCP_ON(world.peer, "tools/call", { MCP_ANSWER, 200, JSON, NULL, RESULT(OK_BODY), 0 });
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	expect_bears(mcp_peer_find(world.peer, "initialize", 1), "bearer two");
	expect_bears(mcp_peer_find(world.peer, "tools/call", 2), "bearer two");
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 2)->head,
			       "\r\nmcp-session-id: s2\r\n"));
	assert_int_equal(mcp_peer_count(world.peer, "notifications/cancelled"), 0);
	await_answer(&world,
		     "SELECT session_id || ' ' || connected_version AS v"
		     " FROM tollgate.upstream_sessions",
		     "s2 5");
	end(&world);
}

/* Who has not heard of it yet takes nothing away from those who have. */
static void a_worker_that_knows_the_former_account_shares_nothing(void **state)
{
	struct memory memory = { .shared = "Bearer two", .connected_version = 5 };
	struct world world;

	begin_oauth(state, &world, &memory);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	memory.shared = "Bearer one";
	memory.connected_version = 1;
	call(&world, MCP_LEGACY);
	assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
	expect_bears(mcp_peer_find(world.peer, "initialize", 1), "bearer one");
	await_answer(&world,
		     "SELECT session_id || ' ' || connected_version AS v"
		     " FROM tollgate.upstream_sessions",
		     "s1 5");
	end(&world);
}

static void a_large_token_arrives_whole(void **state)
{
	char *value = mem_printf("Bearer %0*d", BIG_BYTES, 7);
	struct memory memory = { .shared = value };
	struct world world;

	begin_oauth(state, &world, &memory);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	value[0] = 'b';
	assert_non_null(strstr(mcp_peer_find(world.peer, "tools/call", 0)->head, value));
	end(&world);
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(every_request_bears_the_token_of_its_moment),
		GATE_DB_TEST(a_stream_is_listened_to_with_it_too),
		GATE_DB_TEST(without_a_token_nothing_is_sent),
		GATE_DB_TEST(a_refusal_is_told_whole_wherever_it_comes),
		GATE_DB_TEST(all_lines_of_a_challenge_are_told),
		GATE_DB_TEST(a_stream_that_may_not_be_gone_on_with_is_no_refusal),
		GATE_DB_TEST(users_never_share_a_session),
		GATE_DB_TEST(another_account_has_another_session),
		GATE_DB_TEST(a_worker_that_knows_the_former_account_shares_nothing),
		GATE_DB_TEST(a_large_token_arrives_whole),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
