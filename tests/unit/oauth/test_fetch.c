/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/fetch.h"

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
	struct fetch *fetch; /* the slot */
	int status;
	char challenge[256];
	int64_t retry_after_s;
	size_t body_bytes;
	char body[256];
	bool sent;
	bool failed;
	struct err err;
};

static void on_answer(void *ctx, const struct fetch_answer *answer)
{
	struct seen *seen = ctx;

	assert_null(seen->fetch);
	seen->status = answer->status;
	snprintf(seen->challenge, sizeof(seen->challenge), "%s",
		 answer->challenge != NULL ? answer->challenge : "none");
	seen->retry_after_s = answer->retry_after_s;
	seen->body_bytes = answer->body.n;
	snprintf(seen->body, sizeof(seen->body), "%.*s", (int)answer->body.n, answer->body.p);
	seen->sent = answer->sent;
	seen->failed = answer->err != NULL;
	if (answer->err != NULL)
		seen->err = *answer->err;
	as_done(seen->as);
}

static struct seen fetch_url(struct as_world *as, const char *url, enum fetch_want want)
{
	const struct fetch_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.method = "GET",
		.url = url,
		.want = want,
		.timeout_ms = 5000,
	};
	struct seen seen = { .as = as };

	as->dones = 0;
	fetch_start(&seen.fetch, &params, on_answer, &seen);
	assert_non_null(seen.fetch);
	as_wait(as, 1);
	return seen;
}

static struct seen fetch_one(struct as_world *as, const struct as_answer *answer,
			     enum fetch_want want)
{
	as_play(as, answer, 1);
	return fetch_url(as, as_text(as, "$O/x"), want);
}

static void an_answer_comes_whole(void **state)
{
	static const struct as_answer answer = { 200, AS_JSON, "{\"a\":1}" };
	struct seen seen = fetch_one(*state, &answer, FETCH_ALL);

	assert_false(seen.failed);
	assert_true(seen.sent);
	assert_int_equal(seen.status, 200);
	assert_string_equal(seen.body, "{\"a\":1}");
	assert_string_equal(seen.challenge, "none");
	assert_int_equal(seen.retry_after_s, 0);
	assert_string_equal(as_asked(*state), "GET /x\n");
}

static void the_body_is_left_where_nobody_wants_it(void **state)
{
	static const struct as_answer refused = { 404, AS_HTML, "gone" };
	static const struct as_answer good = { 200, AS_HTML, "good" };

	assert_string_equal(fetch_one(*state, &refused, FETCH_ALL).body, "gone");
	assert_string_equal(fetch_one(*state, &refused, FETCH_OK).body, "");
	assert_string_equal(fetch_one(*state, &good, FETCH_OK).body, "good");
	assert_string_equal(fetch_one(*state, &good, FETCH_HEAD).body, "");
}

static void a_stream_that_does_not_end_is_left_at_its_head(void **state)
{
	SCRIPT(endless) = {
		{PEER_REQUEST,	NULL,							 0},
		{ PEER_SEND,	     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", 0},
		{ PEER_AWAIT_CLOSE, NULL,							 0},
		{ PEER_CLOSE,	      NULL,							 0},
	};
	struct as_world *as = *state;
	struct seen seen;

	as_play_steps(as, endless);
	seen = fetch_url(as, as_text(as, "$O/x"), FETCH_HEAD);
	assert_false(seen.failed);
	assert_int_equal(seen.status, 200);
	world_run_until(as->world, world_peer_has_closed, as->world);
}

static void redirects_are_not_followed(void **state)
{
	static const struct as_answer answer = { 302, "Location: $O/other\r\n", "" };
	struct seen seen = fetch_one(*state, &answer, FETCH_ALL);

	assert_false(seen.failed);
	assert_int_equal(seen.status, 302);
	assert_string_equal(as_asked(*state), "GET /x\n");
}

static void challenges_of_several_lines_are_joined(void **state)
{
	static const struct as_answer answer = {
		401,
		"WWW-Authenticate: Basic realm=\"x\"\r\nwww-authenticate: Bearer scope=\"a\"\r\n",
		"",
	};
	struct seen seen = fetch_one(*state, &answer, FETCH_HEAD);

	assert_int_equal(seen.status, 401);
	assert_string_equal(seen.challenge, "Basic realm=\"x\", Bearer scope=\"a\"");
}

static void a_challenge_over_its_ceiling_is_none(void **state)
{
	static char headers[20000];
	const struct as_answer answer = { 401, headers, "" };
	struct seen seen;

	snprintf(headers, sizeof(headers), "WWW-Authenticate: Bearer scope=\"%017000d\"\r\n", 0);
	seen = fetch_one(*state, &answer, FETCH_HEAD);
	assert_int_equal(seen.status, 401);
	assert_string_equal(seen.challenge, "none");
}

static void a_wait_that_is_asked_for_is_told(void **state)
{
	static const struct as_answer answer = { 503, "Retry-After: 7\r\n", "" };
	struct seen seen = fetch_one(*state, &answer, FETCH_ALL);

	assert_int_equal(seen.status, 503);
	assert_int_equal(seen.retry_after_s, 7);
}

static void a_body_over_64_kib_is_cut_and_said_so(void **state)
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
	seen = fetch_url(as, as_text(as, "$O/x"), FETCH_ALL);
	assert_true(seen.failed);
	assert_int_equal(seen.err.code, ERR_TOO_LARGE);
	assert_int_equal(seen.status, 200);
	assert_true(seen.body_bytes <= FETCH_MAX_BODY_BYTES);
}

static void a_server_that_drips_is_left_after_the_time(void **state)
{
	SCRIPT(slow) = {
		{PEER_REQUEST,	NULL,					      0},
		{ PEER_SEND,	     "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", 0},
		{ PEER_AWAIT_CLOSE, NULL,					      0},
		{ PEER_CLOSE,	      NULL,					      0},
	};
	struct as_world *as = *state;
	struct fetch_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.method = "GET",
		.timeout_ms = 100,
	};
	struct seen seen = { .as = as };

	as_play_steps(as, slow);
	params.url = as_text(as, "$O/x");
	fetch_start(&seen.fetch, &params, on_answer, &seen);
	as_wait(as, 1);
	assert_true(seen.failed);
	assert_int_equal(seen.err.code, ERR_TIMEOUT);
	assert_true(seen.sent);
}

static void an_answer_that_breaks_off_is_no_answer(void **state)
{
	SCRIPT(broken) = {
		{PEER_REQUEST, NULL,					       0},
		{ PEER_SEND,   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", 0},
		{ PEER_CLOSE,  NULL,					       0},
	};
	struct as_world *as = *state;
	struct seen seen;

	as_play_steps(as, broken);
	seen = fetch_url(as, as_text(as, "$O/x"), FETCH_ALL);
	assert_true(seen.failed);
	assert_int_equal(seen.err.code, ERR_UPSTREAM);
	assert_int_equal(seen.status, 200);
	assert_true(seen.sent);
}

static void what_egress_refuses_is_not_sent(void **state)
{
	static const char *const urls[] = {
		"http://10.0.0.1/x", "https://169.254.169.254/x", "https://[fd00::1]/x",
		"http://example.com/x", /* plain http to a public address */
	};
	static const struct as_answer none = { 0 };

	as_play(*state, &none, 1);
	for (size_t i = 0; i < COUNT(urls); i++) {
		struct seen seen = fetch_url(*state, urls[i], FETCH_ALL);

		assert_true(seen.failed);
		assert_int_equal(seen.err.code, ERR_FORBIDDEN);
		assert_false(seen.sent);
		assert_int_equal(seen.status, 0);
	}
	assert_string_equal(as_asked(*state), "");
}

static void a_port_where_nobody_listens_is_an_error_of_theirs(void **state)
{
	static const struct as_answer none = { 0 };
	char url[64];
	struct seen seen;

	as_play(*state, &none, 1);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", peer_unused_port());
	seen = fetch_url(*state, url, FETCH_ALL);
	assert_true(seen.failed);
	assert_int_equal(seen.err.code, ERR_UPSTREAM);
	assert_false(seen.sent);
}

static void on_never(void *ctx, const struct fetch_answer *answer)
{
	(void)ctx;
	(void)answer;
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
	struct fetch *fetch = NULL;
	struct fetch_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.method = "GET",
	};

	fetch_cancel(&fetch);
	as_play_steps(as, waits);
	params.url = as_text(as, "$O/x");
	fetch_start(&fetch, &params, on_never, NULL);
	world_run_until(as->world, has_request, as->world->peer);
	fetch_cancel(&fetch);
	assert_null(fetch);
	world_run_until(as->world, world_peer_has_closed, as->world);
}

static void retry_after_is_seconds_or_a_date_within_an_hour(void **state)
{
	static const struct {
		const char *value;
		int64_t seconds;
	} table[] = {
		{NULL,				      0			  },
		{ "0",				      0			 },
		{ "120",				    120		     },
		{ "3601",				   FETCH_MAX_RETRY_AFTER_S},
		{ "99999999999999999999",			  0			    },
		{ "-5",				     0			  },
		{ "1.5",				    0			   },
		{ "soon",				   0			    },
		{ "",				       0			},
 /* 1763600000 is Thu, 20 Nov 2025 00:53:20 GMT */
		{ "Thu, 20 Nov 2025 00:53:50 GMT",	   30		      },
		{ "Thu, 20 Nov 2025 00:53:00 GMT",	   0			     },
		{ "Fri, 20 Nov 2026 00:53:20 GMT",	   FETCH_MAX_RETRY_AFTER_S},
		{ "Thu, 20 Nov 2025 00:53:50 GMT and more", 0		      },
		{ "Thu, 20 Nov 2025 00:53:50",	       0			 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(fetch_retry_after(table[i].value, 1763600000), table[i].seconds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_comes_whole),
		TEST(the_body_is_left_where_nobody_wants_it),
		TEST(a_stream_that_does_not_end_is_left_at_its_head),
		TEST(redirects_are_not_followed),
		TEST(challenges_of_several_lines_are_joined),
		TEST(a_challenge_over_its_ceiling_is_none),
		TEST(a_wait_that_is_asked_for_is_told),
		TEST(a_body_over_64_kib_is_cut_and_said_so),
		TEST(a_server_that_drips_is_left_after_the_time),
		TEST(an_answer_that_breaks_off_is_no_answer),
		TEST(what_egress_refuses_is_not_sent),
		TEST(a_port_where_nobody_listens_is_an_error_of_theirs),
		TEST(cancel_means_silence),
		cmocka_unit_test(retry_after_is_seconds_or_a_date_within_an_hour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
