/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/pulse.h"

#include <ftw.h>
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
#include "base/metrics.h"
#include "gateway/app/spools.h"
#include "gateway/core/meters.h"
#include "tests/fakes/gate_db.h"

#define NODE "01920000-0000-7000-8000-0000000000fe"

/* A worker of which there is nothing but its pulse. */
struct world {
	struct gate_db *gate;
	struct db *db; /* of its own, so that it may be away */
	struct board *board;
	struct meter *meter;
	struct spools *spools;
	struct pulse *pulse;
	char dir[32];
	int64_t beat_ms;
	const char *line;
};

static struct board_seat *seat_of(const struct world *w)
{
	return &w->board->seats[1];
}

static struct db *open_db(const struct world *w, const char *conninfo)
{
	return db_new(w->gate->loop, &(struct db_params){
					     .conninfo = conninfo,
					     .max_connections = 2,
					     .connect_timeout_ms = 2000,
					     .op_timeout_ms = 2000,
					     .idle_ms = 60000,
					     .max_queued = 10,
				     });
}

static struct world *begin(void **state, const char *conninfo)
{
	struct world *w = mem_new(sizeof(*w));
	struct err err;

	w->gate = *state;
	snprintf(w->dir, sizeof(w->dir), "%s", "/tmp/test_pulse.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->db = open_db(w, conninfo != NULL ? conninfo : w->gate->app_conninfo);
	w->board = board_new(1, 2);
	board_seat_take(w->board, 1, 0);
	w->meter = meter_new(w->board->metrics, 1);
	w->spools = spools_open(
		&(struct spools_params){
			.loop = w->gate->loop,
			.db = w->gate->admin,
			.data_dir = w->dir,
			.node_id = NODE,
			.n_slots = 1,
			.max_bytes = 16 << 20,
		},
		&err);
	assert_non_null(w->spools);
	w->pulse = pulse_new(&(struct pulse_params){
		.loop = w->gate->loop,
		.board = w->board,
		.seat = seat_of(w),
		.meter = w->meter,
		.db = w->db,
		.drain_db = w->gate->admin,
		.audit_db = w->gate->admin,
		.spools = w->spools,
	});
	return w;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
	(void)info;
	(void)type;
	(void)where;
	return remove(path);
}

static void end(struct world *w)
{
	pulse_free(&w->pulse);
	spools_close(&w->spools);
	meter_free(&w->meter);
	board_free(&w->board);
	db_free(&w->db);
	nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
}

static bool says(void *ctx)
{
	struct world *w = ctx;
	struct buf text;
	bool found;

	buf_init(&text, 1 << 20);
	metrics_print(w->board->metrics, &text);
	found = strstr(buf_str(&text), w->line) != NULL;
	buf_fini(&text);
	return found;
}

static void await_line(struct world *w, const char *line)
{
	w->line = line;
	gate_db_until(w->gate, says, w);
}

static bool beats_on(void *ctx)
{
	struct world *w = ctx;

	return seat_of(w)->beat_ms > w->beat_ms;
}

static bool has_lost_db(void *ctx)
{
	return seat_of(ctx)->db_down_since_ms != 0;
}

static bool has_db(void *ctx)
{
	return seat_of(ctx)->db_down_since_ms == 0;
}

static void beats_as_long_as_the_loop_turns(void **state)
{
	struct world *w = begin(state, NULL);

	assert_int_equal(seat_of(w)->beat_ms, 0);
	gate_db_until(w->gate, beats_on, w);
	w->beat_ms = seat_of(w)->beat_ms;
	gate_db_until(w->gate, beats_on, w);
	assert_true(seat_of(w)->beat_ms >= w->beat_ms + PULSE_WITHOUT_DB);
	await_line(w, "\ntollgate_loop_lag_seconds_count 3\n");
	end(w);
}

/* A predecessor that is no more has left what it was about to do. */
static void adopts_the_spool_of_a_worker_that_ended(void **state)
{
	const struct book_call call = { .call_id = "01920000-0000-7000-8000-000000000002",
					.started_us = loop_unix_us() };
	struct world *w = begin(state, NULL);
	struct spools *old;
	struct err err;

	/* It has looked in vain so often that it will not soon do so by itself. */
	gate_db_for(w->gate, 8 * SPOOLS_LOOK_MIN_MS);
	old = spools_open(
		&(struct spools_params){
			.loop = w->gate->loop,
			.db = w->gate->admin,
			.data_dir = w->dir,
			.node_id = NODE,
			.n_slots = 1,
			.max_bytes = 16 << 20,
		},
		&err);
	assert_non_null(old);
	assert_int_equal(book_intent(spools_book(old), &call, NULL, NULL, NULL, &err), 0);
	spools_close(&old);
	w->board->n_ended++;
	await_line(w, "\ntollgate_audit_written_total 1\n");
	end(w);
}

/* Nobody asks the database anything here: the pulse finds out by itself. */
static void notices_a_database_that_comes_and_goes(void **state)
{
	struct world *w = begin(state, NULL);

	gate_db_until(w->gate, has_db, w);
	await_line(w, "\ntollgate_db_up 1\n");
	await_line(w, "\ntollgate_db_pool_connections{state=\"busy\"} 0\n");
	end(w);

	w = begin(state, "host=/nowhere dbname=nothing");
	gate_db_until(w->gate, has_lost_db, w);
	await_line(w, "\ntollgate_db_up 0\n");
	assert_false(has_db(w));
	end(w);
}

static void a_lost_database_is_known_before_the_next_beat(void **state)
{
	struct world *w = begin(state, NULL);

	await_line(w, "\ntollgate_db_up 1\n");
	w->beat_ms = seat_of(w)->beat_ms;
	gate_db_until(w->gate, beats_on, w);
	w->beat_ms = seat_of(w)->beat_ms;
	assert_true(has_db(w));
	/* Else it may be back before anybody has looked. */
	gate_db_do(w->gate, "%s", "ALTER ROLE tollgate_app NOLOGIN");
	gate_db_ask(w->gate, "%s",
		    "SELECT count(pg_terminate_backend(pid)) AS v FROM pg_stat_activity"
		    " WHERE usename = 'tollgate_app'");
	gate_db_until(w->gate, has_lost_db, w);
	assert_false(beats_on(w));
	gate_db_do(w->gate, "%s", "ALTER ROLE tollgate_app LOGIN");
	gate_db_until(w->gate, has_db, w);
	end(w);
}

static void tells_of_the_book(void **state)
{
	const struct book_call call = { .call_id = "01920000-0000-7000-8000-000000000001",
					.started_us = loop_unix_us() };
	const struct book_result result = { .outcome = BOOK_OK, .upstream_us = -1 };
	struct world *w = begin(state, NULL);
	struct err err;

	await_line(w, "\ntollgate_audit_queue_length 0\n");
	assert_int_equal(book_entry(spools_book(w->spools), &call, &result, NULL, NULL, NULL, &err),
			 0);
	await_line(w, "\ntollgate_audit_written_total 1\n");
	await_line(w, "\ntollgate_audit_queue_length 0\n");
	await_line(w, "\ntollgate_audit_queue_oldest_seconds 0\n");
	assert_int_equal(seat_of(w)->room, BOOK_ROOM_PLENTY);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(beats_as_long_as_the_loop_turns),
		GATE_DB_TEST(adopts_the_spool_of_a_worker_that_ended),
		GATE_DB_TEST(notices_a_database_that_comes_and_goes),
		GATE_DB_TEST(a_lost_database_is_known_before_the_next_beat),
		GATE_DB_TEST(tells_of_the_book),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
