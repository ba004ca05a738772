/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "gateway/core/meters.h"

#define N_SLOTS 2
#define N_SEATS 4

static void seats_are_taken_and_left(void **state)
{
	struct board *board = board_new(N_SLOTS, N_SEATS);

	(void)state;
	for (size_t seat = 1; seat < N_SEATS; seat++) {
		assert_int_equal(board_seat_find(board), seat);
		board_seat_take(board, seat, 0);
	}
	assert_int_equal(board_seat_find(board), 0);
	board->seats[2].beat_ms = 5;
	board->seats[2].room = BOOK_ROOM_NONE;
	board_seat_leave(board, 2);
	assert_int_equal(board_seat_find(board), 2);
	board_seat_take(board, 2, 1);
	assert_int_equal(board->seats[2].beat_ms, 0);
	assert_int_equal(board->seats[2].room, BOOK_ROOM_PLENTY);
	assert_int_equal(board->seats[2].state, BOARD_STARTING);
	board_free(&board);
	assert_null(board);
}

static void a_slot_is_open_to_who_looks_from_another_seat(void **state)
{
	struct board *board = board_new(N_SLOTS, N_SEATS);
	struct board_report report;

	(void)state;
	board_seat_take(board, 1, 0);
	board_seat_take(board, 2, 0);
	board_seat_take(board, 3, 1);
	board->seats[3].state = BOARD_SERVING;
	assert_false(board_slot_open(board, 2)); /* 1 starts */
	board->seats[1].state = BOARD_SERVING;
	assert_true(board_slot_open(board, 2));
	assert_false(board_slot_open(board, 1));
	board->seats[1].sealed = SEAL_OTHER_KEYRING;
	assert_false(board_slot_open(board, 2));
	board_report(board, 1000, &report);
	assert_int_equal(report.n_sealed, 1);
	assert_int_equal(report.seal, SEAL_OTHER_KEYRING);
	board_seat_leave(board, 1);
	board_seat_take(board, 1, 0);
	assert_int_equal(board->seats[1].sealed, SEAL_NONE);
	board_free(&board);
}

static void a_report_is_about_those_that_serve(void **state)
{
	struct board *board = board_new(N_SLOTS, N_SEATS);
	struct board_report report;

	(void)state;
	board_report(board, 1000, &report);
	assert_int_equal(report.n_slots, N_SLOTS);
	assert_int_equal(report.n_served, 0);
	board_seat_take(board, 1, 0);
	board_seat_take(board, 2, 0);
	board_seat_take(board, 3, 1);
	board->seats[1].state = BOARD_DRAINING;
	board->seats[1].db_down_since_ms = 1;
	board->seats[1].room = BOOK_ROOM_NONE;
	board->seats[2].state = BOARD_SERVING;
	board_report(board, 1000, &report);
	assert_int_equal(report.n_served, 1);
	assert_int_equal(report.n_serving, 1);
	assert_int_equal(report.n_without_db + report.n_full, 0);
	board->seats[3].state = BOARD_SERVING;
	board->seats[2].db_down_since_ms = 900;
	board->seats[3].db_down_since_ms = 400;
	board->seats[3].room = BOOK_ROOM_FAILED;
	board_report(board, 1000, &report);
	assert_int_equal(report.n_served, 2);
	assert_int_equal(report.n_without_db, 2);
	assert_int_equal(report.without_db_ms, 600);
	assert_int_equal(report.n_full, 1);
	assert_false(report.stopping);
	board_free(&board);
}

/* One process writes, another reads, also what the first has written before it ended. */
static void what_a_child_writes_its_parent_reads(void **state)
{
	struct board *board = board_new(N_SLOTS, N_SEATS);
	struct buf text;
	pid_t pid;

	(void)state;
	board_seat_take(board, 1, 1);
	pid = fork();
	if (pid == 0) {
		struct meter *meter = meter_new(board->metrics, 1);

		board->seats[1].beat_ms = 77;
		meter_call(meter, &(struct meter_call){ .tenant = "acme",
							.connection = "crm",
							.method = "tools/call",
							.tool = "crm__get",
							.is_tool_call = true,
							.outcome = BOOK_TIMEOUT,
							.duration_us = 1500,
							.upstream_us = 900 });
		meter_call(meter, &(struct meter_call){ .outcome = BOOK_MALFORMED,
							.duration_us = 10,
							.upstream_us = -1 });
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(board->seats[1].beat_ms, 77);
	buf_init(&text, 1 << 20);
	metrics_print(board->metrics, &text);
	assert_non_null(strstr(buf_str(&text), "\ntollgate_tool_calls_total{tenant=\"acme\","
					       "connection=\"crm\",outcome=\"timeout\"} 1\n"));
	assert_non_null(strstr(buf_str(&text),
			       "\nmcp_server_operation_duration_seconds_sum{tenant=\"acme\","
			       "mcp_method_name=\"tools/call\",gen_ai_tool_name=\"crm__get\","
			       "error_type=\"timeout\"} 0.0015\n"));
	assert_non_null(strstr(buf_str(&text),
			       "\nmcp_server_operation_duration_seconds_count{"
			       "mcp_method_name=\"_OTHER\",error_type=\"malformed\"} 1\n"));
	assert_non_null(strstr(buf_str(&text),
			       "\nmcp_client_operation_duration_seconds_bucket{tenant=\"acme\","
			       "connection=\"crm\",mcp_method_name=\"tools/call\","
			       "error_type=\"timeout\",le=\"0.001\"} 1\n"));
	assert_null(strstr(buf_str(&text), "_client_operation_duration_seconds_count{error"));
	buf_fini(&text);
	board_free(&board);
}

/* Names and labels as Prometheus takes them, and units at their ends. */
static void the_table_keeps_the_rules_of_its_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_GATE_METRICS; i++) {
		const struct metric *metric = &gate_metrics[i];
		size_t n = strlen(metric->name);
		bool is_total = n > 6 && strcmp(metric->name + n - 6, "_total") == 0;

		assert_true(strncmp(metric->name, "tollgate_", 9) == 0 ||
			    strncmp(metric->name, "mcp_", 4) == 0);
		assert_int_equal(is_total, metric->type == METRIC_COUNTER);
		assert_int_equal(strspn(metric->name, "abcdefghijklmnopqrstuvwxyz_"), n);
		assert_true((metric->labels != NULL) == (metric->max_series > 0));
		assert_int_equal(strcspn(metric->help, "\\\n|"), strlen(metric->help));
		if (metric->type == METRIC_HISTOGRAM)
			assert_int_equal(metric->divisor, METRIC_SECONDS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seats_are_taken_and_left),
		cmocka_unit_test(a_slot_is_open_to_who_looks_from_another_seat),
		cmocka_unit_test(a_report_is_about_those_that_serve),
		cmocka_unit_test(what_a_child_writes_its_parent_reads),
		cmocka_unit_test(the_table_keeps_the_rules_of_its_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
