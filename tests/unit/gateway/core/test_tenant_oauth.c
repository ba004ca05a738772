/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/tenant_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OAUTH_WORDS                                                                                \
	"\"grant\":\"authorization_code\",\"per\":\"user\",\"token_endpoint_auth\":\"basic\""

static char secret[] = "s3cret";

static void settings_are_read_as_they_are(void **state)
{
	struct connection_oauth oauth = {
		.client_secret = {secret, 6}
	};
	struct arena *arena = arena_new();
	struct err err;

	(void)state;
	assert_int_equal(
		tenant_parse_oauth(
			arena,
			"{\"grant\":\"authorization_code\",\"per\":\"shared\","
			"\"issuer\":\"https://as.example.com/\","
			"\"authorization_url\":\"https://as.example.com/a\","
			"\"token_url\":\"https://as.example.com/t\","
			"\"revocation_url\":\"https://as.example.com/r\",\"client_id\":\"me\","
			"\"token_endpoint_auth\":\"post\",\"scope\":\"a  b\",\"audience\":\"x\","
			"\"resource\":false,\"authorize_params\":{\"prompt\":\"consent\",\"a\":"
			"\"\"}}",
			&oauth, &err),
		0);
	assert_int_equal(oauth.grant, OAUTH_GRANT_AUTHORIZATION_CODE);
	assert_false(oauth.per_user);
	assert_string_equal(oauth.issuer, "https://as.example.com/");
	assert_string_equal(oauth.authorization_url, "https://as.example.com/a");
	assert_string_equal(oauth.token_url, "https://as.example.com/t");
	assert_string_equal(oauth.revocation_url, "https://as.example.com/r");
	assert_string_equal(oauth.client_id, "me");
	assert_string_equal(oauth.client_secret.reveal, "s3cret");
	assert_int_equal(oauth.client_auth, OAUTH_AUTH_POST);
	assert_string_equal(oauth.scope, "a  b");
	assert_string_equal(oauth.audience, "x");
	assert_false(oauth.resource);
	assert_int_equal(oauth.n_authorize_params, 2);
	assert_string_equal(oauth.authorize_params[0].name, "prompt");
	assert_string_equal(oauth.authorize_params[1].name, "a");
	assert_string_equal(oauth.authorize_params[1].value, "");
	arena_free(&arena);
}

static void what_is_null_or_empty_is_found_out(void **state)
{
	struct connection_oauth oauth = { 0 };
	struct arena *arena = arena_new();
	struct err err;

	(void)state;
	assert_int_equal(tenant_parse_oauth(arena,
					    "{" OAUTH_WORDS ",\"issuer\":null,\"scope\":\"\","
					    "\"resource\":true}",
					    &oauth, &err),
			 0);
	assert_true(oauth.per_user);
	assert_true(oauth.resource);
	assert_null(oauth.issuer);
	assert_null(oauth.scope);
	assert_int_equal(oauth.n_authorize_params, 0);
	arena_free(&arena);
}

static void what_cannot_be_used_is_said(void **state)
{
	static const struct {
		const char *oauth;
		const char *why;
	} rows[] = {
		{"{\"grant\":\"password\",\"per\":\"user\",\"token_endpoint_auth\":\"basic\"}",
		  "the grant is not known"														},
		{ "{\"grant\":\"authorization_code\",\"per\":\"all\",\"token_endpoint_auth\":"
		  "\"basic\"}",						"per is neither user nor shared"			   },
		{ "{\"grant\":\"authorization_code\",\"per\":\"user\",\"token_endpoint_auth\":"
		  "\"digest\"}",					       "client authentication is none, basic, basic_raw, post or "
		  "private_key_jwt"								     },
		{ "{\"grant\":\"client_credentials\",\"per\":\"user\",\"client_id\":\"x\","
		  "\"token_endpoint_auth\":\"none\"}",			 "client_credentials wants a client_id and a shared grant"},
		{ "{\"grant\":\"client_credentials\",\"per\":\"shared\","
		  "\"token_endpoint_auth\":\"none\"}",			 "client_credentials wants a client_id and a shared grant"},
		{ "{" OAUTH_WORDS ",\"client_id\":\"x\"}",					   "the client secret is missing"				  },
		{ "{" OAUTH_WORDS ",\"token_url\":\"https://x/\"}",
		  "of token_url and authorization_url one is missing"										     },
		{ "{" OAUTH_WORDS ",\"authorization_url\":\"https://x/\"}",
		  "of token_url and authorization_url one is missing"										     },
		{ "{" OAUTH_WORDS ",\"revocation_url\":\"http://as.example.com/\"}",
		  "revocation_url: URL must begin with https://"											  },
		{ "{" OAUTH_WORDS ",\"issuer\":\"https://as.example.com/?x\"}",
		  "issuer: URL must not have a query"												     },
		{ "{" OAUTH_WORDS ",\"authorize_params\":[]}",				       "authorize_params is no object"			       },
		{ "{" OAUTH_WORDS ",\"authorize_params\":{\"a\":1}}",
		  "one of authorize_params is no text"												    },
		{ "{" OAUTH_WORDS ",\"authorize_params\":{\"state\":\"x\"}}",
		  "authorize parameter state is set by the gateway itself"										},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct connection_oauth oauth = { 0 };
		struct arena *arena = arena_new();
		struct err err;

		if (tenant_parse_oauth(arena, rows[i].oauth, &oauth, &err) == 0)
			fail_msg("accepted: %s", rows[i].oauth);
		assert_string_equal(err.text, rows[i].why);
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_read_as_they_are),
		cmocka_unit_test(what_is_null_or_empty_is_found_out),
		cmocka_unit_test(what_cannot_be_used_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
