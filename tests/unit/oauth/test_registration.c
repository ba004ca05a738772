/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/registration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/fakes/as_world.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define TEST(name)  cmocka_unit_test_setup_teardown(name, as_set_up, as_tear_down)
#define CALLBACK    "https://gw.example/oauth/callback/abc"

struct seen {
	struct as_world *as;
	struct registration_request *request; /* the slot */
	bool ok;
	char client_id[64];
	char secret[64];
	enum oauth_client_auth auth;
	int64_t secret_expires_at;
	struct err err;
};

static void on_registered(void *ctx, const struct registration *registration, const struct err *err)
{
	struct seen *seen = ctx;

	assert_null(seen->request);
	assert_true((registration == NULL) != (err == NULL));
	seen->ok = registration != NULL;
	if (registration != NULL) {
		const char *secret = registration->client_secret.reveal;

		snprintf(seen->client_id, sizeof(seen->client_id), "%s", registration->client_id);
		snprintf(seen->secret, sizeof(seen->secret), "%s",
			 secret != NULL ? secret : "none");
		seen->auth = registration->auth;
		seen->secret_expires_at = registration->secret_expires_at;
	} else {
		seen->err = *err;
	}
	as_done(seen->as);
}

static struct seen register_at(struct as_world *as, const char *url, const char *redirect_uri,
			       unsigned auth_methods)
{
	const struct registration_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.url = url,
		.redirect_uri = redirect_uri,
		.client_name = "Tollgate \"x\"",
		.scope = "a b",
		.auth_methods = auth_methods,
	};
	struct seen seen = { .as = as };

	as->dones = 0;
	registration_start(as->world->loop, &seen.request, &params, on_registered, &seen);
	assert_non_null(seen.request);
	as_wait(as, 1);
	return seen;
}

static struct seen register_with(struct as_world *as, const struct as_answer *answer,
				 unsigned auth_methods)
{
	as_play(as, answer, 1);
	return register_at(as, as_text(as, "$O/register"), CALLBACK, auth_methods);
}

static const struct as_answer with_secret = {
	201, AS_JSON,
	"{\"client_id\":\"id1\",\"client_secret\":\"s3cret\",\"client_secret_expires_at\":"
	"1800000000,\"redirect_uris\":[\"" CALLBACK "\"],\"client_name\":\"\\u00e4\"}"
};

/* What the request says of `name`; a list is joined with commas. */
static const char *said(struct as_world *as, const char *name)
{
	struct err err;
	json_t *body = json_parse(span_of(as_body(as, 0)), &err);
	json_t *value = json_object_get(body, name);
	const char *text;
	size_t i;
	json_t *item;

	assert_non_null(body);
	text = json_string_value(value);
	if (json_is_array(value)) {
		text = "";
		json_array_foreach(value, i, item) text = arena_printf(
			as->arena, "%s%s%s", text, i > 0 ? "," : "", json_string_value(item));
	} else {
		text = text != NULL ? arena_strdup(as->arena, text) : "none";
	}
	json_decref(body);
	return text;
}

static void a_request_says_all_that_a_server_wants_to_know(void **state)
{
	struct seen seen = register_with(*state, &with_secret, 0);

	assert_true(seen.ok);
	assert_string_equal(seen.client_id, "id1");
	assert_string_equal(seen.secret, "s3cret");
	assert_int_equal(seen.auth, OAUTH_AUTH_BASIC);
	assert_int_equal(seen.secret_expires_at, 1800000000);
	assert_string_equal(as_asked(*state), "POST /register\n");
	assert_string_equal(said(*state, "redirect_uris"), CALLBACK);
	assert_string_equal(said(*state, "grant_types"), "authorization_code,refresh_token");
	assert_string_equal(said(*state, "response_types"), "code");
	assert_string_equal(said(*state, "application_type"), "web");
	assert_string_equal(said(*state, "token_endpoint_auth_method"), "client_secret_basic");
	assert_string_equal(said(*state, "client_name"), "Tollgate \"x\"");
	assert_string_equal(said(*state, "scope"), "a b");
	assert_non_null(
		strcasestr(as_request(*state, 0), "\r\ncontent-type: application/json\r\n"));
}

static void a_loopback_callback_makes_a_native_client(void **state)
{
	static const struct {
		const char *redirect_uri;
		const char *type;
	} table[] = {
		{"http://127.0.0.1:8080/oauth/callback/x",  "native"},
		{ "http://localhost:8080/oauth/callback/x", "native"},
		{ "http://[::1]:8080/oauth/callback/x",	"native"},
		{ "https://localhost/oauth/callback/x",	"web"   },
		{ "https://gw.example/oauth/callback/x",	 "web"   },
		{ "http://gw.internal/oauth/callback/x",	 "web"   },
	};
	static const struct as_answer answer = { 201, AS_JSON,
						 "{\"client_id\":\"i\",\"client_secret\":\"s\"}" };
	struct as_world *as = *state;

	for (size_t i = 0; i < COUNT(table); i++) {
		as_play(as, &answer, 1);
		assert_true(register_at(as, as_text(as, "$O/r"), table[i].redirect_uri, 0).ok);
		assert_string_equal(said(as, "application_type"), table[i].type);
	}
}

static void the_best_method_that_both_speak_is_asked_for(void **state)
{
	static const struct {
		unsigned offered;
		const char *name;
		enum oauth_client_auth auth;
	} table[] = {
		{0,								  "client_secret_basic", OAUTH_AUTH_BASIC},
		{ OAUTH_AUTH_BIT(OAUTH_AUTH_NONE) | OAUTH_AUTH_BIT(OAUTH_AUTH_POST) |
			  OAUTH_AUTH_BIT(OAUTH_AUTH_BASIC),
		  "client_secret_basic",								     OAUTH_AUTH_BASIC},
		{ OAUTH_AUTH_BIT(OAUTH_AUTH_NONE) | OAUTH_AUTH_BIT(OAUTH_AUTH_POST),
		  "client_secret_post",								      OAUTH_AUTH_POST },
		{ OAUTH_AUTH_BIT(OAUTH_AUTH_NONE) | OAUTH_AUTH_OTHER,		      "none",		      OAUTH_AUTH_NONE },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct seen seen = register_with(*state, &with_secret, table[i].offered);

		assert_true(seen.ok);
		assert_int_equal(seen.auth, table[i].auth);
		assert_string_equal(said(*state, "token_endpoint_auth_method"), table[i].name);
		assert_string_equal(seen.secret,
				    table[i].auth == OAUTH_AUTH_NONE ? "none" : "s3cret");
	}
}

static void nothing_is_asked_where_no_method_would_do(void **state)
{
	struct seen seen =
		register_with(*state, &with_secret,
			      OAUTH_AUTH_OTHER | OAUTH_AUTH_BIT(OAUTH_AUTH_PRIVATE_KEY_JWT));

	assert_false(seen.ok);
	assert_int_equal(seen.err.code, ERR_UPSTREAM);
	assert_non_null(strstr(seen.err.text, "offers no client authentication"));
	assert_string_equal(as_asked(*state), "");
	seen = register_at(*state, "https://as.example/r", "javascript:alert(1)", 0);
	assert_false(seen.ok);
	assert_int_equal(seen.err.code, ERR_BAD_REQUEST);
}

struct reply_case {
	int status;
	const char *body;
	enum oauth_client_auth auth;
	const char *text; /* why it is refused; NULL: it is not */
};

static void check_reply(struct as_world *as, const struct reply_case *c)
{
	const struct as_answer answer = { c->status, AS_JSON, c->body };
	struct seen seen = register_with(as, &answer, 0);

	if (seen.ok != (c->text == NULL))
		fail_msg("%d %s: %s", c->status, c->body, seen.err.text);
	if (c->text == NULL) {
		assert_int_equal(seen.auth, c->auth);
		return;
	}
	assert_int_equal(seen.err.code, ERR_UPSTREAM);
	if (strncmp(seen.err.text, "client registration: ", 21) != 0 ||
	    strstr(seen.err.text, c->text) == NULL)
		fail_msg("%d %s: %s", c->status, c->body, seen.err.text);
	assert_null(strstr(seen.err.text, "s3cret"));
}

#define SECRET "\"client_id\":\"i\",\"client_secret\":\"s3cret\""

static void answers_are_taken_or_refused(void **state)
{
	static const struct reply_case table[] = {
		{201,  "{" SECRET "}",							      OAUTH_AUTH_BASIC, NULL						      },
		{ 200, "{" SECRET ",\"client_secret_expires_at\":0}",				      OAUTH_AUTH_BASIC, NULL						     },
		{ 201, "{" SECRET ",\"token_endpoint_auth_method\":\"client_secret_post\"}",
		  OAUTH_AUTH_POST,										     NULL					       },
		{ 201, "{\"client_id\":\"i\",\"token_endpoint_auth_method\":\"none\"}",
		  OAUTH_AUTH_NONE,										     NULL					       },
		{ 201, "{" SECRET ",\"token_endpoint_auth_method\":\"none\"}",		       OAUTH_AUTH_NONE,
		  NULL																		    },
		{ 201,
		  "{" SECRET ",\"grant_types\":[\"authorization_code\"],\"application_type\":1}",
		  OAUTH_AUTH_BASIC,										    NULL					       },
		{ 201, "",									  0,		      "no JSON"					  },
		{ 201, "<html>",								    0,		    "no JSON"					      },
		{ 201, "[]",									0,		"no JSON object"					 },
		{ 201, "{}",									0,		"no client_id"				       },
		{ 201, "{\"client_secret\":\"s3cret\"}",						 0,		    "no client_id"					   },
		{ 201, "{\"client_id\":1,\"client_secret\":\"s3cret\"}",				 0,
		  "client_id is no string"																},
		{ 201, "{\"client_id\":\"a\\u0000b\",\"client_secret\":\"s3cret\"}",		     0,
		  "may not have"																	  },
		{ 201, "{\"client_id\":\"a\\r\\nb\",\"client_secret\":\"s3cret\"}",		    0,
		  "may not have"																	  },
		{ 201, "{\"client_id\":\"i\",\"client_id\":\"j\",\"client_secret\":\"s3cret\"}",	 0,
		  "no JSON"																	       },
		{ 201, "{\"client_id\":\"i\"}",						     0,		   "no client_secret"				      },
		{ 201, "{\"client_id\":\"i\",\"client_secret\":\"\"}",			       0,		  "no client_secret"				     },
		{ 201, "{\"client_id\":\"i\",\"client_secret\":[\"s3cret\"]}",		       0,		  "no string"					      },
		{ 201, "{\"client_id\":\"i\",\"client_secret\":\"s3cret \"}",			      0,		 "may not have"					},
		{ 201, "{" SECRET ",\"client_secret_expires_at\":-1}",			       0,		  "is no time"				       },
		{ 201, "{" SECRET ",\"client_secret_expires_at\":1.5}",				0,		   "is no time"					},
		{ 201, "{" SECRET ",\"client_secret_expires_at\":1e30}",				 0,		    "is no time"					 },
		{ 201, "{" SECRET ",\"client_secret_expires_at\":\"0\"}",				  0,		     "is no time"					  },
		{ 201, "{" SECRET ",\"token_endpoint_auth_method\":\"tls_client_auth\"}",		  0,
		  "none that we speak"																    },
		{ 201, "{" SECRET ",\"token_endpoint_auth_method\":\"private_key_jwt\"}",		  0,
		  "none that we speak"																    },
		{ 201, "{" SECRET ",\"redirect_uris\":[\"https://evil.example/\"]}",		     0,
		  "redirect_uris is without ours"															 },
		{ 201, "{" SECRET ",\"redirect_uris\":[]}",					    0,		       "redirect_uris is without ours"		       },
		{ 201, "{" SECRET ",\"redirect_uris\":\"" CALLBACK "\"}",				  0,		     "no list"					       },
		{ 201, "{" SECRET ",\"grant_types\":[\"client_credentials\"]}",			0,
		  "without authorization_code"															    },
		{ 400, "{\"error\":\"invalid_redirect_uri\",\"error_description\":\"https only\"}",
		  0,												   "refused with 400 invalid_redirect_uri: https only"},
		{ 400, "{\"error\":\"<b>\",\"error_description\":\"a\\u001b[2Jb\"}",		     0,
		  "refused with 400: a?[2Jb"															      },
		{ 401, "{\"error\":\"invalid_token\"}",						0,		   "refused with 401 invalid_token"		    },
		{ 403, "<html>",								    0,		    "refused with 403"				       },
		{ 404, "",									  0,		      "refused with 404"				 },
		{ 302, "",									  0,		      "refused with 302"				 },
		{ 500, "{" SECRET "}",							      0,		  "refused with 500"				     },
	};

	for (size_t i = 0; i < COUNT(table); i++)
		check_reply(*state, &table[i]);
}

static void what_cannot_be_reached_registers_nothing(void **state)
{
	static const struct as_answer closes = { 0 };
	struct seen seen = register_with(*state, &closes, 0);

	assert_false(seen.ok);
	assert_int_equal(seen.err.code, ERR_UPSTREAM);
	seen = register_at(*state, "http://[fe80::1]/r", CALLBACK, 0);
	assert_false(seen.ok);
	assert_int_equal(seen.err.code, ERR_FORBIDDEN);
}

static void on_never(void *ctx, const struct registration *registration, const struct err *err)
{
	(void)ctx;
	(void)registration;
	(void)err;
	fail_msg("done after cancel");
}

static bool has_request(void *peer)
{
	return peer_requests(peer) == 1;
}

static void cancel_means_silence(void **state)
{
	SCRIPT(waits) = {
		{PEER_REQUEST,	NULL, 0},
		{ PEER_AWAIT_CLOSE, NULL, 0},
		{ PEER_CLOSE,	      NULL, 0},
	};
	struct as_world *as = *state;
	struct registration_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.redirect_uri = CALLBACK,
		.client_name = "x",
	};
	struct registration_request *request = NULL;

	registration_cancel(&request);
	as_play_steps(as, waits);
	params.url = as_text(as, "$O/r");
	registration_start(as->world->loop, &request, &params, on_never, NULL);
	world_run_until(as->world, has_request, as->world->peer);
	registration_cancel(&request);
	assert_null(request);
	world_run_until(as->world, world_peer_has_closed, as->world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_says_all_that_a_server_wants_to_know),
		TEST(a_loopback_callback_makes_a_native_client),
		TEST(the_best_method_that_both_speak_is_asked_for),
		TEST(nothing_is_asked_where_no_method_would_do),
		TEST(answers_are_taken_or_refused),
		TEST(what_cannot_be_reached_registers_nothing),
		TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
