/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that fails. Each call that changes a file is made to fail in turn. */

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include <errno.h>

#include "tests/fakes/iofail.h"
#include "tests/unit/base/spool_fixture.h"

/* Three commits of two records, one of many that needs another segment, a release. */
static void use(struct fixture *f)
{
	for (int i = 0; i < 3; i++) {
		append_text(f, "one of two");
		append_text(f, "two of two");
		settle(f);
	}
	for (int i = 0; i < 200; i++)
		append_text(f, "one of many");
	settle(f);
	spool_release(f->spool, 2);
}

static void forget(struct fixture *f)
{
	spool_close(&f->spool);
	fixture_files(f, "", true);
	rmdir(f->dir);
	f->n_shots = 0;
}

static bool was_replayed(struct fixture *f, const struct shot *shot)
{
	for (size_t i = 0; i < f->n_replayed; i++)
		if (f->replayed[i].sequence == shot->sequence)
			return true;
	return false;
}

static struct shot *last_shot(struct fixture *f)
{
	return &f->shots[f->n_shots - 1];
}

static size_t count(struct fixture *f, enum outcome outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_shots; i++)
		n += f->shots[i].outcome == outcome;
	return n;
}

/* The disk is well again, and another process looks. Every wait ended once; what was called
 * durable is there, in order and once; of what was called lost nothing, as the numbers tell. */
static void assert_kept(struct fixture *f)
{
	uint64_t released;
	size_t expected = 0;

	must_open(f);
	released = stats_of(f).released_sequence;
	for (size_t i = 0; i < f->n_shots; i++) {
		const struct shot *shot = &f->shots[i];

		assert_int_equal(shot->calls, shot->outcome == REFUSED ? 0 : 1);
		if (shot->outcome != DURABLE || shot->sequence <= released)
			continue;
		expected++;
		assert_true(was_replayed(f, shot));
	}
	assert_int_equal(f->n_replayed, expected);
	for (size_t i = 0; i < f->n_replayed; i++)
		assert_int_equal(f->replayed[i].sequence, f->replayed[0].sequence + i);
}

/* After a failure at open there is nothing to look at. */
static bool open_failed(struct fixture *f)
{
	struct err err = { 0 };

	if (try_open(f, &err) == 0)
		return false;
	assert_int_equal(err.code, ERR_INTERNAL);
	return true;
}

static void one_error_anywhere_is_survived(void **state)
{
	static const int errors[] = { EIO, EBADF };
	struct fixture *f = *state;

	for (size_t e = 0; e < 2; e++) {
		int fired = 1;

		for (unsigned n = 1; fired; n++) {
			iofail_arm(IOFAIL_ONCE, n, errors[e]);
			if (!open_failed(f)) {
				use(f);
				assert_int_equal(count(f, DURABLE), f->n_shots);
				assert_false(stats_of(f).failed);
				spool_close(&f->spool);
				iofail_disarm();
				assert_kept(f);
			}
			iofail_disarm();
			fired = iofail_fired();
			forget(f);
		}
	}
}

static void short_writes_and_interrupts_are_survived(void **state)
{
	static const enum iofail_mode modes[] = { IOFAIL_SHORT_ONCE, IOFAIL_EINTR_ONCE };
	struct fixture *f = *state;

	for (size_t m = 0; m < 2; m++) {
		int fired = 1;

		for (unsigned n = 1; fired; n++) {
			iofail_arm(modes[m], n, 0);
			must_open(f);
			use(f);
			assert_int_equal(count(f, DURABLE), f->n_shots);
			spool_close(&f->spool);
			iofail_disarm();
			fired = iofail_fired();
			assert_kept(f);
			assert_int_equal(f->n_replayed, f->n_shots - 2);
			forget(f);
		}
	}
}

static void a_moment_without_room_costs_only_what_was_told(void **state)
{
	static const int errors[] = { ENOSPC, EDQUOT };
	struct fixture *f = *state;
	size_t told = 0;
	int fired = 1;

	for (unsigned n = 1; fired; n++) {
		iofail_arm(IOFAIL_ONCE, n, errors[n % 2]);
		if (!open_failed(f)) {
			use(f);
			iofail_disarm();
			told += count(f, UNAVAILABLE) > 0;
			append_text(f, "room again");
			settle(f);
			assert_int_equal(last_shot(f)->outcome, DURABLE);
			assert_false(stats_of(f).failed);
			spool_close(&f->spool);
			assert_kept(f);
		}
		iofail_disarm();
		fired = iofail_fired();
		forget(f);
	}
	assert_true(told > 0);
}

static void a_full_disk_is_told_and_works_once_there_is_room(void **state)
{
	struct fixture *f = *state;
	int fired = 1;

	for (unsigned n = 1; fired; n++) {
		iofail_arm(IOFAIL_FROM, n, ENOSPC);
		if (!open_failed(f)) {
			use(f);
			fired = iofail_fired();
			iofail_disarm();
			assert_false(stats_of(f).failed);
			append_text(f, "room again");
			settle(f);
			assert_int_equal(last_shot(f)->outcome, DURABLE);
			assert_int_equal(last_shot(f)->sequence, stats_of(f).last_sequence);
			spool_close(&f->spool);
			assert_kept(f);
		}
		iofail_disarm();
		forget(f);
	}
}

/* What was refused may still be found if the disk did not even let it be cut off; what was
 * called durable must be. */
static void a_dead_disk_fails_for_good_and_keeps_what_was_durable(void **state)
{
	struct fixture *f = *state;
	size_t failed = 0;
	int fired = 1;

	for (unsigned n = 1; fired; n++) {
		iofail_arm(IOFAIL_FROM, n, EIO);
		if (!open_failed(f)) {
			use(f);
			fired = iofail_fired();
			if (stats_of(f).failed) {
				failed++;
				assert_int_equal(append_text(f, "x")->outcome, REFUSED);
			}
			assert_int_equal(count(f, PENDING), 0);
			spool_close(&f->spool);
			iofail_disarm();
			must_open(f);
			for (size_t i = 0; i < f->n_shots; i++)
				if (f->shots[i].outcome == DURABLE &&
				    f->shots[i].sequence > stats_of(f).released_sequence)
					assert_true(was_replayed(f, &f->shots[i]));
			append_text(f, "after repair");
			settle(f);
			assert_int_equal(last_shot(f)->outcome, DURABLE);
		}
		iofail_disarm();
		forget(f);
	}
	assert_true(failed > 0);
}

static bool checkpoint_tried(struct fixture *f)
{
	(void)f;
	return iofail_fired() != 0;
}

/* Removing needs no room, so it comes even where the checkpoint cannot be written. */
static void segments_go_although_the_checkpoint_cannot_be_written(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	for (int i = 0; i < 500; i++)
		append_text(f, "record record");
	settle(f);
	assert_int_equal(segment_files(f), 4);
	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	spool_release(f->spool, 500);
	run_until(f, checkpoint_tried);
	spool_close(&f->spool);
	iofail_disarm();
	assert_int_equal(segment_files(f), 1);
	must_open(f);
	assert_int_equal(stats_of(f).last_sequence, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_error_anywhere_is_survived),
		TEST(short_writes_and_interrupts_are_survived),
		TEST(a_moment_without_room_costs_only_what_was_told),
		TEST(a_full_disk_is_told_and_works_once_there_is_room),
		TEST(a_dead_disk_fails_for_good_and_keeps_what_was_durable),
		TEST(segments_go_although_the_checkpoint_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
