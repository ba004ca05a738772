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

/* The call number n, refused by the gate. */
static int append_refusal(struct fixture *f, unsigned n, struct err *err)
{
	char call_id[40];
	const struct book_call call = { .call_id = call_id };
	const struct book_result result = { .outcome = BOOK_UNAVAILABLE };
	struct buf payload;
	int ret;

	snprintf(call_id, sizeof(call_id), "00000000-0000-7000-8000-%012x", n);
	buf_init(&payload, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ EVENT_ENTRY, &call, &result, NULL }, &payload);
	ret = ledger_append(f->ledger, EVENT_ENTRY, buf_span(&payload), NULL, NULL, NULL, err);
	buf_fini(&payload);
	return ret;
}

static void fill(struct fixture *f, enum book_room room, unsigned *n)
{
	while (ledger_room(f->ledger) < room) {
		put(f, EVENT_ENTRY, (*n)++);
		assert_true(*n < MAX_BYTES / 8);
	}
}

static size_t used(struct fixture *f)
{
	struct ledger_stats stats;

	ledger_stats(f->ledger, &stats);
	return stats.used_bytes;
}

static bool has_plenty(struct fixture *f)
{
	return ledger_room(f->ledger) == BOOK_ROOM_PLENTY;
}

static void half_is_tight_and_nine_tenths_are_full(void **state)
{
	struct fixture *f = *state;
	unsigned n = 1;

	open_ledger(f, MAX_BYTES);
	fill(f, BOOK_ROOM_TIGHT, &n);
	assert_in_range(used(f), MAX_BYTES / 100 * 50, MAX_BYTES / 100 * 51);
	assert_int_equal(ledger_room(f->ledger), BOOK_ROOM_TIGHT);
	fill(f, BOOK_ROOM_NONE, &n);
	assert_in_range(used(f), MAX_BYTES / 100 * 90, MAX_BYTES / 100 * 91);
	/* Also for the process that comes after. */
	reopen(f, MAX_BYTES);
	assert_int_equal(ledger_room(f->ledger), BOOK_ROOM_NONE);
	while (ledger_n_ready(f->ledger) > 0)
		ledger_done(f->ledger, peek(f));
	run_until(f, has_plenty);
	put(f, EVENT_INTENT, n);
}

static void the_first_refused_call_comes_out_of_the_reserve(void **state)
{
	struct fixture *f = *state;
	struct err err;
	unsigned n = 1;

	open_ledger(f, MAX_BYTES);
	for (int round = 0; round < 2; round++) {
		fill(f, BOOK_ROOM_NONE, &n);
		assert_int_equal(append(f, EVENT_ENTRY, n, NULL, &err), -1);
		assert_int_equal(append_refusal(f, n++, &err), 0);
		assert_int_equal(append_refusal(f, n, &err), -1);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_int_equal(ledger_n_ready(f->ledger) > 0, 1);
		put_durable(f, EVENT_OUTCOME, n++);
		while (ledger_n_ready(f->ledger) > 0)
			ledger_done(f->ledger, peek(f));
		put(f, EVENT_ENTRY, n++);
	}
}

static void a_disk_that_others_have_filled_refuses_calls(void **state)
{
	struct fixture *f = *state;
	struct ledger_params params = ledger_params(f, PLENTY);
	struct err err;

	params.min_free_bytes = (uint64_t)1 << 60;
	f->ledger = ledger_open(&params, &err);
	assert_int_equal(ledger_room(f->ledger), BOOK_ROOM_NONE);
	assert_int_equal(append(f, EVENT_INTENT, 1, NULL, &err), -1);
	put_durable(f, EVENT_OUTCOME, 1);
	ledger_close(&f->ledger);
	params.min_free_bytes = 1;
	f->ledger = ledger_open(&params, &err);
	assert_int_equal(ledger_room(f->ledger), BOOK_ROOM_PLENTY);
	put_durable(f, EVENT_INTENT, 2);
}

static void a_disk_that_fails_twice_is_told_apart_from_a_full_one(void **state)
{
	struct fixture *f = *state;
	struct err err;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_ENTRY, 9);
	put_durable(f, EVENT_INTENT, 1);
	iofail_arm(IOFAIL_FROM, 1, EIO);
	f->calls = 0;
	assert_int_equal(append(f, EVENT_OUTCOME, 1, &f->wait, &err), 0);
	run_until(f, was_told);
	assert_true(f->failed);
	iofail_disarm();
	assert_int_equal(ledger_room(f->ledger), BOOK_ROOM_FAILED);
	assert_int_equal(append(f, EVENT_OUTCOME, 1, NULL, &err), -1);
	assert_int_equal(append_refusal(f, 2, &err), -1);
	/* Another process finds a disk that is well. */
	reopen(f, MAX_BYTES);
	assert_int_equal(ledger_room(f->ledger), BOOK_ROOM_PLENTY);
	keep_last(f);
	assert_int_equal(f->rows[0]->call_id[15], 1);
}

static void abandon(struct fixture *f, unsigned n)
{
	char call_id[40];
	const struct book_call call = { .call_id = call_id };
	struct buf payload;

	snprintf(call_id, sizeof(call_id), "00000000-0000-7000-8000-%012x", n);
	buf_init(&payload, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ .type = EVENT_INTENT, .call = &call }, &payload);
	ledger_abandon(f->ledger, buf_span(&payload));
	buf_fini(&payload);
}

static bool has_row(struct fixture *f)
{
	(void)ledger_room(f->ledger); /* as the pulse asks every second */
	return peek(f) > 0;
}

static void lose_outcome(struct fixture *f, unsigned n)
{
	struct err err;

	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	f->calls = 0;
	assert_int_equal(append(f, EVENT_OUTCOME, n, &f->wait, &err), 0);
	run_until(f, was_told);
	assert_true(f->failed);
	abandon(f, n);
}

static int64_t outcome_of(const struct ledger_row *row)
{
	struct event event;
	struct err err;
	int64_t outcome = -1;

	assert_int_equal(event_decode(row->closing, &event, &err), 0);
	assert_true(event_number(&event, FIELD_OUTCOME, &outcome));
	return outcome;
}

static void a_call_whose_outcome_had_no_room_becomes_unknown_when_there_is(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_ENTRY, 9);
	assert_int_equal(peek(f), 1);
	ledger_done(f->ledger, 1);
	put_durable(f, EVENT_INTENT, 1);
	put_durable(f, EVENT_INTENT, 2);
	lose_outcome(f, 1);
	assert_int_equal(peek(f), 0);
	/* Its end is lost as well, once. */
	(void)ledger_room(f->ledger);
	assert_int_equal(peek(f), 0);
	iofail_disarm();
	run_until(f, has_row);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, true);
	assert_int_equal(outcome_of(f->rows[0]), BOOK_UNKNOWN);
	/* The other one runs, and ends as it does. */
	put_durable(f, EVENT_OUTCOME, 2);
	assert_int_equal(peek(f), 2);
	assert_int_equal(outcome_of(f->rows[1]), BOOK_OK);
}

static void to_abandon_what_is_not_open_is_nothing(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	abandon(f, 1);
	put_durable(f, EVENT_ENTRY, 1);
	abandon(f, 1);
	(void)ledger_room(f->ledger);
	assert_int_equal(peek(f), 1);
	assert_row(f->rows[0], 1, true, false);
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
		LEDGER_TEST(half_is_tight_and_nine_tenths_are_full),
		LEDGER_TEST(the_first_refused_call_comes_out_of_the_reserve),
		LEDGER_TEST(a_disk_that_others_have_filled_refuses_calls),
		LEDGER_TEST(a_disk_that_fails_twice_is_told_apart_from_a_full_one),
		LEDGER_TEST(a_call_whose_outcome_had_no_room_becomes_unknown_when_there_is),
		LEDGER_TEST(to_abandon_what_is_not_open_is_nothing),
		LEDGER_TEST(what_the_disk_refused_is_as_if_it_had_not_been_asked),
		LEDGER_TEST(a_refused_move_keeps_the_old_record),
		LEDGER_TEST(what_cannot_be_read_is_counted_and_released),
		LEDGER_TEST(records_of_another_version_are_left_alone),
		LEDGER_TEST(a_directory_that_another_holds_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
