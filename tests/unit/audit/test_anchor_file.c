/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/anchor_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static struct chain_anchor anchor_of(char chain, uint64_t epoch)
{
	struct chain_anchor anchor = { .epoch = epoch,
				       .first_seq = 10 * epoch + 1,
				       .last_seq = 10 * epoch + 10,
				       .anchored_us = INT64_C(1782864000000001) };

	memset(anchor.id, chain, sizeof(anchor.id));
	memset(anchor.last_mac, (int)epoch, sizeof(anchor.last_mac));
	memset(anchor.mac_key, 0xAB, sizeof(anchor.mac_key));
	memset(anchor.signature, 0xCD, sizeof(anchor.signature));
	return anchor;
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "a");

	assert_non_null(file);
	assert_int_equal(fputs(text, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
}

static void put_anchor(const char *path, char chain, uint64_t epoch)
{
	const struct chain_anchor anchor = anchor_of(chain, epoch);
	struct buf line;

	buf_init(&line, 2 * ANCHOR_LINE_BYTES);
	anchor_line_write(&anchor, &line);
	assert_true(line.len <= ANCHOR_LINE_BYTES);
	put(path, buf_str(&line));
	buf_fini(&line);
}

static int make_files(void **state)
{
	char *paths = mem_new(2 * 64);

	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(paths + 64 * i, 64, "/tmp/test_anchor_file.XXXXXX");
		fd = mkstemp(paths + 64 * i);
		if (fd < 0)
			return -1;
		close(fd);
	}
	*state = paths;
	return 0;
}

static int remove_files(void **state)
{
	char *paths = *state;

	unlink(paths);
	unlink(paths + 64);
	free(paths);
	return 0;
}

static struct anchor_files *open_both(char *paths)
{
	const char *const both[] = { paths, paths + 64 };
	struct anchor_files *files;
	struct err err;

	files = anchor_files_open(both, 2, &err);
	assert_non_null(files);
	return files;
}

static void anchors_are_found_by_chain_and_epoch(void **state)
{
	char *paths = *state;
	struct anchor_files *files;
	struct chain_anchor found, wanted;
	uint8_t chain[CHAIN_ID_BYTES];
	uint64_t next;

	put_anchor(paths, 'b', 1);
	put_anchor(paths, 'a', 2);
	put_anchor(paths + 64, 'b', 0);
	put_anchor(paths + 64, 'a', 0);
	put_anchor(paths + 64, 'a', 0); /* a gateway died in between */
	files = open_both(paths);
	assert_int_equal(anchor_files_n_anchors(files), 5);
	assert_int_equal(anchor_files_n_unreadable(files), 0);
	memset(chain, 'b', sizeof(chain));
	wanted = anchor_of('b', 1);
	assert_true(anchor_files_find(files, chain, 1, 0, &found));
	assert_memory_equal(&found, &wanted, sizeof(found));
	assert_false(anchor_files_find(files, chain, 1, 1, &found));
	assert_false(anchor_files_find(files, chain, 2, 0, &found));
	memset(chain, 'a', sizeof(chain));
	assert_true(anchor_files_find(files, chain, 0, 1, &found));
	assert_false(anchor_files_find(files, chain, 0, 2, &found));
	assert_true(anchor_files_next(files, chain, 1, &next));
	assert_int_equal(next, 2);
	assert_false(anchor_files_next(files, chain, 3, &next));
	memset(chain, 0, sizeof(chain));
	assert_true(anchor_files_chain(files, chain, chain));
	assert_int_equal(chain[3], 'a');
	memset(chain, 'c', sizeof(chain));
	assert_false(anchor_files_chain(files, chain, chain));
	anchor_files_free(&files);
}

static void other_lines_are_skipped_and_what_is_none_counted(void **state)
{
	char *paths = *state;
	char *long_line = mem_new(40000);
	struct anchor_files *files;

	memset(long_line, 'x', 39999);
	put(paths, "{\"type\":\"seal\",\"partition\":\"x\"}\n\n");
	put(paths, long_line);
	put(paths, "\n");
	put_anchor(paths, 'a', 7);
	put(paths, "{\"type\":\"anchor\"}\nnull\n");
	put(paths, "{\"type\":\"anchor\",\"chain\":"); /* the machine died */
	files = open_both(paths);
	assert_int_equal(anchor_files_n_anchors(files), 1);
	assert_int_equal(anchor_files_n_unreadable(files), 4);
	anchor_files_free(&files);
	free(long_line);
}

static void a_file_that_changes_meanwhile_says_nothing(void **state)
{
	char *paths = *state;
	struct anchor_files *files;
	struct chain_anchor found;
	uint8_t chain[CHAIN_ID_BYTES];

	put_anchor(paths, 'a', 7);
	files = open_both(paths);
	memset(chain, 'a', sizeof(chain));
	assert_int_equal(truncate(paths, 0), 0);
	assert_false(anchor_files_find(files, chain, 7, 0, &found));
	put_anchor(paths, 'b', 7);
	assert_false(anchor_files_find(files, chain, 7, 0, &found));
	anchor_files_free(&files);
}

static void a_file_that_is_not_there_is_said(void **state)
{
	const char *const paths[] = { "/nowhere/anchors.jsonl" };
	struct err err;

	(void)state;
	assert_null(anchor_files_open(paths, 1, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, make_files, remove_files)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(anchors_are_found_by_chain_and_epoch),
		FILE_TEST(other_lines_are_skipped_and_what_is_none_counted),
		FILE_TEST(a_file_that_changes_meanwhile_says_nothing),
		FILE_TEST(a_file_that_is_not_there_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
