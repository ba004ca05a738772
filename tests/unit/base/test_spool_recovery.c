/* SPDX-License-Identifier: Apache-2.0 */

/* What is found after files were cut, changed or written by hand. */

#include "base/crypto.h"
#include "tests/unit/base/spool_fixture.h"

#define HEADER SPOOL_HEADER_BYTES

struct image {
	char *bytes;
	size_t n;
};

static struct image segment_load(struct fixture *f, uint64_t first)
{
	struct image image;
	char path[PATH_BYTES];
	struct stat info;
	int fd;

	segment_path(f, first, path);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &info), 0);
	image.n = (size_t)info.st_size;
	image.bytes = malloc(image.n + 1);
	assert_int_equal(read(fd, image.bytes, image.n), image.n);
	close(fd);
	return image;
}

static void segment_store(struct fixture *f, uint64_t first, const char *bytes, size_t n)
{
	char path[PATH_BYTES];
	int fd;

	segment_path(f, first, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

/* Appends "record <sequence>" to the image, as the writer would. */
static void image_add(struct image *image, uint64_t sequence, bool first_of_commit)
{
	struct spool_entry *entry = calloc(1, sizeof(*entry) + HEADER + 32);
	int n = snprintf((char *)entry->bytes + HEADER, 32, "record %" PRIu64, sequence);

	entry->sequence = sequence;
	entry->payload_bytes = (uint32_t)n;
	entry->type = 1;
	spool_entry_stamp(entry, first_of_commit);
	image->bytes = realloc(image->bytes, image->n + spool_entry_size(entry));
	memcpy(image->bytes + image->n, entry->bytes, spool_entry_size(entry));
	image->n += spool_entry_size(entry);
	free(entry);
}

static void make_dir(struct fixture *f)
{
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void the_record_on_disk_is_the_documented_one(void **state)
{
	struct fixture *f = *state;
	struct image image;
	uint32_t sum;

	must_open(f);
	append(f, 9, SPAN("payload"));
	settle(f);
	spool_close(&f->spool);
	image = segment_load(f, 1);
	assert_int_equal(image.n, HEADER + 7); /* closing cuts what was preallocated */
	assert_memory_equal(image.bytes, "\x80\0\0\7\0\0\0\0\0\0\0\1\x09", 13);
	assert_memory_equal(image.bytes + HEADER, "payload", 7);
	sum = crypto_crc32c_more(crypto_crc32c(image.bytes, 13), "payload", 7);
	for (int i = 0; i < 4; i++)
		assert_int_equal((uint8_t)image.bytes[13 + i], (uint8_t)(sum >> (24 - 8 * i)));
	free(image.bytes);
}

/* The directory after the last record of three was torn: two are left, the third's number is
 * given out again, and what is then written stays. */
static void assert_cut_behind_two(struct fixture *f)
{
	must_open(f);
	assert_numbered(f, 1, 2);
	append_numbered(f, 1);
	assert_int_equal(stats_of(f).last_sequence, 3);
	reopen(f);
	assert_numbered(f, 1, 3);
	spool_close(&f->spool);
	fixture_files(f, "", true);
	f->n_shots = 0;
}

static struct image three_records(void)
{
	struct image image = { 0 };

	image_add(&image, 1, true);
	image_add(&image, 2, true);
	image_add(&image, 3, true);
	return image;
}

static void a_tail_torn_at_any_byte_is_cut(void **state)
{
	struct fixture *f = *state;
	struct image image = three_records();
	size_t at = image.n - (HEADER + 8);

	make_dir(f);
	f->params.fsync = false;
	for (size_t n = at; n < image.n; n++) {
		segment_store(f, 1, image.bytes, n);
		assert_cut_behind_two(f);
	}
	free(image.bytes);
}

/* The same in a preallocated file: behind the tear are zeros. */
static void a_tail_torn_at_any_byte_before_zeros_is_cut(void **state)
{
	struct fixture *f = *state;
	struct image image = three_records();
	size_t at = image.n - (HEADER + 8);
	char *bytes = calloc(1, SEGMENT_BYTES);

	make_dir(f);
	f->params.fsync = false;
	for (size_t n = at; n < image.n; n++) {
		memset(bytes, 0, SEGMENT_BYTES);
		memcpy(bytes, image.bytes, n);
		segment_store(f, 1, bytes, SEGMENT_BYTES);
		assert_cut_behind_two(f);
	}
	free(bytes);
	free(image.bytes);
}

static void any_bit_flipped_in_the_last_record_cuts_it(void **state)
{
	struct fixture *f = *state;
	struct image image = three_records();
	size_t at = image.n - (HEADER + 8);

	make_dir(f);
	f->params.fsync = false;
	for (size_t bit = 8 * at; bit < 8 * image.n; bit++) {
		image.bytes[bit / 8] ^= (char)(1 << bit % 8);
		segment_store(f, 1, image.bytes, image.n);
		assert_cut_behind_two(f);
		image.bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	free(image.bytes);
}

/* Record 2 was confirmed, for record 3 began a commit: its number, and those of the records that
 * are skipped with it, are not given out again, nor is the segment touched. */
static void any_bit_flipped_in_the_middle_skips_the_rest_of_the_segment(void **state)
{
	struct fixture *f = *state;
	struct image image = three_records();
	size_t at = HEADER + 8;

	make_dir(f);
	f->params.fsync = false;
	for (size_t bit = 8 * at; bit < 16 * at; bit++) {
		struct image after;

		image.bytes[bit / 8] ^= (char)(1 << bit % 8);
		segment_store(f, 1, image.bytes, image.n);
		must_open(f);
		assert_numbered(f, 1, 1);
		assert_int_equal(stats_of(f).last_sequence, 3);
		append_numbered(f, 1);
		reopen(f);
		assert_int_equal(f->n_replayed, 2);
		assert_string_equal(f->replayed[0].bytes, "record 1");
		assert_string_equal(f->replayed[1].bytes, "record 4");
		spool_close(&f->spool);
		after = segment_load(f, 1);
		assert_int_equal(after.n, image.n);
		assert_memory_equal(after.bytes, image.bytes, image.n);
		free(after.bytes);
		fixture_files(f, "", true);
		image.bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	free(image.bytes);
}

/* Power went while a commit of three was written, and its pages arrived in any order. */
static void a_commit_of_several_records_torn_in_its_middle_is_cut(void **state)
{
	struct fixture *f = *state;

	make_dir(f);
	f->params.fsync = false;
	for (int lost = 0; lost < 2; lost++) {
		struct image image = { 0 };

		image_add(&image, 1, true);
		image_add(&image, 2, false);
		image_add(&image, 3, true);
		image_add(&image, 4, false);
		image_add(&image, 5, false);
		memset(image.bytes + (size_t)(2 + lost) * (HEADER + 8), 0, HEADER + 8);
		segment_store(f, 1, image.bytes, image.n);
		free(image.bytes);
		must_open(f);
		assert_numbered(f, 1, lost == 0 ? 2 : 3);
		append_numbered(f, 3);
		reopen(f);
		assert_numbered(f, 1, lost == 0 ? 5 : 6);
		spool_close(&f->spool);
		fixture_files(f, "", true);
	}
}

static void damage_in_one_segment_spares_the_next(void **state)
{
	struct fixture *f = *state;
	struct image a = { 0 }, b = { 0 };

	make_dir(f);
	for (uint64_t i = 1; i <= 4; i++)
		image_add(&a, i, true);
	for (uint64_t i = 5; i <= 7; i++)
		image_add(&b, i, true);
	a.bytes[HEADER + 8 + 3] ^= 1; /* record 2 */
	segment_store(f, 1, a.bytes, a.n);
	segment_store(f, 5, b.bytes, b.n);
	must_open(f);
	assert_int_equal(f->n_replayed, 4);
	assert_int_equal(f->replayed[0].sequence, 1);
	assert_int_equal(f->replayed[1].sequence, 5);
	assert_int_equal(f->replayed[3].sequence, 7);
	assert_int_equal(stats_of(f).last_sequence, 7);
	free(a.bytes);
	free(b.bytes);
}

/* A write failed behind record 3 and its commit went to a new segment; the old one could not be
 * cut and still shows what was written to it. */
static void what_a_later_segment_repeats_counts_once(void **state)
{
	struct fixture *f = *state;
	struct image a = { 0 }, b = { 0 };

	make_dir(f);
	for (uint64_t i = 1; i <= 6; i++)
		image_add(&a, i, true);
	for (uint64_t i = 4; i <= 8; i++)
		image_add(&b, i, i == 4);
	segment_store(f, 1, a.bytes, a.n);
	segment_store(f, 4, b.bytes, b.n);
	must_open(f);
	assert_numbered(f, 1, 8);
	free(a.bytes);
	free(b.bytes);
}

static void an_empty_segment_leaves_its_number_free(void **state)
{
	static const size_t sizes[] = { 0, 1, HEADER, SEGMENT_BYTES };
	struct fixture *f = *state;
	char *zeros = calloc(1, SEGMENT_BYTES);

	make_dir(f);
	for (size_t i = 0; i < 4; i++) {
		struct image a = three_records();

		segment_store(f, 1, a.bytes, a.n);
		segment_store(f, 4, zeros, sizes[i]);
		free(a.bytes);
		must_open(f);
		assert_numbered(f, 1, 3);
		append_numbered(f, 1);
		reopen(f);
		assert_numbered(f, 1, 4);
		spool_close(&f->spool);
		fixture_files(f, "", true);
	}
	free(zeros);
}

/* … even if it is the only trace of the numbers before it. */
static void an_empty_segment_alone_still_tells_the_last_number(void **state)
{
	struct fixture *f = *state;

	make_dir(f);
	segment_store(f, 1000, "", 0);
	for (int i = 0; i < 3; i++) {
		must_open(f);
		assert_int_equal(f->n_replayed, 0);
		assert_int_equal(stats_of(f).last_sequence, 999);
		spool_close(&f->spool);
	}
	must_open(f);
	assert_int_equal(append_text(f, "next")->sequence, 1000);
	settle(f);
}

static void a_segment_that_is_not_what_its_name_says_is_skipped(void **state)
{
	struct fixture *f = *state;
	struct image a = three_records(), b = { 0 };

	make_dir(f);
	image_add(&b, 9, true);
	segment_store(f, 5, a.bytes, a.n);
	segment_store(f, 9, b.bytes, b.n);
	must_open(f);
	assert_numbered(f, 9, 9);
	free(a.bytes);
	free(b.bytes);
}

/* A payload that looks like records must not be taken for them. */
static void payloads_that_imitate_records_change_nothing(void **state)
{
	struct fixture *f = *state;
	struct image fake = { 0 }, whole;

	image_add(&fake, 2, true);
	image_add(&fake, 3, true);
	must_open(f);
	append(f, 1, (struct span){ fake.bytes, fake.n });
	append_numbered(f, 1);
	reopen(f);
	assert_int_equal(f->n_replayed, 2);
	assert_int_equal(f->replayed[1].sequence, 2);
	assert_string_equal(f->replayed[1].bytes, "record 2");
	spool_close(&f->spool);
	whole = segment_load(f, 1);
	assert_int_equal(whole.n, HEADER + fake.n + HEADER + 8);
	free(whole.bytes);
	free(fake.bytes);
}

static void checkpoint_path(struct fixture *f, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/checkpoint", f->dir);
}

static void flip_bit(const char *path, size_t bit)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
	byte ^= (uint8_t)(1 << bit % 8);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
	close(fd);
}

static void a_damaged_checkpoint_means_replaying_everything(void **state)
{
	struct fixture *f = *state;
	char path[PATH_BYTES];

	checkpoint_path(f, path);
	f->params.fsync = false;
	must_open(f);
	append_numbered(f, 5);
	for (size_t bit = 0; bit < 8 * 29; bit++) {
		spool_release(f->spool, 3);
		reopen(f);
		assert_numbered(f, 4, 5);
		spool_close(&f->spool);
		flip_bit(path, bit);
		must_open(f);
		assert_numbered(f, 1, 5);
		assert_int_equal(stats_of(f).last_sequence, 5);
	}
	spool_close(&f->spool);
	assert_int_equal(truncate(path, 28), 0);
	must_open(f);
	assert_numbered(f, 1, 5);
}

static void a_damaged_checkpoint_with_nothing_beside_it_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[PATH_BYTES];
	struct err err = { 0 };

	checkpoint_path(f, path);
	must_open(f);
	append_numbered(f, 2);
	spool_release(f->spool, 2);
	spool_close(&f->spool);
	flip_bit(path, 100);
	assert_int_equal(try_open(f, &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_non_null(strstr(err.text, "remove it"));
	assert_int_equal(unlink(path), 0);
	must_open(f);
	assert_int_equal(stats_of(f).last_sequence, 0);
}

static void a_half_written_checkpoint_is_ignored(void **state)
{
	struct fixture *f = *state;
	char path[PATH_BYTES];
	int fd;

	must_open(f);
	append_numbered(f, 5);
	spool_release(f->spool, 3);
	spool_close(&f->spool);
	snprintf(path, sizeof(path), "%s/checkpoint.new", f->dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "TGSP", 4), 4);
	close(fd);
	must_open(f);
	assert_numbered(f, 4, 5);
	spool_release(f->spool, 4);
	reopen(f);
	assert_numbered(f, 5, 5);
}

static void segments_of_another_size_are_read(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	append_numbered(f, 5);
	spool_close(&f->spool);
	f->params.segment_bytes = 100;
	f->params.max_record_bytes = 50;
	must_open(f);
	append_numbered(f, 5);
	reopen(f);
	assert_numbered(f, 1, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_record_on_disk_is_the_documented_one),
		TEST(a_tail_torn_at_any_byte_is_cut),
		TEST(a_tail_torn_at_any_byte_before_zeros_is_cut),
		TEST(any_bit_flipped_in_the_last_record_cuts_it),
		TEST(any_bit_flipped_in_the_middle_skips_the_rest_of_the_segment),
		TEST(a_commit_of_several_records_torn_in_its_middle_is_cut),
		TEST(damage_in_one_segment_spares_the_next),
		TEST(what_a_later_segment_repeats_counts_once),
		TEST(an_empty_segment_leaves_its_number_free),
		TEST(an_empty_segment_alone_still_tells_the_last_number),
		TEST(a_segment_that_is_not_what_its_name_says_is_skipped),
		TEST(payloads_that_imitate_records_change_nothing),
		TEST(a_damaged_checkpoint_means_replaying_everything),
		TEST(a_damaged_checkpoint_with_nothing_beside_it_is_refused),
		TEST(a_half_written_checkpoint_is_ignored),
		TEST(segments_of_another_size_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
