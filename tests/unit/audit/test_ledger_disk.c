/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that is full, fails, or holds what others wrote. */

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include <errno.h>

#include "tests/fakes/iofail.h"
#include "tests/unit/audit/ledger_fixture.h"

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
	pass_entries(f, 9, 1);
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
	keep_last(f);
	assert_row(f->rows[0], 1, true, true);
	assert_int_equal(f->rows[0]->first, 1);
}

static void on_nothing(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	(void)ctx;
	(void)sequence;
	(void)type;
	(void)payload;
}

/* As another version, or nobody, would have written them. */
static void append_raw(struct fixture *f, uint8_t type, struct span payload)
{
	const struct spool_params params = {
		.dir = f->dir,
		.segment_bytes = MAX_BYTES / 8,
		.max_bytes = MAX_BYTES,
		.max_record_bytes = EVENT_MAX_BYTES,
	};
	struct spool *spool;
	struct err err;

	spool = spool_open(f->loop, &params, on_nothing, NULL, &err);
	assert_non_null(spool);
	assert_true(spool_append(spool, type, payload, NULL, NULL, NULL, &err) > 0);
	spool_close(&spool);
}

static void what_cannot_be_read_is_counted_and_released(void **state)
{
	struct fixture *f = *state;

	append_raw(f, EVENT_ENTRY, SPAN("?"));
	append_raw(f, 77, SPAN("?"));
	open_ledger(f, MAX_BYTES);
	assert_int_equal(ledger_n_unreadable(f->ledger), 2);
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
	const struct ledger_params params = ledger_params(f, MAX_BYTES);
	char record[EVENT_HEAD_BYTES] = { 9 };
	struct err err;

	append_raw(f, EVENT_ENTRY, (struct span){ record, sizeof(record) });
	for (int i = 0; i < 2; i++) {
		assert_null(ledger_open(&params, &err));
		assert_int_equal(err.code, ERR_CONFLICT);
		assert_non_null(strstr(err.text, "version"));
	}
}

static void a_directory_that_another_holds_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct ledger_params params = ledger_params(f, MAX_BYTES);
	struct err err;

	open_ledger(f, MAX_BYTES);
	assert_null(ledger_open(&params, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(a_full_spool_refuses_calls_but_takes_their_outcomes),
		LEDGER_TEST(what_the_disk_refused_is_as_if_it_had_not_been_asked),
		LEDGER_TEST(a_refused_move_keeps_the_old_record),
		LEDGER_TEST(what_cannot_be_read_is_counted_and_released),
		LEDGER_TEST(records_of_another_version_are_left_alone),
		LEDGER_TEST(a_directory_that_another_holds_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
