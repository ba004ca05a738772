/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/db.h"
#include "base/mem.h"
#include "gateway/http/app.h"
#include "gateway/http/problem.h"
#include "tests/fakes/wire.h"

struct db {
	bool up;
};

bool db_up(const struct db *db)
{
	return db->up;
}

static void break_down(struct exchange *exchange)
{
	problem_answer(exchange, &(struct err){ .code = ERR_INTERNAL,
						.text = "relation secrets does not exist" });
}

static const struct route routes[] = {
	{1U << LISTENER_OPS,  "GET", "/livez",  ops_livez },
	{ 1U << LISTENER_OPS, "GET", "/readyz", ops_readyz},
	{ 1U << LISTENER_OPS, "GET", "/broken", break_down},
	{ 0,		  NULL,  NULL,	 NULL      },
};

static void unrouted(struct exchange *exchange, const char *allow)
{
	(void)allow;
	problem_answer(exchange, &(struct err){ .code = ERR_NOT_FOUND, .text = "say \"please\"" });
}

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct db db;
	struct http_app app;
	int listening;
	uint16_t port;
};

static int set_up(void **state)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));

	fixture->loop = loop_new();
	fixture->app.db = &fixture->db;
	fixture->server = http_server_new(&(struct http_server_params){
		.loop = fixture->loop,
		.app = &fixture->app,
		.routes = routes,
		.unrouted = unrouted,
		.max_body_bytes = 1000,
		.request_timeout_ms = 60000,
	});
	fixture->listening = wire_listen(&fixture->port);
	http_server_listen(fixture->server, fixture->listening, LISTENER_OPS);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	http_server_free(&fixture->server);
	loop_free(&fixture->loop);
	close(fixture->listening);
	free(fixture);
	return 0;
}

static void assert_answer(struct fixture *fixture, const char *request, const char *status,
			  const char *end)
{
	struct wire *wire = wire_connect(fixture->loop, fixture->port);
	const char *answer;

	wire_send(wire, request);
	answer = wire_await(wire, end);
	assert_int_equal(strncmp(answer, status, strlen(status)), 0);
	assert_string_equal(answer + strlen(answer) - strlen(end), end);
	wire_close(&wire);
}

static void lives_whatever_happens(void **state)
{
	struct fixture *fixture = *state;

	fixture->app.draining = true;
	assert_answer(fixture, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n",
		      "\r\n\r\nok");
	assert_answer(fixture, "GET /livez HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok");
}

static void is_ready_while_the_database_is_up_and_nothing_drains(void **state)
{
	struct fixture *fixture = *state;
	const char *request = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";

	assert_answer(fixture, request, "HTTP/1.1 503 Service Unavailable\r\n",
		      "\r\n\r\n{\"status\":\"database unreachable\"}");
	fixture->db.up = true;
	assert_answer(fixture, request, "HTTP/1.1 200 OK\r\n", "\r\n\r\n{\"status\":\"ready\"}");
	fixture->app.draining = true;
	assert_answer(fixture, request, "HTTP/1.1 503 Service Unavailable\r\n",
		      "\r\n\r\n{\"status\":\"draining\"}");
}

static void a_problem_says_what_the_client_may_know(void **state)
{
	struct fixture *fixture = *state;

	assert_answer(fixture, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		      "HTTP/1.1 404 Not Found\r\n",
		      "\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
		      "\"code\":\"not_found\",\"detail\":\"say \\\"please\\\"\"}");
	assert_answer(fixture, "GET /broken HTTP/1.1\r\nHost: x\r\n\r\n",
		      "HTTP/1.1 500 Internal Server Error\r\n",
		      "\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
		      "\"status\":500,\"code\":\"internal\",\"detail\":\"the gateway could not do "
		      "this; its log says why\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lives_whatever_happens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			is_ready_while_the_database_is_up_and_nothing_drains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_problem_says_what_the_client_may_know, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
