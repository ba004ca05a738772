/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "gateway/core/board.h"
#include "gateway/core/meters.h"
#include "gateway/http/app.h"
#include "tests/fakes/wire.h"

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct board *board;
	struct http_app app;
	int listening[LISTENER_OPS + 1];
	uint16_t ports[LISTENER_OPS + 1];
};

static int set_up(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	f->loop = loop_new();
	f->board = board_new(1, 2);
	f->app = (struct http_app){ .loop = f->loop,
				    .board = f->board,
				    .meter = meter_new(f->board->metrics, 1),
				    .development = true };
	f->server = http_server_new(&(struct http_server_params){
		.loop = f->loop,
		.app = &f->app,
		.routes = http_sealed_routes,
		.unrouted = http_sealed,
		.max_body_bytes = 1000,
		.request_timeout_ms = 60000,
	});
	for (int kind = LISTENER_PUBLIC; kind <= LISTENER_OPS; kind++) {
		f->listening[kind] = wire_listen(&f->ports[kind]);
		http_server_listen(f->server, f->listening[kind], (enum listener_kind)kind);
	}
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_server_free(&f->server);
	meter_free(&f->app.meter);
	board_free(&f->board);
	loop_free(&f->loop);
	for (int kind = LISTENER_PUBLIC; kind <= LISTENER_OPS; kind++)
		close(f->listening[kind]);
	free(f);
	return 0;
}

/* Each part stands in the answer. */
static void assert_answer(struct fixture *f, enum listener_kind kind, const char *request,
			  const char *const *parts, const char *end)
{
	struct wire *wire = wire_connect(f->loop, f->ports[kind]);
	const char *answer;

	wire_send(wire, request);
	answer = wire_await(wire, end);
	for (; *parts != NULL; parts++) {
		if (strstr(answer, *parts) == NULL)
			fail_msg("%s is not in %s", *parts, answer);
	}
	wire_close(&wire);
}

static void an_mcp_client_is_told_when_to_come_back(void **state)
{
	static const char *const parts[] = {
		"HTTP/1.1 503 ",   "Retry-After: 5\r\n",    "\"jsonrpc\":\"2.0\"",
		"\"code\":-32000", "the gateway is sealed", NULL,
	};
	static const char *const paths[] = { "/mcp", "/t/acme/mcp", "/c/crm/mcp?x=/api" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *request = mem_printf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
					   "\r\n{}",
					   paths[i]);

		assert_answer(f, LISTENER_PUBLIC, request, parts, "back\"}}");
		assert_answer(f, LISTENER_KEY, request, parts, "back\"}}");
		free(request);
	}
}

static void everybody_else_too(void **state)
{
	static const char *const parts[] = {
		"HTTP/1.1 503 ",
		"Retry-After: 5\r\n",
		"application/problem+json",
		"\"code\":\"sealed\"",
		NULL,
	};
	struct fixture *f = *state;

	assert_answer(f, LISTENER_PUBLIC, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", parts,
		      "back\"}");
	assert_answer(f, LISTENER_PUBLIC, "GET /api/mcpx HTTP/1.1\r\nHost: x\r\n\r\n", parts,
		      "back\"}");
}

static void machines_see_how_it_is(void **state)
{
	static const char *const alive[] = { "HTTP/1.1 200 OK\r\n", NULL };
	static const char *const unready[] = { "HTTP/1.1 503 ", "\"status\":\"sealed\"", NULL };
	struct fixture *f = *state;

	board_seat_take(f->board, 1, 0);
	f->board->seats[1].state = BOARD_SERVING;
	f->board->seats[1].sealed = SEAL_NO_KEYRING;
	assert_answer(f, LISTENER_OPS, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", alive, "ok");
	assert_answer(f, LISTENER_OPS, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", unready, "}}");
	assert_answer(f, LISTENER_OPS, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", alive,
		      "# TYPE tollgate_keyring_last_load_successful gauge\n");
}

static void open_answer(struct exchange *exchange)
{
	exchange_answer(exchange, &(struct exchange_answer){ .status = 200, .body = SPAN("open") });
}

/* The connection of before serves on. */
static void the_next_request_finds_the_new_routes(void **state)
{
	static const struct route routes[] = {
		{1U << LISTENER_PUBLIC, "GET", "/x", open_answer},
		{ 0,		     NULL,  NULL, NULL	      },
	};
	static const char request[] = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	struct wire *wire = wire_connect(f->loop, f->ports[LISTENER_PUBLIC]);

	wire_send(wire, request);
	assert_non_null(strstr(wire_await(wire, "back\"}"), "503"));
	http_server_reroute(f->server, routes, http_sealed);
	wire_send(wire, request);
	assert_non_null(strstr(wire_await(wire, "open"), "HTTP/1.1 200 OK"));
	wire_close(&wire);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_mcp_client_is_told_when_to_come_back),
		TEST(everybody_else_too),
		TEST(machines_see_how_it_is),
		TEST(the_next_request_finds_the_new_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
