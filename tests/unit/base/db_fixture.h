/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_BASE_DB_FIXTURE_H
#define TESTS_UNIT_BASE_DB_FIXTURE_H

/* What the tests of base/db share: one private server per program, one pool per test, and
 * operations that write down how they ended. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/db.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/fakes/pg.h"

#define LIMIT_MS      30000 /* how long any wait of a test may take */
#define LONG_TEXT     128
#define OP_TIMEOUT_MS 10000

struct fixture {
	struct pg_cluster cluster;
	struct loop *loop;
	struct db *db;
	struct timer tick;
	bool (*until)(void *ctx);
	void *ctx;
	int64_t give_up_at_ms;
};

/* One operation: column v of the first row of each result. */
struct shot {
	struct db_op *op;
	int calls;
	size_t n_results;
	size_t rows[DB_MAX_STATEMENTS];
	size_t affected[DB_MAX_STATEMENTS];
	char v[DB_MAX_STATEMENTS][LONG_TEXT];
	bool failed;
	struct err err;
};

static inline void on_tick(void *ctx)
{
	struct fixture *f = ctx;

	if (f->until(f->ctx) || loop_now_ms(f->loop) > f->give_up_at_ms)
		loop_stop(f->loop);
	else
		timer_start(f->loop, &f->tick, 1, on_tick, f);
}

static inline void on_enough(void *ctx)
{
	loop_stop(ctx);
}

/* Runs the loop for about that long, to be somewhere in the middle of things. */
static inline void run_for(struct fixture *f, int64_t ms)
{
	timer_start(f->loop, &f->tick, ms, on_enough, f->loop);
	loop_run(f->loop);
}

/* Runs the loop until the condition holds. */
static inline void run_until(struct fixture *f, bool (*until)(void *ctx), void *ctx)
{
	f->until = until;
	f->ctx = ctx;
	f->give_up_at_ms = loop_now_ms(f->loop) + LIMIT_MS;
	timer_start(f->loop, &f->tick, 0, on_tick, f);
	loop_run(f->loop);
	timer_stop(&f->tick);
	assert_true(until(ctx));
}

static inline void on_done(void *ctx, const struct db_result *const *results, size_t n,
			   const struct err *err)
{
	struct shot *shot = ctx;

	assert_null(shot->op);
	shot->calls++;
	shot->n_results = n;
	shot->failed = err != NULL;
	if (err != NULL) {
		assert_int_equal(n, 0);
		shot->err = *err;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *v;

		shot->rows[i] = db_rows(results[i]);
		shot->affected[i] = db_affected(results[i]);
		v = shot->rows[i] == 0 ? NULL : db_text(results[i], 0, "v");
		snprintf(shot->v[i], LONG_TEXT, "%s", v == NULL ? "NULL" : v);
	}
}

/* One statement without parameters. */
static inline void shoot(struct fixture *f, struct shot *shot, const char *sql)
{
	*shot = (struct shot){ 0 };
	db_query(f->db, &shot->op, NULL, sql, NULL, 0, on_done, shot);
	assert_int_equal(shot->calls, 0);
	assert_non_null(shot->op);
}

static inline bool has_ended(void *ctx)
{
	const struct shot *shot = ctx;

	return shot->calls > 0;
}

static inline void finish_shot(struct fixture *f, struct shot *shot)
{
	run_until(f, has_ended, shot);
	assert_int_equal(shot->calls, 1);
}

/* The value of one query that must succeed. */
static inline const char *ask(struct fixture *f, struct shot *shot, const char *sql)
{
	shoot(f, shot, sql);
	finish_shot(f, shot);
	if (shot->failed)
		print_error("%s: %s\n", sql, shot->err.text);
	assert_false(shot->failed);
	return shot->v[0];
}

static inline void expect_failure(struct fixture *f, struct shot *shot, enum err_code code,
				  const char *tag)
{
	finish_shot(f, shot);
	assert_true(shot->failed);
	if (shot->err.code != code || strcmp(shot->err.tag, tag) != 0)
		print_error("%s %s: %s\n", err_name(shot->err.code), shot->err.tag, shot->err.text);
	assert_int_equal(shot->err.code, code);
	assert_string_equal(shot->err.tag, tag);
}

static inline struct db_params default_params(const struct fixture *f)
{
	return (struct db_params){ .conninfo = f->cluster.conninfo,
				   .max_connections = 4,
				   .connect_timeout_ms = 5000,
				   .op_timeout_ms = OP_TIMEOUT_MS,
				   .idle_ms = 60000,
				   .max_queued = 1000 };
}

/* Replaces the test's pool. */
static inline void use_pool(struct fixture *f, const struct db_params *params)
{
	db_free(&f->db);
	f->db = db_new(f->loop, params);
}

static inline void use_connections(struct fixture *f, int n)
{
	struct db_params params = default_params(f);

	params.max_connections = n;
	use_pool(f, &params);
}

static inline bool is_up(void *ctx)
{
	return db_up(ctx);
}

static inline bool is_down(void *ctx)
{
	return !db_up(ctx);
}

static inline int start_program(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	*state = f;
	/* Lost connections are what many tests are about. */
	log_configure(LOG_ERROR, LOG_TEXT);
	return pg_cluster_start(&f->cluster);
}

static inline int end_program(void **state)
{
	struct fixture *f = *state;

	pg_cluster_stop(&f->cluster);
	free(f);
	return 0;
}

static inline int start_test(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);

	if (f->cluster.postmaster == 0 && pg_cluster_restart(&f->cluster) < 0)
		return -1;
	f->loop = loop_new();
	f->db = db_new(f->loop, &params);
	return 0;
}

static inline int end_test(void **state)
{
	struct fixture *f = *state;

	timer_stop(&f->tick);
	db_free(&f->db);
	loop_free(&f->loop);
	return 0;
}

#define DB_TEST(name) cmocka_unit_test_setup_teardown(name, start_test, end_test)

#endif
