/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_OAUTH_DISCOVERY_FIXTURE_H
#define TESTS_UNIT_OAUTH_DISCOVERY_FIXTURE_H

/* What the tests of discovery share: one search against a scripted server, and what came of it. */

#include "oauth/discovery.h"
#include "tests/fakes/as_world.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define TEST(name)  cmocka_unit_test_setup_teardown(name, as_set_up, as_tear_down)

#define NOT_FOUND                                                                                  \
	{                                                                                          \
		404, AS_HTML, "no"                                                                 \
	}
#define PRM(resource, issuer)                                                                      \
	{                                                                                          \
		200, NULL,                                                                         \
			"{\"resource\":\"" resource "\",\"authorization_servers\":[\"" issuer      \
			"\"]}"                                                                     \
	}
#define AS(issuer, at, more)                                                                       \
	{                                                                                          \
		200, NULL,                                                                         \
			"{\"issuer\":\"" issuer "\",\"authorization_endpoint\":\"" at              \
			"/authorize\",\"token_endpoint\":\"" at                                    \
			"/token\",\"code_challenge_methods_supported\":[\"S256\"]" more "}"        \
	}

/* "$O" is replaced in all of it. */
struct way {
	const char *resource;  /* NULL: "$O/mcp" */
	const char *challenge; /* NULL: the resource is asked */
	const char *issuer;
	const char *probe_body;
	const char *second_probe_body;
	const struct http_header *probe_headers;
	size_t n_probe_headers;
	bool https_only;
	enum oauth_grant grant;
};

static const struct way named = { .challenge = "Bearer resource_metadata=\"$O/prm\"" };
static const struct way unnamed = { .challenge = "Bearer" };
static const struct way probing = { .challenge = NULL };

struct seen {
	struct as_world *as;
	struct discovery *discovery; /* the slot */
	struct arena *arena;
	const struct oauth_server *server; /* or NULL */
	struct err err;
};

static inline void on_discovered(void *ctx, const struct oauth_server *server,
				 const struct err *err)
{
	struct seen *seen = ctx;

	assert_null(seen->discovery);
	assert_true((server == NULL) != (err == NULL));
	seen->server = server;
	if (err != NULL)
		seen->err = *err;
	as_done(seen->as);
}

static inline const char *text_or_null(struct as_world *as, const char *text)
{
	return text != NULL ? as_text(as, text) : NULL;
}

static inline struct seen search(struct as_world *as, const struct way *way, int64_t timeout_ms)
{
	const struct discovery_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.resource_url = as_text(as, way->resource != NULL ? way->resource : "$O/mcp"),
		.challenge = span_of(text_or_null(as, way->challenge)),
		.probe_body = span_of(way->probe_body),
		.second_probe_body = span_of(way->second_probe_body),
		.probe_headers = way->probe_headers,
		.n_probe_headers = way->n_probe_headers,
		.issuer = text_or_null(as, way->issuer),
		.allow_http = !way->https_only,
		.grant = way->grant,
		.timeout_ms = timeout_ms,
	};
	struct seen seen = { .as = as, .arena = arena_new() };

	as->dones = 0;
	discovery_start(as->world->loop, &seen.discovery, seen.arena, &params, on_discovered,
			&seen);
	assert_non_null(seen.discovery);
	assert_int_equal(as->dones, 0);
	as_wait(as, 1);
	return seen;
}

static inline struct seen discover(struct as_world *as, const struct as_answer *answers, size_t n,
				   const struct way *way)
{
	as_play(as, answers, n);
	return search(as, way, 10000);
}

static inline void assert_found(struct seen *seen, const char *asked)
{
	if (seen->server == NULL)
		fail_msg("%s\nafter %s", seen->err.text, as_asked(seen->as));
	assert_string_equal(as_asked(seen->as), asked);
}

static inline void assert_text(struct seen *seen, const char *got, const char *expected)
{
	assert_string_equal(got, as_text(seen->as, expected));
}

static inline void forget(struct seen *seen)
{
	arena_free(&seen->arena);
}

#endif
