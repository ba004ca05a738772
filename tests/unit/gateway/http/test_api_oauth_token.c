/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_oauth_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW	     1000

static char client_secret[] = "hush";
static const struct connection_oauth own = {
	.issuer = "https://as.example.com",
	.token_url = "https://as.example.com/t",
	.revocation_url = "https://as.example.com/r",
	.client_id = "gate",
	.client_auth = OAUTH_AUTH_POST,
	.client_secret = {client_secret, 4},
	.audience = "aud",
	.resource = true,
};
static const struct connection_oauth found = { .resource = false };

struct parsed {
	json_t *body;
	struct egress_policy *egress;
	struct connection connection;
	struct grant out;
	struct api_fault fault;
	int ret;
};

static void parse(struct parsed *parsed, const char *text, const struct connection_oauth *oauth)
{
	struct oauth_token_params params;
	struct err err;

	parsed->body = json_parse(span_of(text), &err);
	assert_non_null(parsed->body);
	parsed->egress = egress_policy_new(NULL, 0, false, &err);
	parsed->connection = (struct connection){ .url = "https://crm.example.com/mcp",
						  .auth_mode = AUTH_OAUTH,
						  .oauth = oauth };
	params = (struct oauth_token_params){ .body = parsed->body,
					      .connection = &parsed->connection,
					      .egress = parsed->egress,
					      .now_s = NOW };
	parsed->ret = oauth_token_parse(&params, &parsed->out, &parsed->fault);
}

static void parsed_free(struct parsed *parsed)
{
	json_decref(parsed->body);
	egress_policy_unref(&parsed->egress);
}

static void what_the_body_leaves_out_is_the_connections(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed,
	      "{\"access_token\":\"at\",\"refresh_token\":\"rt\",\"token_type\":\"bearer\","
	      "\"expires_in\":60,\"refresh_expires_in\":600,\"scope\":\"a b\",\"account\":\"me\"}",
	      &own);
	assert_int_equal(parsed.ret, 0);
	assert_int_equal(parsed.out.kind, GRANT_INGESTED);
	assert_string_equal(parsed.out.access_token.reveal, "at");
	assert_int_equal(parsed.out.access_token.n, 2);
	assert_string_equal(parsed.out.refresh_token.reveal, "rt");
	assert_int_equal(parsed.out.expires_at, NOW + 60);
	assert_int_equal(parsed.out.refresh_expires_at, NOW + 600);
	assert_string_equal(parsed.out.scope, "a b");
	assert_string_equal(parsed.out.account, "me");
	assert_string_equal(parsed.out.issuer, own.issuer);
	assert_string_equal(parsed.out.token_url, own.token_url);
	assert_string_equal(parsed.out.revocation_url, own.revocation_url);
	assert_string_equal(parsed.out.client_id, "gate");
	assert_string_equal(parsed.out.client_auth, "post");
	assert_string_equal(parsed.out.client_secret.reveal, "hush");
	assert_string_equal(parsed.out.audience, "aud");
	assert_string_equal(parsed.out.resource, "https://crm.example.com/mcp");
	parsed_free(&parsed);
}

static void a_token_alone_is_good_until_it_is_refused(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed, "{\"access_token\":\"at\",\"expires_in\":null}", &found);
	assert_int_equal(parsed.ret, 0);
	assert_int_equal(parsed.out.expires_at, 0);
	assert_null(parsed.out.refresh_token.reveal);
	assert_null(parsed.out.token_url);
	assert_null(parsed.out.resource);
	assert_string_equal(parsed.out.client_auth, "none");
	parsed_free(&parsed);
}

/* Each of these alone makes it another server, to which the connection's secret does not go. */
static void a_server_that_the_body_names_gets_nothing_of_the_connections(void **state)
{
	static const char *const bodies[] = {
		"{\"access_token\":\"at\",\"token_url\":\"https://evil.example.com/t\"}",
		"{\"access_token\":\"at\",\"issuer\":\"https://evil.example.com\"}",
		"{\"access_token\":\"at\",\"revocation_url\":\"https://evil.example.com/r\"}",
		"{\"access_token\":\"at\",\"client_id\":\"mine\"}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct parsed parsed;

		parse(&parsed, bodies[i], &own);
		assert_int_equal(parsed.ret, 0);
		assert_null(parsed.out.client_secret.reveal);
		assert_string_equal(parsed.out.client_auth, "none");
		if (i > 0)
			assert_null(parsed.out.token_url);
		parsed_free(&parsed);
	}
}

static void a_body_may_bring_a_client_of_its_own(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed,
	      "{\"access_token\":\"at\",\"refresh_token\":\"rt\",\"client_id\":\"mine\","
	      "\"client_secret\":\"own\",\"token_url\":\"https://x.example.com/t\"}",
	      &own);
	assert_int_equal(parsed.ret, 0);
	assert_string_equal(parsed.out.client_id, "mine");
	assert_string_equal(parsed.out.client_secret.reveal, "own");
	assert_string_equal(parsed.out.client_auth, "basic");
	assert_string_equal(parsed.out.token_url, "https://x.example.com/t");
	parsed_free(&parsed);
}

static void what_is_wrong_is_refused_with_its_place_and_a_sentence(void **state)
{
	static const struct {
		const char *body;
		const char *pointer;
		const char *says;
	} rows[] = {
		{"{}",									      "/access_token",	 "access_token is required"		    },
		{ "{\"access_token\":\"\"}",							"/access_token",  "access_token must be a token"	     },
		{ "{\"access_token\":\"a b\"}",						     "/access_token",	 "access_token must be a token"		},
		{ "{\"access_token\":\"a\\r\\nX: y\"}",						"/access_token",
		  "access_token must be a token"														 },
		{ "{\"access_token\":\"\\u00e4\"}",						    "/access_token",
		  "access_token must be a token"														 },
		{ "{\"access_token\":\"a\",\"refresh_token\":\"b\\n\"}",				 "/refresh_token",
		  "refresh_token must be a token"														},
		{ "{\"access_token\":\"a\",\"refresh_token\":\"b\"}",				      "/token_url",
		  "token_url is required with refresh_token"												     },
		{ "{\"access_token\":\"a\",\"refresh_token\":\"b\",\"token_url\":\"https://"
		  "x.example.com\"}",					      "/client_id",	"client_id is required with refresh_token"},
		{ "{\"access_token\":\"a\",\"token_type\":\"DPoP\"}",				      "/token_type",
		  "token_type must be \"Bearer\""														},
		{ "{\"access_token\":\"a\",\"expires_in\":0}",				       "/expires_in",
		  "expires_in must be a number of seconds, 1 to"												 },
		{ "{\"access_token\":\"a\",\"expires_in\":1.5}",					 "/expires_in",
		  "expires_in must be a number of seconds, 1 to"												 },
		{ "{\"access_token\":\"a\",\"expires_in\":999999999999}",				  "/expires_in",
		  "expires_in must be a number of seconds, 1 to"												 },
		{ "{\"access_token\":\"a\",\"expires_in\":\"60\"}",				    "/expires_in",
		  "expires_in must be a number of seconds or null"											       },
		{ "{\"access_token\":\"a\",\"token_url\":\"http://x.example.com\"}",		     "/token_url",
		  "token_url: URL must begin with https://"												      },
		{ "{\"access_token\":\"a\",\"token_url\":\"https://10.0.0.1/\"}",			  "/token_url",
		  "token_url: "																  },
		{ "{\"access_token\":\"a\",\"revocation_url\":\"https://[::1]/\"}",
		  "/revocation_url",										   "revocation_url: "			},
		{ "{\"access_token\":\"a\",\"issuer\":\"nonsense\"}",				      "/issuer",	 "issuer: "				    },
		{ "{\"access_token\":\"a\",\"client_secret\":\"s\"}",				      "/client_id",
		  "client_id is required with client_secret"												     },
		{ "{\"access_token\":\"a\",\"client_id\":\"c\",\"token_endpoint_auth\":\"basic\"}",
		  "/client_secret",										    "client_secret goes with"		      },
		{ "{\"access_token\":\"a\",\"client_id\":\"c\",\"client_secret\":\"s\",\"token_"
		  "endpoint_auth\":\"none\"}",				     "/client_secret", "client_secret goes with"		      },
		{ "{\"access_token\":\"a\",\"token_endpoint_auth\":\"magic\"}",
		  "/token_endpoint_auth",									      "token_endpoint_auth: "			  },
		{ "{\"access_token\":\"a\",\"id_token\":\"x\"}",					 "/id_token",
		  "id_token is not a member of a token"													  },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct parsed parsed;

		parse(&parsed, rows[i].body, &found);
		if (parsed.ret == 0)
			fail_msg("accepted: %s", rows[i].body);
		if (strcmp(parsed.fault.pointer, rows[i].pointer) != 0 ||
		    strncmp(parsed.fault.err.text, rows[i].says, strlen(rows[i].says)) != 0)
			fail_msg("%s: %s %s", rows[i].body, parsed.fault.pointer,
				 parsed.fault.err.text);
		parsed_free(&parsed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_body_leaves_out_is_the_connections),
		cmocka_unit_test(a_token_alone_is_good_until_it_is_refused),
		cmocka_unit_test(a_server_that_the_body_names_gets_nothing_of_the_connections),
		cmocka_unit_test(a_body_may_bring_a_client_of_its_own),
		cmocka_unit_test(what_is_wrong_is_refused_with_its_place_and_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
