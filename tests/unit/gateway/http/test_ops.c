/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "gateway/core/board.h"
#include "gateway/core/meters.h"
#include "gateway/http/app.h"
#include "gateway/http/problem.h"
#include "tests/fakes/wire.h"

static void break_down(struct exchange *exchange)
{
	problem_answer(exchange, &(struct err){ .code = ERR_INTERNAL,
						.text = "relation secrets does not exist" });
}

static const struct route routes[] = {
	{1U << LISTENER_OPS,  "GET", "/livez",   ops_livez	 },
	{ 1U << LISTENER_OPS, "GET", "/readyz",	ops_readyz },
	{ 1U << LISTENER_OPS, "GET", "/metrics", ops_metrics},
	{ 1U << LISTENER_OPS, "GET", "/broken",	break_down },
	{ 0,		  NULL,  NULL,	 NULL	      },
};

static void unrouted(struct exchange *exchange, const char *allow)
{
	(void)allow;
	problem_answer(exchange, &(struct err){ .code = ERR_NOT_FOUND, .text = "say \"please\"" });
}

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct board *board;
	struct gate gate;
	struct http_app app;
	int listening;
	uint16_t port;
};

static int set_up(void **state)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));

	fixture->loop = loop_new();
	fixture->gate.loop = fixture->loop;
	fixture->board = board_new(2, 4);
	fixture->app.gate = &fixture->gate;
	fixture->app.loop = fixture->gate.loop;
	fixture->app.board = fixture->board;
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
	board_free(&fixture->board);
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

	fixture->board->stopping = true;
	assert_answer(fixture, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n",
		      "\r\n\r\nok");
	assert_answer(fixture, "GET /livez HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok");
}

#define READYZ	"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
#define UNREADY "HTTP/1.1 503 Service Unavailable\r\n"
#define CHECKS(draining, workers, database, spool)                                                 \
	",\"checks\":{\"draining\":\"" draining "\",\"keyring\":\"ok\",\"workers\":\"" workers     \
	"\",\"database\":\"" database "\",\"spool\":\"" spool                                      \
	"\"},\"audit\":{\"backlog_rows\":0,\"oldest_seconds\":0,\"spool_bytes\":0}}"

static void serve_slot(struct fixture *fixture, size_t seat, unsigned slot)
{
	board_seat_take(fixture->board, seat, slot);
	fixture->board->seats[seat].state = BOARD_SERVING;
}

static void is_ready_once_every_slot_is_served(void **state)
{
	struct fixture *fixture = *state;

	serve_slot(fixture, 1, 0);
	board_seat_take(fixture->board, 2, 1);
	assert_answer(fixture, READYZ, UNREADY,
		      "{\"status\":\"not all workers serve\"" CHECKS("ok", "1 of 2 workers serve",
								     "ok", "ok"));
	fixture->board->seats[2].state = BOARD_SERVING;
	assert_answer(fixture, READYZ, "HTTP/1.1 200 OK\r\n",
		      "{\"status\":\"ready\"" CHECKS("ok", "ok", "ok", "ok"));
	/* One that is replaced drains, and its successor serves. */
	serve_slot(fixture, 3, 1);
	fixture->board->seats[2].state = BOARD_DRAINING;
	assert_answer(fixture, READYZ, "HTTP/1.1 200 OK\r\n",
		      "{\"status\":\"ready\"" CHECKS("ok", "ok", "ok", "ok"));
	board_seat_leave(fixture->board, 3);
	assert_answer(fixture, READYZ, UNREADY, CHECKS("ok", "1 of 2 workers serve", "ok", "ok"));
}

static void is_not_ready_without_a_database_a_spool_or_a_future(void **state)
{
	struct fixture *fixture = *state;

	serve_slot(fixture, 1, 0);
	serve_slot(fixture, 2, 1);
	fixture->board->seats[2].db_down_since_ms = loop_now_ms(fixture->loop) - 12345;
	assert_answer(fixture, READYZ, UNREADY,
		      "{\"status\":\"database unreachable\"" CHECKS(
			      "ok", "ok", "unreachable from 1 of 2 workers, for 12 s", "ok"));
	fixture->board->seats[2].db_down_since_ms = 0;
	fixture->board->seats[1].room = BOOK_ROOM_NONE;
	assert_answer(fixture, READYZ, UNREADY,
		      "{\"status\":\"spool full\"" CHECKS(
			      "ok", "ok", "ok", "1 of 2 workers can record no more calls"));
	fixture->board->seats[2].room = BOOK_ROOM_FAILED;
	assert_answer(fixture, READYZ, UNREADY,
		      CHECKS("ok", "ok", "ok", "2 of 2 workers can record no more calls"));
	fixture->board->seats[2].room = BOOK_ROOM_PLENTY;
	fixture->board->stopping = true;
	assert_answer(fixture, READYZ, UNREADY,
		      "{\"status\":\"draining\"" CHECKS("the gateway is stopping", "ok", "ok",
							"1 of 2 workers can record no more calls"));
}

static void a_spool_that_fills_up_is_told_before_it_is_full(void **state)
{
	struct fixture *fixture = *state;

	serve_slot(fixture, 1, 0);
	serve_slot(fixture, 2, 1);
	fixture->board->seats[1].room = BOOK_ROOM_TIGHT;
	assert_answer(fixture, READYZ, "HTTP/1.1 200 OK\r\n",
		      "{\"status\":\"ready\"" CHECKS(
			      "ok", "ok", "ok",
			      "1 of 2 workers have little room and refuse what can wait"));
}

static void the_backlog_is_that_of_all_workers(void **state)
{
	struct fixture *fixture = *state;

	serve_slot(fixture, 1, 0);
	serve_slot(fixture, 2, 1);
	serve_slot(fixture, 3, 1);
	fixture->board->seats[3].state = BOARD_DRAINING;
	for (unsigned i = 1; i <= 3; i++) {
		fixture->board->seats[i].backlog = i;
		fixture->board->seats[i].backlog_ms = 1000 * i + 999;
		fixture->board->seats[i].spool_bytes = 10 * i;
	}
	assert_answer(fixture, READYZ, "HTTP/1.1 200 OK\r\n",
		      ",\"audit\":{\"backlog_rows\":6,\"oldest_seconds\":3,\"spool_bytes\":60}}");
}

static void is_not_ready_while_a_worker_is_sealed(void **state)
{
	static const char *const reasons[] = {
		[SEAL_NO_KEYRING] = "keyring_file cannot be used",
		[SEAL_OTHER_KEYRING] = "keyring_file is not the keyring of this database",
	};
	struct fixture *fixture = *state;
	char expected[320];

	serve_slot(fixture, 1, 0);
	serve_slot(fixture, 2, 1);
	for (int seal = SEAL_NO_KEYRING; seal <= SEAL_OTHER_KEYRING; seal++) {
		fixture->board->seats[2].sealed = seal;
		snprintf(
			expected, sizeof(expected),
			"{\"status\":\"sealed\",\"checks\":{\"draining\":\"ok\",\"keyring\":\"1 of "
			"2 "
			"workers are sealed: %s\",\"workers\":\"ok\",\"database\":\"ok\",\"spool\":"
			"\"ok\"},\"audit\":{\"backlog_rows\":0,\"oldest_seconds\":0,"
			"\"spool_bytes\":0}}",
			reasons[seal]);
		assert_answer(fixture, READYZ, UNREADY, expected);
	}
}

static void metrics_are_those_of_all_workers(void **state)
{
	struct fixture *fixture = *state;
	const char *request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	struct meter *meters[] = { meter_new(fixture->board->metrics, 1),
				   meter_new(fixture->board->metrics, 2) };

	for (size_t i = 0; i < 2; i++)
		meter_count(meters[i], METER_HTTP_REFUSED, (const char *const[]){ "framing" },
			    i + 1);

	struct wire *wire = wire_connect(fixture->loop, fixture->port);
	const char *answer;

	wire_send(wire, request);
	answer = wire_await(wire, "# TYPE tollgate_keyring_last_load_successful gauge\n");
	assert_non_null(strstr(answer, ": text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(answer, "\ntollgate_http_refused_total{reason=\"framing\"} 3\n"));
	wire_close(&wire);
	meter_free(&meters[0]);
	meter_free(&meters[1]);
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
		cmocka_unit_test_setup_teardown(is_ready_once_every_slot_is_served, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(is_not_ready_without_a_database_a_spool_or_a_future,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_spool_that_fills_up_is_told_before_it_is_full,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_backlog_is_that_of_all_workers, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(is_not_ready_while_a_worker_is_sealed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(metrics_are_those_of_all_workers, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_problem_says_what_the_client_may_know, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
