/* SPDX-License-Identifier: Apache-2.0 */

/* Looking at a spool says what an open would replay, and changes nothing. */

#include "tests/unit/base/spool_fixture.h"

static struct spool_content look(struct fixture *f)
{
	struct spool_content content;
	struct err err = { 0 };

	fixture_forget_replay(f);
	if (spool_read(f->dir, on_replay, f, &content, &err) < 0)
		fail_msg("%s", err.text);
	return content;
}

static void assert_missing(const char *dir)
{
	struct spool_content content;
	struct err err = { 0 };

	assert_int_equal(spool_read(dir, on_replay, NULL, &content, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void where_no_spool_is_it_says_so_and_makes_none(void **state)
{
	struct fixture *f = *state;

	assert_missing(f->dir);
	assert_int_equal(access(f->dir, F_OK), -1);
	assert_missing(f->top); /* a directory, but no spool */
	assert_missing("/dev/null");
}

static void what_an_open_would_replay_is_read(void **state)
{
	struct fixture *f = *state;
	struct spool_content content;

	must_open(f);
	append_numbered(f, 300); /* of two segments */
	spool_release(f->spool, 7);
	spool_close(&f->spool);
	for (int i = 0; i < 2; i++) {
		content = look(f);
		assert_numbered(f, 8, 300);
		assert_int_equal(content.released, 7);
		assert_int_equal(content.last, 300);
		assert_int_equal(content.n_segments, segment_files(f));
		assert_true(content.n_segments >= 2);
		assert_int_equal(content.n_lost, 0);
		assert_false(content.has_owner);
	}
	reopen(f);
	assert_numbered(f, 8, 300);
}

static void one_that_is_open_is_read_and_said_to_be_owned(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 3);
	assert_true(look(f).has_owner);
	assert_numbered(f, 1, 3);
	append_numbered(f, 1); /* and it goes on */
	spool_close(&f->spool);
	assert_false(look(f).has_owner);
	assert_numbered(f, 1, 4);
}

static void an_empty_one_is_one(void **state)
{
	struct fixture *f = *state;
	struct spool_content content;

	must_open(f);
	append_numbered(f, 5);
	spool_release(f->spool, 5);
	spool_close(&f->spool);
	content = look(f);
	assert_int_equal(f->n_replayed, 0);
	assert_int_equal(content.last, 5);
	assert_int_equal(content.bytes, 0);
}

static void damage(struct fixture *f, uint64_t first, off_t at)
{
	char path[PATH_BYTES];
	int fd;

	segment_path(f, first, path);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff\xff", 2, at), 2);
	close(fd);
}

static void what_is_damaged_is_counted_and_the_rest_read(void **state)
{
	struct fixture *f = *state;
	const size_t record = SPOOL_HEADER_BYTES + strlen("record 1");
	struct spool_content content;

	must_open(f);
	append_numbered(f, 9);
	spool_close(&f->spool);
	damage(f, 1, (off_t)(4 * record + SPOOL_HEADER_BYTES)); /* record 5 */
	content = look(f);
	assert_numbered(f, 1, 4);
	assert_int_equal(content.n_lost, 5);
	assert_int_equal(content.last, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(where_no_spool_is_it_says_so_and_makes_none),
		TEST(what_an_open_would_replay_is_read),
		TEST(one_that_is_open_is_read_and_said_to_be_owned),
		TEST(an_empty_one_is_one),
		TEST(what_is_damaged_is_counted_and_the_rest_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
