/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api.h"

#include "tests/unit/gateway/http/api_fixture.h"

/* --- what is read of a request ------------------------------------------------------------------
 */

static void a_body_must_be_a_json_object(void **state)
{
	static const struct {
		const char *method;
		const char *type;
		const char *body;
		int status;
		const char *code;
	} bodies[] = {
		{"POST",	  NULL,				NULL,		      400, "bad_request"		 },
		{ "POST",  "application/json",		      NULL,		    400, "bad_request"	       },
		{ "POST",  NULL,				"{}",		      415, "unsupported_media_type"},
		{ "POST",  "text/plain",			"{}",		      415, "unsupported_media_type"},
		{ "POST",  "application/merge-patch+json",	  "{}",		415, "unsupported_media_type"},
		{ "POST",  "application/json",		      "{x",		    400, "parse_error"	       },
		{ "POST",  "application/json",		      "{\"a\":1,\"a\":2}", 400, "parse_error"	      },
		{ "POST",  "application/json",		      "{} x",	      400, "parse_error"		 },
		{ "POST",  "application/json",		      "[]",		    400, "bad_request"	       },
		{ "POST",  "application/json",		      "null",	      400, "bad_request"		 },
		{ "POST",  "Application/JSON; charset=utf-8", "{}",		   400, "bad_request"	      },
		{ "PATCH", "application/merge-patch+json",	   "[]",		 400, "bad_request"	    },
		{ "PATCH", "text/plain",			 "{}",		       415, "unsupported_media_type"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		bool post = strcmp(bodies[i].method, "POST") == 0;
		struct exchange *exchange =
			request(bodies[i].method, post ? "/users" : "/users/ana");

		exchange->content_type = bodies[i].type;
		exchange->body = bodies[i].body;
		exchange->if_match = "*";
		ask(exchange);
		check_problem(exchange, bodies[i].status, bodies[i].code);
		assert_int_equal(exchange->n_queries, 0);
		end(exchange);
	}
}

static void a_change_names_the_version_that_it_changes(void **state)
{
	static const struct {
		const char *if_match;
		int status; /* 0: it is current, and the change goes on */
	} versions[] = {
		{NULL,		428},
		 { "",	       428},
		       { "\"2\"",	  412},
		{ "W/\"3\"",	     412},
		 { "3",		412},
		       { "\"33\"",	   412},
		{ "\"3\"",	   0  },
		 { "*",		0  },
		       { "\"1\",\"3\"",	0  },
		{ "\"1\" , \"3\" ", 0  },
		 { ",",		412},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct exchange *exchange = request("DELETE", "/users/ana");

		exchange->if_match = versions[i].if_match;
		ask(exchange);
		if (exchange->n_queries == 1)
			answer_rows(1);
		if (exchange->status != versions[i].status)
			fail_msg("%s: %d", versions[i].if_match, exchange->status);
		if (exchange->status == 0) {
			assert_string_equal(exchange->params[1], "3");
			answer_rows(1);
			assert_int_equal(exchange->status, 204);
		}
		end(exchange);
	}
}

static void a_change_that_comes_second_is_stale(void **state)
{
	struct exchange *exchange = request("DELETE", "/users/ana");

	(void)state;
	exchange->if_match = "\"3\"";
	ask(exchange);
	answer_rows(1);
	answer_rows(0);
	check_problem(exchange, 412, "precondition_failed");
	end(exchange);
}

static void a_page_is_limit_and_cursor_and_nothing_else(void **state)
{
	static const char *const bad[] = {
		"limit=0", "limit=-1", "limit=x",	 "limit=1.5",  "limit=201",
		"limit=",  "cursor=",  "cursor=bogus",	 "cursor=%00", "cursor=%ff",
		"page=2",  "limit",    "limit=1&x=2",	 "cursor=MQ",  "cursor=Mi9h",
		"%zz=1",   "Limit=1",  "cursor=MS9h%3D",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct exchange *exchange = request("GET", "/users");

		exchange->query = bad[i];
		ask(exchange);
		if (exchange->status != 400)
			fail_msg("%s: %d", bad[i], exchange->status);
		end(exchange);
	}
}

static void a_list_goes_on_where_it_stopped(void **state)
{
	struct exchange *exchange = request("GET", "/users");
	char cursor[64];

	(void)state;
	exchange->query = "limit=2";
	ask(exchange);
	assert_string_equal(exchange->params[0], "");
	assert_string_equal(exchange->params[1], "3");
	answer_rows(3);
	assert_int_equal(exchange->status, 200);
	assert_non_null(strstr(exchange->answer, "user-1"));
	assert_null(strstr(exchange->answer, "user-2"));
	assert_non_null(strstr(exchange->answer, "\"next\":\"MS91c2VyLTE\"}"));
	end(exchange);

	exchange = request("GET", "/users");
	snprintf(cursor, sizeof(cursor), "cursor=%s&limit=200", "MS91c2VyLTE");
	exchange->query = cursor;
	ask(exchange);
	assert_string_equal(exchange->params[0], "user-1");
	assert_string_equal(exchange->params[1], "201");
	answer_rows(1);
	assert_non_null(strstr(exchange->answer, "\"next\":null}"));
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_must_be_a_json_object),
		cmocka_unit_test(a_change_names_the_version_that_it_changes),
		cmocka_unit_test(a_change_that_comes_second_is_stale),
		cmocka_unit_test(a_page_is_limit_and_cursor_and_nothing_else),
		cmocka_unit_test(a_list_goes_on_where_it_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
