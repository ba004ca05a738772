/* SPDX-License-Identifier: Apache-2.0 */

/* What the owner has to know of what was released. */

#include <endian.h>

#include "base/crypto.h"
#include "tests/unit/base/spool_fixture.h"

struct noted {
	struct fixture *f;
	char text[SPOOL_NOTE_BYTES + 1];
	size_t n;
	int times;
	size_t n_replayed; /* before it came */
};

/* One for the program: a test runs alone, and the spool gives its one ctx to both callbacks. */
static struct noted noted;

static void on_noted(void *ctx, struct span note)
{
	struct fixture *f = ctx;

	assert_in_range(note.n, 1, SPOOL_NOTE_BYTES);
	memcpy(noted.text, note.p, note.n);
	noted.text[note.n] = '\0';
	noted.n = note.n;
	noted.times++;
	noted.n_replayed = f->n_replayed;
}

static int set_up_noting(void **state)
{
	struct fixture *f;

	if (set_up(state) < 0)
		return -1;
	f = *state;
	f->params.noted = on_noted;
	noted = (struct noted){ .f = f };
	return 0;
}

static void reopen_and_look(struct fixture *f)
{
	noted.times = 0;
	noted.text[0] = '\0';
	reopen(f);
}

static void a_note_comes_back_before_the_records_that_were_not_released(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	assert_int_equal(noted.times, 0);
	append_numbered(f, 5);
	spool_release_noting(f->spool, 3, SPAN("of three"));
	reopen_and_look(f);
	assert_int_equal(noted.times, 1);
	assert_string_equal(noted.text, "of three");
	assert_int_equal(noted.n_replayed, 0);
	assert_numbered(f, 4, 5);
	reopen_and_look(f);
	assert_string_equal(noted.text, "of three");
	assert_numbered(f, 4, 5);
}

static void the_last_note_counts_and_a_release_without_one_keeps_it(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 6);
	spool_release_noting(f->spool, 2, SPAN("of two, and long"));
	spool_release_noting(f->spool, 3, SPAN("of three"));
	spool_release(f->spool, 4);
	reopen_and_look(f);
	assert_string_equal(noted.text, "of three");
	assert_numbered(f, 5, 6);
	spool_release_noting(f->spool, 6, (struct span){ NULL, 0 });
	reopen_and_look(f);
	assert_int_equal(noted.times, 0);
}

static void what_releases_nothing_notes_nothing(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 3);
	spool_release_noting(f->spool, 2, SPAN("of two"));
	spool_release_noting(f->spool, 2, SPAN("again"));
	spool_release_noting(f->spool, 1, SPAN("of one"));
	spool_release_noting(f->spool, 9, SPAN("of nobody's"));
	reopen_and_look(f);
	assert_string_equal(noted.text, "of two");
	assert_numbered(f, 3, 3);
}

static void a_note_may_be_any_bytes_up_to_its_limit(void **state)
{
	struct fixture *f = *state;
	char bytes[SPOOL_NOTE_BYTES];

	must_open(f);
	append_numbered(f, 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	spool_release_noting(f->spool, 1, (struct span){ bytes, sizeof(bytes) });
	reopen_and_look(f);
	assert_int_equal(noted.n, sizeof(bytes));
	assert_memory_equal(noted.text, bytes, sizeof(bytes));
	/* It also outlives the segments. */
	assert_int_equal(segment_files(f), 0);
	assert_int_equal(f->n_replayed, 0);
}

static void whoever_does_not_ask_is_not_told(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 2);
	spool_release_noting(f->spool, 1, SPAN("of one"));
	f->params.noted = NULL;
	reopen_and_look(f);
	assert_int_equal(noted.times, 0);
	assert_numbered(f, 2, 2);
}

static void checkpoint_path(struct fixture *f, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/checkpoint", f->dir);
}

static void write_checkpoint(struct fixture *f, const void *bytes, size_t n)
{
	char path[PATH_BYTES];
	int fd;

	checkpoint_path(f, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static void a_checkpoint_of_version_1_is_read(void **state)
{
	uint8_t bytes[28] = "TGSPOOL1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\5";
	struct fixture *f = *state;
	uint32_t sum = htobe32(crypto_crc32c(bytes, 24));

	memcpy(bytes + 24, &sum, sizeof(sum));
	must_open(f);
	append_numbered(f, 5);
	spool_close(&f->spool);
	write_checkpoint(f, bytes, sizeof(bytes));
	must_open(f);
	assert_int_equal(noted.times, 0);
	assert_numbered(f, 4, 5);
	spool_release_noting(f->spool, 4, SPAN("of four"));
	reopen_and_look(f);
	assert_string_equal(noted.text, "of four");
	assert_numbered(f, 5, 5);
}

static void a_checkpoint_is_whole_or_damaged(void **state)
{
	struct fixture *f = *state;
	struct spool_checkpoint out;
	char path[PATH_BYTES];
	uint8_t bytes[256];
	ssize_t n;
	int fd;

	must_open(f);
	append_numbered(f, 1);
	spool_release_noting(f->spool, 1, SPAN("a note of some length"));
	spool_close(&f->spool);
	checkpoint_path(f, path);
	fd = open(path, O_RDONLY);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	assert_int_equal(n, 8 + 8 + 8 + 1 + 21 + 4);
	assert_int_equal(spool_checkpoint_parse((struct span){ (char *)bytes, (size_t)n }, &out),
			 0);
	assert_int_equal(out.released, 1);
	assert_int_equal(out.note.n, 21);
	for (size_t bit = 0; bit < 8 * (size_t)n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(
			spool_checkpoint_parse((struct span){ (char *)bytes, (size_t)n }, &out),
			-1);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < (size_t)n; cut++)
		assert_int_equal(spool_checkpoint_parse((struct span){ (char *)bytes, cut }, &out),
				 -1);
}

#define NOTE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_noting, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NOTE_TEST(a_note_comes_back_before_the_records_that_were_not_released),
		NOTE_TEST(the_last_note_counts_and_a_release_without_one_keeps_it),
		NOTE_TEST(what_releases_nothing_notes_nothing),
		NOTE_TEST(a_note_may_be_any_bytes_up_to_its_limit),
		NOTE_TEST(whoever_does_not_ask_is_not_told),
		NOTE_TEST(a_checkpoint_of_version_1_is_read),
		NOTE_TEST(a_checkpoint_is_whole_or_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
