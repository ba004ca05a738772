/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api.h"

#include "tests/unit/gateway/http/api_fixture.h"

#define WANTS_REFRESH "UPDATE tollgate.connection_status SET refresh_wanted"

/* A tenant with one connection of auth mode oauth. */
struct acme {
	struct tenant tenant;
	struct connection connection;
	struct connection_oauth oauth;
};

static char client_secret[] = "hush";

static void make_acme(struct acme *acme)
{
	struct err err;

	memset(acme, 0, sizeof(*acme));
	acme->tenant.refs = 1;
	acme->tenant.id = OWN_TENANT;
	acme->tenant.name = "acme";
	acme->connection.id = ROW_ID;
	acme->connection.name = "crm";
	acme->connection.url = "https://crm.example.com/mcp";
	acme->connection.auth_mode = AUTH_OAUTH;
	acme->oauth.per_user = true;
	acme->oauth.resource = true;
	acme->oauth.token_url = "https://as.example.com/t";
	acme->oauth.client_id = "gate";
	acme->oauth.client_auth = OAUTH_AUTH_POST;
	acme->oauth.client_secret.reveal = client_secret;
	acme->oauth.client_secret.n = sizeof(client_secret) - 1;
	acme->connection.oauth = &acme->oauth;
	acme->tenant.connections = &acme->connection;
	acme->tenant.n_connections = 1;
	acme->tenant.egress = egress_policy_new(NULL, 0, false, &err);
}

static void give(struct acme *acme)
{
	assert_true(the_exchange->loads_tenant);
	*the_exchange->loading_slot = NULL;
	the_exchange->loaded(the_exchange->loaded_ctx, &acme->tenant, NULL);
}

static void unmake(struct acme *acme)
{
	assert_int_equal(acme->tenant.refs, 1);
	egress_policy_unref(&acme->tenant.egress);
}

static int set_up(void **state)
{
	(void)state;
	memset(&granting, 0, sizeof(granting));
	return 0;
}

/* who: of api_fixture.h. */
static struct exchange *post(const char *what, const char *body, size_t who)
{
	struct exchange *exchange = as(request("POST", what), who);

	exchange->content_type = "application/json";
	exchange->body = body;
	ask(exchange);
	return exchange;
}

static void *slot_of(void)
{
	void *slot = granting.slot;

	assert_non_null(slot);
	*(void **)slot = NULL;
	return granting.ctx;
}

static void renew(enum access_state state, const char *why, const struct err *err)
{
	const struct access_token token = { "Bearer x", 1, 0, NULL };
	void *ctx = slot_of();

	granting.renewed(ctx, state, state == ACCESS_READY && err == NULL ? &token : NULL, why,
			 err);
}

static const struct fake_column connected[] = {
	{"is_oauth",	      "t"			  },
	{ "oauth_grant",	 "authorization_code"      },
	{ "oauth_per",	       "user"		      },
	{ "oauth_state",	 "connected"		     },
	{ "token_url",	       "https://as.example.com/t"},
	{ "scope",		   "a"		       },
	{ "token_acquired",	    "t"			},
	{ "has_refresh_token",  NULL			    },
	{ "needs_reauth",	  NULL		       },
	{ "account",	     NULL			  },
	{ "authenticated_by",   "ana"			    },
	{ "oauth_error",	 NULL		      },
	{ "last_revocation",    NULL			  },
	{ "expires_at",		NULL			     },
	{ "refresh_expires_at", NULL			     },
	{ "last_refreshed_at",  NULL			    },
	{ "authenticated_at",   "then"		     },
	{ "end_reason",		NULL			     },
	{ "end_at",		    NULL			 },
	{ "end_host",	      NULL			   },
	{ "counts",		    "{\"connected\":1}"	},
};

static void answer_grant(void)
{
	the_exchange->columns = connected;
	the_exchange->n_columns = COUNT(connected);
	answer_rows(1);
}

/* --- connect --------------------------------------------------------------------------------- */

static void a_link_is_asked_for_and_given(void **state)
{
	static const struct connect_link link = { SOME_ID, "https://gate/connect/x", 1795867260 };
	struct exchange *exchange = post("/connections/crm/connect", NULL, 1);
	struct acme acme;

	(void)state;
	make_acme(&acme);
	give(&acme);
	assert_ptr_equal(granting.connection, &acme.connection);
	granting.linked(slot_of(), &link, NULL);
	assert_int_equal(exchange->status, 201);
	assert_string_equal(exchange->answer,
			    "{\"attempt\":\"" SOME_ID "\",\"url\":\"https://gate/connect/x\","
			    "\"expires_at\":\"2026-11-28T12:01:00.000000Z\"}");
	end(exchange);
	unmake(&acme);
}

static void what_is_tried_out_is_what_is_connected(void **state)
{
	struct exchange *exchange = post("/connections/crm/connect", NULL, 1);
	struct connection trial;
	struct acme acme;

	(void)state;
	make_acme(&acme);
	trial = acme.connection;
	acme.connection.auth_mode = AUTH_NONE;
	acme.connection.trial = &trial;
	give(&acme);
	assert_ptr_equal(granting.connection, &trial);
	end(exchange);
	assert_int_equal(granting.n_cancelled, 1);
	unmake(&acme);
}

static void a_refusal_to_connect_is_passed_on(void **state)
{
	struct exchange *exchange = post("/connections/crm/connect", NULL, 1);
	struct acme acme;
	struct err err;

	(void)state;
	make_acme(&acme);
	give(&acme);
	err_set(&err, ERR_FORBIDDEN, "no administrator");
	granting.linked(slot_of(), NULL, &err);
	check_problem(exchange, 403, "forbidden");
	end(exchange);
	unmake(&acme);
}

static void what_has_no_accounts_is_said(void **state)
{
	static const char *const actions[] = { "connect", "oauth/ingest", "oauth/reacquire",
					       "oauth/disconnect" };

	(void)state;
	for (size_t i = 0; i < COUNT(actions); i++) {
		for (int kind = 0; kind < 3; kind++) {
			char path[64];
			struct exchange *exchange;
			struct acme acme;

			snprintf(path, sizeof(path), "/connections/crm/%s", actions[i]);
			exchange = post(path, i == 1 ? "{\"access_token\":\"t\"}" : NULL, 1);
			make_acme(&acme);
			if (kind == 0)
				acme.connection.auth_mode = AUTH_BEARER;
			else if (kind == 1)
				acme.connection.invalid = "why not";
			else
				acme.connection.name = "other";
			give(&acme);
			check_problem(exchange, kind < 2 ? 409 : 404,
				      kind < 2 ? "conflict" : "not_found");
			assert_null(granting.slot);
			end(exchange);
			unmake(&acme);
		}
	}
}

/* --- ingest ---------------------------------------------------------------------------------- */

static void a_token_is_stored_with_the_clients_settings(void **state)
{
	struct exchange *exchange =
		post("/connections/crm/oauth/ingest",
		     "{\"access_token\":\"at\",\"refresh_token\":\"rt\",\"expires_in\":60,"
		     "\"scope\":\"a\"}",
		     1);
	struct acme acme;

	(void)state;
	make_acme(&acme);
	give(&acme);
	assert_string_equal(granting.key.tenant_id, OWN_TENANT);
	assert_string_equal(granting.key.connection_id, ROW_ID);
	assert_string_equal(granting.key.subject, "user:" ANA);
	assert_string_equal(granting.actor, "user:ana");
	assert_int_equal(granting.grant.kind, GRANT_INGESTED);
	assert_int_equal(granting.grant.state, GRANT_ACTIVE);
	assert_string_equal(granting.grant.access_token.reveal, "at");
	assert_string_equal(granting.grant.refresh_token.reveal, "rt");
	assert_string_equal(granting.grant.client_secret.reveal, "hush");
	assert_string_equal(granting.grant.token_url, "https://as.example.com/t");
	assert_string_equal(granting.grant.client_id, "gate");
	assert_string_equal(granting.grant.resource, "https://crm.example.com/mcp");
	assert_string_equal(granting.grant.authenticated_by, "ana");
	assert_int_equal(granting.grant.expires_at - granting.grant.authenticated_at, 60);
	granting.put_done(slot_of(), NULL);
	assert_memory_equal(exchange->sql, WANTS_REFRESH, strlen(WANTS_REFRESH));
	answer_rows(1);
	assert_string_equal(exchange->params[1], "user:" ANA);
	answer_grant();
	assert_int_equal(exchange->status, 200);
	assert_non_null(strstr(exchange->answer, "\"state\":\"connected\""));
	assert_non_null(strstr(exchange->answer, "\"accounts\":null"));
	assert_null(strstr(exchange->answer, "hush"));
	end(exchange);
	unmake(&acme);
}

static void a_token_for_all_is_an_administrators_to_give(void **state)
{
	(void)state;
	for (size_t who = 0; who < 3; who++) {
		struct exchange *exchange =
			post("/connections/crm/oauth/ingest", "{\"access_token\":\"at\"}", who);
		struct acme acme;

		make_acme(&acme);
		acme.oauth.per_user = false;
		memset(&granting, 0, sizeof(granting));
		give(&acme);
		if (who < 2) {
			check_problem(exchange, 403, "forbidden");
			assert_null(granting.slot);
		} else {
			assert_string_equal(granting.key.subject, "");
			assert_string_equal(granting.actor, "key:key");
		}
		end(exchange);
		unmake(&acme);
	}
}

static void a_service_has_no_account_of_its_own(void **state)
{
	struct exchange *exchange =
		post("/connections/crm/oauth/ingest", "{\"access_token\":\"at\"}", 2);
	struct acme acme;

	(void)state;
	make_acme(&acme);
	give(&acme);
	check_problem(exchange, 403, "forbidden");
	end(exchange);
	unmake(&acme);
}

static void tokens_of_client_credentials_are_not_given(void **state)
{
	struct exchange *exchange =
		post("/connections/crm/oauth/ingest", "{\"access_token\":\"at\"}", 2);
	struct acme acme;

	(void)state;
	make_acme(&acme);
	acme.oauth.grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
	acme.oauth.per_user = false;
	give(&acme);
	check_problem(exchange, 409, "conflict");
	assert_null(granting.slot);
	end(exchange);
	unmake(&acme);
}

static void a_token_that_cannot_be_stored_is_said(void **state)
{
	struct exchange *exchange =
		post("/connections/crm/oauth/ingest", "{\"access_token\":\"at\"}", 1);
	struct acme acme;
	struct err err;

	(void)state;
	make_acme(&acme);
	give(&acme);
	err_set(&err, ERR_UNAVAILABLE, "the database cannot be used now");
	granting.put_done(slot_of(), &err);
	check_problem(exchange, 503, "unavailable");
	assert_int_equal(exchange->n_queries, 0);
	end(exchange);
	unmake(&acme);
}

/* --- reacquire ------------------------------------------------------------------------------- */

static struct exchange *reacquire(struct acme *acme)
{
	struct exchange *exchange = post("/connections/crm/oauth/reacquire", NULL, 1);

	make_acme(acme);
	give(acme);
	return exchange;
}

static void what_was_renewed_is_shown(void **state)
{
	struct acme acme;
	struct exchange *exchange = reacquire(&acme);

	(void)state;
	assert_string_equal(granting.key.subject, "user:" ANA);
	assert_string_equal(granting.actor, "user:ana");
	renew(ACCESS_READY, NULL, NULL);
	assert_memory_equal(exchange->sql, WANTS_REFRESH, strlen(WANTS_REFRESH));
	answer_rows(1);
	answer_grant();
	assert_int_equal(exchange->status, 200);
	end(exchange);
	unmake(&acme);
}

static void what_only_a_human_can_renew_is_a_conflict(void **state)
{
	static const char *const whys[] = { NULL, "it was revoked" };

	(void)state;
	for (size_t i = 0; i < COUNT(whys); i++) {
		struct acme acme;
		struct exchange *exchange = reacquire(&acme);

		renew(ACCESS_NONE, whys[i], NULL);
		answer_grant();
		check_problem(exchange, 409, "conflict");
		assert_non_null(strstr(exchange->answer,
				       whys[i] != NULL ? whys[i] : "nobody has connected yet"));
		end(exchange);
		unmake(&acme);
	}
}

static void a_server_that_fails_is_told_from_a_database_that_does(void **state)
{
	static const struct fake_column failing[] = {
		{"oauth_error", "HTTP 500"}
	};
	static const struct fake_column well[] = {
		{"oauth_error", NULL}
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct acme acme;
		struct exchange *exchange = reacquire(&acme);
		struct err err;

		err_set(&err, ERR_UNAVAILABLE, "later");
		renew(ACCESS_READY, NULL, i < 2 ? &err : NULL);
		if (i == 2)
			answer_rows(1);
		exchange->columns = i == 1 ? well : failing;
		exchange->n_columns = 1;
		answer_rows(1);
		check_problem(exchange, i == 1 ? 503 : 502,
			      i == 1 ? "unavailable" : "upstream_error");
		end(exchange);
		unmake(&acme);
	}
}

static void client_credentials_are_asked_for_anew(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct exchange *exchange = post("/connections/crm/oauth/reacquire", "{}", 2);
		struct acme acme;
		struct err err;

		make_acme(&acme);
		acme.oauth.grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
		acme.oauth.per_user = false;
		give(&acme);
		assert_true(granting.now);
		assert_ptr_equal(granting.connection, &acme.connection);
		assert_string_equal(granting.actor, "key:key");
		if (i == 0) {
			granting.acquired(slot_of(), NULL);
			answer_rows(1);
			answer_grant();
			assert_int_equal(exchange->status, 200);
			assert_non_null(strstr(exchange->answer, "\"accounts\":{\"connected\":1}"));
		} else {
			err_set(&err, ERR_UNAUTHENTICATED, "invalid_client");
			granting.acquired(slot_of(), &err);
			answer_grant();
			check_problem(exchange, 502, "upstream_error");
		}
		end(exchange);
		unmake(&acme);
	}
}

/* --- disconnect ------------------------------------------------------------------------------ */

static void what_came_of_the_revocation_is_said(void **state)
{
	static const struct {
		const char *revocation;
		const char *answer;
	} rows[] = {
		{"revoked",
		  "{\"connection\":\"crm\",\"revocation\":\"revoked\",\"revoked\":true}"			 },
		{ "none",		  "{\"connection\":\"crm\",\"revocation\":\"none\",\"revoked\":false}"},
		{ "failed: HTTP 500", "{\"connection\":\"crm\",\"revocation\":\"failed: HTTP "
				      "500\",\"revoked\":false}"	 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct exchange *exchange = post("/connections/crm/oauth/disconnect", NULL, 1);
		struct acme acme;

		make_acme(&acme);
		give(&acme);
		assert_string_equal(granting.key.subject, "user:" ANA);
		granting.disconnected(slot_of(), rows[i].revocation, NULL);
		assert_memory_equal(exchange->sql, WANTS_REFRESH, strlen(WANTS_REFRESH));
		answer_rows(1);
		assert_int_equal(exchange->status, 200);
		assert_string_equal(exchange->answer, rows[i].answer);
		end(exchange);
		unmake(&acme);
	}
}

static void what_is_not_connected_is_not_found(void **state)
{
	struct exchange *exchange = post("/connections/crm/oauth/disconnect", NULL, 1);
	struct acme acme;
	struct err err;

	(void)state;
	make_acme(&acme);
	give(&acme);
	err_set(&err, ERR_NOT_FOUND, "there is none");
	granting.disconnected(slot_of(), NULL, &err);
	check_problem(exchange, 404, "not_found");
	end(exchange);
	unmake(&acme);
}

static void an_administrator_may_name_the_user(void **state)
{
	static const struct {
		const char *body;
		size_t who;
		bool per_user;
		size_t n_found;
		int status; /* 0: goes on */
		const char *code;
	} rows[] = {
		{"{\"user\":\"ben\"}",	2, true,	 1, 0,   NULL	    },
		{ "{\"user\":\"ben\"}",	2, true,	 0, 404, "not_found"  },
		{ "{\"user\":\"ben\"}",	1, true,	 1, 403, "forbidden"  },
		{ "{\"user\":\"ben\"}",	2, false, 1, 400, "bad_request"},
		{ "{\"user\":5}",	  2, true,  1, 400, "bad_request"},
		{ "{\"users\":\"ben\"}", 2, true,  1, 400, "bad_request"},
		{ "[]",			2, true,	 1, 400, "bad_request"},
		{ "{\"user\":null}",     1, true,  1, 0,   NULL	 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct exchange *exchange =
			post("/connections/crm/oauth/disconnect", rows[i].body, rows[i].who);
		struct acme acme;

		memset(&granting, 0, sizeof(granting));
		make_acme(&acme);
		acme.oauth.per_user = rows[i].per_user;
		if (exchange->loads_tenant)
			give(&acme);
		if (exchange->n_queries > 0) {
			assert_string_equal(exchange->params[0], "ben");
			answer_rows(rows[i].n_found);
		}
		if (exchange->status != rows[i].status)
			fail_msg("%s: %d %s", rows[i].body, exchange->status, exchange->answer);
		if (rows[i].status != 0)
			check_problem(exchange, rows[i].status, rows[i].code);
		else
			assert_string_equal(granting.key.subject,
					    rows[i].who == 2 ? "user:" ROW_ID : "user:" ANA);
		end(exchange);
		unmake(&acme);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_link_is_asked_for_and_given),
		TEST(what_is_tried_out_is_what_is_connected),
		TEST(a_refusal_to_connect_is_passed_on),
		TEST(what_has_no_accounts_is_said),
		TEST(a_token_is_stored_with_the_clients_settings),
		TEST(a_token_for_all_is_an_administrators_to_give),
		TEST(a_service_has_no_account_of_its_own),
		TEST(tokens_of_client_credentials_are_not_given),
		TEST(a_token_that_cannot_be_stored_is_said),
		TEST(what_was_renewed_is_shown),
		TEST(what_only_a_human_can_renew_is_a_conflict),
		TEST(a_server_that_fails_is_told_from_a_database_that_does),
		TEST(client_credentials_are_asked_for_anew),
		TEST(what_came_of_the_revocation_is_said),
		TEST(what_is_not_connected_is_not_found),
		TEST(an_administrator_may_name_the_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
