/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/fakes/http_world.h"

SCRIPT(serve) = {
	{PEER_REQUEST, NULL,      0},
	   { PEER_SEND,	ANSWER_OK, 0},
	{ PEER_AGAIN,  NULL,	    0}
};

/* --- peers that break ---------------------------------------------------------------------- */

static const struct {
	const char *answer; /* NULL: none */
	enum peer_op then;
} breakages[] = {
	{NULL,									     PEER_CLOSE},
	{ NULL,									    PEER_RESET},
	{ "HTTP/1.1 200 OK\r\nContent-",						   PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",				     PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",		   PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",	       PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
	  PEER_CLOSE										  },
	{ "220 smtp.example.com ESMTP\r\n\r\n",						PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nX-A: b\r\n  c\r\nContent-Length: 0\r\n\r\n",		   PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nX-A: b\x01\r\nContent-Length: 0\r\n\r\n",			PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",			    PEER_CLOSE},
	{ "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes",      PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\nhello",			  PEER_CLOSE},
	{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",				PEER_CLOSE},
};

SCRIPT(resets_after_the_head) = {
	{PEER_REQUEST, NULL,					   0},
	{ PEER_SEND,   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0},
	{ PEER_GATE,   NULL,					   0},
	{ PEER_RESET,  NULL,					   0},
};

static void a_broken_answer_is_an_upstream_error(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < N(breakages); i++) {
		const struct peer_step script[] = {
			{PEER_REQUEST,						 NULL, 0},
			{ breakages[i].answer != NULL ? PEER_SEND : breakages[i].then,
			  breakages[i].answer,						0},
			{ breakages[i].then,					     NULL, 0},
		};
		struct http_params params;
		struct outcome outcome;

		world_play(world, script);
		params = world_post(world, "body");
		outcome_of(&outcome, world, &params);
		assert_outcome_failed(&outcome, ERR_UPSTREAM, "", "");
		assert_int_equal(peer_requests(world->peer), 1);
		outcome_fini(&outcome);
		peer_stop(&world->peer);
	}
}

static void a_reset_after_the_head_is_an_upstream_error(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	world_play(world, resets_after_the_head);
	params = world_get(world);
	outcome_init(&outcome, world);
	outcome_start(&outcome, &params);
	world_run_until(world, outcome_has_head, &outcome);
	peer_open_gate(world->peer);
	outcome_wait(&outcome);
	assert_outcome_failed(&outcome, ERR_UPSTREAM, "", "");
	assert_string_equal(outcome.journal, "hD");
	outcome_fini(&outcome);
}

/* --- a request runs at most once ----------------------------------------------------------- */

SCRIPT(dies_at_the_second_request) = {
	{PEER_REQUEST,	NULL,      0},
	{ PEER_SEND,    ANSWER_OK, 0},
	{ PEER_REQUEST, NULL,      0},
	{ PEER_CLOSE,   NULL,	    0},
};

SCRIPT(resets_at_the_second_request) = {
	{PEER_REQUEST,	NULL,      0},
	{ PEER_SEND,    ANSWER_OK, 0},
	{ PEER_REQUEST, NULL,      0},
	{ PEER_RESET,   NULL,	    0},
};

SCRIPT(dies_at_the_second_head) = {
	{PEER_REQUEST, NULL,	      0},
	{ PEER_SEND,   ANSWER_OK,	0},
	{ PEER_AWAIT,  "\r\n\r\n", 0},
	{ PEER_RESET,  NULL,	    0},
};

static void a_request_on_a_connection_that_dies_is_not_sent_again(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const first[] = {
		dies_at_the_second_request,
		resets_at_the_second_request,
		dies_at_the_second_head,
	};
	static const char *const methods[] = { "POST", "GET", "DELETE", "PUT", "POST" };

	for (size_t i = 0; i < N(first); i++) {
		for (size_t k = 0; k < N(methods); k++) {
			const struct peer_step *const scripts[] = { first[i], serve };
			struct http_params params;
			struct outcome outcome;

			world->peer = peer_start(scripts, 2);
			params = world_get(world);
			world_get_ok(world, &params);
			params.method = methods[k];
			if (k == 0)
				params.body = span_of("run me once");
			outcome_of(&outcome, world, &params);
			assert_outcome_failed(&outcome, ERR_UPSTREAM, "", "127.0.0.1:");
			outcome_fini(&outcome);
			assert_int_equal(peer_connections(world->peer), 1);
			assert_int_equal(peer_requests(world->peer), i < 2 ? 2 : 1);
			world_get_ok(world, &params);
			assert_int_equal(peer_connections(world->peer), 2);
			peer_stop(&world->peer);
		}
	}
}

/* curl would take the other connection of the pool, without opening one. */
static void a_request_is_not_sent_again_on_another_idle_connection_either(void **state)
{
	struct world *world = *state;
	struct outcome first[2], outcome;
	struct http_params params;

	world_play(world, dies_at_the_second_request);
	params = world_post(world, "run me once");
	for (size_t i = 0; i < 2; i++) {
		outcome_init(&first[i], world);
		outcome_start(&first[i], &params);
	}
	for (size_t i = 0; i < 2; i++) {
		outcome_wait(&first[i]);
		assert_outcome_ok(&first[i], "ok");
		outcome_fini(&first[i]);
	}
	params.body = (struct span){ NULL, 0 };
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_UPSTREAM, "", "closed the connection");
	outcome_fini(&outcome);
	assert_int_equal(peer_requests(world->peer), 3);
	assert_int_equal(peer_connections(world->peer), 2);
}

SCRIPT(closes_after_each) = {
	{PEER_REQUEST, NULL,      0},
	{ PEER_SEND,   ANSWER_OK, 0},
	{ PEER_GATE,   NULL,	   0},
	{ PEER_CLOSE,  NULL,	    0},
};

static void a_connection_that_was_closed_while_idle_is_not_used(void **state)
{
	struct world *world = *state;
	struct http_params params;

	world_play(world, closes_after_each);
	params = world_post(world, "body");
	for (size_t i = 1; i <= 5; i++) {
		world_get_ok(world, &params);
		assert_int_equal(peer_requests(world->peer), i);
		peer_open_gate(world->peer);
		world_run_until(world, world_peer_has_closed, world);
	}
	assert_int_equal(peer_connections(world->peer), 5);
}

/* --- deadlines ----------------------------------------------------------------------------- */

SCRIPT(deaf) = {
	{PEER_AWAIT_CLOSE, NULL, 0},
	       { PEER_CLOSE,	     NULL, 0}
};

SCRIPT(stalls) = {
	{PEER_REQUEST,	NULL,						0},
	{ PEER_SEND,	     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstart", 0},
	{ PEER_AWAIT_CLOSE, NULL,						0},
	{ PEER_CLOSE,	      NULL,						0},
};

SCRIPT(drips) = {
	{PEER_REQUEST,	NULL,								    0 },
	{ PEER_SEND,	     "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n",			0 },
	{ PEER_DRIP,	     "drop drop drop drop drop drop drop drop drop drop drop drop drop drop", 10},
	{ PEER_AWAIT_CLOSE, NULL,								    0 },
	{ PEER_CLOSE,	      NULL,								    0 },
};

SCRIPT(hints_forever) = {
	{PEER_REQUEST,	NULL,			      0},
	{ PEER_SEND,	     "HTTP/1.1 100 Continue\r\n\r\n", 0},
	{ PEER_AWAIT_CLOSE, NULL,				  0},
	{ PEER_CLOSE,	      NULL,			    0},
};

static void each_deadline_ends_a_request_and_says_which(void **state)
{
	struct world *world = *state;
	static const struct {
		const struct peer_step *script;
		const char *scheme;
		int64_t connect_ms, first_byte_ms, idle_ms, total_ms;
		const char *text, *tag, *journal;
	} cases[] = {
		{deaf,		"https", 40, 0,	0,  0,  ": no connection within 40 ms",	      "unsent", "D"  },
		{ deaf,		"https", 0,  40, 0,  0,  ": no answer within 40 ms",		  "unsent", "D"	},
		{ deaf,		"https", 0,  0,  0,  40, ": no end of the answer within 40 ms",	     "unsent",
		  "D"												  },
		{ deaf,		"http",	20, 40, 30, 0,  ": no answer within 40 ms",		   "",       "D"  },
		{ deaf,		"http",	0,  80, 0,  40, ": no end of the answer within 40 ms",	     "",	 "D"  },
		{ hints_forever, "http",	 20, 40, 0,  0,  ": no answer within 40 ms",		   "",       "D"  },
		{ stalls,	  "http",  20, 30, 60, 0,	 ": nothing more of the answer within 60 ms", "",
		  "hdD"												},
		{ stalls,	  "http",  0,  0,	80, 40, ": no end of the answer within 40 ms",       "",	   "hdD"},
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct http_params params;
		struct outcome outcome;
		int64_t before_ms = loop_now_ms(world->loop);

		world->peer = peer_start(&cases[i].script, 1);
		params = world_get(world);
		params.url = world_url(world, cases[i].scheme, "127.0.0.1", "/");
		params.connect_timeout_ms = cases[i].connect_ms;
		params.first_byte_timeout_ms = cases[i].first_byte_ms;
		params.idle_timeout_ms = cases[i].idle_ms;
		params.total_timeout_ms = cases[i].total_ms;
		outcome_of(&outcome, world, &params);
		assert_outcome_failed(&outcome, ERR_TIMEOUT, cases[i].tag, cases[i].text);
		assert_string_equal(outcome.journal, cases[i].journal);
		assert_in_range(loop_now_ms(world->loop) - before_ms, 40, 4000);
		outcome_fini(&outcome);
		world_run_until(world, world_peer_has_closed, world);
		peer_stop(&world->peer);
	}
}

static void bytes_that_drip_are_not_idle_but_still_end_in_total(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	world_play(world, drips);
	params = world_get(world);
	params.idle_timeout_ms = 200;
	params.total_timeout_ms = 500;
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_TIMEOUT, "", ": no end of the answer within 500 ms");
	assert_true(outcome.reads >= 5);
	outcome_fini(&outcome);
}

static void pause_it(struct outcome *outcome)
{
	http_pause(outcome->request);
}

static bool after_two_idles(void *ctx)
{
	const int64_t *until_ms = ctx;

	return loop_now_ms(NULL) >= *until_ms;
}

static void a_paused_request_is_not_idle(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;
	int64_t until_ms;

	world_play(world, stalls);
	params = world_get(world);
	params.idle_timeout_ms = 50;
	outcome_init(&outcome, world);
	outcome.on_data = pause_it;
	outcome_start(&outcome, &params);
	world_run_until(world, outcome_has_head, &outcome);
	until_ms = loop_now_ms(world->loop) + 150;
	world_run_until(world, after_two_idles, &until_ms);
	assert_int_equal(outcome.dones, 0);
	outcome.on_data = NULL;
	http_resume(outcome.request);
	outcome_wait(&outcome);
	assert_outcome_failed(&outcome, ERR_TIMEOUT, "",
			      ": nothing more of the answer within 50 ms");
	assert_true(loop_now_ms(world->loop) >= until_ms + 50);
	outcome_fini(&outcome);
}

/* --- ceilings ------------------------------------------------------------------------------ */

SCRIPT(ten_by_length) = {
	{PEER_REQUEST, NULL,						      0},
	{ PEER_SEND,   "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", 0},
	{ PEER_AGAIN,  NULL,						      0},
};

SCRIPT(ten_by_chunks) = {
	{PEER_REQUEST, NULL,						    0 },
	{ PEER_SEND,   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ PEER_CHUNKS, NULL,						    10},
	{ PEER_AGAIN,  NULL,						    0 },
};

SCRIPT(ten_until_close) = {
	{PEER_REQUEST, NULL,				0},
	{ PEER_SEND,   "HTTP/1.1 200 OK\r\n\r\n0123456789", 0},
	{ PEER_CLOSE,  NULL,				0},
};

static void the_ceiling_of_the_body_holds_however_it_is_framed(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const scripts[] = { ten_by_length, ten_by_chunks,
							   ten_until_close };

	for (size_t i = 0; i < N(scripts); i++) {
		struct http_params params;
		struct outcome outcome;

		world->peer = peer_start(&scripts[i], 1);
		params = world_get(world);
		params.max_body_bytes = 9;
		outcome_of(&outcome, world, &params);
		assert_outcome_failed(&outcome, ERR_TOO_LARGE, "", "body is over 9 bytes");
		assert_true(outcome.body.len <= 9);
		outcome_fini(&outcome);
		params.max_body_bytes = 10;
		outcome_of(&outcome, world, &params);
		assert_false(outcome.failed);
		assert_int_equal(outcome.body.len, 10);
		outcome_fini(&outcome);
		peer_stop(&world->peer);
	}
}

/* An answer of `n_interim` interim heads and a final one with n headers of `bytes` each. */
static char *large_head(size_t n_interim, size_t n, size_t bytes)
{
	struct buf text;

	buf_init(&text, WORLD_MAX_BODY);
	for (size_t i = 0; i < n_interim; i++)
		buf_add(&text,
			"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
	buf_add(&text, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
	for (size_t i = 0; i < n; i++) {
		buf_add(&text, "x: ");
		for (size_t k = 3; k < bytes; k++)
			buf_add(&text, "v");
		buf_add(&text, "\r\n");
	}
	buf_add(&text, "\r\n");
	return buf_take(&text, &n);
}

static void the_head_has_ceilings(void **state)
{
	struct world *world = *state;
	static const struct {
		size_t n_interim, n, bytes;
		const char *text; /* NULL: accepted */
	} cases[] = {
		{0,     HTTP_MAX_HEADERS - 1, 10,     NULL				    },
		{ 0,    HTTP_MAX_HEADERS,     10,	   "more than 200 headers"	   },
		{ 0,    60,			 1000,   NULL				    },
		{ 0,    66,			 1000,   "more than 65536 bytes of headers"},
		{ 0,    1,			60000,  NULL				    },
		{ 0,    1,			70000,  "more than 65536 bytes of headers"},
		{ 0,    1,			150000, "more than 65536 bytes of headers"},
		{ 500,  0,			  0,	     NULL				  },
		{ 5000, 0,			   0,      "more than 65536 bytes of headers"},
	};

	for (size_t i = 0; i < N(cases); i++) {
		char *head = large_head(cases[i].n_interim, cases[i].n, cases[i].bytes);
		const struct peer_step script[] = {
			{PEER_REQUEST,	NULL, 0},
			{ PEER_SEND,	     head, 0},
			{ PEER_AWAIT_CLOSE, NULL, 0},
			{ PEER_CLOSE,	      NULL, 0},
		};
		const struct peer_step *const scripts[] = { script };
		struct http_params params;
		struct outcome outcome;

		world->peer = peer_start(scripts, 1);
		params = world_get(world);
		outcome_of(&outcome, world, &params);
		if (cases[i].text != NULL)
			assert_outcome_failed(&outcome, ERR_TOO_LARGE, "", cases[i].text);
		else
			assert_outcome_ok(&outcome, "");
		outcome_fini(&outcome);
		peer_stop(&world->peer);
		free(head);
	}
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_broken_answer_is_an_upstream_error),
		HTTP_TEST(a_reset_after_the_head_is_an_upstream_error),
		HTTP_TEST(a_request_on_a_connection_that_dies_is_not_sent_again),
		HTTP_TEST(a_request_is_not_sent_again_on_another_idle_connection_either),
		HTTP_TEST(a_connection_that_was_closed_while_idle_is_not_used),
		HTTP_TEST(each_deadline_ends_a_request_and_says_which),
		HTTP_TEST(bytes_that_drip_are_not_idle_but_still_end_in_total),
		HTTP_TEST(a_paused_request_is_not_idle),
		HTTP_TEST(the_ceiling_of_the_body_holds_however_it_is_framed),
		HTTP_TEST(the_head_has_ceilings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
