/* SPDX-License-Identifier: Apache-2.0 */

/* What of an answer is the upstream's, and where the id of the call stands in it. */

#include "tests/unit/gateway/core/call_world.h"

#define ID "@" /* stands for the id of the call */

/* What the body should read, with the id of this call. */
static void write_wanted(const struct world *world, const char *pattern, char *out, size_t size)
{
	const char *at = strstr(pattern, ID);
	size_t before = at != NULL ? (size_t)(at - pattern) : strlen(pattern);

	snprintf(out, size, "%.*s%s%s", (int)before, pattern, at != NULL ? world->call_id : "",
		 at != NULL ? at + 1 : "");
}

static void every_result_tells_the_id_of_its_call(void **state)
{
	static const struct {
		const char *result;
		const char *sent;
	} rows[] = {
		{"{\"n\":12345678901234567890}",
		  "{\"_meta\":{\"io.tollgate/call_id\":\"@\"},\"n\":12345678901234567890}"				   },
		{ "{ \"n\" : 1.50 }",
		  "{\"_meta\":{\"io.tollgate/call_id\":\"@\"}, \"n\" : 1.50 }"					       },
		{ "{\"n\":1,\"_meta\":{}}",			    "{\"n\":1,\"_meta\":{\"io.tollgate/call_id\":\"@\"}}"},
		{ "{\"_meta\":{\"a\":1e400},\"n\":1}",
		  "{\"_meta\":{\"io.tollgate/call_id\":\"@\",\"a\":1e400},\"n\":1}"					    },
 /* A gateway behind this one: its id is in no book here. */
		{ "{\"_meta\":{\"io.tollgate/call_id\":\"other\"}}",
		  "{\"_meta\":{\"io.tollgate/call_id\":\"@\"}}"								},
		{ "{\"_meta\":\"odd\"}",				 "{\"_meta\":\"odd\"}"				       },
		{ "{\"_meta\":null,\"n\":1}",			      "{\"_meta\":null,\"n\":1}"				 },
		{ "{}",					      "{}"						 },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = legacy_call();
		char pattern[256];
		char wanted[512];

		send_call(world, &asks);
		upstream_answers(world, MCP_LEGACY, rows[i].result, NULL);
		expect_end(world, 200);
		snprintf(pattern, sizeof(pattern), "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":%s}",
			 rows[i].sent);
		write_wanted(world, pattern, wanted, sizeof(wanted));
		assert_string_equal(world->whole, wanted);
		assert_string_equal(world->call_id, world->recorded_id);
	}
}

static void every_error_tells_it_and_keeps_the_data_that_it_has(void **state)
{
	static const struct {
		const char *error;
		const char *sent;
	} rows[] = {
		{"{\"code\":-32602,\"message\":\"no \\u0041\"}",
		  "{\"data\":{\"call_id\":\"@\"},\"code\":-32602,\"message\":\"no \\u0041\"}"    },
		{ "{\"code\":-32602,\"message\":\"no\",\"data\":{\"a\":1e400}}",
		  "{\"code\":-32602,\"message\":\"no\",\"data\":{\"call_id\":\"@\",\"a\":1e400}}"},
		{ "{\"code\":-32602,\"message\":\"no\",\"data\":{\"call_id\":5}}",
		  "{\"code\":-32602,\"message\":\"no\",\"data\":{\"call_id\":5}}"		  },
		{ "{\"code\":-32602,\"message\":\"no\",\"data\":[1]}",
		  "{\"code\":-32602,\"message\":\"no\",\"data\":[1]}"			      },
		{ "{\"code\":-32602,\"message\":\"no\",\"data\":null}",
		  "{\"code\":-32602,\"message\":\"no\",\"data\":null}"			       },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = legacy_call();
		char pattern[256];
		char wanted[512];

		send_call(world, &asks);
		upstream_answers(world, MCP_LEGACY, NULL, rows[i].error);
		expect_end(world, 200);
		snprintf(pattern, sizeof(pattern), "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":%s}",
			 rows[i].sent);
		write_wanted(world, pattern, wanted, sizeof(wanted));
		assert_string_equal(world->whole, wanted);
	}
}

static void a_refusal_of_ours_tells_it_too(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	asks.method = "no/such";
	run_call(world, &asks);
	expect_end(world, 200);
	assert_true(world->told_id);
	assert_non_null(strstr(world->whole, "\"data\":{\"call_id\":\""));
	assert_non_null(strstr(world->whole, world->recorded_id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(every_result_tells_the_id_of_its_call),
		CALL_TEST(every_error_tells_it_and_keeps_the_data_that_it_has),
		CALL_TEST(a_refusal_of_ours_tells_it_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
