/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api.h"

#include "tests/unit/gateway/http/api_fixture.h"

static void a_user_asks_for_the_own_keys_only(void **state)
{
	struct exchange *exchange = request("GET", "/keys");

	(void)state;
	ask(as(exchange, 1));
	assert_string_equal(exchange->params[0], ANA);
	assert_string_equal(exchange->params[1], "false");
	end(exchange);

	exchange = request("DELETE", "/keys/" SOME_ID);
	ask(as(exchange, 1));
	assert_string_equal(exchange->params[0], ANA);
	end(exchange);

	exchange = request("GET", "/keys");
	ask(as(exchange, 3));
	assert_string_equal(exchange->params[0], "NULL");
	assert_string_equal(exchange->params[1], "true");
	end(exchange);
}

static void nobody_makes_a_key_that_may_do_more(void **state)
{
	static const struct {
		size_t who;
		const char *body;
		int status; /* 0: goes on */
	} keys[] = {
		{1,  "{\"name\":\"k\"}",					 403},
		{ 1, "{\"name\":\"k\",\"user\":\"ben\"}",			  403},
		{ 1, "{\"name\":\"k\",\"user\":\"ana\",\"role\":\"admin\"}",     403},
		{ 1, "{\"name\":\"k\",\"user\":\"ana\"}",			  0  },
		{ 2, "{\"name\":\"k\",\"user\":\"ben\"}",			  0  },
		{ 2, "{\"name\":\"k\",\"role\":\"platform\"}",		       403},
		{ 3, "{\"name\":\"k\",\"role\":\"root\"}",			   400},
		{ 3, "{\"name\":\"k\",\"expires_at\":\"soon\"}",		 400},
		{ 3, "{\"name\":\"k\",\"expires_at\":\"2020-01-01T00:00:00Z\"}", 400},
		{ 3, "{\"name\":\"k\",\"expires_at\":5}",			  400},
		{ 3, "{\"name\":\"k\",\"expires_at\":\"2020-01-01\"}",	       400},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(keys); i++) {
		struct exchange *exchange = request("POST", "/keys");

		exchange->content_type = "application/json";
		exchange->body = keys[i].body;
		ask(as(exchange, keys[i].who));
		if (exchange->status != keys[i].status)
			fail_msg("%s: %d %s", keys[i].body, exchange->status, exchange->answer);
		end(exchange);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_asks_for_the_own_keys_only),
		cmocka_unit_test(nobody_makes_a_key_that_may_do_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
