/* SPDX-License-Identifier: Apache-2.0 */

/* Pairing and release, without PostgreSQL. */

#include "tests/unit/audit/ledger_fixture.h"

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

static bool has_waited_a_while(struct fixture *f)
{
	struct ledger_stats stats;

	ledger_stats(f->ledger, &stats);
	return stats.oldest_ms >= 20;
}

static void the_oldest_row_says_how_long_it_has_waited(void **state)
{
	struct fixture *f = *state;
	struct ledger_stats stats;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_INTENT, 1);
	ledger_stats(f->ledger, &stats);
	assert_int_equal(stats.oldest_ms, 0); /* it is open, so it is no row */
	put_durable(f, EVENT_ENTRY, 2);
	run_until(f, has_waited_a_while);
	put_durable(f, EVENT_ENTRY, 3);
	assert_true(has_waited_a_while(f));
	ledger_stats(f->ledger, &stats);
	assert_true(stats.bytes_on_disk > 0);
	assert_int_equal(ledger_room(f->ledger), BOOK_ROOM_PLENTY);
	ledger_done(f->ledger, 2);
	ledger_stats(f->ledger, &stats);
	assert_int_equal(stats.oldest_ms, 0);
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
	put(f, EVENT_INTENT, 4);
	reopen(f, MAX_BYTES);
	assert_int_equal(peek_all(f), 4);
	assert_row(f->rows[0], 3, true, false);
	assert_row(f->rows[1], 2, true, true);
	assert_row(f->rows[2], 1, true, true);
	assert_row(f->rows[3], 4, true, true);
	/* As it is from now on, whoever opens it. */
	reopen(f, MAX_BYTES);
	assert_int_equal(peek(f), 4);
	assert_row(f->rows[2], 1, true, true);
	assert_row(f->rows[3], 4, true, true);
	ledger_done(f->ledger, 4);
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
	assert_int_equal(peek_all(f), 3);
	assert_row(f->rows[0], 3, true, false);
	assert_row(f->rows[1], 4, true, false);
	assert_row(f->rows[2], 2, true, true);
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
	keep_last(f);
	assert_int_equal(f->rows[0]->first, 1);
	ledger_done(f->ledger, 1);

	put(f, EVENT_INTENT, 1);
	pass_entries(f, 2, 2 * LAG_RECORDS);
	ledger_close(&f->ledger);
	open_ledger(f, PLENTY);
	assert_true(ledger_n_ready(f->ledger) < LAG_RECORDS + 2 * MAX_ROWS);
	keep_last(f);
	assert_row(f->rows[0], 1, true, true);
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
	keep_last(f);
	assert_row(f->rows[0], 1, true, true);
}

/* As after a crash between a move and the release of the old record. */
static void an_intent_that_is_there_twice_is_one_call(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_INTENT, 1);
	put(f, EVENT_ENTRY, 2);
	put(f, EVENT_INTENT, 1);
	reopen(f, MAX_BYTES);
	assert_int_equal(peek_all(f), 2);
	assert_row(f->rows[0], 2, true, false);
	assert_row(f->rows[1], 1, true, true);
	/* One more before the first link is the chain's state. */
	assert_int_equal(f->rows[1]->first, 4);
}

static void waits_are_the_callers(void **state)
{
	struct fixture *f = *state;
	struct err err;

	open_ledger(f, MAX_BYTES);
	assert_int_equal(append(f, EVENT_ENTRY, 1, &f->wait, &err), 0);
	assert_int_equal(f->calls, 0);
	spool_wait_cancel(&f->wait);
	put_durable(f, EVENT_ENTRY, 2);
	assert_int_equal(f->calls, 1);
	assert_int_equal(peek(f), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(an_entry_is_a_row),
		LEDGER_TEST(the_oldest_row_says_how_long_it_has_waited),
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
		LEDGER_TEST(an_intent_that_is_there_twice_is_one_call),
		LEDGER_TEST(waits_are_the_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
