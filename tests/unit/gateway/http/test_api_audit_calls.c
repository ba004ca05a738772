/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit.h"

#include "tests/unit/gateway/http/api_fixture.h"

static const struct fake_column columns[] = {
	{"place_us",      "1795176000000001"},
	{ "place_tenant", OWN_TENANT	     },
	{ "place_call",	ROW_ID	       },
};

static struct exchange *list(const char *query)
{
	struct exchange *exchange = request("GET", "/audit/calls");

	exchange->query = query;
	exchange->columns = columns;
	exchange->n_columns = COUNT(columns);
	return exchange;
}

static void a_list_goes_on_behind_its_last_row_in_the_same_time(void **state)
{
	static const char *const orders[] = { "from=15m&limit=2", "from=15m&limit=2&order=asc" };

	(void)state;
	for (size_t i = 0; i < COUNT(orders); i++) {
		struct exchange *exchange = list(orders[i]);
		char from[300], to[300], next[400], *at;

		ask(exchange);
		assert_string_equal(exchange->params[19], "3");
		assert_string_equal(exchange->params[20], "NULL");
		assert_string_equal(exchange->params[21], "NULL");
		assert_non_null(strstr(exchange->sql, i == 0 ? "call_id DESC" : "call_id ASC"));
		memcpy(from, exchange->params[1], sizeof(from));
		memcpy(to, exchange->params[2], sizeof(to));
		answer_rows(3);
		assert_int_equal(exchange->status, 200);
		at = strstr(exchange->answer, "\"next\":\"");
		assert_non_null(at);
		at += strlen("\"next\":\"");
		snprintf(next, sizeof(next), "%s&cursor=%.*s", orders[i], (int)strcspn(at, "\""),
			 at);
		end(exchange);

		exchange = list(next);
		ask(exchange);
		assert_string_equal(exchange->params[1], from);
		assert_string_equal(exchange->params[2], to);
		assert_string_equal(exchange->params[20], "2026-11-20T12:00:00.000001Z");
		assert_string_equal(exchange->params[21], ROW_ID);
		answer_rows(2);
		assert_non_null(strstr(exchange->answer, "],\"next\":null}"));
		end(exchange);
	}
}

static void a_cursor_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = { "cursor=x", "cursor=MS9hbmE", "tenant=acme&cursor=x" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct exchange *exchange = list(bad[i]);

		ask(as(exchange, 3));
		check_problem(exchange, 400, "bad_request");
		end(exchange);
	}
}

static void nothing_is_an_empty_list(void **state)
{
	struct exchange *exchange = list(NULL);

	(void)state;
	ask(exchange);
	answer_rows(0);
	assert_string_equal(exchange->answer, "{\"items\":[],\"next\":null}");
	end(exchange);
}

/* exchange_param gives an id of version 4 in this fixture. */
static void an_id_that_says_no_time_is_not_looked_for(void **state)
{
	struct exchange *exchange = request("GET", "/audit/calls/" SOME_ID);

	(void)state;
	ask(exchange);
	check_problem(exchange, 404, "not_found");
	assert_int_equal(exchange->n_queries, 0);
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_goes_on_behind_its_last_row_in_the_same_time),
		cmocka_unit_test(a_cursor_that_is_none_is_refused),
		cmocka_unit_test(nothing_is_an_empty_list),
		cmocka_unit_test(an_id_that_says_no_time_is_not_looked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
