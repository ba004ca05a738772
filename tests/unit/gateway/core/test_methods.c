/* SPDX-License-Identifier: Apache-2.0 */

/* The methods that the gate answers by itself. */

#include "tests/unit/gateway/core/call_world.h"

#define INIT_PARAMS(version)                                                                       \
	"{\"protocolVersion\":\"" version "\",\"capabilities\":{ \"roots\":{} },"                  \
	"\"clientInfo\":{\"name\":\"ed\\u0000itor\",\"version\":\"2\"}}"

static struct asks initialize_with(const char *params)
{
	return (struct asks){
		.id = "1", .method = "initialize", .params = params, .no_session = true
	};
}

static void initialize_makes_a_session_and_gives_its_id_with_the_answer(void **state)
{
	struct world *world = *state;
	struct asks asks = initialize_with(INIT_PARAMS("2025-06-18"));

	run_call(world, &asks);
	expect_journal(world, "create session at '' for ed?itor/2, 2025-06-18, {\"roots\":{}}\n");
	session_says(world, world->session, NULL);
	expect_journal(world, "entry ok\n");
	assert_string_equal(world->recorded.session_id, "0123456789abcdef");
	expect_end(world, 200);
	assert_string_equal(world->session_id, "new-session");
	assert_string_equal(
		world->body,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-06-18\","
		"\"capabilities\":{\"tools\":{\"listChanged\":true},\"logging\":{}},\"serverInfo\":"
		"{\"name\":"
		"\"tollgate\",\"title\":\"Tollgate\",\"version\":\"1.2.3\"},"
		"\"instructions\":\"crm: Ask nicely.\\n\\n\"}}");
}

static void at_an_endpoint_its_own_instructions_are_given(void **state)
{
	struct world *world = *state;
	struct asks asks = initialize_with(INIT_PARAMS("2024-11-05"));

	asks.endpoint = "crm";
	run_call(world, &asks);
	/* An older revision would oblige us to take batches. */
	expect_journal(world,
		       "create session at 'crm' for ed?itor/2, 2025-11-25, {\"roots\":{}}\n");
	session_says(world, world->session, NULL);
	expect_end(world, 200);
	assert_non_null(strstr(world->body, "\"instructions\":\"Ask nicely.\"}"));
}

static void a_session_that_cannot_be_made_is_503_without_an_id(void **state)
{
	struct world *world = *state;
	struct asks asks = initialize_with(INIT_PARAMS("2025-11-25"));
	struct err err;

	run_call(world, &asks);
	err_set(&err, ERR_UNAVAILABLE, "Postgres is away");
	session_says(world, NULL, &err);
	expect_end(world, 503);
	assert_string_equal(world->session_id, "");
	/* Nor does a drain give away one that nobody confirmed. */
	run_call(world, &asks);
	call_drain_all(&world->gate);
	expect_end(world, 503);
	assert_string_equal(world->session_id, "");
}

static void initialize_without_what_it_needs_is_refused(void **state)
{
	static const char *const rows[] = {
		NULL,
		"{}",
		"{\"protocolVersion\":7,\"capabilities\":{},\"clientInfo\":{}}",
		"{\"protocolVersion\":\"2025-11-25\",\"capabilities\":[],\"clientInfo\":{}}",
		"{\"protocolVersion\":\"2025-11-25\",\"clientInfo\":{}}",
		"{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":\"x\"}",
		"{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}",
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = initialize_with(rows[i]);

		run_call(world, &asks);
		expect_journal(world, "entry protocol_error\n");
		assert_string_equal(world->error_type, "-32602");
		expect_end(world, 200);
	}
}

static void capabilities_have_a_ceiling(void **state)
{
	struct world *world = *state;
	struct buf params;

	buf_init(&params, 200 * 1024);
	buf_add(&params,
		"{\"protocolVersion\":\"2025-11-25\",\"clientInfo\":{},\"capabilities\":{");
	for (int i = 0; i < 10000; i++)
		buf_printf(&params, "%s\"a%d\":0", i > 0 ? "," : "", i);
	buf_add(&params, "}}");

	struct asks asks = initialize_with(buf_str(&params));

	run_call(world, &asks);
	expect_journal(world, "entry protocol_error\n");
	expect_end(world, 200);
	buf_fini(&params);
}

static void discover_says_what_is_offered_and_that_it_is_private(void **state)
{
	struct world *world = *state;

	run_call(world, &(struct asks){ .id = "1", .method = "server/discover", .modern = true });
	expect_end(world, 200);
	assert_string_equal(
		world->body,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"supportedVersions\":[\"2026-07-28\"],"
		"\"capabilities\":{\"tools\":{\"listChanged\":true},\"logging\":{}},"
		"\"instructions\":\"crm: Ask nicely.\\n\\n\",\"resultType\":\"complete\","
		"\"ttlMs\":0,\"cacheScope\":\"private\",\"_meta\":{"
		"\"io.modelcontextprotocol/"
		"serverInfo\":{\"name\":\"tollgate\",\"title\":\"Tollgate\","
		"\"version\":\"1.2.3\"}}}}");
}

static void the_list_has_what_may_be_called(void **state)
{
	struct world *world = *state;
	struct asks asks = { .id = "1", .method = "tools/list", .params = "{}" };

	run_call(world, &asks);
	expect_journal(world, "listed to s1 at ''\nentry ok\n");
	expect_end(world, 200);
	assert_string_equal(world->body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":"
					 "[{\"name\":\"crm__get\"}]}}");
	asks.endpoint = "crm";
	run_call(world, &asks);
	expect_journal(world, "listed to s1 at 'crm'\nentry ok\n");
	expect_end(world, 200);
	asks.modern = true;
	run_call(world, &asks);
	expect_journal(world, "entry ok\n"); /* there is no session to note it in */
	expect_end(world, 200);
	assert_string_equal(
		world->body,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"get\"}],"
		"\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"}}");
}

static void a_cursor_that_is_none_of_ours_is_refused(void **state)
{
	static const char *const rows[] = { "{\"cursor\":7}", "{\"cursor\":null}",
					    "{\"cursor\":\"\"}", "{\"cursor\":\"x\"}" };
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = { .id = "1", .method = "tools/list", .params = rows[i] };

		run_call(world, &asks);
		expect_journal(world, "entry protocol_error\n");
		expect_end(world, 200);
		asks.modern = true;
		run_call(world, &asks);
		expect_end(world, 400);
		assert_non_null(strstr(world->body, "\"code\":-32602"));
	}
}

static void the_log_level_is_kept_with_the_session(void **state)
{
	struct world *world = *state;
	struct asks asks = { .id = "1",
			     .method = "logging/setLevel",
			     .params = "{\"level\":\"error\"}" };
	struct err err;

	run_call(world, &asks);
	expect_journal(world, "level error of s1\n");
	session_says(world, NULL, NULL);
	expect_end(world, 200);
	assert_string_equal(world->body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	run_call(world, &asks);
	err_set(&err, ERR_NOT_FOUND, "Session not found");
	session_says(world, NULL, &err);
	expect_end(world, 404);
	assert_non_null(strstr(world->body, "\"code\":-32001"));
	run_call(world, &asks);
	err_set(&err, ERR_UNAVAILABLE, "Postgres is away");
	session_says(world, NULL, &err);
	expect_end(world, 503);
	asks.params = "{\"level\":\"loud\"}";
	run_call(world, &asks);
	expect_end(world, 200);
	assert_non_null(strstr(world->body, "\"code\":-32602"));
	asks.params = "{\"level\":\"error\"}";
	asks.no_session = true;
	run_call(world, &asks);
	expect_end(world, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(initialize_makes_a_session_and_gives_its_id_with_the_answer),
		CALL_TEST(at_an_endpoint_its_own_instructions_are_given),
		CALL_TEST(a_session_that_cannot_be_made_is_503_without_an_id),
		CALL_TEST(initialize_without_what_it_needs_is_refused),
		CALL_TEST(capabilities_have_a_ceiling),
		CALL_TEST(discover_says_what_is_offered_and_that_it_is_private),
		CALL_TEST(the_list_has_what_may_be_called),
		CALL_TEST(a_cursor_that_is_none_of_ours_is_refused),
		CALL_TEST(the_log_level_is_kept_with_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
