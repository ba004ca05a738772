/* SPDX-License-Identifier: Apache-2.0 */

/* Pairing, release and what happens when the disk refuses, without PostgreSQL. */

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include "audit/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/fakes/iofail.h"

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

static int set_up(void **state)
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

static int tear_down(void **state)
{
	struct fixture *f = *state;
	DIR *dir;
	struct dirent *entry;

	iofail_disarm();
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

static void open_ledger(struct fixture *f, size_t max_bytes)
{
	const struct ledger_params params = { .loop = f->loop,
					      .dir = f->dir,
					      .max_bytes = max_bytes };
	struct err err;

	f->ledger = ledger_open(&params, &err);
	if (f->ledger == NULL)
		print_error("%s\n", err.text);
	assert_non_null(f->ledger);
}

static void reopen(struct fixture *f, size_t max_bytes)
{
	ledger_close(&f->ledger);
	open_ledger(f, max_bytes);
}

static void on_tick(void *ctx)
{
	struct fixture *f = ctx;

	f->met = f->until(f);
	if (f->met || loop_now_ms(f->loop) > f->give_up_at_ms)
		loop_stop(f->loop);
	else
		timer_start(f->loop, &f->tick, 1, on_tick, f);
}

static void run_until(struct fixture *f, bool (*until)(struct fixture *f))
{
	f->until = until;
	f->give_up_at_ms = loop_now_ms(f->loop) + LIMIT_MS;
	timer_start(f->loop, &f->tick, 0, on_tick, f);
	loop_run(f->loop);
	assert_true(f->met);
}

static void on_durable(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;

	f->calls++;
	f->failed = err != NULL;
}

static bool was_told(struct fixture *f)
{
	return f->calls > 0;
}

static bool nothing_waits(struct fixture *f)
{
	return f->wait.spool == NULL;
}

/* The call number n. */
static int append(struct fixture *f, enum event_type type, unsigned n, struct spool_wait *wait,
		  struct err *err)
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

static bool was_taken(struct fixture *f)
{
	struct err err;

	return append(f, f->type, f->n, NULL, &err) == 0;
}

/* What was released makes room a moment later. */
static void put(struct fixture *f, enum event_type type, unsigned n)
{
	struct err err;

	f->type = type;
	f->n = n;
	if (append(f, type, n, NULL, &err) < 0)
		run_until(f, was_taken);
}

/* Appends and waits until it is on the disk. */
static void put_durable(struct fixture *f, enum event_type type, unsigned n)
{
	struct err err;

	f->calls = 0;
	assert_int_equal(append(f, type, n, &f->wait, &err), 0);
	run_until(f, was_told);
	assert_false(f->failed);
}

static size_t peek(struct fixture *f)
{
	return ledger_peek(f->ledger, f->rows, MAX_ROWS, PLENTY);
}

static void assert_row(const struct ledger_row *row, unsigned n, bool opening, bool closing)
{
	assert_int_equal(row->call_id[15], n);
	assert_int_equal(row->opening.p != NULL, opening);
	assert_int_equal(row->closing.p != NULL, closing);
}

static void an_entry_is_a_row(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_ENTRY, 1);
	assert_int_equal(ledger_n_ready(f->ledger), 1);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, false);
	ledger_done(f->ledger, 1);
	assert_int_equal(ledger_n_ready(f->ledger), 0);
	reopen(f, MAX_BYTES);
	assert_int_equal(ledger_n_ready(f->ledger), 0);
}

static void an_intent_is_a_row_once_its_outcome_has_come(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_INTENT, 1);
	put_durable(f, EVENT_INTENT, 2);
	assert_int_equal(ledger_n_ready(f->ledger), 0);
	assert_int_equal(peek(f), 0);
	put(f, EVENT_OUTCOME, 2);
	put_durable(f, EVENT_OUTCOME, 1);
	assert_int_equal(peek(f), 2);
	assert_row(f->rows[0], 2, true, true);
	assert_row(f->rows[1], 1, true, true);
	ledger_done(f->ledger, 1);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, true);
}

static void what_is_not_on_the_disk_is_not_handed_out(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_ENTRY, 1);
	for (unsigned n = 2; n < 500; n++)
		put(f, EVENT_ENTRY, n);
	/* The writer thread may be as fast as it likes: never more than it said. */
	assert_true(peek(f) >= 1);
	assert_int_equal(ledger_n_ready(f->ledger), 499);
	put_durable(f, EVENT_ENTRY, 500);
	assert_int_equal(peek(f), 500);
}

static void a_peek_stops_at_its_limits_but_gives_one(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	for (unsigned n = 1; n < 10; n++)
		put(f, EVENT_ENTRY, n);
	put_durable(f, EVENT_ENTRY, 10);
	assert_int_equal(ledger_peek(f->ledger, f->rows, 3, PLENTY), 3);
	assert_int_equal(ledger_peek(f->ledger, f->rows, MAX_ROWS, 1), 1);
	assert_int_equal(ledger_peek(f->ledger, f->rows, MAX_ROWS, 2 * f->rows[0]->opening.n), 2);
}

static void a_restart_completes_what_was_open(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_INTENT, 1);
	put(f, EVENT_INTENT, 2);
	put(f, EVENT_ENTRY, 3);
	put(f, EVENT_OUTCOME, 2);
	reopen(f, MAX_BYTES);
	assert_int_equal(peek(f), 3);
	assert_row(f->rows[0], 3, true, false);
	assert_row(f->rows[1], 2, true, true);
	assert_row(f->rows[2], 1, true, false);
	ledger_done(f->ledger, 3);
	reopen(f, MAX_BYTES);
	assert_int_equal(ledger_n_ready(f->ledger), 0);
}

static void an_outcome_without_intent_is_a_row_too(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_OUTCOME, 7);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 7, false, true);
}

static void what_is_done_is_released_up_to_the_first_that_is_not(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_ENTRY, 1);
	put(f, EVENT_INTENT, 2);
	put(f, EVENT_ENTRY, 3);
	put_durable(f, EVENT_ENTRY, 4);
	assert_int_equal(peek(f), 3);
	ledger_done(f->ledger, 3);
	reopen(f, MAX_BYTES);
	/* 1 is gone; 3 and 4 come again, which the key of their rows makes harmless. */
	assert_int_equal(peek(f), 3);
	assert_row(f->rows[0], 3, true, false);
	assert_row(f->rows[1], 4, true, false);
	assert_row(f->rows[2], 2, true, false);
}

/* Done as they come, so that only what is open stays. */
static void pass_entries(struct fixture *f, unsigned from, unsigned n)
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

static void an_open_intent_does_not_pin_the_disk(void **state)
{
	struct fixture *f = *state;
	unsigned n = 3 * (unsigned)(MAX_BYTES / 64);

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_INTENT, 1);
	/* Many times what the spool has room for. */
	pass_entries(f, 2, n);
	put_durable(f, EVENT_OUTCOME, 1);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, true);
}

static void an_open_intent_moves_after_ten_thousand_records(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, PLENTY);
	put(f, EVENT_INTENT, 1);
	pass_entries(f, 2, LAG_RECORDS);
	reopen(f, PLENTY);
	/* 10,000 are behind it, and not yet one more. */
	assert_true(ledger_n_ready(f->ledger) > LAG_RECORDS / 2);
	while (ledger_n_ready(f->ledger) > 1)
		ledger_done(f->ledger, 1);
	assert_int_equal(peek(f), 1);
	assert_int_equal(f->rows[0]->first, 1);
	ledger_done(f->ledger, 1);

	put(f, EVENT_INTENT, 1);
	pass_entries(f, 2, 2 * LAG_RECORDS);
	ledger_close(&f->ledger);
	open_ledger(f, PLENTY);
	assert_true(ledger_n_ready(f->ledger) < LAG_RECORDS + 2 * MAX_ROWS);
	while (ledger_n_ready(f->ledger) > 1)
		ledger_done(f->ledger, 1);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, false);
	assert_true(f->rows[0]->first > 2 * LAG_RECORDS);
}

static void many_open_intents_do_not_chase_each_other(void **state)
{
	struct fixture *f = *state;
	unsigned n_open = 3 * LAG_RECORDS;
	uint64_t last;

	open_ledger(f, PLENTY);
	for (unsigned n = 1; n <= n_open; n++)
		put(f, EVENT_INTENT, n);
	pass_entries(f, n_open + 1, n_open);
	put_durable(f, EVENT_ENTRY, 2 * n_open + 1);
	assert_int_equal(peek(f), 1);
	last = f->rows[0]->last;
	assert_in_range(last, 2 * n_open + 1, 3 * n_open);
}

static void an_intent_that_moved_and_ended_is_one_row(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, PLENTY);
	put(f, EVENT_INTENT, 1);
	pass_entries(f, 2, 3 * LAG_RECORDS);
	put_durable(f, EVENT_OUTCOME, 1);
	reopen(f, PLENTY);
	while (ledger_n_ready(f->ledger) > 1)
		ledger_done(f->ledger, 1);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, true);
}

static void a_full_spool_refuses_calls_but_takes_their_outcomes(void **state)
{
	struct fixture *f = *state;
	struct err err;
	unsigned n = 101;

	open_ledger(f, MAX_BYTES);
	for (unsigned i = 1; i <= 100; i++)
		put(f, EVENT_INTENT, i);
	f->calls = 0;
	while (append(f, EVENT_ENTRY, n, &f->wait, &err) == 0) {
		run_until(f, was_told);
		f->calls = 0;
		n++;
		assert_true(n < MAX_BYTES / 64);
	}
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(append(f, EVENT_INTENT, n, NULL, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	for (unsigned i = 1; i <= 100; i++)
		put_durable(f, EVENT_OUTCOME, i);
	assert_int_equal(append(f, EVENT_INTENT, n, NULL, &err), -1);

	assert_int_equal(ledger_n_ready(f->ledger), n - 1);
	while (ledger_n_ready(f->ledger) > 0)
		ledger_done(f->ledger, peek(f));
	put(f, EVENT_INTENT, n);
}

static void what_the_disk_refused_is_as_if_it_had_not_been_asked(void **state)
{
	struct fixture *f = *state;
	struct err err;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_INTENT, 1);
	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	f->calls = 0;
	assert_int_equal(append(f, EVENT_OUTCOME, 1, &f->wait, &err), 0);
	/* Perhaps the disk has refused by now, perhaps not yet. */
	(void)!append(f, EVENT_INTENT, 2, NULL, &err);
	(void)!append(f, EVENT_OUTCOME, 2, NULL, &err);
	(void)!append(f, EVENT_OUTCOME, 3, NULL, &err);
	(void)!append(f, EVENT_ENTRY, 4, NULL, &err);
	assert_in_range(ledger_n_ready(f->ledger), 1, 4);
	run_until(f, was_told);
	assert_true(f->failed);
	iofail_disarm();
	assert_int_equal(peek(f), 0);
	assert_int_equal(ledger_n_ready(f->ledger), 0);

	/* 1 is open as before, the others never were. */
	put(f, EVENT_OUTCOME, 1);
	put_durable(f, EVENT_OUTCOME, 2);
	assert_int_equal(peek(f), 2);
	assert_row(f->rows[0], 1, true, true);
	assert_row(f->rows[1], 2, false, true);
	reopen(f, MAX_BYTES);
	assert_int_equal(peek(f), 2);
	assert_row(f->rows[0], 1, true, true);
	assert_row(f->rows[1], 2, false, true);
}

static void a_refused_move_keeps_the_old_record(void **state)
{
	struct fixture *f = *state;
	struct err err;

	open_ledger(f, PLENTY);
	put(f, EVENT_INTENT, 1);
	pass_entries(f, 2, LAG_RECORDS + 4);
	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	f->calls = 0;
	/* Behind this one the INTENT is appended again. */
	assert_int_equal(append(f, EVENT_ENTRY, LAG_RECORDS + 6, &f->wait, &err), 0);
	run_until(f, was_told);
	assert_true(f->failed);
	iofail_disarm();
	assert_int_equal(peek(f), 0);
	reopen(f, PLENTY);
	while (ledger_n_ready(f->ledger) > 1)
		ledger_done(f->ledger, 1);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, false);
	assert_int_equal(f->rows[0]->first, 1);
}

/* As another version, or nobody, would have written them. */
static void append_raw(struct fixture *f, const char *bytes, size_t n)
{
	const struct spool_params params = {
		.dir = f->dir,
		.segment_bytes = MAX_BYTES / 8,
		.max_bytes = MAX_BYTES,
		.max_record_bytes = EVENT_MAX_BYTES,
	};
	struct spool *spool;
	struct err err;

	spool = spool_open(f->loop, &params, NULL, NULL, &err);
	assert_non_null(spool);
	assert_true(spool_append(spool, EVENT_ENTRY, (struct span){ bytes, n }, NULL, NULL, NULL,
				 &err) > 0);
	spool_close(&spool);
}

static void what_cannot_be_read_is_counted_and_released(void **state)
{
	struct fixture *f = *state;

	append_raw(f, "?", 1);
	open_ledger(f, MAX_BYTES);
	assert_int_equal(ledger_n_unreadable(f->ledger), 1);
	put_durable(f, EVENT_ENTRY, 1);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, false);
	ledger_done(f->ledger, 1);
	reopen(f, MAX_BYTES);
	assert_int_equal(ledger_n_unreadable(f->ledger), 0);
}

static void records_of_another_version_are_left_alone(void **state)
{
	struct fixture *f = *state;
	const struct ledger_params params = { .loop = f->loop,
					      .dir = f->dir,
					      .max_bytes = MAX_BYTES };
	char record[EVENT_HEAD_BYTES] = { 9 };
	struct err err;

	append_raw(f, record, sizeof(record));
	for (int i = 0; i < 2; i++) {
		assert_null(ledger_open(&params, &err));
		assert_int_equal(err.code, ERR_CONFLICT);
		assert_non_null(strstr(err.text, "version"));
	}
}

static void a_directory_that_another_holds_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct ledger_params params = { .loop = f->loop,
					      .dir = f->dir,
					      .max_bytes = MAX_BYTES };
	struct err err;

	open_ledger(f, MAX_BYTES);
	assert_null(ledger_open(&params, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
}

static void waits_are_the_callers(void **state)
{
	struct fixture *f = *state;
	struct err err;

	open_ledger(f, MAX_BYTES);
	assert_int_equal(append(f, EVENT_ENTRY, 1, &f->wait, &err), 0);
	assert_int_equal(f->calls, 0);
	spool_wait_cancel(&f->wait);
	run_until(f, nothing_waits);
	put_durable(f, EVENT_ENTRY, 2);
	assert_int_equal(f->calls, 1);
	assert_int_equal(peek(f), 2);
}

#define LEDGER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(an_entry_is_a_row),
		LEDGER_TEST(an_intent_is_a_row_once_its_outcome_has_come),
		LEDGER_TEST(what_is_not_on_the_disk_is_not_handed_out),
		LEDGER_TEST(a_peek_stops_at_its_limits_but_gives_one),
		LEDGER_TEST(a_restart_completes_what_was_open),
		LEDGER_TEST(an_outcome_without_intent_is_a_row_too),
		LEDGER_TEST(what_is_done_is_released_up_to_the_first_that_is_not),
		LEDGER_TEST(an_open_intent_does_not_pin_the_disk),
		LEDGER_TEST(an_open_intent_moves_after_ten_thousand_records),
		LEDGER_TEST(many_open_intents_do_not_chase_each_other),
		LEDGER_TEST(an_intent_that_moved_and_ended_is_one_row),
		LEDGER_TEST(a_full_spool_refuses_calls_but_takes_their_outcomes),
		LEDGER_TEST(what_the_disk_refused_is_as_if_it_had_not_been_asked),
		LEDGER_TEST(a_refused_move_keeps_the_old_record),
		LEDGER_TEST(what_cannot_be_read_is_counted_and_released),
		LEDGER_TEST(records_of_another_version_are_left_alone),
		LEDGER_TEST(a_directory_that_another_holds_is_refused),
		LEDGER_TEST(waits_are_the_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
