/* SPDX-License-Identifier: Apache-2.0 */

/* Which method, which tool, and may they: what is denied looks like what is not there. */

#include "tests/unit/gateway/core/call_world.h"

static void unknown_methods_are_404_in_the_modern_era_only(void **state)
{
	static const struct {
		bool modern;
		const char *method;
	} rows[] = {
		{false,	 "server/discover" },
		{ true,	"initialize"	     },
		{ true,	"ping"	       },
		{ true,	"logging/setLevel"},
		{ false, "resources/list"  },
		{ true,	"tools/Call"	     },
		{ true,	""		   },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run_call(world, &(struct asks){ .id = "1",
						.method = rows[i].method,
						.modern = rows[i].modern });
		expect_journal(world, "entry protocol_error\n");
		assert_string_equal(world->error_type, "-32601");
		expect_end(world, rows[i].modern ? 404 : 200);
		assert_non_null(strstr(world->body, "\"code\":-32601"));
	}
}

/* The same bytes but for the name, which is the client's own. */
static void an_unknown_tool_and_a_denied_one_are_answered_alike(void **state)
{
	static const struct {
		const char *endpoint;
		const char *name;
		const char *outcome;
	} rows[] = {
		{NULL,	"crm__nope",     "entry protocol_error\n"},
		{ NULL,	"crm__secret_x", "entry denied\n"	  },
		{ NULL,	"off__get",	    "entry protocol_error\n"},
		{ NULL,	"nobody__get",   "entry protocol_error\n"},
		{ NULL,	"new__secret_y", "entry denied\n"	  },
		{ NULL,	"get",	       "entry protocol_error\n"},
		{ NULL,	"__get",	 "entry protocol_error\n"},
		{ NULL,	"",		    "entry protocol_error\n"},
		{ "crm", "crm__get",	     "entry protocol_error\n"},
		{ "crm", "nope",		 "entry protocol_error\n"},
		{ "crm", "secret_x",	     "entry denied\n"	      },
	};
	struct world *world = *state;

	/* Denied by being disabled: the tools of a connection that was listed. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int modern = 0; modern <= 1; modern++) {
			char params[128];
			char body[256];

			snprintf(params, sizeof(params), "{\"name\":\"%s\"}", rows[i].name);
			run_call(world, &(struct asks){ .id = "1",
							.method = "tools/call",
							.params = params,
							.endpoint = rows[i].endpoint,
							.modern = modern == 1 });
			if (strcmp(rows[i].name, "off__get") != 0)
				expect_journal(world, rows[i].outcome);
			assert_string_equal(world->error_type, "-32602");
			assert_string_equal(world->recorded_tool, rows[i].name);
			expect_end(world, 200);
			snprintf(body, sizeof(body),
				 "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,"
				 "\"message\":\"Unknown tool: %s\"}}",
				 rows[i].name);
			assert_string_equal(world->body, body);
		}
	}
}

static void tools_are_found_by_their_exposed_name_or_under_their_endpoint(void **state)
{
	static const struct {
		const char *endpoint, *name, *connection, *sent;
	} rows[] = {
		{NULL,	"crm__get",		    "crm", "get"	 },
		{ "crm", "get",			"crm", "get"	     },
 /* Never listed: only the upstream can tell. */
		{ NULL,	"new__any__thing",	   "new", "any__thing"},
		{ "new", "any",			"new", "any"	     },
		{ NULL,	"crm\\u005f\\u005fget", "crm", "get"	     },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = legacy_call();
		char params[128];

		snprintf(params, sizeof(params), "{\"name\":\"%s\"}", rows[i].name);
		asks.params = params;
		asks.endpoint = rows[i].endpoint;
		send_call(world, &asks);
		assert_string_equal(world->sent_name, rows[i].sent);
		assert_string_equal(world->recorded_connection, rows[i].connection);
		upstream_answers(world, MCP_LEGACY, "{}", NULL);
		expect_end(world, 200);
	}
}

static void params_of_the_wrong_type_are_refused(void **state)
{
	static const char *const rows[] = {
		NULL,
		"{}",
		"{\"name\":7}",
		"{\"name\":null}",
		"{\"name\":\"crm__get\",\"arguments\":[]}",
		"{\"name\":\"crm__get\",\"arguments\":null}",
		"{\"name\":\"crm__get\",\"arguments\":\"x\"}",
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int modern = 0; modern <= 1; modern++) {
			run_call(world, &(struct asks){ .id = "1",
							.method = "tools/call",
							.params = rows[i],
							.modern = modern == 1 });
			expect_journal(world, "entry protocol_error\n");
			expect_end(world, modern == 1 ? 400 : 200);
			assert_non_null(strstr(world->body, "\"code\":-32602"));
		}
	}
}

static void a_name_with_a_nul_is_no_tools_name(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	asks.params = "{\"name\":\"crm__get\\u0000\"}";
	run_call(world, &asks);
	expect_journal(world, "entry protocol_error\n");
	assert_string_equal(world->recorded_tool, "crm__get?");
	expect_end(world, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(unknown_methods_are_404_in_the_modern_era_only),
		CALL_TEST(an_unknown_tool_and_a_denied_one_are_answered_alike),
		CALL_TEST(tools_are_found_by_their_exposed_name_or_under_their_endpoint),
		CALL_TEST(params_of_the_wrong_type_are_refused),
		CALL_TEST(a_name_with_a_nul_is_no_tools_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
