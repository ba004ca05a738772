/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api.h"

#include "tests/unit/gateway/http/api_fixture.h"

/* --- who may ask for what ----------------------------------------------------------------------
 */

/* Whom a route lets in. A route that is not here, or not like this, fails the test. */
static const struct {
	const char *method;
	const char *path;
	/* a service key of role user, a user's key, an administrator's, one of the platform */
	const char *own;   /* in the key's own tenant: y lets in, n is 403 */
	const char *named; /* below /tenants/{tenant}; NULL: it has no such path */
} expected[] = {
	{"GET",	 "/status",			      "yyyy", "nnny"},
	{ "GET",	 "/tools",			       "yyyy", "nnny"},
	{ "POST",	  "/tools/call",				 "yyyy", "nnny"},
	{ "GET",	 "/connections",			 "yyyy", "nnny"},
	{ "POST",	  "/connections",			  "nnyy", "nnny"},
	{ "GET",	 "/connections/{name}",			"yyyy", "nnny"},
	{ "PUT",	 "/connections/{name}",			"nnyy", "nnny"},
	{ "PATCH",  "/connections/{name}",		  "nnyy", "nnny"},
	{ "DELETE", "/connections/{name}",		   "nnyy", "nnny"},
	{ "GET",	 "/connections/{name}/status",	       "yyyy", "nnny"},
	{ "POST",	  "/connections/{name}/refresh",		 "nnyy", "nnny"},
	{ "POST",	  "/connections/{name}/probe",	       "nnyy", "nnny"},
	{ "POST",	  "/connections/{name}/connect",		 "yyyy", "nnny"},
	{ "POST",	  "/connections/{name}/oauth/ingest",     "yyyy", "nnny"},
	{ "POST",	  "/connections/{name}/oauth/reacquire",	 "yyyy", "nnny"},
	{ "POST",	  "/connections/{name}/oauth/disconnect", "yyyy", "nnny"},
	{ "GET",	 "/connections/{name}/oauth/events",     "yyyy", "nnny"},
	{ "GET",	 "/connect/attempts/{id}",		   "yyyy", "nnny"},
	{ "GET",	 "/oauth/health",			  "yyyy", "nnny"},
	{ "GET",	 "/accounts",			      "yyyy", "nnny"},
	{ "GET",	 "/audit/calls/{id}/payload",	      "nnyy", "nnny"},
	{ "POST",	  "/probe",			       "nnyy", "nnny"},
	{ "POST",	  "/signin-codes",			   "nyyy", "nnny"},
	{ "GET",	 "/keys",				"nyyy", "nnny"},
	{ "POST",	  "/keys",				"nyyy", "nnny"},
	{ "DELETE", "/keys/{id}",				  "nyyy", "nnny"},
	{ "GET",	 "/users",			       "nnyy", "nnny"},
	{ "POST",	  "/users",			       "nnyy", "nnny"},
	{ "GET",	 "/users/{name}",			  "nnyy", "nnny"},
	{ "PATCH",  "/users/{name}",			    "nnyy", "nnny"},
	{ "DELETE", "/users/{name}",			     "nnyy", "nnny"},
	{ "GET",	 "/audit/calls",			 "nyyy", "nnny"},
	{ "GET",	 "/audit/calls/{id}",		      "nyyy", "nnny"},
	{ "GET",	 "/audit/stats",			 "nyyy", "nnny"},
	{ "GET",	 "/audit/timeseries",		      "nyyy", "nnny"},
	{ "GET",	 "/audit/breakdown",		     "nyyy", "nnny"},
	{ "GET",	 "/audit/percentiles",		       "nyyy", "nnny"},
	{ "GET",	 "/audit/tail",				"nyyy", "nnny"},
	{ "GET",	 "/audit/export",			  "nyyy", "nnny"},
	{ "GET",	 "/audit/admin-events",			"nnyy", "nnny"},
	{ "GET",	 "/audit/auth-events",		       "nnyy", "nnny"},
	{ "GET",	 "/tenants",			     "nnny", NULL  },
	{ "POST",	  "/tenants",			      "nnny", NULL  },
	{ "GET",	 "/tenants/{tenant}",		      "nnny", NULL  },
	{ "PATCH",  "/tenants/{tenant}",			"nnny", NULL  },
	{ "DELETE", "/tenants/{tenant}",			 "nnny", NULL  },
};

/* Who is let in gets an answer about the request, or a query or a tenant is asked for. */
static void check_entry(size_t at, size_t who, bool named, const char *key)
{
	struct exchange *exchange = request(expected[at].method, "");
	bool in = (named ? expected[at].named : expected[at].own)[who] == 'y';

	snprintf(exchange->path, sizeof(exchange->path), API_PREFIX "%s%s",
		 named ? "/tenants/acme" : "", expected[at].path);
	exchange->tenant = named || strstr(expected[at].path, "{tenant}") != NULL ? "acme" : NULL;
	exchange->key = key;
	ask(as(exchange, who));
	if (key == NULL)
		check_problem(exchange, 401, "unauthenticated");
	else if (!in)
		check_problem(exchange, 403, "forbidden");
	else if (exchange->status == 401 || exchange->status == 403 ||
		 (exchange->status == 0 && exchange->n_queries == 0 && !exchange->loads_tenant))
		fail_msg("%s %s is not let in as %zu: %d %s", exchange->method, exchange->path, who,
			 exchange->status, exchange->answer);
	if (key == NULL || !in)
		assert_int_equal(exchange->n_queries, 0);
	end(exchange);
}

static void each_route_lets_in_whom_its_row_names(void **state)
{
	(void)state;
	assert_int_equal(api_n_routes, COUNT(expected));
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_string_equal(api_routes[i].method, expected[i].method);
		assert_string_equal(api_routes[i].pattern + strlen(API_PREFIX), expected[i].path);
		assert_int_equal(api_routes[i].named_pattern != NULL, expected[i].named != NULL);
		for (size_t who = 0; who < 4; who++) {
			check_entry(i, who, false, "Bearer tgk_x");
			if (expected[i].named != NULL)
				check_entry(i, who, true, "Bearer tgk_x");
		}
		check_entry(i, 3, false, NULL);
	}
}

static void a_host_or_an_origin_that_is_not_served_is_refused_before_the_key(void **state)
{
	struct exchange *exchange = request("GET", "/users");

	(void)state;
	exchange->host = "evil.example.com";
	exchange->key = NULL;
	ask(exchange);
	check_problem(exchange, 403, "forbidden");
	end(exchange);

	exchange = request("GET", "/users");
	exchange->origin = "https://evil.example.com";
	ask(exchange);
	check_problem(exchange, 403, "forbidden");
	end(exchange);
}

static void a_key_that_is_missing_or_wrong_is_asked_for(void **state)
{
	struct exchange *exchange = request("GET", "/users");

	(void)state;
	exchange->key = NULL;
	ask(exchange);
	check_problem(exchange, 401, "unauthenticated");
	assert_string_equal(exchange->authenticate, "Bearer");
	end(exchange);

	exchange = request("GET", "/users");
	exchange->found = IDENTITY_REFUSED;
	ask(exchange);
	check_problem(exchange, 401, "unauthenticated");
	assert_string_equal(exchange->authenticate, "Bearer error=\"invalid_token\"");
	end(exchange);

	exchange = request("GET", "/users");
	exchange->x_api_key = "tgk_other";
	ask(exchange);
	check_problem(exchange, 400, "bad_request");
	end(exchange);
}

static void a_key_that_is_not_known_yet_is_looked_up(void **state)
{
	struct exchange *exchange = request("GET", "/users");
	struct principal *principal;
	struct err err;

	(void)state;
	exchange->found = IDENTITY_UNKNOWN;
	ask(exchange);
	assert_int_equal(exchange->status, 0);
	principal = new_principal(exchange);
	*exchange->identity_slot = NULL;
	exchange->identified(exchange->identity_ctx, principal, NULL);
	principal_unref(&principal);
	assert_int_equal(exchange->n_queries, 1);
	end(exchange);

	exchange = request("GET", "/users");
	exchange->found = IDENTITY_UNKNOWN;
	ask(exchange);
	err_set(&err, ERR_UNAVAILABLE, "details");
	*exchange->identity_slot = NULL;
	exchange->identified(exchange->identity_ctx, NULL, &err);
	check_problem(exchange, 503, "unavailable");
	assert_string_equal(exchange->retry_after, "1");
	assert_null(strstr(exchange->answer, "details"));
	end(exchange);
}

/* --- whose things ------------------------------------------------------------------------------
 */

static void a_tenant_in_the_path_is_found_by_name_and_entered(void **state)
{
	struct exchange *exchange = request("GET", "/tenants/acme/users");

	(void)state;
	exchange->tenant = "acme";
	ask(as(exchange, 3));
	assert_non_null(strstr(exchange->sql, "tollgate.find_tenant($1)"));
	assert_string_equal(exchange->params[0], "acme");
	answer_rows(1);
	assert_int_equal(exchange->n_queries, 2);
	assert_string_equal(exchange->setting, "app.tenant=" OTHER_TENANT);
	end(exchange);

	exchange = request("GET", "/tenants/acme/users");
	exchange->tenant = "acme";
	ask(as(exchange, 3));
	answer_rows(0);
	check_problem(exchange, 404, "not_found");
	end(exchange);
}

static void without_one_it_is_the_tenant_of_the_key(void **state)
{
	struct exchange *exchange = request("GET", "/users");

	(void)state;
	ask(as(exchange, 3));
	assert_string_equal(exchange->setting, "app.tenant=" OWN_TENANT);
	end(exchange);
}

/* --- what Postgres says -------------------------------------------------------------------------
 */

static void a_failing_database_is_said_without_details(void **state)
{
	static const struct {
		enum err_code code;
		const char *tag;
		int status;
		const char *name;
		const char *says;
	} failures[] = {
		{ERR_CONFLICT,	"23505", 409, "conflict",	  "there is a user named ben already"},
		{ ERR_INTERNAL,	"23503", 409, "conflict",	  "just been deleted"		      },
		{ ERR_UNAVAILABLE, "",      503, "unavailable", "the database cannot be used now"  },
		{ ERR_TIMEOUT,     "57014", 503, "unavailable", "the database cannot be used now"  },
		{ ERR_TIMEOUT,     "sent",  503, "unavailable", "this may be done later or not"	   },
		{ ERR_INTERNAL,	"42601", 500, "internal",	  "the log of the gateway says why"  },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(failures); i++) {
		struct exchange *exchange = request("POST", "/users");

		exchange->content_type = "application/json";
		exchange->body = "{\"name\":\"ben\"}";
		ask(exchange);
		answer_failure(failures[i].code, failures[i].tag);
		check_problem(exchange, failures[i].status, failures[i].name);
		assert_non_null(strstr(exchange->answer, failures[i].says));
		assert_null(strstr(exchange->answer, "details"));
		end(exchange);
	}
}

static void what_was_only_to_be_read_can_be_asked_for_again(void **state)
{
	struct exchange *exchange = request("GET", "/users");

	(void)state;
	ask(exchange);
	answer_failure(ERR_TIMEOUT, "sent");
	check_problem(exchange, 503, "unavailable");
	assert_non_null(strstr(exchange->answer, "the database cannot be used now"));
	end(exchange);
}

static void what_is_made_is_answered_with_its_version(void **state)
{
	struct exchange *exchange = request("POST", "/users");

	(void)state;
	exchange->content_type = "application/json";
	exchange->body = "{\"name\":\"user-0\"}";
	ask(exchange);
	answer_rows(1);
	assert_int_equal(exchange->status, 201);
	assert_string_equal(exchange->etag, "\"3\"");
	assert_string_equal(exchange->answer,
			    "{\"id\":\"" ROW_ID "\",\"name\":\"user-0\",\"email\":null,"
			    "\"role\":\"user\",\"enabled\":true,\"version\":3,"
			    "\"created_at\":\"c\",\"updated_at\":\"u\"}");
	end(exchange);
}

static void a_client_that_leaves_cancels_what_runs(void **state)
{
	struct exchange *exchange = request("GET", "/users");

	(void)state;
	ask(exchange);
	assert_int_equal(exchange->n_queries, 1);
	exchange->gone(exchange->gone_ctx);
	exchange->gone = NULL;
	assert_int_equal(exchange->n_cancelled, 1);
	end(exchange);

	exchange = request("GET", "/users");
	exchange->found = IDENTITY_UNKNOWN;
	ask(exchange);
	exchange->gone(exchange->gone_ctx);
	exchange->gone = NULL;
	assert_int_equal(exchange->n_cancelled, 1);
	end(exchange);

	exchange = request("GET", "/tools");
	ask(exchange);
	exchange->gone(exchange->gone_ctx);
	exchange->gone = NULL;
	assert_int_equal(exchange->n_cancelled, 1);
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_route_lets_in_whom_its_row_names),
		cmocka_unit_test(a_host_or_an_origin_that_is_not_served_is_refused_before_the_key),
		cmocka_unit_test(a_key_that_is_missing_or_wrong_is_asked_for),
		cmocka_unit_test(a_key_that_is_not_known_yet_is_looked_up),
		cmocka_unit_test(a_tenant_in_the_path_is_found_by_name_and_entered),
		cmocka_unit_test(without_one_it_is_the_tenant_of_the_key),
		cmocka_unit_test(a_failing_database_is_said_without_details),
		cmocka_unit_test(what_was_only_to_be_read_can_be_asked_for_again),
		cmocka_unit_test(what_is_made_is_answered_with_its_version),
		cmocka_unit_test(a_client_that_leaves_cancels_what_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
