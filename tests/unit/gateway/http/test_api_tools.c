/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api.h"

#include "tests/unit/gateway/http/api_fixture.h"

/* --- calls ---------------------------------------------------------------------------------------
 */

static struct exchange *call(const char *body)
{
	struct exchange *exchange = request("POST", "/tools/call");

	exchange->content_type = "application/json";
	exchange->body = body;
	ask(exchange);
	return exchange;
}

static void a_call_is_checked_and_passed_on_byte_for_byte(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"name\":5}",
		"[]",
		"{\"name\":\"a__b\",\"arguments\":[]}",
		"{\"name\":\"a__b\",\"arguments\":null}",
		"{\"name\":\"a__b\",\"args\":{}}",
		"{\"name\":\"a__b\",\"name\":\"c__d\"}",
	};
	static const char good[] = "{ \"arguments\":{\"n\":1e400}, \"name\":\"a__b\" }";
	struct exchange *exchange;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		exchange = call(bad[i]);
		assert_int_equal(exchange->status, 400);
		assert_int_equal(exchange->n_entries, 1);
		assert_int_equal(exchange->entry, BOOK_MALFORMED);
		assert_null(exchange->call_arena);
		end(exchange);
	}
	exchange = call(good);
	assert_int_equal(exchange->status, 0);
	assert_true(span_is(exchange->call.request.params, good));
	assert_string_equal(exchange->call.request.method, "tools/call");
	assert_true(span_is(exchange->call.request.id, "1"));
	assert_int_equal(exchange->call.request.era, MCP_MODERN);
	assert_string_equal(exchange->call.principal->tenant_id, OWN_TENANT);
	assert_int_equal(exchange->n_entries, 0); /* the call records itself */
	end(exchange);
}

#define CALL_ID "0198f0aa-5c00-7000-8000-000000000001"

/* Each says which row tells of it, if one does. */
static void the_answer_of_a_call_is_its_result_or_a_problem(void **state)
{
	static const struct {
		int http_status;
		const char *message;
		int status;
		const char *answer; /* the whole, or a code */
	} replies[] = {
		{200,  "{\"result\": {\"n\":1e400} ,\"id\":1}",				200, "{\"n\":1e400}"},
		{ 200, "{\"error\":{\"code\":-32602,\"message\":\"Unknown tool: a__b\"}}", 404,
		  "unknown_tool"										},
		{ 200, "{\"error\":{\"code\":-32602,\"message\":\"n must be even\"}}",     400,
		  "invalid_params"									      },
		{ 404, "{\"error\":{\"code\":-32000,\"message\":\"Not found\"}}",	  404,
		  "not_found"										   },
		{ 503, "{\"error\":{\"code\":-32000,\"message\":\"not now\"}}",		503,
		  "unavailable"										 },
		{ 200, "{\"error\":{\"code\":-32603,\"message\":\"broken\"}}",	       502,
		  "upstream_error"									      },
		{ 202, "",								 503, "unavailable"  },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(replies); i++) {
		struct exchange *exchange = call("{\"name\":\"a__b\"}");
		const struct call_reply reply = { .http_status = replies[i].http_status,
						  .body = span_of(replies[i].message),
						  .call_id = i % 2 == 0 ? CALL_ID : NULL };

		exchange->sink.message(exchange->sink.ctx, SPAN("{}"));
		exchange->sink.finish(exchange->sink.ctx, &reply);
		if (replies[i].status == 200)
			assert_string_equal(exchange->answer, replies[i].answer);
		else
			check_problem(exchange, replies[i].status, replies[i].answer);
		assert_string_equal(exchange->call_id, i % 2 == 0 ? CALL_ID : "");
		if (replies[i].status != 200)
			assert_true((strstr(exchange->answer, "\"call_id\":\"" CALL_ID "\"") !=
				     NULL) == (i % 2 == 0));
		assert_false(exchange->call_left);
		end(exchange);
	}
}

static void a_call_that_wants_an_account_says_where_to_connect_it(void **state)
{
	struct exchange *exchange = call("{\"name\":\"a__b\"}");
	const struct call_reply reply = {
		.http_status = 200,
		.body = SPAN("{\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"Open it\"}],"
			     "\"isError\":true}}"),
		.connect_url = "https://gw/connect/1",
	};

	(void)state;
	exchange->sink.finish(exchange->sink.ctx, &reply);
	check_problem(exchange, 409, "needs_auth");
	assert_non_null(strstr(exchange->answer, "\"detail\":\"Open it\""));
	assert_non_null(strstr(exchange->answer, "\"connect_url\":\"https://gw/connect/1\""));
	assert_int_equal(exchange->n_entries, 0);
	end(exchange);
}

static void a_call_is_told_that_its_client_has_left(void **state)
{
	struct exchange *exchange = call("{\"name\":\"a__b\"}");

	(void)state;
	exchange->gone(exchange->gone_ctx);
	exchange->gone = NULL;
	assert_true(exchange->call_left);
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_checked_and_passed_on_byte_for_byte),
		cmocka_unit_test(the_answer_of_a_call_is_its_result_or_a_problem),
		cmocka_unit_test(a_call_that_wants_an_account_says_where_to_connect_it),
		cmocka_unit_test(a_call_is_told_that_its_client_has_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
