/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit.h"

#include "tests/unit/gateway/http/api_fixture.h"

#define PAGE 250

static const struct fake_column columns[] = {
	{"place_us",      "1795176000000001"},
	{ "place_tenant", OWN_TENANT	     },
	{ "place_call",	ROW_ID	       },
};

static struct exchange *begin(const char *query)
{
	struct exchange *exchange = request("GET", "/audit/export");

	exchange->query = query;
	exchange->columns = columns;
	exchange->n_columns = COUNT(columns);
	ask(exchange);
	return exchange;
}

static void room(struct exchange *exchange)
{
	void (*tell)(void *ctx) = exchange->room;

	assert_non_null(tell);
	exchange->room = NULL;
	tell(exchange->room_ctx);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

static void the_next_page_is_asked_for_when_the_one_before_has_left(void **state)
{
	struct exchange *exchange = begin("format=csv");

	(void)state;
	assert_string_equal(exchange->params[20], "NULL");
	assert_int_equal(exchange->status, 0);
	answer_rows(PAGE);
	assert_int_equal(exchange->status, 200);
	assert_int_equal(exchange->n_queries, 1);
	assert_int_equal(count(exchange->answer, "\r\n"), PAGE + 1); /* the head */
	room(exchange);
	assert_int_equal(exchange->n_queries, 2);
	assert_string_equal(exchange->params[20], OWN_TENANT);
	assert_string_equal(exchange->params[21], "2026-11-20T12:00:00.000001Z");
	assert_string_equal(exchange->params[22], ROW_ID);
	answer_rows(2);
	assert_int_equal(exchange->stream, STREAM_ENDED);
	assert_int_equal(count(exchange->answer, "\r\n"), PAGE + 3);
	end(exchange);
}

static void a_failure_before_the_head_is_a_problem(void **state)
{
	struct exchange *exchange = begin(NULL);

	(void)state;
	answer_failure(ERR_UNAVAILABLE, "");
	check_problem(exchange, 503, "unavailable");
	assert_int_equal(exchange->stream, STREAM_NONE);
	end(exchange);
}

static void a_failure_behind_it_cuts_the_answer_and_says_where(void **state)
{
	static const char *const formats[] = { "format=jsonl", "format=csv" };

	(void)state;
	for (size_t i = 0; i < COUNT(formats); i++) {
		struct exchange *exchange = begin(formats[i]);
		const char *at;
		char query[400];

		answer_rows(PAGE);
		room(exchange);
		exchange->answer[0] = '\0';
		answer_failure(ERR_UNAVAILABLE, "sent");
		assert_int_equal(exchange->stream, STREAM_CUT);
		at = strstr(exchange->answer, i == 0 ? "\"rows\":250,\"cursor\":\"" : "cursor=");
		assert_non_null(at);
		assert_non_null(strstr(exchange->answer, "the database does not answer"));
		at += strlen(i == 0 ? "\"rows\":250,\"cursor\":\"" : "cursor=");
		snprintf(query, sizeof(query), "%s&cursor=%.*s", formats[i],
			 (int)strcspn(at, "\"\r"), at);
		end(exchange);

		exchange = begin(query);
		assert_string_equal(exchange->params[22], ROW_ID);
		answer_rows(0);
		assert_string_equal(exchange->answer, ""); /* no second head */
		end(exchange);
	}
}

static void there_are_so_many_and_no_more(void **state)
{
	struct exchange *exchanges[AUDIT_EXPORTS_PER_TENANT + 1];
	struct audit_streams *shared = NULL, *own[AUDIT_EXPORTS_PER_TENANT + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(exchanges); i++) {
		exchanges[i] = request("GET", "/audit/export");
		own[i] = exchanges[i]->app.audit_streams;
		if (shared == NULL)
			shared = own[i];
		exchanges[i]->app.audit_streams = shared;
		ask(exchanges[i]);
	}
	check_problem(exchanges[AUDIT_EXPORTS_PER_TENANT], 429, "rate_limited");
	for (size_t i = COUNT(exchanges); i-- > 0;) {
		the_exchange = exchanges[i];
		if (exchanges[i]->gone != NULL)
			exchanges[i]->gone(exchanges[i]->gone_ctx);
		exchanges[i]->gone = NULL;
		exchanges[i]->app.audit_streams = own[i];
		end(exchanges[i]);
	}
}

static void a_worker_that_stops_ends_it(void **state)
{
	struct exchange *exchange = begin(NULL);

	(void)state;
	audit_streams_end(exchange->app.audit_streams);
	check_problem(exchange, 503, "unavailable");
	end(exchange);

	exchange = begin(NULL);
	answer_rows(PAGE);
	audit_streams_drain(exchange->app.audit_streams);
	assert_int_equal(exchange->stream, STREAM_OPEN);
	exchange->answer[0] = '\0';
	audit_streams_end(exchange->app.audit_streams);
	assert_int_equal(exchange->stream, STREAM_CUT);
	assert_non_null(strstr(exchange->answer, "the gateway stops"));
	end(exchange);
}

static void head_has_no_answer(void **state)
{
	struct exchange *exchange = request("HEAD", "/audit/export");

	(void)state;
	ask(exchange);
	check_problem(exchange, 405, "method_not_allowed");
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_page_is_asked_for_when_the_one_before_has_left),
		cmocka_unit_test(a_failure_before_the_head_is_a_problem),
		cmocka_unit_test(a_failure_behind_it_cuts_the_answer_and_says_where),
		cmocka_unit_test(there_are_so_many_and_no_more),
		cmocka_unit_test(a_worker_that_stops_ends_it),
		cmocka_unit_test(head_has_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
