/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/discovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/oauth/discovery_fixture.h"

/* --- the ways that lead to a server ------------------------------------------------------- */

static void the_document_that_a_challenge_names_is_the_one(void **state)
{
	const struct as_answer answers[] = { PRM("$O/mcp", "$O"), AS("$O", "$O", "") };
	struct seen seen = discover(*state, answers, COUNT(answers), &named);

	assert_found(&seen, "GET /prm\nGET /.well-known/oauth-authorization-server\n");
	assert_text(&seen, seen.server->issuer, "$O");
	assert_text(&seen, seen.server->authorization_url, "$O/authorize");
	assert_text(&seen, seen.server->token_url, "$O/token");
	assert_text(&seen, seen.server->resource, "$O/mcp");
	assert_null(seen.server->scope);
	forget(&seen);
}

/* Conformance: metadata-default fails whoever asks at the root although the path has one. */
static void without_a_name_the_path_comes_first(void **state)
{
	const struct as_answer answers[] = { PRM("$O/mcp", "$O"), AS("$O", "$O", "") };
	struct seen seen = discover(*state, answers, COUNT(answers), &unnamed);

	assert_found(&seen, "GET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-authorization-server\n");
	forget(&seen);
}

/* Conformance: metadata-var1. */
static void an_openid_document_does_as_well(void **state)
{
	const struct as_answer answers[] = { PRM("$O/mcp", "$O"), NOT_FOUND, AS("$O", "$O", "") };
	struct seen seen = discover(*state, answers, COUNT(answers), &unnamed);

	assert_found(&seen, "GET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-authorization-server\n"
			    "GET /.well-known/openid-configuration\n");
	forget(&seen);
}

/* Conformance: metadata-var2, which also forbids to ask at the root of the server. */
static void a_root_document_may_speak_for_the_path(void **state)
{
	const struct as_answer answers[] = { NOT_FOUND, PRM("$O", "$O/tenant1"),
					     AS("$O/tenant1", "$O", "") };
	struct seen seen = discover(*state, answers, COUNT(answers), &unnamed);

	assert_found(&seen, "GET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-protected-resource\n"
			    "GET /.well-known/oauth-authorization-server/tenant1\n");
	assert_text(&seen, seen.server->resource, "$O");
	assert_text(&seen, seen.server->issuer, "$O/tenant1");
	forget(&seen);
}

/* Conformance: metadata-var3. */
static void an_issuer_with_a_path_has_three_places(void **state)
{
	const struct as_answer answers[] = { PRM("$O/mcp", "$O/tenant1"), NOT_FOUND, NOT_FOUND,
					     AS("$O/tenant1", "$O", "") };
	struct seen seen = discover(*state, answers, COUNT(answers), &named);

	assert_found(&seen, "GET /prm\n"
			    "GET /.well-known/oauth-authorization-server/tenant1\n"
			    "GET /.well-known/openid-configuration/tenant1\n"
			    "GET /tenant1/.well-known/openid-configuration\n");
	forget(&seen);
}

/* As the SDK's demo server spells it. */
static void an_issuer_keeps_its_final_slash(void **state)
{
	const struct as_answer answers[] = { PRM("$O/mcp", "$O/"), AS("$O/", "$O", "") };
	struct seen seen = discover(*state, answers, COUNT(answers), &named);

	assert_found(&seen, "GET /prm\nGET /.well-known/oauth-authorization-server\n");
	assert_text(&seen, seen.server->issuer, "$O/");
	forget(&seen);
}

/* Conformance: 2025-03-26-oauth-metadata-backcompat. */
static void without_a_resource_document_the_origin_is_the_issuer(void **state)
{
	const struct as_answer slash[] = { NOT_FOUND, NOT_FOUND, AS("$O/", "$O", "") };
	const struct as_answer bare[] = { NOT_FOUND, NOT_FOUND, AS("$O", "$O", "") };
	struct seen seen = discover(*state, bare, COUNT(bare), &unnamed);

	assert_found(&seen, "GET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-protected-resource\n"
			    "GET /.well-known/oauth-authorization-server\n");
	assert_text(&seen, seen.server->issuer, "$O");
	assert_text(&seen, seen.server->resource, "$O/mcp");
	forget(&seen);
	seen = discover(*state, slash, COUNT(slash), &unnamed);
	assert_text(&seen, seen.server->issuer, "$O/");
	forget(&seen);
}

/* Conformance: 2025-03-26-oauth-endpoint-fallback. */
static void without_any_document_the_endpoints_have_fixed_places(void **state)
{
	const struct as_answer answers[] = { NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND };
	struct seen seen = discover(*state, answers, COUNT(answers), &unnamed);

	assert_found(&seen, "GET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-protected-resource\n"
			    "GET /.well-known/oauth-authorization-server\n"
			    "GET /.well-known/openid-configuration\n");
	assert_text(&seen, seen.server->issuer, "$O");
	assert_text(&seen, seen.server->authorization_url, "$O/authorize");
	assert_text(&seen, seen.server->token_url, "$O/token");
	assert_text(&seen, seen.server->registration_url, "$O/register");
	assert_null(seen.server->revocation_url);
	assert_false(seen.server->iss_supported);
	assert_int_equal(seen.server->auth_methods, 0);
	forget(&seen);
}

static void a_page_or_a_redirect_at_a_guessed_place_is_nothing(void **state)
{
	const struct as_answer answers[] = {
		{200,  AS_HTML,			"<!doctype html>"},
		{ 302, "Location: $O/login\r\n", ""		    },
		{ 401, AS_HTML,			"<html>"	 },
		AS("$O", "$O", ""),
	};
	struct seen seen = discover(*state, answers, COUNT(answers), &unnamed);

	assert_found(&seen, "GET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-protected-resource\n"
			    "GET /.well-known/oauth-authorization-server\n"
			    "GET /.well-known/openid-configuration\n");
	forget(&seen);
}

/* --- the challenge ------------------------------------------------------------------------ */

static void a_resource_is_asked_for_its_challenge(void **state)
{
	const struct as_answer answers[] = {
		{401,
		  "WWW-Authenticate: Basic realm=\"x\"\r\n"
		  "WWW-Authenticate: Bearer resource_metadata=\"$O/prm\", scope=\"s1 s2\"\r\n", "no"},
		PRM("$O/mcp", "$O"),
		AS("$O", "$O", ""),
	};
	struct seen seen = discover(*state, answers, COUNT(answers), &probing);

	assert_found(&seen, "GET /mcp\nGET /prm\nGET /.well-known/oauth-authorization-server\n");
	assert_string_equal(seen.server->scope, "s1 s2");
	assert_null(strcasestr(as_request(*state, 0), "\r\nauthorization:"));
	forget(&seen);
}

static void a_resource_is_asked_with_the_body_that_is_given(void **state)
{
	static const struct http_header headers[] = {
		{"accept", "text/event-stream"}
	};
	const struct as_answer answers[] = {
		{403, "WWW-Authenticate: Bearer scope=\"s\"\r\n", ""},
		PRM("$O/mcp", "$O"),
		AS("$O", "$O", ""),
	};
	struct way way = probing;
	struct seen seen;

	way.probe_body = "{\"x\":1}";
	way.probe_headers = headers;
	way.n_probe_headers = 1;
	seen = discover(*state, answers, COUNT(answers), &way);
	assert_found(&seen, "POST /mcp\nGET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-authorization-server\n");
	assert_string_equal(as_body(*state, 0), "{\"x\":1}");
	assert_non_null(
		strcasestr(as_request(*state, 0), "\r\ncontent-type: application/json\r\n"));
	assert_non_null(strcasestr(as_request(*state, 0), "\r\naccept: text/event-stream\r\n"));
	assert_string_equal(seen.server->scope, "s");
	forget(&seen);
}

/* Some let everybody in and ask for a token only where something is done. */
static void who_is_not_refused_asks_once_more(void **state)
{
	static const struct http_header headers[] = {
		{"accept", "text/event-stream"}
	};
	const struct as_answer late[] = {
		{200,  "",					 ""},
		{ 401, "WWW-Authenticate: Bearer scope=\"s\"\r\n", ""},
		PRM("$O/mcp", "$O"),
		AS("$O", "$O", ""),
	};
	struct way way = probing;
	struct seen seen;

	way.probe_body = "{\"x\":1}";
	way.second_probe_body = "{\"y\":2}";
	way.probe_headers = headers;
	way.n_probe_headers = 1;
	seen = discover(*state, late, COUNT(late), &way);
	assert_found(&seen, "POST /mcp\nPOST /mcp\nGET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-authorization-server\n");
	assert_string_equal(as_body(*state, 1), "{\"y\":2}");
	assert_non_null(strcasestr(as_request(*state, 1), "\r\naccept: text/event-stream\r\n"));
	assert_string_equal(seen.server->scope, "s");
	forget(&seen);
	seen = discover(*state, &late[1], COUNT(late) - 1, &way);
	assert_found(&seen, "POST /mcp\nGET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-authorization-server\n");
	forget(&seen);
}

/* Only of a refusal is a challenge meant; what cannot be read is none. */
static void without_a_usable_challenge_the_places_are_guessed(void **state)
{
	static const struct {
		int status;
		const char *headers;
	} probes[] = {
		{200,  "WWW-Authenticate: Bearer resource_metadata=\"$O/evil\"\r\n"},
		{ 405, "WWW-Authenticate: Bearer resource_metadata=\"$O/evil\"\r\n"},
		{ 302, "Location: $O/login\r\n"					},
		{ 500, ""							  },
		{ 401, ""							  },
		{ 401, "WWW-Authenticate: Basic realm=\"x\"\r\n"			 },
		{ 401, "WWW-Authenticate: Bearer resource_metadata=\"$O/evil\r\n"  },
		{ 401, "WWW-Authenticate: Bearer resource_metadata=\"$O/a\", "
		       "resource_metadata=\"$O/b\"\r\n"	},
	};

	for (size_t i = 0; i < COUNT(probes); i++) {
		const struct as_answer answers[] = {
			{probes[i].status, probes[i].headers, ""},
			PRM("$O/mcp", "$O"),
			AS("$O", "$O", ""),
		};
		struct seen seen = discover(*state, answers, COUNT(answers), &probing);

		assert_found(&seen, "GET /mcp\nGET /.well-known/oauth-protected-resource/mcp\n"
				    "GET /.well-known/oauth-authorization-server\n");
		forget(&seen);
	}
}

static void scopes_are_the_challenges_else_the_documents(void **state)
{
	const struct as_answer answers[] = {
		{200, NULL,
		  "{\"resource\":\"$O/mcp\",\"authorization_servers\":[\"$O\"],"
		  "\"scopes_supported\":[\"d1\",\"d2\"]}"},
		AS("$O", "$O", ",\"scopes_supported\":[\"x\",\"offline_access\"]"),
	};
	struct way way = named;
	struct seen seen = discover(*state, answers, COUNT(answers), &way);

	assert_string_equal(seen.server->scope, "d1 d2");
	assert_true(seen.server->offline_access);
	forget(&seen);
	way.challenge = "Bearer resource_metadata=\"$O/prm\", scope=\"c1\"";
	seen = discover(*state, answers, COUNT(answers), &way);
	assert_string_equal(seen.server->scope, "c1");
	forget(&seen);
}

/* --- the pinned issuer -------------------------------------------------------------------- */

static void a_pinned_issuer_is_taken_among_several(void **state)
{
	const struct as_answer answers[] = {
		{200, NULL,
		  "{\"resource\":\"$O/mcp\",\"authorization_servers\":[\"$O/a\",\"$O/b\"]}"},
		AS("$O/b", "$O", ""),
	};
	struct way way = named;
	struct seen seen;

	way.issuer = "$O/b";
	seen = discover(*state, answers, COUNT(answers), &way);
	assert_found(&seen, "GET /prm\nGET /.well-known/oauth-authorization-server/b\n");
	forget(&seen);
}

static void a_pinned_issuer_needs_no_resource_document(void **state)
{
	const struct as_answer answers[] = { NOT_FOUND, NOT_FOUND, AS("$O/b", "$O", "") };
	struct way way = unnamed;
	struct seen seen;

	way.issuer = "$O/b";
	seen = discover(*state, answers, COUNT(answers), &way);
	assert_found(&seen, "GET /.well-known/oauth-protected-resource/mcp\n"
			    "GET /.well-known/oauth-protected-resource\n"
			    "GET /.well-known/oauth-authorization-server/b\n");
	assert_text(&seen, seen.server->issuer, "$O/b");
	forget(&seen);
}

/* --- the run ------------------------------------------------------------------------------ */

static void client_credentials_need_no_authorization_endpoint(void **state)
{
	const struct as_answer answers[] = {
		PRM("$O/mcp", "$O"),
		{200, NULL, "{\"issuer\":\"$O\",\"token_endpoint\":\"$O/token\"}"},
	};
	struct way way = named;
	struct seen seen;

	way.grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
	seen = discover(*state, answers, COUNT(answers), &way);
	assert_found(&seen, "GET /prm\nGET /.well-known/oauth-authorization-server\n");
	assert_null(seen.server->authorization_url);
	forget(&seen);
}

static void a_search_has_a_time(void **state)
{
	SCRIPT(waits) = {
		{PEER_REQUEST,	NULL, 0},
		{ PEER_AWAIT_CLOSE, NULL, 0},
		{ PEER_CLOSE,	      NULL, 0},
	};
	struct as_world *as = *state;
	struct seen seen;

	as_play_steps(as, waits);
	seen = search(as, &unnamed, 100);
	assert_null(seen.server);
	assert_int_equal(seen.err.code, ERR_TIMEOUT);
	assert_string_equal(seen.err.text, "discovery took over 100 ms");
	forget(&seen);
}

static void on_never(void *ctx, const struct oauth_server *server, const struct err *err)
{
	(void)ctx;
	(void)server;
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
	struct discovery_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.challenge = SPAN(""),
		.allow_http = true,
	};
	struct discovery *discovery = NULL;

	discovery_cancel(&discovery);
	as_play_steps(as, waits);
	params.resource_url = as_text(as, "$O/mcp");
	discovery_start(as->world->loop, &discovery, as->arena, &params, on_never, NULL);
	world_run_until(as->world, has_request, as->world->peer);
	discovery_cancel(&discovery);
	assert_null(discovery);
	world_run_until(as->world, world_peer_has_closed, as->world);
	/* one that fails at once, before its turn */
	params.resource_url = "no url";
	discovery_start(as->world->loop, &discovery, as->arena, &params, on_never, NULL);
	discovery_cancel(&discovery);
	world_run_until(as->world, world_peer_has_closed, as->world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_document_that_a_challenge_names_is_the_one),
		TEST(without_a_name_the_path_comes_first),
		TEST(an_openid_document_does_as_well),
		TEST(a_root_document_may_speak_for_the_path),
		TEST(an_issuer_with_a_path_has_three_places),
		TEST(an_issuer_keeps_its_final_slash),
		TEST(without_a_resource_document_the_origin_is_the_issuer),
		TEST(without_any_document_the_endpoints_have_fixed_places),
		TEST(a_page_or_a_redirect_at_a_guessed_place_is_nothing),
		TEST(a_resource_is_asked_for_its_challenge),
		TEST(a_resource_is_asked_with_the_body_that_is_given),
		TEST(without_a_usable_challenge_the_places_are_guessed),
		TEST(who_is_not_refused_asks_once_more),
		TEST(scopes_are_the_challenges_else_the_documents),
		TEST(a_pinned_issuer_is_taken_among_several),
		TEST(a_pinned_issuer_needs_no_resource_document),
		TEST(client_credentials_need_no_authorization_endpoint),
		TEST(a_search_has_a_time),
		TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
