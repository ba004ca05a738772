/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "tests/fakes/as_world.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define TEST(name)  cmocka_unit_test_setup_teardown(name, as_set_up, as_tear_down)
#define OK_BODY	    "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"refresh_token\":\"rt2\"}"

struct seen {
	struct as_world *as;
	struct token_request *request; /* the slot */
	bool ok;
	char access_token[64];
	size_t access_bytes;
	char refresh_token[64];
	int64_t expires_in_s;
	struct token_error error;
};

static void on_reply(void *ctx, const struct token_reply *reply, const struct token_error *error)
{
	struct seen *seen = ctx;

	assert_null(seen->request);
	assert_true((reply == NULL) != (error == NULL));
	seen->ok = reply != NULL;
	if (reply != NULL) {
		const char *refresh = reply->refresh_token.reveal;

		snprintf(seen->access_token, sizeof(seen->access_token), "%s",
			 reply->access_token.reveal);
		seen->access_bytes = reply->access_token.n;
		snprintf(seen->refresh_token, sizeof(seen->refresh_token), "%s",
			 refresh != NULL ? refresh : "none");
		seen->expires_in_s = reply->expires_in_s;
	} else {
		seen->error = *error;
	}
	as_done(seen->as);
}

static const struct oauth_param refresh[] = {
	{"grant_type",	"refresh_token"},
	{ "refresh_token", "rt/1"	  },
	{ "resource",      "https://h/mcp"},
};

static struct seen ask_at(struct as_world *as, const char *url, const struct oauth_client *client)
{
	const struct token_request_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.token_url = url,
		.oauth_client = *client,
		.params = refresh,
		.n_params = COUNT(refresh),
		.timeout_ms = 5000,
	};
	struct seen seen = { .as = as };

	as->dones = 0;
	token_request_start(as->world->loop, &seen.request, &params, on_reply, &seen);
	assert_non_null(seen.request);
	assert_int_equal(as->dones, 0);
	as_wait(as, 1);
	return seen;
}

static struct seen ask(struct as_world *as, const struct as_answer *answer,
		       const struct oauth_client *client)
{
	as_play(as, answer, 1);
	return ask_at(as, as_text(as, "$O/token"), client);
}

static const struct oauth_client public_client = { .id = "c1", .auth = OAUTH_AUTH_NONE };
static const struct as_answer good = { 200, AS_JSON, OK_BODY };

static void a_request_is_a_form_and_asks_for_json(void **state)
{
	struct seen seen = ask(*state, &good, &public_client);
	const char *request = as_request(*state, 0);

	assert_true(seen.ok);
	assert_string_equal(seen.access_token, "at");
	assert_string_equal(seen.refresh_token, "rt2");
	assert_int_equal(seen.expires_in_s, -1);
	assert_string_equal(as_asked(*state), "POST /token\n");
	assert_string_equal(as_body(*state, 0),
			    "grant_type=refresh_token&refresh_token=rt%2F1&resource=https%3A%2F%2F"
			    "h%2Fmcp&client_id=c1");
	assert_non_null(
		strcasestr(request, "\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
	assert_non_null(strcasestr(request, "\r\naccept: application/json\r\n"));
	assert_null(strcasestr(request, "\r\nauthorization:"));
}

/* What a strict server that decodes, and one that compares, find in Authorization. */
static void assert_basic(struct as_world *as, enum oauth_client_auth auth, const char *pair)
{
	struct secret secret = secret_new("s+/ =%", 6);
	const struct oauth_client client = { .id = "c 1", .auth = auth, .secret = &secret };
	char coded[128];
	char line[160];

	assert_true(ask(as, &good, &client).ok);
	base64_encode(pair, strlen(pair), coded);
	snprintf(line, sizeof(line), "\r\nauthorization: Basic %s\r\n", coded);
	assert_non_null(strcasestr(as_request(as, 0), line));
	assert_null(strstr(as_body(as, 0), "client_"));
	secret_fini(&secret);
}

static void basic_suits_keycloak_and_basic_raw_suits_salesforce(void **state)
{
	assert_basic(*state, OAUTH_AUTH_BASIC, "c+1:s%2B%2F+%3D%25");
	assert_basic(*state, OAUTH_AUTH_BASIC_RAW, "c 1:s+/ =%");
}

static void a_posted_secret_stands_in_the_form_alone(void **state)
{
	struct secret secret = secret_new("s+/ =%", 6);
	const struct oauth_client client = { .id = "c1",
					     .auth = OAUTH_AUTH_POST,
					     .secret = &secret };

	assert_true(ask(*state, &good, &client).ok);
	assert_non_null(strstr(as_body(*state, 0), "&client_id=c1&client_secret=s%2B%2F+%3D%25"));
	assert_null(strcasestr(as_request(*state, 0), "\r\nauthorization:"));
	secret_fini(&secret);
}

static void a_refused_client_is_told_how_its_secret_was_sent(void **state)
{
	static const struct as_answer refused = {
		401,
		AS_JSON,
		"{\"error\":\"invalid_client\",\"error_description\":\"Client authentication "
		"failed\"}",
	};
	static const struct {
		enum oauth_client_auth auth;
		const char *secret;
		const char *text;
	} table[] = {
		{OAUTH_AUTH_BASIC,	    "a+b",
		  "401 invalid_client: Client authentication failed (sent as basic: reserved "
		  "characters escaped; basic_raw does not escape)"				   },
		{ OAUTH_AUTH_BASIC_RAW, "a+b",
		  "401 invalid_client: Client authentication failed (sent as basic_raw: reserved "
		  "characters not escaped; basic escapes)"					   },
		{ OAUTH_AUTH_BASIC,	    "plain", "401 invalid_client: Client authentication failed"},
		{ OAUTH_AUTH_POST,	   "a+b",	  "401 invalid_client: Client authentication failed"},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct secret secret = secret_new(table[i].secret, strlen(table[i].secret));
		const struct oauth_client client = { .id = "c1",
						     .auth = table[i].auth,
						     .secret = &secret };
		struct seen seen = ask(*state, &refused, &client);

		assert_false(seen.ok);
		assert_int_equal(seen.error.kind, TOKEN_CLIENT);
		assert_string_equal(seen.error.code, "invalid_client");
		assert_string_equal(seen.error.text, table[i].text);
		assert_true(seen.error.sent);
		secret_fini(&secret);
	}
}

static void the_longest_text_still_says_how_the_secret_was_sent(void **state)
{
	char body[400];
	const struct as_answer refused = { 401, AS_JSON, body };
	struct secret secret = secret_new("a+b", 3);
	const struct oauth_client client = { .id = "c1",
					     .auth = OAUTH_AUTH_BASIC,
					     .secret = &secret };
	struct seen seen;

	snprintf(body, sizeof(body),
		 "{\"error\":\"incorrect_client_credentials\",\"error_description\":\"%0200d\"}",
		 0);
	seen = ask(*state, &refused, &client);
	assert_non_null(strstr(seen.error.text, "000 (sent as basic: reserved characters escaped"));
	assert_string_equal(strrchr(seen.error.text, ';'), "; basic_raw does not escape)");
	secret_fini(&secret);
}

static void a_secret_that_the_server_repeats_is_not_shown(void **state)
{
	static const char *const bodies[] = {
		"{\"error\":\"invalid_client\",\"error_description\":\"no client with k3y+/\"}",
		"{\"error\":\"invalid_client\",\"error_description\":\"YzE6azN5JTJCJTJG is "
		"wrong\"}",
		"{\"error\":\"invalid_grant\",\"error_description\":\"unknown rt/1\"}",
		"{\"error\":\"invalid_grant\",\"error_description\":\"unknown rt%2F1\"}",
		"{\"error\":\"rt/1\"}",
		"{\"error\":\"rt/1\",\"error_description\":\"k3y+/\"}",
	};
	struct secret secret = secret_new("k3y+/", 5);
	const struct oauth_client client = { .id = "c1",
					     .auth = OAUTH_AUTH_BASIC,
					     .secret = &secret };

	for (size_t i = 0; i < COUNT(bodies); i++) {
		const struct as_answer refused = { 400, AS_JSON, bodies[i] };
		struct seen seen = ask(*state, &refused, &client);

		assert_false(seen.ok);
		assert_null(strstr(seen.error.text, "k3y"));
		assert_null(strstr(seen.error.text, "azN5"));
		assert_null(strstr(seen.error.text, "rt/1"));
		assert_null(strstr(seen.error.text, "rt%2F1"));
		assert_null(strstr(seen.error.code, "rt"));
	}
	secret_fini(&secret);
}

/* Refreshes and codes alike: Entra refuses the parameter, so whoever asks can leave it out. */
static void resource_is_sent_only_if_it_is_given(void **state)
{
	static const struct oauth_param without[] = {
		{"grant_type", "authorization_code"},
		{ "code",	  "c0de"		 },
	};
	struct as_world *as = *state;
	struct seen seen = { .as = as };
	struct token_request_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.oauth_client = public_client,
		.params = without,
		.n_params = COUNT(without),
	};

	as_play(as, &good, 1);
	params.token_url = as_text(as, "$O/token?p=1");
	token_request_start(as->world->loop, &seen.request, &params, on_reply, &seen);
	as_wait(as, 1);
	assert_true(seen.ok);
	assert_string_equal(as_body(as, 0), "grant_type=authorization_code&code=c0de&client_id=c1");
	assert_string_equal(as_asked(as), "POST /token?p=1\n");
}

static void a_token_over_8_kib_arrives(void **state)
{
	static char body[20000];
	const struct as_answer answer = { 200, AS_JSON, body };
	struct seen seen;

	snprintf(body, sizeof(body), "{\"token_type\":\"Bearer\",\"access_token\":\"%016000d\"}",
		 0);
	seen = ask(*state, &answer, &public_client);
	assert_true(seen.ok);
	assert_int_equal(seen.access_bytes, 16000);
	assert_string_equal(seen.refresh_token, "none");
}

static void an_error_with_200_is_an_error(void **state)
{
	static const struct as_answer answer = {
		200, AS_JSON, "{\"error\":\"bad_refresh_token\",\"error_description\":\"Expired.\"}"
	};
	struct seen seen = ask(*state, &answer, &public_client);

	assert_false(seen.ok);
	assert_int_equal(seen.error.kind, TOKEN_TERMINAL);
	assert_string_equal(seen.error.text, "200 bad_refresh_token: Expired.");
	assert_int_equal(seen.error.http_status, 200);
}

static void a_busy_server_says_how_long_to_wait(void **state)
{
	static const struct as_answer answer = { 429, AS_JSON "Retry-After: 17\r\n", "{}" };
	struct seen seen = ask(*state, &answer, &public_client);

	assert_false(seen.ok);
	assert_int_equal(seen.error.kind, TOKEN_TRANSIENT);
	assert_int_equal(seen.error.retry_after_s, 17);
	assert_true(seen.error.sent);
}

static void a_redirect_takes_no_secret_elsewhere(void **state)
{
	static const struct as_answer answers[] = {
		{307,  "Location: $O/elsewhere\r\n", ""	},
		{ 200, AS_JSON,			OK_BODY},
	};
	struct as_world *as = *state;
	struct seen seen;

	as_play(as, answers, 2);
	seen = ask_at(as, as_text(as, "$O/token"), &public_client);
	assert_false(seen.ok);
	assert_int_equal(seen.error.kind, TOKEN_NONSENSE);
	assert_string_equal(as_asked(as), "POST /token\n");
}

static void wire_failures_are_transient_and_say_if_it_was_sent(void **state)
{
	SCRIPT(closes) = {
		{PEER_REQUEST, NULL, 0},
		{ PEER_CLOSE,  NULL, 0},
	};
	SCRIPT(resets) = {
		{PEER_REQUEST, NULL, 0},
		{ PEER_RESET,  NULL, 0},
	};
	SCRIPT(breaks) = {
		{PEER_REQUEST, NULL,						       0},
		{ PEER_SEND,
		  "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"access_token\":\"at\"", 0},
		{ PEER_CLOSE,  NULL,						       0},
	};
	SCRIPT(garbage) = {
		{PEER_REQUEST, NULL,		      0},
		{ PEER_SEND,   "SSH-2.0-x\r\n\r\n", 0},
		{ PEER_CLOSE,  NULL,		    0},
	};
	const struct peer_step *const scripts[] = { closes, resets, breaks, garbage };
	struct as_world *as = *state;

	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct seen seen;

		as_play_steps(as, scripts[i]);
		seen = ask_at(as, as_text(as, "$O/token"), &public_client);
		assert_false(seen.ok);
		assert_int_equal(seen.error.kind, TOKEN_TRANSIENT);
		assert_true(seen.error.sent);
		assert_int_equal(peer_requests(as->world->peer), 1);
	}
}

static void a_flood_is_nonsense(void **state)
{
	SCRIPT(flood) = {
		{PEER_REQUEST, NULL,		      0	},
		{ PEER_SEND,   "HTTP/1.1 200 OK\r\n\r\n", 0	  },
		{ PEER_FLOOD,  NULL,			    10000000},
		{ PEER_CLOSE,  NULL,			    0	      },
	};
	struct as_world *as = *state;
	struct seen seen;

	as_play_steps(as, flood);
	seen = ask_at(as, as_text(as, "$O/token"), &public_client);
	assert_false(seen.ok);
	assert_int_equal(seen.error.kind, TOKEN_NONSENSE);
	assert_non_null(strstr(seen.error.text, "over 65536 bytes"));
}

static void what_never_left_says_so(void **state)
{
	static const struct {
		const char *url;
		enum token_failure kind;
	} table[] = {
		{"http://10.0.0.1/token",			   TOKEN_TRANSIENT},
		{ "https://169.254.169.254/latest/meta-data/", TOKEN_TRANSIENT},
		{ "file:///etc/passwd",			TOKEN_CLIENT   },
		{ "https://u:p@as.example/token",		  TOKEN_CLIENT   },
	};
	static const struct as_answer none = { 0 };

	as_play(*state, &none, 1);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct seen seen = ask_at(*state, table[i].url, &public_client);

		assert_false(seen.ok);
		assert_int_equal(seen.error.kind, table[i].kind);
		assert_false(seen.error.sent);
		assert_int_equal(seen.error.http_status, 0);
	}
	assert_string_equal(as_asked(*state), "");
}

static void a_client_without_its_secret_asks_nothing(void **state)
{
	const struct oauth_client client = { .id = "c1", .auth = OAUTH_AUTH_BASIC };
	struct seen seen = ask(*state, &good, &client);

	assert_false(seen.ok);
	assert_int_equal(seen.error.kind, TOKEN_CLIENT);
	assert_false(seen.error.sent);
	assert_string_equal(
		seen.error.text,
		"token endpoint: client authentication basic wants a secret, and there is none");
	assert_string_equal(as_asked(*state), "");
}

static void on_never(void *ctx, const struct token_reply *reply, const struct token_error *error)
{
	(void)ctx;
	(void)reply;
	(void)error;
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
	struct token_request *request = NULL;
	struct token_request_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.oauth_client = public_client,
		.params = refresh,
		.n_params = COUNT(refresh),
	};

	token_request_cancel(&request);
	as_play_steps(as, waits);
	params.token_url = as_text(as, "$O/token");
	token_request_start(as->world->loop, &request, &params, on_never, NULL);
	world_run_until(as->world, has_request, as->world->peer);
	token_request_cancel(&request);
	assert_null(request);
	world_run_until(as->world, world_peer_has_closed, as->world);
	/* one that cannot be sent, before its turn */
	params.oauth_client.auth = OAUTH_AUTH_POST;
	token_request_start(as->world->loop, &request, &params, on_never, NULL);
	token_request_cancel(&request);
	world_run_until(as->world, world_peer_has_closed, as->world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_a_form_and_asks_for_json),
		TEST(basic_suits_keycloak_and_basic_raw_suits_salesforce),
		TEST(a_posted_secret_stands_in_the_form_alone),
		TEST(a_refused_client_is_told_how_its_secret_was_sent),
		TEST(the_longest_text_still_says_how_the_secret_was_sent),
		TEST(a_secret_that_the_server_repeats_is_not_shown),
		TEST(resource_is_sent_only_if_it_is_given),
		TEST(a_token_over_8_kib_arrives),
		TEST(an_error_with_200_is_an_error),
		TEST(a_busy_server_says_how_long_to_wait),
		TEST(a_redirect_takes_no_secret_elsewhere),
		TEST(wire_failures_are_transient_and_say_if_it_was_sent),
		TEST(a_flood_is_nonsense),
		TEST(what_never_left_says_so),
		TEST(a_client_without_its_secret_asks_nothing),
		TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
