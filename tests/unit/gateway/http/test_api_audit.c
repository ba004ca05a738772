/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit.h"

#include "tests/unit/gateway/http/api_fixture.h"

#define NOBODY "00000000-0000-0000-0000-000000000000"

static void each_role_sees_what_is_its_own(void **state)
{
	static const struct {
		size_t who;
		const char *query;
		const char *tenant_id, *user_id; /* $1 and $4 */
	} rows[] = {
		{1,  NULL,	   OWN_TENANT, ANA   },
		   { 2, NULL,	      OWN_TENANT, "NULL"},
		{ 3, NULL,	   OWN_TENANT, "NULL"},
		   { 3, "tenant=*", "NULL",	    "NULL"},
		{ 3, "tenant=-", NOBODY,	 "NULL"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct exchange *exchange = request("GET", "/audit/calls");

		exchange->query = rows[i].query;
		ask(as(exchange, rows[i].who));
		assert_int_equal(exchange->n_queries, 1);
		assert_string_equal(exchange->params[0], rows[i].tenant_id);
		assert_string_equal(exchange->params[3], rows[i].user_id);
		assert_string_equal(exchange->params[4], "NULL");
		assert_string_equal(exchange->setting, "app.tenant=" OWN_TENANT);
		end(exchange);
	}
}

static void only_the_platform_asks_for_tenants(void **state)
{
	(void)state;
	for (size_t who = 1; who < 3; who++) {
		struct exchange *exchange = request("GET", "/audit/stats");

		exchange->query = "tenant=*";
		ask(as(exchange, who));
		check_problem(exchange, 403, "forbidden");
		assert_int_equal(exchange->n_queries, 0);
		end(exchange);
	}
}

static void a_tenant_is_found_by_its_name_and_rows_of_one_that_is_gone_by_theirs(void **state)
{
	(void)state;
	for (size_t found = 0; found < 2; found++) {
		struct exchange *exchange = request("GET", "/audit/calls");

		exchange->query = "tenant=acme";
		ask(as(exchange, 3));
		assert_string_equal(exchange->params[0], "acme");
		answer_rows(found);
		assert_int_equal(exchange->n_queries, 2);
		assert_string_equal(exchange->params[0], found ? ROW_ID : "NULL");
		assert_string_equal(exchange->params[4], found ? "NULL" : "acme");
		end(exchange);
	}
}

static void a_path_that_names_a_tenant_takes_no_other(void **state)
{
	struct exchange *exchange = request("GET", "/tenants/acme/audit/calls");

	(void)state;
	exchange->tenant = "acme";
	exchange->query = "tenant=*";
	ask(as(exchange, 3));
	answer_rows(1);
	check_problem(exchange, 400, "bad_request");
	end(exchange);

	exchange = request("GET", "/tenants/acme/audit/calls");
	exchange->tenant = "acme";
	ask(as(exchange, 3));
	answer_rows(1);
	assert_string_equal(exchange->params[0], OTHER_TENANT);
	assert_string_equal(exchange->setting, "app.tenant=" OTHER_TENANT);
	end(exchange);
}

static void a_question_that_takes_too_long_says_so(void **state)
{
	struct exchange *exchange = request("GET", "/audit/stats");

	(void)state;
	ask(exchange);
	answer_failure(ERR_TIMEOUT, "57014");
	check_problem(exchange, 503, "unavailable");
	assert_non_null(strstr(exchange->answer, "shorter time"));
	end(exchange);

	exchange = request("GET", "/audit/stats");
	ask(exchange);
	answer_failure(ERR_UNAVAILABLE, "");
	check_problem(exchange, 503, "unavailable");
	assert_null(strstr(exchange->answer, "shorter time"));
	end(exchange);
}

static void values_are_parameters(void **state)
{
	struct exchange *exchange = request("GET", "/audit/calls");

	(void)state;
	exchange->query = "user=%27;--&search=%25x&outcome=ok,denied&limit=7";
	ask(exchange);
	assert_string_equal(exchange->params[5], "';--");
	assert_string_equal(exchange->params[9], "{ok,denied}");
	assert_string_equal(exchange->params[18], "%\\%x%");
	assert_string_equal(exchange->params[19], "8");
	assert_null(strstr(exchange->sql, "';--"));
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_role_sees_what_is_its_own),
		cmocka_unit_test(only_the_platform_asks_for_tenants),
		cmocka_unit_test(
			a_tenant_is_found_by_its_name_and_rows_of_one_that_is_gone_by_theirs),
		cmocka_unit_test(a_path_that_names_a_tenant_takes_no_other),
		cmocka_unit_test(a_question_that_takes_too_long_says_so),
		cmocka_unit_test(values_are_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
