/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_HTTP_SERVER_FIXTURE_H
#define TESTS_UNIT_GATEWAY_HTTP_SERVER_FIXTURE_H

/* What the tests of the server share: one that runs on loopback, with routes that answer at once,
 * later, or with a stream, and note what they saw. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gateway/http/problem.h"
#include "gateway/http/server.h"
#include "tests/fakes/wire.h"

#define COUNT(array)	 (sizeof(array) / sizeof((array)[0]))
#define MAX_BODY_BYTES	 100000
#define SHORT_TIMEOUT_MS 200
#define USUAL_TIMEOUT_MS 60000
#define HOST		 "Host: test\r\n"
#define ALL_BUT_OPS	 (1U << LISTENER_PUBLIC | 1U << LISTENER_KEY)
#define COMMON_HEADERS	 "cache-control: no-store\r\nx-content-type-options: nosniff\r\n"

/* The app of the exchanges: what handlers saw, and what they left pending. */
struct fixture {
	struct loop *loop;
	struct http_server *server;
	int listening[3]; /* by enum listener_kind */
	uint16_t port[3];
	struct exchange *pending[8]; /* of GET /later and /stream, in order */
	size_t n_pending;
	size_t n_gone;
	size_t n_handled;
	size_t n_drained;
};

static inline void answer_text(struct exchange *exchange, const char *text)
{
	exchange_answer(exchange, &(struct exchange_answer){ .status = 200,
							     .content_type = "text/plain",
							     .body = span_of(text) });
}

static inline struct fixture *handled(struct exchange *exchange)
{
	struct fixture *fixture = exchange_app(exchange);

	fixture->n_handled++;
	return fixture;
}

static inline void say_hello(struct exchange *exchange)
{
	handled(exchange);
	answer_text(exchange, "hello");
}

static inline void echo(struct exchange *exchange)
{
	handled(exchange);
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = 201,
					  .content_type = exchange_header(exchange, "content-type"),
					  .body = exchange_body(exchange) });
}

static inline void show(struct exchange *exchange)
{
	static const char *const headers[] = { "host", "x-a", "user-agent", "missing" };
	struct span query = exchange_query(exchange);
	struct buf text;

	handled(exchange);
	buf_init(&text, 4096);
	buf_printf(&text, "%s %s ?%.*s from %s on %d|", exchange_method(exchange),
		   exchange_path(exchange), (int)query.n, query.p, exchange_source_ip(exchange),
		   (int)exchange_listener(exchange));
	for (size_t i = 0; i < COUNT(headers); i++) {
		const char *value = exchange_header(exchange, headers[i]);

		buf_printf(&text, "%s=%s|", headers[i], value == NULL ? "(null)" : value);
	}
	buf_printf(&text, "a=%s b=%s|",
		   exchange_param(exchange, "a") == NULL ? "-" : exchange_param(exchange, "a"),
		   exchange_param(exchange, "b") == NULL ? "-" : exchange_param(exchange, "b"));
	buf_printf(&text, "q=%s",
		   exchange_query_param(exchange, "q") == NULL
			   ? "-"
			   : exchange_query_param(exchange, "q"));
	answer_text(exchange, buf_str(&text));
	buf_fini(&text);
}

static inline void on_gone(void *ctx)
{
	struct fixture *fixture = ctx;

	fixture->n_gone++;
}

static inline void answer_later(struct exchange *exchange)
{
	struct fixture *fixture = handled(exchange);

	exchange_on_gone(exchange, on_gone, fixture);
	fixture->pending[fixture->n_pending++] = exchange;
}

static inline void start_stream(struct exchange *exchange)
{
	static const struct http_header headers[] = {
		{"Cache-Control",	   "no-cache"},
		 { "X-Accel-Buffering", "no"	     }
	};

	answer_later(exchange);
	exchange_stream_start(exchange,
			      &(struct exchange_answer){ .status = 200,
							 .content_type = "text/event-stream",
							 .headers = headers,
							 .n_headers = COUNT(headers),
							 .body = SPAN(":\n\n") });
}

static inline void unrouted(struct exchange *exchange, const char *allow)
{
	const struct http_header header = { "Allow", allow };

	problem_answer_with(exchange, allow == NULL ? 404 : 405, "unrouted", "nothing here",
			    &header, allow == NULL ? 0 : 1);
}

static const struct route routes[] = {
	{ALL_BUT_OPS,	       "GET",  "/hello",	say_hello	  },
	{ ALL_BUT_OPS,	       "POST", "/echo",		echo	     },
	{ ALL_BUT_OPS,	       "PUT",  "/echo",	       echo	    },
	{ ALL_BUT_OPS,	       "GET",  "/later",	answer_later},
	{ ALL_BUT_OPS,	       "POST", "/later",	 answer_later},
	{ ALL_BUT_OPS,	       "GET",  "/stream",	 start_stream},
	{ ALL_BUT_OPS,	       "GET",  "/show",	       show	    },
	{ ALL_BUT_OPS,	       "GET",  "/show/{a}/{b}", show	    },
	{ ALL_BUT_OPS,	       "HEAD", "/own-head",	    say_hello   },
	{ 1U << LISTENER_OPS, "GET",  "/livez",	       say_hello	 },
	{ 0,		  NULL,   NULL,		 NULL	      },
};

static const char *const proxies[] = { "127.0.0.1" };

static inline struct fixture *start(int64_t timeout_ms, bool behind_proxy)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));

	fixture->loop = loop_new();
	fixture->server = http_server_new(&(struct http_server_params){
		.loop = fixture->loop,
		.app = fixture,
		.routes = routes,
		.unrouted = unrouted,
		.max_body_bytes = MAX_BODY_BYTES,
		.request_timeout_ms = timeout_ms,
		.trusted_proxies = proxies,
		.n_trusted_proxies = behind_proxy ? 1 : 0,
	});
	for (int kind = 0; kind < 3; kind++) {
		fixture->listening[kind] = wire_listen(&fixture->port[kind]);
		http_server_listen(fixture->server, fixture->listening[kind],
				   (enum listener_kind)kind);
	}
	return fixture;
}

static inline int set_up(void **state)
{
	*state = start(USUAL_TIMEOUT_MS, false);
	return 0;
}

static inline int set_up_impatient(void **state)
{
	*state = start(SHORT_TIMEOUT_MS, false);
	return 0;
}

static inline int set_up_behind_proxy(void **state)
{
	*state = start(USUAL_TIMEOUT_MS, true);
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *fixture = *state;

	http_server_free(&fixture->server);
	assert_null(fixture->server);
	loop_free(&fixture->loop);
	for (int kind = 0; kind < 3; kind++)
		close(fixture->listening[kind]);
	free(fixture);
	return 0;
}

static inline struct wire *connect_public(struct fixture *fixture)
{
	return wire_connect(fixture->loop, fixture->port[LISTENER_PUBLIC]);
}

/* One request on a connection of its own; returns the whole answer, which the caller frees. */
static inline char *ask(struct fixture *fixture, enum listener_kind kind, const char *request)
{
	struct wire *wire = wire_connect(fixture->loop, fixture->port[kind]);
	char *answer;

	wire_send(wire, request);
	wire_half_close(wire);
	answer = mem_strdup(wire_await_close(wire));
	wire_close(&wire);
	return answer;
}

static inline void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static inline void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("\"%s\" is in:\n%s", part, text);
}

static inline bool nobody_is_connected(void *ctx)
{
	return http_server_connections(((struct fixture *)ctx)->server) == 0;
}

static inline bool somebody_is_pending(void *ctx)
{
	return ((struct fixture *)ctx)->n_pending > 0;
}

static inline void on_drained(void *ctx)
{
	struct fixture *fixture = ctx;

	fixture->n_drained++;
}

static inline bool is_drained(void *ctx)
{
	return ((struct fixture *)ctx)->n_drained > 0;
}

#define PLAIN(test)	   cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define IMPATIENT(test)	   cmocka_unit_test_setup_teardown(test, set_up_impatient, tear_down)
#define BEHIND_PROXY(test) cmocka_unit_test_setup_teardown(test, set_up_behind_proxy, tear_down)

#endif
