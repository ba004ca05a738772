/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_LEDGER_FIXTURE_H
#define TESTS_UNIT_AUDIT_LEDGER_FIXTURE_H

/* What the tests of the ledger share: a directory and a loop for each, and calls by number. */

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/ledger.h"
#include "base/log.h"
#include "base/mem.h"

#define LIMIT_MS    30000 /* how long any wait of a test may take */
#define MAX_BYTES   ((size_t)512 << 10)
#define PLENTY	    ((size_t)64 << 20)
#define MAX_ROWS    1000
#define LAG_RECORDS 10000 /* audit/ledger.c */

struct fixture {
	char top[32];
	char dir[64];
	struct loop *loop;
	struct ledger *ledger;
	struct spool_wait wait;
	int calls;
	bool failed;
	enum event_type type; /* of the record to be taken */
	unsigned n;
	struct ledger_row *rows[MAX_ROWS];
	struct timer tick;
	bool (*until)(struct fixture *f);
	bool met;
	int64_t give_up_at_ms;
};

static inline int set_up(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	log_configure(LOG_ERROR + 1, LOG_TEXT);
	snprintf(f->top, sizeof(f->top), "/tmp/test_ledger.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->dir, sizeof(f->dir), "%s/spool", f->top);
	f->loop = loop_new();
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;
	DIR *dir;
	struct dirent *entry;

	timer_stop(&f->tick);
	ledger_close(&f->ledger);
	loop_free(&f->loop);
	dir = opendir(f->dir);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(f->dir);
	assert_int_equal(rmdir(f->top), 0);
	free(f);
	return 0;
}

static inline struct ledger_params ledger_params(struct fixture *f, size_t max_bytes)
{
	return (struct ledger_params){ .loop = f->loop, .dir = f->dir, .max_bytes = max_bytes };
}

static inline void open_ledger(struct fixture *f, size_t max_bytes)
{
	const struct ledger_params params = ledger_params(f, max_bytes);
	struct err err;

	f->ledger = ledger_open(&params, &err);
	if (f->ledger == NULL)
		print_error("%s\n", err.text);
	assert_non_null(f->ledger);
}

static inline void reopen(struct fixture *f, size_t max_bytes)
{
	ledger_close(&f->ledger);
	open_ledger(f, max_bytes);
}

static inline void on_tick(void *ctx)
{
	struct fixture *f = ctx;

	f->met = f->until(f);
	if (f->met || loop_now_ms(f->loop) > f->give_up_at_ms)
		loop_stop(f->loop);
	else
		timer_start(f->loop, &f->tick, 1, on_tick, f);
}

static inline void run_until(struct fixture *f, bool (*until)(struct fixture *f))
{
	f->until = until;
	f->give_up_at_ms = loop_now_ms(f->loop) + LIMIT_MS;
	timer_start(f->loop, &f->tick, 0, on_tick, f);
	loop_run(f->loop);
	assert_true(f->met);
}

static inline void on_durable(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;

	f->calls++;
	f->failed = err != NULL;
}

static inline bool was_told(struct fixture *f)
{
	return f->calls > 0;
}

/* The call number n. */
static inline int append(struct fixture *f, enum event_type type, unsigned n,
			 struct spool_wait *wait, struct err *err)
{
	char call_id[40];
	const struct book_call call = { .call_id = call_id, .tool = SPAN("crm__get") };
	const struct book_result result = { .upstream_us = -1 };
	struct buf payload;
	int ret;

	snprintf(call_id, sizeof(call_id), "00000000-0000-7000-8000-%012x", n);
	buf_init(&payload, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ .type = type,
					     .call = &call,
					     .result = type == EVENT_INTENT ? NULL : &result },
		     &payload);
	ret = ledger_append(f->ledger, type, buf_span(&payload), wait,
			    wait != NULL ? on_durable : NULL, f, err);
	buf_fini(&payload);
	return ret;
}

static inline bool was_taken(struct fixture *f)
{
	struct err err;

	return append(f, f->type, f->n, NULL, &err) == 0;
}

/* What was released makes room a moment later. */
static inline void put(struct fixture *f, enum event_type type, unsigned n)
{
	struct err err;

	f->type = type;
	f->n = n;
	if (append(f, type, n, NULL, &err) < 0)
		run_until(f, was_taken);
}

/* Appends and waits until it is on the disk. */
static inline void put_durable(struct fixture *f, enum event_type type, unsigned n)
{
	struct err err;

	f->calls = 0;
	assert_int_equal(append(f, type, n, &f->wait, &err), 0);
	run_until(f, was_told);
	assert_false(f->failed);
}

static inline size_t peek(struct fixture *f)
{
	return ledger_peek(f->ledger, f->rows, MAX_ROWS, PLENTY);
}

static inline bool all_are_durable(struct fixture *f)
{
	return peek(f) == ledger_n_ready(f->ledger);
}

/* After an opening, which may have appended ends of calls. At most MAX_ROWS. */
static inline size_t peek_all(struct fixture *f)
{
	run_until(f, all_are_durable);
	return peek(f);
}

static inline bool last_is_durable(struct fixture *f)
{
	while (ledger_n_ready(f->ledger) > 1 && peek(f) > 1)
		ledger_done(f->ledger, 1);
	return ledger_n_ready(f->ledger) == 1 && peek(f) == 1;
}

/* All complete rows but the last are done. */
static inline void keep_last(struct fixture *f)
{
	run_until(f, last_is_durable);
}

static inline void assert_row(const struct ledger_row *row, unsigned n, bool opening, bool closing)
{
	assert_int_equal(row->call_id[15], n);
	assert_int_equal(row->opening.p != NULL, opening);
	assert_int_equal(row->closing.p != NULL, closing);
}

/* Done as they come, so that only what is open stays. */
static inline void pass_entries(struct fixture *f, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (i % MAX_ROWS != MAX_ROWS - 1 && i + 1 != n) {
			put(f, EVENT_ENTRY, from + i);
			continue;
		}
		put_durable(f, EVENT_ENTRY, from + i);
		while (ledger_n_ready(f->ledger) > 0)
			ledger_done(f->ledger, peek(f));
	}
}

#define LEDGER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
