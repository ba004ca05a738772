/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit.h"

#include "tests/unit/gateway/http/api_fixture.h"

#define COUNTS                                                                                     \
	{ "total", "5" }, { "ok", "4" }, { "errors", "1" }, { "avg_ms", "1.5" },                   \
	{                                                                                          \
		"p95_ms", NULL                                                                     \
	}
#define COUNTS_JSON "\"total\":5,\"ok\":4,\"errors\":1,\"avg_ms\":1.5,\"p95_ms\":null"
#define WINDOW	    "from=2026-11-20T12:00:00Z&to=2026-11-20T12:02:00Z"
#define WINDOW_JSON                                                                                \
	"{\"from\":\"2026-11-20T12:00:00.000000Z\",\"to\":\"2026-11-20T12:02:00.000000Z\","

static struct exchange *begin(const char *path, const char *query,
			      const struct fake_column *columns, size_t n)
{
	struct exchange *exchange = request("GET", path);

	exchange->query = query;
	exchange->columns = columns;
	exchange->n_columns = n;
	ask(exchange);
	return exchange;
}

static void stats_are_the_whole_and_each_outcome(void **state)
{
	static const struct fake_column columns[] = {
		COUNTS,
		{"users",	   "2" },
		{ "tools",   "3" },
		{ "outcome", "ok"},
	};
	struct exchange *exchange = begin("/audit/stats", WINDOW, columns, COUNT(columns));

	(void)state;
	answer_rows(2);
	assert_string_equal(exchange->answer,
			    WINDOW_JSON COUNTS_JSON ",\"unique_users\":2,\"unique_tools\":3,"
						    "\"outcomes\":{\"ok\":5}}");
	end(exchange);
}

static void a_series_says_its_bucket(void **state)
{
	static const struct fake_column columns[] = {
		COUNTS, {"bucket", "T"}
	};
	struct exchange *exchange = begin("/audit/timeseries", WINDOW, columns, COUNT(columns));

	(void)state;
	assert_string_equal(exchange->params[19], "60");
	answer_rows(2);
	assert_string_equal(exchange->answer, WINDOW_JSON
			    "\"bucket\":\"minute\",\"items\":[{\"at\":\"T\"," COUNTS_JSON
			    "},{\"at\":\"T\"," COUNTS_JSON "}]}");
	end(exchange);

	exchange = begin("/audit/timeseries", "bucket=minute&from=30d", NULL, 0);
	check_problem(exchange, 400, "bad_request");
	assert_int_equal(exchange->n_queries, 0);
	end(exchange);
}

static void a_breakdown_says_whether_there_is_more(void **state)
{
	static const struct fake_column columns[] = {
		COUNTS, {"value", "a\"b"}
	};
	static const struct fake_column nulls[] = {
		COUNTS, {"value", NULL}
	};
	struct exchange *exchange =
		begin("/audit/breakdown", WINDOW "&by=user&limit=1", columns, COUNT(columns));

	(void)state;
	assert_string_equal(exchange->params[19], "user");
	assert_string_equal(exchange->params[20], "2");
	answer_rows(2);
	assert_string_equal(
		exchange->answer, WINDOW_JSON
		"\"by\":\"user\",\"more\":true,\"items\":[{\"value\":\"a\\\"b\"," COUNTS_JSON
		"}]}");
	end(exchange);

	exchange = begin("/audit/breakdown", WINDOW "&by=tool", nulls, COUNT(nulls));
	answer_rows(1);
	assert_string_equal(exchange->answer, WINDOW_JSON
			    "\"by\":\"tool\",\"more\":false,\"items\":[{\"value\":null," COUNTS_JSON
			    "}]}");
	end(exchange);
}

static void percentiles_are_of_each_measure(void **state)
{
	static const struct fake_column columns[] = {
		{"name", "upstream_ms"},
		{ "n",   "2"	   },
		{ "avg", "1"	     },
		{ "max", "9"	     },
		{ "p50", "5"	     },
		{ "p90", "6"	     },
		{ "p95", "7"	     },
		{ "p99", NULL	      },
	};
	struct exchange *exchange = begin("/audit/percentiles", WINDOW, columns, COUNT(columns));

	(void)state;
	answer_rows(1);
	assert_string_equal(exchange->answer,
			    WINDOW_JSON "\"upstream_ms\":{\"n\":2,\"avg\":1,\"max\":9,\"p50\":5,"
					"\"p90\":6,\"p95\":7,\"p99\":null}}");
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_are_the_whole_and_each_outcome),
		cmocka_unit_test(a_series_says_its_bucket),
		cmocka_unit_test(a_breakdown_says_whether_there_is_more),
		cmocka_unit_test(percentiles_are_of_each_measure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
