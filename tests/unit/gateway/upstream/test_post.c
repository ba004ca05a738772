/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "gateway/upstream/post.h"
#include "tests/fakes/peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WAIT_MS	     20000
#define NOTE(method) "{\"jsonrpc\":\"2.0\",\"method\":\"" method "\"}"

struct world {
	struct loop *loop;
	struct http_client *client;
	struct peer *peer;
	const struct peer_step *scripts[1]; /* that it plays */
	struct timer guard;
	struct tenant tenant;
	struct connection connection;
	char url[64];

	struct post *post;
	int dones;
	bool failed;
	struct err err;
	struct post_end end;
	char messages[512]; /* "<kind> <method or error>\n" */
	size_t cancel_at;   /* the message at which it is cancelled; 0: never */
	size_t n_messages;
};

static void on_message(void *ctx, const struct post_end *head, const struct envelope *message)
{
	struct world *world = ctx;
	size_t n = strlen(world->messages);

	assert_int_equal(world->dones, 0);
	assert_non_null(world->post);
	snprintf(world->messages + n, sizeof(world->messages) - n, "%d %d %s%.*s\n", head->status,
		 message->kind, message->method != NULL ? message->method : "",
		 (int)message->error.n, message->error.p != NULL ? message->error.p : "");
	if (++world->n_messages == world->cancel_at) {
		post_cancel(&world->post);
		assert_null(world->post);
		loop_stop(world->loop);
	}
}

static void on_done(void *ctx, const struct post_end *end, const struct err *err)
{
	struct world *world = ctx;

	assert_null(world->post);
	assert_true((end == NULL) == (err != NULL));
	world->dones++;
	world->failed = err != NULL;
	if (err != NULL)
		world->err = *err;
	else
		world->end = *end;
	loop_stop(world->loop);
}

static void on_guard(void *ctx)
{
	loop_stop(ctx);
}

static int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));
	struct err err;

	*state = world;
	world->loop = loop_new();
	world->client = http_client_new(world->loop);
	world->tenant.id = "t";
	world->tenant.egress = egress_policy_new(NULL, 0, true, &err);
	world->connection = (struct connection){ .id = "c", .connect_timeout_ms = 5000 };
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	timer_stop(&world->guard);
	http_client_free(&world->client);
	peer_stop(&world->peer);
	egress_policy_unref(&world->tenant.egress);
	loop_free(&world->loop);
	free(world);
	return 0;
}

static void start(struct world *world, const struct http_header *headers, size_t n_headers)
{
	static const struct post_events events = { .message = on_message, .done = on_done };

	world->dones = 0;
	world->n_messages = 0;
	world->messages[0] = '\0';
	post_start(&world->post,
		   &(struct post_params){
			   .client = world->client,
			   .tenant = &world->tenant,
			   .connection = &world->connection,
			   .body = SPAN("{}"),
			   .headers = headers,
			   .n_headers = n_headers,
			   .timeout_ms = WAIT_MS,
		   },
		   &events, world);
	assert_int_equal(world->dones, 0);
	assert_non_null(world->post);
}

static void run(struct world *world)
{
	timer_start(world->loop, &world->guard, WAIT_MS, on_guard, world->loop);
	loop_run(world->loop);
	timer_stop(&world->guard);
}

static void serve(struct world *world, const struct peer_step *script)
{
	peer_stop(&world->peer);
	world->scripts[0] = script;
	world->peer = peer_start(world->scripts, 1);
	snprintf(world->url, sizeof(world->url), "http://127.0.0.1:%u/mcp", peer_port(world->peer));
	world->connection.url = world->url;
}

/* One exchange with a server that answers so and closes. */
static void post(struct world *world, const char *answer)
{
	const struct peer_step script[] = {
		{PEER_REQUEST, NULL,   0},
		   { PEER_SEND,	answer, 0},
		     { PEER_CLOSE,  NULL,	 0}
	};

	serve(world, script);
	start(world, NULL, 0);
	run(world);
	assert_int_equal(world->dones, 1);
	peer_stop(&world->peer);
}

static void each_kind_of_answer_is_read_as_what_it_is(void **state)
{
	static const struct {
		const char *head;
		const char *body;
		bool fails;
		const char *messages;
	} rows[] = {
		{"200 OK\r\nContent-Type: application/json",		      NOTE("a"),		 false, "200 1 a\n"				    },
		{ "200 OK\r\nContent-Type: Application/JSON; charset=utf-8", NOTE("a"),		false,
		  "200 1 a\n"														      },
		{ "200 OK\r\nContent-Type: text/event-stream",
		  "data: " NOTE("a") "\r\n\r\ndata:\n\n: x\n\ndata: " NOTE("b") "\n\n",		false,
		  "200 1 a\n200 1 b\n"													     },
 /* The end of the stream ends no event. */
		{ "200 OK\r\nContent-Type: text/event-stream",
		  "data: " NOTE("a") "\n\ndata: " NOTE("b") "\n",					  false, "200 1 a\n"			     },
		{ "202 Accepted",					    "",		      false, ""					},
		{ "204 No Content",					  "",			false, ""					  },
		{ "200 OK",						  "",			false, ""					  },
		{ "200 OK\r\nContent-Type: application/json",		      "",			  false, ""					    },
		{ "200 OK\r\nContent-Type: text/html",		       "<p>",		      true,  ""				       },
		{ "200 OK\r\nContent-Type: application/jsonx",	       "{}",		     true,  ""				      },
		{ "200 OK\r\nContent-Type: application/json",		      "{}",		    true,  ""					     },
		{ "200 OK\r\nContent-Type: application/json",		      "<p>",		     true,  ""				      },
		{ "200 OK\r\nContent-Type: text/event-stream",	       "data: <p>\n\n",	true,  ""					 },
		{ "200 OK\r\nContent-Type: application/json",
		  "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"x\"}}",	  true,	""				      },
		{ "404 Not Found\r\nContent-Type: application/json",
		  "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"x\"}}",	  false, "404 2 {\"code\":1,\"message\":\"x\"}\n"},
		{ "404 Not Found\r\nContent-Type: application/json",
		  "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":1,\"message\":\"x\"}}",	     false,
		  "404 2 {\"code\":1,\"message\":\"x\"}\n"											 },
		{ "404 Not Found\r\nContent-Type: application/json",	     "{\"detail\":\"x\"}", false,
		  ""															       },
		{ "404 Not Found\r\nContent-Type: application/json",	     "{\"error\":\"x\"}",  false,
		  ""															       },
		{ "404 Not Found\r\nContent-Type: application/json",	     "<p>",		    false, ""				      },
		{ "500 Oops\r\nContent-Type: text/html",			 "<p>",		false, ""					  },
		{ "302 Found\r\nLocation: /",				      "",			  false, ""					    },
	};
	struct world *world = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		char answer[1024];

		snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s",
			 rows[i].head, strlen(rows[i].body), rows[i].body);
		post(world, answer);
		if (world->failed != rows[i].fails ||
		    strcmp(world->messages, rows[i].messages) != 0)
			fail_msg("%s: %s %s", answer, world->messages,
				 world->failed ? world->err.text : "");
		if (world->failed)
			assert_int_equal(world->err.code, ERR_UPSTREAM);
		else
			assert_int_equal(world->end.status, strtol(rows[i].head, NULL, 10));
	}
}

static void a_session_id_is_handed_over_unless_it_is_too_long(void **state)
{
	struct world *world = *state;
	char answer[3000];

	post(world, "HTTP/1.1 202 X\r\nMCP-SESSION-ID: s 1\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(world->end.session_id, "s 1");
	snprintf(answer, sizeof(answer),
		 "HTTP/1.1 202 X\r\nMcp-Session-Id: %01025d\r\nContent-Length: 0\r\n\r\n", 0);
	post(world, answer);
	assert_string_equal(world->end.session_id, "");
}

static void what_every_request_carries(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL,					  0},
		{ PEER_SEND,   "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n", 0},
		{ PEER_CLOSE,  NULL,					  0},
	};
	static const struct http_header more[] = {
		{"mcp-method", "x"},
		       { "mcp-name",  "y"}
	};
	struct http_header own[CONNECTION_MAX_HEADERS];
	struct world *world = *state;
	char names[CONNECTION_MAX_HEADERS][16];
	char token[] = "t0ken";
	char *request;

	for (size_t i = 0; i < CONNECTION_MAX_HEADERS; i++) {
		snprintf(names[i], sizeof(names[i]), "X-%zu", i);
		own[i] = (struct http_header){ names[i], "v" };
	}
	world->connection.headers = own;
	world->connection.n_headers = CONNECTION_MAX_HEADERS;
	world->connection.auth_mode = AUTH_BEARER;
	world->connection.credential = (struct secret){ token, 5 };
	serve(world, script);
	start(world, more, 2);
	run(world);
	assert_int_equal(world->dones, 1);
	request = peer_request(world->peer, 0);
	assert_non_null(strstr(request, "POST /mcp HTTP/1.1\r\n"));
	assert_non_null(strcasestr(request, "\r\ncontent-type: application/json\r\n"));
	assert_non_null(strcasestr(request, "\r\naccept: application/json, text/event-stream\r\n"));
	assert_non_null(strcasestr(request, "\r\nauthorization: Bearer t0ken\r\n"));
	assert_non_null(strcasestr(request, "\r\nx-0: v\r\n"));
	assert_non_null(strcasestr(request, "\r\nx-63: v\r\n"));
	assert_non_null(strcasestr(request, "\r\nmcp-method: x\r\n"));
	assert_non_null(strcasestr(request, "\r\nmcp-name: y\r\n"));
	free(request);
}

static void an_answer_that_breaks_off_is_a_failure_behind_what_came(void **state)
{
	struct world *world = *state;

	post(world, "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n"
		    "\r\ndata: " NOTE("a") "\n\n");
	assert_true(world->failed);
	assert_int_equal(world->err.code, ERR_UPSTREAM);
	assert_string_equal(world->messages, "200 1 a\n");
	post(world, "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: "
		    "1000\r\n\r\n" NOTE("a"));
	assert_true(world->failed);
	assert_string_equal(world->messages, "");
}

static void it_may_be_cancelled_at_any_message(void **state)
{
	static const struct peer_step streams[] = {
		{PEER_REQUEST,	NULL,						  0},
		{ PEER_SEND,
		  "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\n"
		  "data: " NOTE("a") "\n\ndata: " NOTE("b") "\n\ndata: " NOTE("c") "\n\n",
		  0									  },
		{ PEER_AWAIT_CLOSE, NULL,						  0},
		{ PEER_CLOSE,	      NULL,						  0},
	};
	static const struct peer_step json[] = {
		{PEER_REQUEST, NULL,	      0},
		{ PEER_SEND,
		  "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nConnection: "
		  "close\r\n\r\n" NOTE("a"),
		  0			    },
		{ PEER_CLOSE,  NULL,	    0},
	};
	struct world *world = *state;

	for (world->cancel_at = 1; world->cancel_at <= 3; world->cancel_at++) {
		serve(world, streams);
		start(world, NULL, 0);
		run(world);
		assert_int_equal(world->n_messages, world->cancel_at);
		assert_int_equal(world->dones, 0);
	}
	world->cancel_at = 1;
	serve(world, json);
	start(world, NULL, 0);
	run(world);
	assert_int_equal(world->n_messages, 1);
	assert_int_equal(world->dones, 0);
}

static void cancel_before_anything_is_silence(void **state)
{
	static const struct peer_step script[] = {
		{PEER_AWAIT_CLOSE, NULL, 0},
		{ PEER_CLOSE,      NULL, 0},
	};
	struct world *world = *state;

	serve(world, script);
	start(world, NULL, 0);
	post_cancel(&world->post);
	assert_null(world->post);
	post_cancel(&world->post);
	timer_start(world->loop, &world->guard, 20, on_guard, world->loop);
	loop_run(world->loop);
	assert_int_equal(world->dones, 0);
}

static void a_long_page_behind_an_error_is_not_kept(void **state)
{
	struct world *world = *state;
	struct buf answer;

	buf_init(&answer, (size_t)4 * POST_MAX_ERROR_BYTES);
	buf_printf(
		&answer,
		"HTTP/1.1 404 X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		(size_t)2 * POST_MAX_ERROR_BYTES);
	for (size_t i = 0; i < (size_t)2 * POST_MAX_ERROR_BYTES; i++)
		buf_append(&answer, " ", 1);
	post(world, buf_str(&answer));
	assert_false(world->failed);
	assert_int_equal(world->end.status, 404);
	buf_fini(&answer);
}

#define POST_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		POST_TEST(each_kind_of_answer_is_read_as_what_it_is),
		POST_TEST(a_session_id_is_handed_over_unless_it_is_too_long),
		POST_TEST(what_every_request_carries),
		POST_TEST(an_answer_that_breaks_off_is_a_failure_behind_what_came),
		POST_TEST(it_may_be_cancelled_at_any_message),
		POST_TEST(cancel_before_anything_is_silence),
		POST_TEST(a_long_page_behind_an_error_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
