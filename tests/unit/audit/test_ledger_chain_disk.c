/* SPDX-License-Identifier: Apache-2.0 */

/* The chain on a disk that is full or fails. */

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include <errno.h>

#include "tests/unit/audit/ledger_chain_fixture.h"

/* Ends call n while the disk fails sooner or later, and more with it. Whether it took the end. */
static bool end_in_trouble(struct fixture *f, unsigned n, uint64_t *random)
{
	struct err err;
	bool asked;

	iofail_arm(IOFAIL_FROM, 1 + next_random(random) % 3, ENOSPC);
	f->calls = 0;
	asked = append(f, EVENT_OUTCOME, n, &f->wait, &err) == 0;
	if (next_random(random) % 2 == 0 && ledger_epoch_links(f->ledger) > 0)
		(void)!ledger_anchor(f->ledger, chain_seed, &err);
	(void)!append(f, EVENT_ENTRY, n + 1, NULL, &err);
	if (asked)
		run_until(f, was_told);
	iofail_disarm();
	return asked && !f->failed;
}

static void what_the_disk_refuses_leaves_no_gap(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();
	uint64_t random = 7;
	unsigned n_failed = 0;
	unsigned next = 1;

	open_ledger(f, MAX_BYTES);
	for (unsigned round = 0; round < 60; round++, next += 2) {
		unsigned n_good = next_random(&random) % 5;

		for (unsigned i = 0; i < n_good; i++)
			put(f, EVENT_ENTRY, next++);
		put(f, EVENT_INTENT, next);
		run_until(f, all_are_durable);
		if (!end_in_trouble(f, next, &random)) {
			n_failed++;
			put(f, EVENT_OUTCOME, next);
		}
		if (round % 2 == 0)
			take_all(f, taken);
		if (round % 7 == 0)
			reopen(f, MAX_BYTES);
	}
	take_all(f, taken);
	assert_in_range(n_failed, 10, 60);
	assert_in_range(taken->last_seq, 60, 400);
	assert_true(taken->n_anchors > 0);
	assert_int_equal(taken->n_unlinked, 0);
	verify_taken(taken, open_key(f));
	free(taken);
}

static void lost_state_is_appended_again(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();
	struct err err;

	open_ledger(f, MAX_BYTES);
	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	f->calls = 0;
	if (append(f, EVENT_ENTRY, 1, &f->wait, &err) == 0)
		run_until(f, was_told);
	iofail_disarm();
	run_until(f, all_are_durable);
	put(f, EVENT_ENTRY, 2);
	run_until(f, all_are_durable);
	reopen(f, MAX_BYTES);
	put(f, EVENT_ENTRY, 3);
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 2);
	verify_taken(taken, open_key(f));
	free(taken);
}

/* An opening shortens the last segment, and then the disk has no room for another. */
static void a_full_disk_does_not_keep_open_calls_for_ever(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_INTENT, 1);
	put(f, EVENT_ENTRY, 2);
	put(f, EVENT_INTENT, 3);
	ledger_close(&f->ledger);
	iofail_arm(IOFAIL_FROM, 2, ENOSPC);
	open_ledger(f, MAX_BYTES);
	/* What waits for PostgreSQL may make room. */
	run_until(f, all_are_durable);
	assert_int_equal(peek(f), 1);
	take_row(taken, f->rows[0]);
	ledger_done(f->ledger, 1);
	/* It did not. */
	take_all(f, taken);
	iofail_disarm();
	assert_int_equal(taken->last_seq, 1);
	assert_int_equal(taken->n_unlinked, 2);
	put(f, EVENT_ENTRY, 4);
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 2);
	verify_taken(taken, open_key(f));
	free(taken);
}

static bool is_a_row(struct fixture *f)
{
	return peek(f) == 1;
}

static void nor_one_that_is_alone(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_INTENT, 1);
	ledger_close(&f->ledger);
	iofail_arm(IOFAIL_FROM, 2, ENOSPC);
	open_ledger(f, MAX_BYTES);
	run_until(f, is_a_row);
	iofail_disarm();
	assert_row(f->rows[0], 1, true, false);
	take_all(f, taken);
	assert_int_equal(taken->n_unlinked, 1);
	reopen(f, MAX_BYTES);
	assert_int_equal(ledger_n_ready(f->ledger), 0);
	free(taken);
}

static void room_that_comes_gives_open_calls_their_links(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_ENTRY, 1);
	put(f, EVENT_INTENT, 2);
	put(f, EVENT_INTENT, 3);
	ledger_close(&f->ledger);
	iofail_arm(IOFAIL_FROM, 2, ENOSPC);
	open_ledger(f, MAX_BYTES);
	run_until(f, all_are_durable);
	assert_int_equal(peek(f), 1);
	take_row(taken, f->rows[0]);
	iofail_disarm();
	ledger_done(f->ledger, 1);
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 3);
	assert_int_equal(taken->n_unlinked, 0);
	assert_int_equal(taken->links[2].call_id[15], 2);
	assert_int_equal(taken->links[3].call_id[15], 3);
	verify_taken(taken, open_key(f));
	free(taken);
}

static bool has_durable(struct fixture *f)
{
	return peek(f) > 0;
}

/* Rows fill it, then calls begin until they are refused, and ends of others take the reserve. */
static unsigned fill_up(struct fixture *f)
{
	struct err err;
	unsigned n = 1;
	unsigned n_open = 0;

	while (ledger_room(f->ledger) < BOOK_ROOM_TIGHT)
		put(f, EVENT_ENTRY, n++);
	for (; append(f, EVENT_INTENT, n, NULL, &err) == 0; n++)
		n_open++;
	while (append(f, EVENT_OUTCOME, n, NULL, &err) == 0)
		n++;
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	return n_open;
}

static void what_is_done_at_once_makes_room_for_the_ends_of_open_calls(void **state)
{
	struct fixture *f = *state;
	unsigned n_open;

	open_ledger(f, MAX_BYTES);
	n_open = fill_up(f);
	reopen(f, MAX_BYTES);
	assert_int_equal(f->ledger->n_orphans, n_open);
	/* They were on the disk. */
	ledger_done(f->ledger, ledger_n_ready(f->ledger));
	for (unsigned seen = 0; seen < n_open;) {
		size_t n;

		run_until(f, is_over_or_ready);
		run_until(f, has_durable);
		n = peek(f);
		for (size_t i = 0; i < n; i++)
			assert_true(link_of(f->rows[i]).is_there);
		seen += (unsigned)n;
		ledger_done(f->ledger, n);
	}
	assert_int_equal(f->ledger->n_orphans, 0);
}

/* The spool gives lost numbers out again, and the ledger has not been asked since. */
static void lose_entry(struct fixture *f, unsigned n)
{
	struct err err;

	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	f->calls = 0;
	assert_int_equal(append(f, EVENT_ENTRY, n, &f->wait, &err), 0);
	run_until(f, was_told);
	assert_true(f->failed);
	iofail_disarm();
}

static void an_anchor_holds_nothing_that_was_lost(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_ENTRY, 1);
	lose_entry(f, 2);
	anchor(f);
	put_durable(f, EVENT_ENTRY, 3);
	take_all(f, taken);
	assert_int_equal(taken->anchors[0].last_seq, 1);
	assert_int_equal(taken->last_seq, 2);
	assert_int_equal(taken->links[2].call_id[15], 3);
	verify_taken(taken, open_key(f));
	/* And none holds nothing. */
	lose_entry(f, 4);
	anchor(f);
	run_until(f, all_are_durable);
	lose_entry(f, 5);
	anchor(f);
	take_all(f, taken);
	assert_int_equal(taken->n_anchors, 2);
	assert_int_equal(taken->anchors[1].last_seq, 2);
	free(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(what_the_disk_refuses_leaves_no_gap),
		LEDGER_TEST(lost_state_is_appended_again),
		LEDGER_TEST(a_full_disk_does_not_keep_open_calls_for_ever),
		LEDGER_TEST(nor_one_that_is_alone),
		LEDGER_TEST(room_that_comes_gives_open_calls_their_links),
		LEDGER_TEST(what_is_done_at_once_makes_room_for_the_ends_of_open_calls),
		LEDGER_TEST(an_anchor_holds_nothing_that_was_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
