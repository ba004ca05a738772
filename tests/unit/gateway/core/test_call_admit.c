/* SPDX-License-Identifier: Apache-2.0 */

/* Who asks, of which tenant, at which endpoint, in which session. */

#include "tests/unit/gateway/core/call_world.h"

static struct asks ping(void)
{
	return (struct asks){ .id = "1", .method = "ping" };
}

static void without_a_key_the_answer_is_401_with_a_bare_challenge(void **state)
{
	struct world *world = *state;
	struct asks asks = ping();

	asks.anonymous = true;
	run_call(world, &asks);
	expect_journal(world, "entry unauthenticated\n");
	assert_null(world->recorded.tenant_id);
	expect_end(world, 401);
	assert_string_equal(world->authenticate, "Bearer");
	assert_non_null(strstr(world->body, "\"code\":-32000"));
}

static void a_key_that_is_refused_is_said_to_be_invalid(void **state)
{
	struct world *world = *state;
	struct asks asks = ping();
	struct err err;

	world->found = IDENTITY_REFUSED;
	run_call(world, &asks);
	expect_journal(world, "entry unauthenticated\n");
	expect_end(world, 401);
	assert_string_equal(world->authenticate, "Bearer error=\"invalid_token\"");

	world->found = IDENTITY_UNKNOWN;
	run_call(world, &asks);
	err_set(&err, ERR_UNAUTHENTICATED, "the API key is not valid");
	identity_says(world, NULL, &err);
	expect_journal(world, "identity\nentry unauthenticated\n");
	expect_end(world, 401);
	assert_string_equal(world->authenticate, "Bearer error=\"invalid_token\"");
}

static void a_key_that_is_unknown_is_asked_for(void **state)
{
	struct world *world = *state;
	struct asks asks = ping();

	world->found = IDENTITY_UNKNOWN;
	run_call(world, &asks);
	expect_journal(world, "identity\n");
	identity_says(world, world->principal, NULL);
	expect_journal(world, "entry ok\n");
	assert_string_equal(world->recorded.tenant_id, "t-1");
	expect_end(world, 200);
}

static void what_cannot_be_asked_now_is_503_with_retry_after(void **state)
{
	struct world *world = *state;
	struct asks asks = ping();
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "Postgres is away");
	world->found = IDENTITY_UNKNOWN;
	run_call(world, &asks);
	identity_says(world, NULL, &err);
	expect_end(world, 503);
	assert_int_equal(world->retry_after_s, 2);
	world->found = IDENTITY_KNOWN;
	world->tenant_in_memory = false;
	run_call(world, &asks);
	tenants_says(world, NULL, &err);
	expect_journal(world, "tenant\nentry unavailable\n");
	expect_end(world, 503);
	world->tenant_in_memory = true;
	world->session_in_memory = false;
	run_call(world, &asks);
	session_says(world, NULL, &err);
	expect_journal(world, "session s1 of \nentry unavailable\n");
	expect_end(world, 503);
	assert_null(strstr(world->body, "Postgres"));
}

static void an_authenticated_caller_is_not_asked_again(void **state)
{
	struct world *world = *state;
	const struct call_sink sink = { on_client_message, on_client_finish, world };
	const struct call_params params = {
		.request = {.era = MCP_MODERN, .id = SPAN("1"), .method = "tools/list"},
		.principal = world->principal,
	};

	world->found = IDENTITY_REFUSED;
	call_run(call_new(&world->gate, arena_new(), &params, &sink));
	expect_journal(world, "entry ok\n");
	expect_end(world, 200);
}

/* All these look the same to the client: they do not exist. */
static void what_is_not_there_or_not_yours_is_one_and_the_same_404(void **state)
{
	struct world *world = *state;
	char body[sizeof(world->body)] = "";
	struct err err;
	struct asks rows[] = { ping(), ping(), ping(), ping(), ping() };

	rows[0].tenant = "other";
	rows[1].endpoint = "nobody";
	rows[2].endpoint = "off";
	rows[3].endpoint = "../crm";
	for (size_t i = 0; i < 5; i++) {
		if (i == 4)
			world->tenant->enabled = false;
		run_call(world, &rows[i]);
		expect_journal(world, "entry denied\n");
		expect_end(world, 404);
		if (i == 0)
			snprintf(body, sizeof(body), "%s", world->body);
		assert_string_equal(world->body, body);
		assert_string_equal(world->authenticate, "");
	}
	world->tenant->enabled = true;
	world->tenant_in_memory = false;
	run_call(world, &rows[4]);
	err_set(&err, ERR_NOT_FOUND, "there is no such tenant");
	tenants_says(world, NULL, &err);
	expect_journal(world, "tenant\nentry denied\n");
	expect_end(world, 404);
	assert_string_equal(world->body, body);
}

static void the_callers_own_tenant_may_stand_in_the_path(void **state)
{
	struct world *world = *state;
	struct asks asks = ping();

	asks.tenant = "acme";
	asks.endpoint = "crm";
	run_call(world, &asks);
	assert_string_equal(world->recorded_connection, "crm");
	expect_end(world, 200);
	world->tenant_in_memory = false;
	run_call(world, &asks);
	tenants_says(world, world->tenant, NULL);
	expect_journal(world, "tenant\nentry ok\n");
	expect_end(world, 200);
}

static void a_refusal_before_authentication_asks_nobody(void **state)
{
	struct world *world = *state;
	const struct call_refusal refusal = { .before_auth = true,
					      .http_status = 403,
					      .rpc_code = -32000,
					      .message = "this host is not served" };
	struct asks asks = ping();

	world->found = IDENTITY_UNKNOWN;
	asks.refusal = &refusal;
	run_call(world, &asks);
	expect_journal(world, "entry denied\n");
	assert_null(world->recorded.tenant_id);
	expect_end(world, 403);
	assert_string_equal(world->authenticate, "");
}

static void a_malformed_request_is_refused_after_authentication_only(void **state)
{
	struct world *world = *state;
	const struct call_refusal refusal = { .http_status = 400,
					      .rpc_code = -32700,
					      .message = "Parse error: \"quoted\"",
					      .data = SPAN("{\"at\":3}") };
	struct asks asks = { .refusal = &refusal, .no_session = true };

	run_call(world, &asks);
	expect_journal(world, "entry malformed\n");
	assert_string_equal(world->recorded.tenant_id, "t-1");
	assert_null(world->recorded.method.p);
	assert_string_equal(world->error_type, "-32700");
	expect_end(world, 400);
	assert_string_equal(
		world->body,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":"
		"\"Parse error: \\\"quoted\\\"\",\"data\":{\"at\":3}}}");
	asks.anonymous = true;
	run_call(world, &asks);
	expect_journal(world, "entry unauthenticated\n");
	expect_end(world, 401);
	asks.anonymous = false;
	asks.endpoint = "nobody";
	run_call(world, &asks);
	expect_journal(world, "entry denied\n");
	expect_end(world, 404);
}

static void a_legacy_session_is_looked_up_with_all_it_is_bound_to(void **state)
{
	struct world *world = *state;
	struct asks asks = ping();
	struct err err;

	world->session_in_memory = false;
	asks.endpoint = "crm";
	run_call(world, &asks);
	expect_journal(world, "session s1 of crm\n");
	session_says(world, world->session, NULL);
	expect_journal(world, "entry ok\n");
	assert_string_equal(world->recorded.session_id, "0123456789abcdef");
	expect_end(world, 200);
	run_call(world, &asks);
	err_set(&err, ERR_NOT_FOUND, "Session not found");
	session_says(world, NULL, &err);
	expect_journal(world, "session s1 of crm\nentry protocol_error\n");
	expect_end(world, 404);
	assert_non_null(strstr(world->body, "\"code\":-32001,\"message\":\"Session not found\""));
}

static void a_modern_request_has_no_session(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_call();

	world->session_in_memory = false;
	run_call(world, &asks);
	expect_journal(world, "intent\n");
	assert_null(world->recorded.session_id);
	assert_string_equal(world->recorded.protocol_version, "2026-07-28");
	assert_true(span_is(world->recorded.client, "agent/1"));
	call_client_gone(world->call);
	durable(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(without_a_key_the_answer_is_401_with_a_bare_challenge),
		CALL_TEST(a_key_that_is_refused_is_said_to_be_invalid),
		CALL_TEST(a_key_that_is_unknown_is_asked_for),
		CALL_TEST(what_cannot_be_asked_now_is_503_with_retry_after),
		CALL_TEST(an_authenticated_caller_is_not_asked_again),
		CALL_TEST(what_is_not_there_or_not_yours_is_one_and_the_same_404),
		CALL_TEST(the_callers_own_tenant_may_stand_in_the_path),
		CALL_TEST(a_refusal_before_authentication_asks_nobody),
		CALL_TEST(a_malformed_request_is_refused_after_authentication_only),
		CALL_TEST(a_legacy_session_is_looked_up_with_all_it_is_bound_to),
		CALL_TEST(a_modern_request_has_no_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
