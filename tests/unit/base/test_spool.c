/* SPDX-License-Identifier: Apache-2.0 */

/* What the spool promises while its files stay as it wrote them. */

#include <sys/statvfs.h>

#include "tests/unit/base/spool_fixture.h"

static void records_come_back_in_order_with_type_and_payload(void **state)
{
	static const struct {
		uint8_t type;
		struct span payload;
	} records[] = {
		{1,    { "first", 5 }	    },
		{ 0,   { "", 0 }	       },
		{ 255, { "\0\0\0", 3 }	       },
		{ 7,   { "\xff\x00line\n", 7 }},
	};
	struct fixture *f = *state;
	char longest[1024];

	memset(longest, 'x', sizeof(longest));
	must_open(f);
	assert_int_equal(f->n_replayed, 0);
	for (size_t i = 0; i < 4; i++)
		append(f, records[i].type, records[i].payload);
	append(f, 9, (struct span){ longest, sizeof(longest) });
	settle(f);
	reopen(f);
	assert_int_equal(f->n_replayed, 5);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(f->replayed[i].sequence, i + 1);
		assert_int_equal(f->replayed[i].type, records[i].type);
		assert_int_equal(f->replayed[i].n, records[i].payload.n);
		assert_memory_equal(f->replayed[i].bytes, records[i].payload.p,
				    records[i].payload.n);
	}
	assert_int_equal(f->replayed[4].n, sizeof(longest));
	assert_memory_equal(f->replayed[4].bytes, longest, sizeof(longest));
}

static void each_wait_ends_exactly_once_in_order(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	for (int i = 0; i < 500; i++)
		append_text(f, "some record");
	assert_int_equal(f->n_pending, 500);
	settle(f);
	for (size_t i = 0; i < 500; i++) {
		assert_int_equal(f->shots[i].sequence, i + 1);
		assert_int_equal(f->shots[i].outcome, DURABLE);
		assert_int_equal(f->shots[i].calls, 1);
	}
	assert_int_equal(stats_of(f).durable_sequence, 500);
}

static void closing_makes_everything_durable_and_ends_waits_in_silence(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	for (int i = 0; i < 1000; i++)
		append_text(f, "some record");
	spool_close(&f->spool);
	assert_null(f->spool);
	spool_close(&f->spool);
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(f->shots[i].calls, 0);
		assert_null(f->shots[i].wait.spool);
	}
	must_open(f);
	assert_int_equal(f->n_replayed, 1000);
}

static void without_a_wait_a_record_is_kept_too(void **state)
{
	struct fixture *f = *state;
	struct err err;

	must_open(f);
	assert_int_equal(spool_append(f->spool, 3, SPAN("quiet"), NULL, NULL, NULL, &err), 1);
	reopen(f);
	assert_int_equal(f->n_replayed, 1);
	assert_string_equal(f->replayed[0].bytes, "quiet");
}

static void a_cancelled_wait_is_silent_and_its_record_kept(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_text(f, "one");
	append_text(f, "two");
	append_text(f, "three");
	spool_wait_cancel(&f->shots[1].wait);
	spool_wait_cancel(&f->shots[1].wait);
	f->n_pending--;
	settle(f);
	assert_int_equal(f->shots[0].calls, 1);
	assert_int_equal(f->shots[1].calls, 0);
	assert_int_equal(f->shots[2].calls, 1);
	reopen(f);
	assert_int_equal(f->n_replayed, 3);
}

static void on_durable_cancel_rest(void *ctx, const struct err *err)
{
	struct shot *shot = ctx;
	struct fixture *f = shot->fixture;

	on_durable(ctx, err);
	for (size_t i = 0; i < f->n_shots; i++) {
		if (f->shots[i].wait.spool != NULL)
			f->n_pending--;
		spool_wait_cancel(&f->shots[i].wait);
	}
	append_text(f, "from the callback");
}

static void a_callback_may_cancel_the_others_and_append(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_text(f, "first");
	f->shots[0].wait.durable = on_durable_cancel_rest;
	for (int i = 0; i < 20; i++)
		append_text(f, "other");
	settle(f);
	for (size_t i = 1; i <= 20; i++)
		assert_int_equal(f->shots[i].calls, 0);
	assert_int_equal(f->shots[21].outcome, DURABLE);
	assert_int_equal(f->shots[21].calls, 1);
	assert_int_equal(f->shots[21].sequence, 22);
}

static void on_durable_close(void *ctx, const struct err *err)
{
	struct shot *shot = ctx;

	on_durable(ctx, err);
	spool_close(&shot->fixture->spool);
	shot->fixture->n_pending = 0;
}

static void a_callback_may_close_the_spool(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_text(f, "first");
	f->shots[0].wait.durable = on_durable_close;
	for (int i = 0; i < 20; i++)
		append_text(f, "other");
	settle(f);
	assert_null(f->spool);
	for (size_t i = 1; i <= 20; i++) {
		assert_int_equal(f->shots[i].calls, 0);
		assert_null(f->shots[i].wait.spool);
	}
	must_open(f);
	assert_int_equal(f->n_replayed, 21);
}

static void a_second_owner_is_refused(void **state)
{
	struct fixture *f = *state;
	struct spool *other;
	struct err err = { 0 };

	must_open(f);
	other = spool_open(f->loop, &f->params, on_replay, f, &err);
	assert_null(other);
	assert_int_equal(err.code, ERR_CONFLICT);
	append_numbered(f, 1); /* the first is unharmed */
	spool_close(&f->spool);
	must_open(f);
	assert_numbered(f, 1, 1);
}

static void its_files_are_private(void **state)
{
	struct fixture *f = *state;
	char path[PATH_BYTES];
	struct stat info;

	must_open(f);
	append_numbered(f, 2);
	spool_release(f->spool, 1);
	spool_close(&f->spool);
	assert_int_equal(stat(f->dir, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	segment_path(f, 1, path);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/checkpoint", f->dir);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
}

static void a_record_over_the_limit_is_refused_at_once(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	char bytes[1025] = { 0 };

	must_open(f);
	assert_int_equal(
		spool_append(f->spool, 1, (struct span){ bytes, 1025 }, NULL, NULL, NULL, &err), 0);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	assert_int_equal(
		spool_append(f->spool, 1, (struct span){ bytes, 1024 }, NULL, NULL, NULL, &err), 1);
}

static void impossible_parameters_are_refused(void **state)
{
	static const struct {
		size_t segment, max, record;
	} cases[] = {
		{4096,		4096,     100	  }, /* no room for the next segment */
		{ 4096,		8191,     100	  }, /* … by a byte */
		{ 4096,		1 << 20,	 4096    }, /* a record with its header does not fit */
		{ 4096,		1 << 20,	 SIZE_MAX}, /* … by far */
		{ (size_t)2 << 30, SIZE_MAX, 100	 }, /* over SPOOL_SEGMENT_BYTES_MAX */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };

		f->params.segment_bytes = cases[i].segment;
		f->params.max_bytes = cases[i].max;
		f->params.max_record_bytes = cases[i].record;
		assert_int_equal(try_open(f, &err), -1);
		assert_int_equal(err.code, ERR_INTERNAL);
	}
	f->params.dir = "/proc/no/such/dir";
	f->params.segment_bytes = SEGMENT_BYTES;
	f->params.max_record_bytes = 100;
	assert_int_equal(try_open(f, &(struct err){ 0 }), -1);
}

static void released_records_are_not_replayed(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 9);
	spool_release(f->spool, 4);
	assert_int_equal(stats_of(f).released_sequence, 4);
	reopen(f);
	assert_numbered(f, 5, 9);
	assert_int_equal(stats_of(f).released_sequence, 4);
	spool_release(f->spool, 9);
	reopen(f);
	assert_int_equal(f->n_replayed, 0);
}

static void releases_in_any_order_count_as_the_highest(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 9);
	spool_release(f->spool, 3);
	spool_release(f->spool, 7);
	spool_release(f->spool, 5);
	spool_release(f->spool, 0);
	spool_release(f->spool, 10); /* nobody's */
	assert_int_equal(stats_of(f).released_sequence, 7);
	reopen(f);
	assert_numbered(f, 8, 9);
}

static bool one_segment_left(struct fixture *f)
{
	return segment_files(f) == 1;
}

/* 136 records of 13 + 17 bytes fit in a segment. */
static void whole_segments_below_a_release_are_removed(void **state)
{
	struct fixture *f = *state;
	uint64_t last;

	must_open(f);
	for (int i = 0; i < 500; i++)
		append_text(f, "record record");
	settle(f);
	assert_int_equal(segment_files(f), 4);
	assert_int_equal(stats_of(f).bytes_on_disk, 4 * SEGMENT_BYTES);
	last = stats_of(f).last_sequence;
	spool_release(f->spool, 1);
	spool_release(f->spool, 136); /* all of the first segment */
	spool_release(f->spool, last);
	run_until(f, one_segment_left);
	append_text(f, "after");
	settle(f);
	assert_true(stats_of(f).bytes_on_disk <= SEGMENT_BYTES);
	reopen(f);
	assert_int_equal(f->n_replayed, 1);
	assert_int_equal(f->replayed[0].sequence, last + 1);
}

static int n_freed;

static void on_freed(void *ctx)
{
	struct fixture *f = ctx;

	n_freed++;
	/* Nothing of it takes room any more. */
	assert_int_equal(stats_of(f).freed_sequence, 500);
	assert_int_equal(segment_files(f), 1);
}

static bool was_freed(struct fixture *f)
{
	(void)f;
	return n_freed > 0;
}

static void who_released_is_told_when_there_is_room(void **state)
{
	struct fixture *f = *state;

	n_freed = 0;
	f->params.freed = on_freed;
	must_open(f);
	for (int i = 0; i < 500; i++)
		append_text(f, "record record");
	settle(f);
	assert_int_equal(n_freed, 0);
	assert_int_equal(stats_of(f).freed_sequence, 0);
	spool_release(f->spool, 500);
	assert_int_equal(stats_of(f).released_sequence, 500);
	run_until(f, was_freed);
	append_text(f, "after");
	settle(f);
	assert_int_equal(n_freed, 1);
}

static void sequences_go_on_when_nothing_is_left(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 5);
	spool_release(f->spool, 5);
	for (int i = 0; i < 3; i++) {
		reopen(f);
		assert_int_equal(f->n_replayed, 0);
		assert_int_equal(segment_files(f), 0);
		assert_int_equal(stats_of(f).bytes_on_disk, 0);
		assert_int_equal(stats_of(f).last_sequence, 5);
		assert_int_equal(stats_of(f).durable_sequence, 5);
		assert_int_equal(stats_of(f).released_sequence, 5);
	}
	append_numbered(f, 2);
	assert_int_equal(stats_of(f).last_sequence, 7);
	reopen(f);
	assert_numbered(f, 6, 7);
}

static void many_restarts_lose_and_repeat_nothing(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	for (uint64_t i = 1; i <= 40; i++) {
		append_numbered(f, 1);
		reopen(f);
		assert_numbered(f, 1, i);
	}
}

static bool room_again(struct fixture *f)
{
	return stats_of(f).bytes_on_disk <= SEGMENT_BYTES;
}

static void a_full_spool_refuses_until_something_is_released(void **state)
{
	struct fixture *f = *state;
	size_t taken = 0;
	struct shot *shot;

	f->params.max_bytes = 3 * SEGMENT_BYTES;
	must_open(f);
	while ((shot = append_text(f, "ten bytes!"))->outcome != REFUSED)
		taken++;
	assert_int_equal(taken, 3 * (SEGMENT_BYTES / 27));
	assert_int_equal(append_text(f, "x")->outcome, PENDING); /* a shorter one still fits */
	settle(f);
	assert_int_equal(append_text(f, "ten bytes!")->outcome, REFUSED);
	assert_int_equal(stats_of(f).bytes_on_disk, 3 * SEGMENT_BYTES);
	assert_false(stats_of(f).failed);

	spool_release(f->spool, taken);
	run_until(f, room_again);
	shot = append_text(f, "ten bytes!");
	settle(f);
	assert_int_equal(shot->outcome, DURABLE);
	assert_int_equal(shot->sequence, taken + 2); /* refusals took no number */
	reopen(f);
	assert_int_equal(f->n_replayed, 2);
}

static void the_limit_holds_across_a_restart(void **state)
{
	struct fixture *f = *state;

	f->params.max_bytes = 3 * SEGMENT_BYTES;
	must_open(f);
	while (append_text(f, "record record")->outcome != REFUSED)
		;
	reopen(f);
	f->n_pending = 0;
	assert_int_equal(append_text(f, "record record")->outcome, REFUSED);
	spool_release(f->spool, stats_of(f).last_sequence);
	run_until(f, room_again);
	assert_int_equal(append_text(f, "record record")->outcome, PENDING);
	settle(f);
}

static void foreign_files_are_left_alone(void **state)
{
	static const char *const names[] = { "note.txt", "1.seg", "0000000000000000.seg",
					     "00000000000000AB.seg", "000000000000000g.seg" };
	struct fixture *f = *state;

	must_open(f);
	spool_close(&f->spool);
	for (size_t i = 0; i < 5; i++) {
		char path[PATH_BYTES];
		int fd;

		snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		fd = open(path, O_WRONLY | O_CREAT, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	must_open(f);
	append_numbered(f, 3);
	spool_release(f->spool, 3);
	reopen(f);
	assert_int_equal(fixture_files(f, "", false), 5 + 1); /* and the checkpoint */
}

static void without_fsync_everything_else_is_the_same(void **state)
{
	struct fixture *f = *state;

	f->params.fsync = false;
	must_open(f);
	append_numbered(f, 5);
	spool_release(f->spool, 2);
	reopen(f);
	assert_numbered(f, 3, 5);
}

/* Said at open already. Another may write there meanwhile: near enough is good enough. */
static void the_room_of_its_disk_is_known_if_it_is_watched(void **state)
{
	struct fixture *f = *state;
	struct statvfs info;
	uint64_t have;

	must_open(f);
	assert_true(stats_of(f).free_bytes == UINT64_MAX);
	spool_close(&f->spool);
	f->params.low_bytes = 1;
	must_open(f);
	assert_int_equal(statvfs(f->dir, &info), 0);
	have = (uint64_t)info.f_bavail * info.f_frsize;
	assert_true(stats_of(f).free_bytes > have / 2 && stats_of(f).free_bytes < have * 2);
}

static void what_is_used_are_records_and_not_what_is_set_aside_for_them(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	assert_int_equal(stats_of(f).used_bytes, 0);
	append_numbered(f, 1);
	assert_int_equal(stats_of(f).used_bytes, SPOOL_HEADER_BYTES + strlen("record 1"));
	assert_int_equal(stats_of(f).bytes_on_disk, SEGMENT_BYTES);
	reopen(f);
	assert_int_equal(stats_of(f).used_bytes, SPOOL_HEADER_BYTES + strlen("record 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_come_back_in_order_with_type_and_payload),
		TEST(each_wait_ends_exactly_once_in_order),
		TEST(closing_makes_everything_durable_and_ends_waits_in_silence),
		TEST(without_a_wait_a_record_is_kept_too),
		TEST(a_cancelled_wait_is_silent_and_its_record_kept),
		TEST(a_callback_may_cancel_the_others_and_append),
		TEST(a_callback_may_close_the_spool),
		TEST(a_second_owner_is_refused),
		TEST(its_files_are_private),
		TEST(a_record_over_the_limit_is_refused_at_once),
		TEST(impossible_parameters_are_refused),
		TEST(released_records_are_not_replayed),
		TEST(releases_in_any_order_count_as_the_highest),
		TEST(whole_segments_below_a_release_are_removed),
		TEST(who_released_is_told_when_there_is_room),
		TEST(sequences_go_on_when_nothing_is_left),
		TEST(many_restarts_lose_and_repeat_nothing),
		TEST(a_full_spool_refuses_until_something_is_released),
		TEST(the_limit_holds_across_a_restart),
		TEST(the_room_of_its_disk_is_known_if_it_is_watched),
		TEST(what_is_used_are_records_and_not_what_is_set_aside_for_them),
		TEST(foreign_files_are_left_alone),
		TEST(without_fsync_everything_else_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
