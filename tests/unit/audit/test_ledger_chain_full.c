/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that were open when their process died, on a disk that has no room for their ends. */

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include <errno.h>

#include "audit/ledger_priv.h"
#include "base/spool_priv.h"
#include "tests/fakes/iofail.h"
#include "tests/unit/audit/ledger_fixture.h"

#include "tests/unit/audit/ledger_chain_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(a_full_disk_does_not_keep_open_calls_for_ever),
		LEDGER_TEST(nor_one_that_is_alone),
		LEDGER_TEST(room_that_comes_gives_open_calls_their_links),
		LEDGER_TEST(what_is_done_at_once_makes_room_for_the_ends_of_open_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
