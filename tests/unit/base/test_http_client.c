/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/fakes/http_world.h"

/* --- what goes out ------------------------------------------------------------------------- */
static void assert_request(struct world *world, size_t i, const char *format)
{
	char *got = peer_request(world->peer, i);
	char port[8];
	struct buf wanted;
	const char *mark = strstr(format, "PORT");

	snprintf(port, sizeof(port), "%u", peer_port(world->peer));
	buf_init(&wanted, 65536);
	buf_append(&wanted, format, (size_t)(mark - format));
	buf_add(&wanted, port);
	buf_add(&wanted, mark + 4);
	assert_string_equal(got, buf_str(&wanted));
	buf_fini(&wanted);
	free(got);
}

SCRIPT(serve) = {
	{PEER_REQUEST, NULL,      0},
	   { PEER_SEND,	ANSWER_OK, 0},
	{ PEER_AGAIN,  NULL,	    0}
};

static void a_request_carries_what_was_given_and_nothing_else(void **state)
{
	struct world *world = *state;
	const struct http_header headers[] = {
		{"X-One",	   "a b"				 },
		{ "Accept",  "application/json, text/event-stream"},
		{ "X-Empty", ""				   },
	};
	struct http_params params;

	world_play(world, serve);
	params = world_get(world);
	params.url = world_url(world, "http", "127.0.0.1", "/a%20b?c=d&e");
	params.headers = headers;
	params.n_headers = 3;
	world_get_ok(world, &params);
	assert_request(world, 0,
		       "GET /a%20b?c=d&e HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-One: a b\r\n"
		       "Accept: application/json, text/event-stream\r\nX-Empty:\r\n\r\n");
}

static void methods_and_bodies_are_framed(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *method, *body, *wanted;
	} cases[] = {
		{"GET",	 NULL,	       "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n"	},
		{ "DELETE", NULL,	  "DELETE / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n"    },
		{ "POST",	  NULL,
		  "POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 0\r\n\r\n"	 },
		{ "POST",	  "",
		  "POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 0\r\n\r\n"	 },
		{ "POST",	  "{\"a\":1}",
		  "POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 7\r\n\r\n{\"a\":1}"},
		{ "PUT",	 "x",
		  "PUT / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 1\r\n\r\nx"	 },
		{ "PATCH",  NULL,
		  "PATCH / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 0\r\n\r\n"	  },
		{ "DELETE", "x",
		  "DELETE / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 1\r\n\r\nx"	    },
	};

	world_play(world, serve);
	for (size_t i = 0; i < N(cases); i++) {
		struct http_params params = world_get(world);

		params.method = cases[i].method;
		params.body = span_of(cases[i].body);
		world_get_ok(world, &params);
		assert_request(world, i, cases[i].wanted);
	}
	assert_int_equal(peer_connections(world->peer), 1);
}

static void a_large_body_goes_out_whole_and_without_expect(void **state)
{
	struct world *world = *state;
	size_t n = 900000;
	char *body = mem_new(n + 1);
	struct http_params params;
	char *got;

	world_play(world, serve);
	memset(body, 'b', n);
	params = world_post(world, body);
	world_get_ok(world, &params);
	got = peer_request(world->peer, 0);
	assert_non_null(strstr(got, "\r\nContent-Length: 900000\r\n\r\n"));
	assert_string_equal(strstr(got, "\r\n\r\n") + 4, body);
	assert_null(strstr(got, "Expect"));
	free(got);
	free(body);
}

static void the_environments_proxy_is_ignored(void **state)
{
	struct world *world = *state;
	char proxy[64];
	struct http_params params;

	world_play(world, serve);
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", peer_unused_port());
	setenv("http_proxy", proxy, 1);
	setenv("all_proxy", proxy, 1);
	params = world_get(world);
	world_get_ok(world, &params);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
}

/* --- what comes back ----------------------------------------------------------------------- */

SCRIPT(rich) = {
	{PEER_REQUEST, NULL,								  0},
	{ PEER_SEND,
	  "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nMcp-Session-Id:  s 1 \r\n"
	  "X-Two: a\r\nX-Two: b\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", 0},
	{ PEER_AGAIN,  NULL,								  0},
};

static void an_answer_arrives_head_first(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	world_play(world, rich);
	params = world_get(world);
	outcome_of(&outcome, world, &params);
	assert_outcome_ok(&outcome, "hello");
	assert_string_equal(outcome.journal, "hdD");
	assert_string_equal(outcome.headers,
			    "content-type: text/plain\nmcp-session-id: s 1\nx-two: a\nx-two: b\n"
			    "content-encoding: gzip\ncontent-length: 5\n");
	outcome_fini(&outcome);
}

static void a_head_is_searched_by_name(void **state)
{
	const struct http_header headers[] = {
		{"a",  "1"},
		      { "b", "2"},
		    { "a", "3"}
	};
	const struct http_head head = { 200, headers, 3 };

	(void)state;
	assert_string_equal(http_head_find(&head, "a"), "1");
	assert_string_equal(http_head_find(&head, "B"), "2");
	assert_null(http_head_find(&head, "c"));
}

SCRIPT(head_now) = {
	{PEER_REQUEST, NULL,							 0},
	{ PEER_SEND,   "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", 0},
	{ PEER_GATE,   NULL,							 0},
	{ PEER_SEND,   "data",						       0},
	{ PEER_CLOSE,  NULL,							 0},
};

static void the_head_does_not_wait_for_the_body(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	world_play(world, head_now);
	params = world_get(world);
	outcome_init(&outcome, world);
	outcome_start(&outcome, &params);
	assert_false(http_sent(outcome.request));
	world_run_until(world, outcome_has_head, &outcome);
	assert_int_equal(outcome.reads, 0);
	peer_open_gate(world->peer);
	outcome_wait(&outcome);
	assert_outcome_ok(&outcome, "data");
	outcome_fini(&outcome);
}

SCRIPT(chunked) = {
	{PEER_REQUEST, NULL,						 0},
	{ PEER_SEND,
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
	  "5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-T: 1\r\n\r\n", 0},
	{ PEER_AGAIN,  NULL,						 0},
};

SCRIPT(interim) = {
	{PEER_REQUEST, NULL,								      0},
	{ PEER_SEND,
	  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" ANSWER_OK,
	  0											 },
	{ PEER_AGAIN,  NULL,								      0},
};

SCRIPT(close_delimited) = {
	{PEER_REQUEST, NULL,				   0},
	{ PEER_SEND,   "HTTP/1.0 200 OK\r\n\r\nuntil the end", 0},
	{ PEER_CLOSE,  NULL,				   0},
};

SCRIPT(one_byte_at_a_time) = {
	{PEER_REQUEST, NULL,      0},
	{ PEER_DRIP,   ANSWER_OK, 0},
	{ PEER_AGAIN,  NULL,	    0},
};

SCRIPT(half_closed) = {
	{PEER_REQUEST,	NULL,      0},
	       { PEER_SEND,	    ANSWER_OK, 0},
	    { PEER_HALF_CLOSE,  NULL,	     0},
	{ PEER_AWAIT_CLOSE, NULL,	  0},
	       { PEER_CLOSE,	     NULL,	   0},
};

static void every_framing_of_http_1_is_understood(void **state)
{
	struct world *world = *state;
	static const struct {
		const struct peer_step *script;
		const char *body, *headers;
		int requests;
		size_t connections; /* that so many requests need */
	} cases[] = {
		{chunked,		   "hello world",	  "transfer-encoding: chunked\ntrailer: X-T\n", 3, 1},
		{ interim,		   "ok",		 "content-length: 2\n",			3, 1},
		{ close_delimited,	   "until the end", "",						2, 2},
		{ one_byte_at_a_time, "ok",	    "content-length: 2\n",			   2, 1},
		{ half_closed,	       "ok",	     "content-length: 2\n",			    1, 1},
	};

	for (size_t i = 0; i < N(cases); i++) {
		world->peer = peer_start(&cases[i].script, 1);
		for (int n = 0; n < cases[i].requests; n++) {
			struct http_params params = world_get(world);
			struct outcome outcome;

			outcome_of(&outcome, world, &params);
			assert_outcome_ok(&outcome, cases[i].body);
			assert_string_equal(outcome.headers, cases[i].headers);
			assert_int_equal(outcome.heads, 1);
			outcome_fini(&outcome);
		}
		assert_int_equal(peer_connections(world->peer), cases[i].connections);
		peer_stop(&world->peer);
	}
}

SCRIPT(empty_answers) = {
	{PEER_REQUEST,	NULL,								      0},
	{ PEER_SEND,    "HTTP/1.1 204 No Content\r\n\r\n",						0},
	{ PEER_REQUEST, NULL,								      0},
	{ PEER_SEND,    "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 0},
	{ PEER_REQUEST, NULL,								      0},
	{ PEER_SEND,    "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 0},
	{ PEER_REQUEST, NULL,								      0},
	{ PEER_SEND,    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",		       0},
	{ PEER_REQUEST, NULL,								      0},
	{ PEER_SEND,    ANSWER_OK,								 0},
	{ PEER_AGAIN,   NULL,								      0},
};

static void answers_without_a_body_end_and_redirects_are_not_followed(void **state)
{
	struct world *world = *state;
	static const int statuses[] = { 204, 302, 401, 200 };
	struct http_params params;

	world_play(world, empty_answers);
	params = world_get(world);
	for (size_t i = 0; i < N(statuses); i++) {
		struct outcome outcome;

		params.method = i == 3 ? "HEAD" : "GET";
		outcome_of(&outcome, world, &params);
		assert_false(outcome.failed);
		assert_int_equal(outcome.status, statuses[i]);
		assert_int_equal(outcome.reads, 0);
		assert_string_equal(outcome.journal, "hD");
		outcome_fini(&outcome);
	}
	params.method = "GET";
	world_get_ok(world, &params);
	assert_int_equal(peer_requests(world->peer), 5);
}

/* --- the laws ------------------------------------------------------------------------------ */

static void start_again(struct outcome *outcome)
{
	struct http_params params = world_get(outcome->world);

	outcome->on_done = NULL;
	outcome->n_journal = 0;
	memset(outcome->journal, 0, sizeof(outcome->journal));
	outcome->heads = 0;
	outcome->dones = 0;
	buf_clear(&outcome->body);
	outcome_start(outcome, &params);
}

static void start_other(struct outcome *outcome)
{
	struct http_params params = world_get(outcome->world);

	if (outcome->other->request == NULL && outcome->other->dones == 0)
		outcome_start(outcome->other, &params);
}

static void every_callback_may_start_another_request(void **state)
{
	struct world *world = *state;
	struct outcome outcome, other;
	struct http_params params;

	world_play(world, serve);
	params = world_get(world);
	outcome_init(&outcome, world);
	outcome.on_done = start_again;
	outcome_start(&outcome, &params);
	world_run(world);
	outcome_wait(&outcome);
	assert_outcome_ok(&outcome, "ok");
	outcome_fini(&outcome);
	for (int where = 0; where < 2; where++) {
		outcome_init(&outcome, world);
		outcome_init(&other, world);
		outcome.other = &other;
		if (where == 0)
			outcome.on_head = start_other;
		else
			outcome.on_data = start_other;
		params = world_get(world);
		outcome_start(&outcome, &params);
		outcome_wait(&outcome);
		outcome_wait(&other);
		assert_outcome_ok(&outcome, "ok");
		assert_outcome_ok(&other, "ok");
		outcome_fini(&outcome);
		outcome_fini(&other);
	}
}

static void requests_run_side_by_side_and_share_connections(void **state)
{
	struct world *world = *state;
	struct outcome outcomes[40];
	struct http_params params;

	world_play(world, serve);
	params = world_post(world, "side by side");
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < N(outcomes); i++) {
			outcome_init(&outcomes[i], world);
			outcome_start(&outcomes[i], &params);
		}
		for (size_t i = 0; i < N(outcomes); i++) {
			outcome_wait(&outcomes[i]);
			assert_outcome_ok(&outcomes[i], "ok");
			outcome_fini(&outcomes[i]);
		}
	}
	assert_int_equal(peer_connections(world->peer), N(outcomes));
	assert_int_equal(peer_requests(world->peer), 3 * N(outcomes));
}

static void bad_params_fail_later(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *method, *name, *value;
	} cases[] = {
		{"",				   "X",		   "v"	       },
		{ "GET /",			     "X",			"v"	    },
		{ "GET\r\nX: y",			 "X",		      "v"		  },
		{ "AVERYLONGMETHODNAMETHATNOBODYUSES", "X",		    "v"		},
		{ "GET",			       "",		     "v"		 },
		{ "GET",			       "X Y",		"v"	    },
		{ "GET",			       "X:",		       "v"	   },
		{ "GET",			       "X\r\nY",		   "v"	       },
		{ "GET",			       "X\xc3\xbc",	      "v"		  },
		{ "GET",			       "X",		      "v\r\nY: z"	  },
		{ "GET",			       "X",		      "v\n"	    },
		{ "GET",			       "X",		      "v\r"	    },
		{ "GET",			       "X",		      "\x01"	     },
		{ "GET",			       "X",		      "a\x7f"	      },
		{ "GET",			       "X",		      "a\x1f"	      },
		{ "GET",			       "Host",		 "evil.example"},
		{ "GET",			       "content-length",	   "5"	       },
		{ "GET",			       "Transfer-Encoding", "chunked"	},
		{ "GET",			       "Connection",	       "close"       },
		{ "GET",			       "Expect",		   "100-continue"},
		{ "GET",			       "Upgrade",	    "h2c"	  },
		{ "GET",			       "TE",		       "trailers"	  },
		{ "GET",			       "Trailer",	    "X"		},
		{ "GET",			       "Keep-Alive",	       "x"	   },
		{ "GET",			       "Proxy-Connection",  "x"		 },
	};

	world_play(world, serve);
	for (size_t i = 0; i < N(cases); i++) {
		struct http_header header = { cases[i].name, cases[i].value };
		struct http_params params = world_get(world);
		struct outcome outcome;

		params.method = cases[i].method;
		params.headers = &header;
		params.n_headers = 1;
		outcome_of(&outcome, world, &params);
		assert_outcome_failed(&outcome, ERR_BAD_REQUEST, "unsent", "");
		outcome_fini(&outcome);
	}
	assert_int_equal(peer_connections(world->peer), 0);
}

static void more_bad_params_fail_later(void **state)
{
	struct world *world = *state;
	struct http_header many[HTTP_MAX_HEADERS + 1];
	char *large = mem_new(HTTP_MAX_HEADER_BYTES + 1);
	struct http_header one = { "X", large };
	struct http_params params[8];

	world_play(world, serve);
	memset(large, 'v', HTTP_MAX_HEADER_BYTES);
	for (size_t i = 0; i < N(many); i++)
		many[i] = (struct http_header){ "X", "v" };
	for (size_t i = 0; i < N(params); i++)
		params[i] = world_get(world);
	params[0].headers = many;
	params[0].n_headers = N(many);
	params[1].headers = &one;
	params[1].n_headers = 1;
	params[2].connect_timeout_ms = -1;
	params[3].total_timeout_ms = -1;
	params[4].method = "HEAD";
	params[4].body = SPAN("x");
	params[5].url = "http://user:secret@127.0.0.1/";
	params[6].url = "ftp://127.0.0.1/";
	params[7].url = "http://127.0.0.1/\r\nX: y";
	for (size_t i = 0; i < N(params); i++) {
		struct outcome outcome;

		outcome_of(&outcome, world, &params[i]);
		assert_outcome_failed(&outcome, ERR_BAD_REQUEST, "unsent", "");
		assert_null(strstr(outcome.err.text, "secret"));
		outcome_fini(&outcome);
	}
	assert_int_equal(peer_connections(world->peer), 0);
	free(large);
}

static void header_values_of_any_other_byte_pass(void **state)
{
	struct world *world = *state;
	struct http_header header = { "x-any!#$%&'*+.^_`|~0", "tab\there \"\xc3\xbc\xff\" \\;," };
	struct http_params params;

	world_play(world, serve);
	params = world_get(world);
	params.headers = &header;
	params.n_headers = 1;
	world_get_ok(world, &params);
	assert_request(world, 0,
		       "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
		       "x-any!#$%&'*+.^_`|~0: tab\there \"\xc3\xbc\xff\" \\;,\r\n\r\n");
}

static void an_owner_may_leave_without_a_request(void **state)
{
	struct http_request *none = NULL;
	struct http_client *no_client = NULL;

	(void)state;
	http_cancel(&none);
	http_client_free(&no_client);
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_request_carries_what_was_given_and_nothing_else),
		HTTP_TEST(methods_and_bodies_are_framed),
		HTTP_TEST(a_large_body_goes_out_whole_and_without_expect),
		HTTP_TEST(the_environments_proxy_is_ignored),
		HTTP_TEST(an_answer_arrives_head_first),
		HTTP_TEST(a_head_is_searched_by_name),
		HTTP_TEST(the_head_does_not_wait_for_the_body),
		HTTP_TEST(every_framing_of_http_1_is_understood),
		HTTP_TEST(answers_without_a_body_end_and_redirects_are_not_followed),
		HTTP_TEST(every_callback_may_start_another_request),
		HTTP_TEST(requests_run_side_by_side_and_share_connections),
		HTTP_TEST(bad_params_fail_later),
		HTTP_TEST(more_bad_params_fail_later),
		HTTP_TEST(header_values_of_any_other_byte_pass),
		HTTP_TEST(an_owner_may_leave_without_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
