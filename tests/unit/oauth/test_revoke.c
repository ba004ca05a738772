/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/revoke.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/as_world.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define TEST(name)  cmocka_unit_test_setup_teardown(name, as_set_up, as_tear_down)

struct seen {
	struct as_world *as;
	struct revoke *revoke; /* the slot */
	bool ok;
	struct err err;
};

static void on_revoked(void *ctx, const struct err *err)
{
	struct seen *seen = ctx;

	assert_null(seen->revoke);
	seen->ok = err == NULL;
	if (err != NULL)
		seen->err = *err;
	as_done(seen->as);
}

static struct seen revoke_at(struct as_world *as, const char *url, enum revoke_hint hint)
{
	struct secret token = secret_new("t0k.en-t0k.en", 13);
	struct secret secret = secret_new("token", 5);
	const struct revoke_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.revocation_url = url,
		.oauth_client = {.id = "c1", .auth = OAUTH_AUTH_POST, .secret = &secret},
		.token = &token,
		.hint = hint,
	};
	struct seen seen = { .as = as };

	as->dones = 0;
	revoke_start(as->world->loop, &seen.revoke, &params, on_revoked, &seen);
	assert_non_null(seen.revoke);
	secret_fini(&token); /* it was copied */
	secret_fini(&secret);
	as_wait(as, 1);
	return seen;
}

static struct seen revoke_with(struct as_world *as, const struct as_answer *answer)
{
	as_play(as, answer, 1);
	return revoke_at(as, as_text(as, "$O/revoke"), REVOKE_REFRESH_TOKEN);
}

static void a_token_is_named_with_its_kind(void **state)
{
	static const struct as_answer good[] = {
		{200,  NULL, ""},
		   { 200, NULL, ""}
	};
	struct as_world *as = *state;

	as_play(as, good, 2);
	assert_true(revoke_at(as, as_text(as, "$O/revoke"), REVOKE_REFRESH_TOKEN).ok);
	assert_true(revoke_at(as, as_text(as, "$O/revoke"), REVOKE_ACCESS_TOKEN).ok);
	assert_string_equal(as_asked(as), "POST /revoke\nPOST /revoke\n");
	assert_string_equal(as_body(as, 0),
			    "token=t0k.en-t0k.en&token_type_hint=refresh_token&client_id="
			    "c1&client_secret=token");
	assert_string_equal(as_body(as, 1),
			    "token=t0k.en-t0k.en&token_type_hint=access_token&client_id="
			    "c1&client_secret=token");
}

static void the_status_alone_says_whether_it_worked(void **state)
{
	static const struct {
		struct as_answer answer;
		bool ok;
		enum err_code code;
		const char *text;
	} table[] = {
		{{ 200, AS_HTML, "<html>" },							      true, 0,	       NULL},
		{ { 204, "", NULL },								      true, 0,		      NULL},
		{ { 400, AS_JSON, "{\"error\":\"unsupported_token_type\"}" },
		  false,											 ERR_UPSTREAM,
		  "the revocation endpoint answered 400 unsupported_token_type"							},
		{ { 401, AS_JSON,
		    "{\"error\":\"invalid_client\",\"error_description\":\"t0k/en\"}" },
		  false,											 ERR_UPSTREAM,
		  "the revocation endpoint answered 401 invalid_client"								},
		{ { 400, AS_JSON, "{\"error\":\"t0k.en-t0k.en\"}" },
		  false,											 ERR_UPSTREAM,
		  "the revocation endpoint answered 400"									      },
		{ { 404, AS_HTML, "<html>" },
		  false,											 ERR_UPSTREAM,
		  "the revocation endpoint answered 404"									      },
		{ { 302, "Location: /x\r\n", NULL },
		  false,											 ERR_UPSTREAM,
		  "the revocation endpoint answered 302"									      },
		{ { 500, AS_JSON, "{}" },
		  false,											 ERR_UPSTREAM,
		  "the revocation endpoint answered 500"									      },
		{ { 503, "Retry-After: 1\r\n", NULL },
		  false,											 ERR_UNAVAILABLE,
		  "the revocation endpoint answered 503"									      },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct seen seen = revoke_with(*state, &table[i].answer);

		assert_int_equal(seen.ok, table[i].ok);
		if (table[i].ok)
			continue;
		assert_int_equal(seen.err.code, table[i].code);
		assert_string_equal(seen.err.text, table[i].text);
	}
}

static void what_cannot_be_reached_is_not_revoked(void **state)
{
	static const struct as_answer closes = { 0 };
	struct seen seen = revoke_with(*state, &closes);

	assert_false(seen.ok);
	assert_int_equal(seen.err.code, ERR_UPSTREAM);
	assert_int_equal(strncmp(seen.err.text, "revocation endpoint: ", 21), 0);
	seen = revoke_at(*state, "http://192.168.0.1/revoke", REVOKE_ACCESS_TOKEN);
	assert_false(seen.ok);
	assert_int_equal(seen.err.code, ERR_FORBIDDEN);
}

static void on_never(void *ctx, const struct err *err)
{
	(void)ctx;
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
	struct secret token = secret_new("t", 1);
	struct revoke_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.oauth_client = { .id = "c1" },
		.token = &token,
	};
	struct revoke *revoke = NULL;

	revoke_cancel(&revoke);
	as_play_steps(as, waits);
	params.revocation_url = as_text(as, "$O/revoke");
	revoke_start(as->world->loop, &revoke, &params, on_never, NULL);
	world_run_until(as->world, has_request, as->world->peer);
	revoke_cancel(&revoke);
	assert_null(revoke);
	world_run_until(as->world, world_peer_has_closed, as->world);
	secret_fini(&token);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_is_named_with_its_kind),
		TEST(the_status_alone_says_whether_it_worked),
		TEST(what_cannot_be_reached_is_not_revoked),
		TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
