/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/app/home.h"

#define N_AT_ONCE 8

static int make_dir(void **state)
{
	char *dir = strdup("/tmp/home-XXXXXX");

	*state = dir;
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/home", (const char *)*state);
	unlink(path);
	/* Nothing else has been left behind. */
	assert_int_equal(rmdir(*state), 0);
	free(*state);
	return 0;
}

static void a_directory_has_one_name_for_ever(void **state)
{
	char first[UUID_TEXT_BYTES];
	char second[UUID_TEXT_BYTES];
	struct err err;

	assert_int_equal(home_load(*state, first, &err), 0);
	assert_true(uuid_valid(first));
	assert_int_equal(home_load(*state, second, &err), 0);
	assert_string_equal(first, second);
}

static void workers_that_start_at_once_agree(void **state)
{
	char names[N_AT_ONCE][UUID_TEXT_BYTES];
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	for (int i = 0; i < N_AT_ONCE; i++) {
		if (fork() == 0) {
			char name[UUID_TEXT_BYTES] = "";
			struct err err;

			_exit(home_load(*state, name, &err) < 0 ||
			      write(fds[1], name, sizeof(name)) != sizeof(name));
		}
	}
	for (int i = 0; i < N_AT_ONCE; i++) {
		assert_int_equal(read(fds[0], names[i], sizeof(names[i])), sizeof(names[i]));
		assert_string_equal(names[i], names[0]);
	}
	while (wait(NULL) > 0)
		;
	close(fds[0]);
	close(fds[1]);
}

static void what_is_no_name_is_said(void **state)
{
	static const char *const texts[] = { "", "nonsense",
					     "01234567-89ab-cdef-0123-456789abcde" };
	char name[UUID_TEXT_BYTES];
	char path[64];
	struct err err;

	snprintf(path, sizeof(path), "%s/home", (const char *)*state);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		FILE *file = fopen(path, "w");

		fputs(texts[i], file);
		fclose(file);
		assert_int_equal(home_load(*state, name, &err), -1);
		assert_non_null(strstr(err.text, "/home: it is no UUID; remove it"));
	}
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
	char name[UUID_TEXT_BYTES];
	char path[64];
	struct err err;

	snprintf(path, sizeof(path), "%s/none", (const char *)*state);
	assert_int_equal(home_load(path, name, &err), -1);
	assert_non_null(strstr(err.text, "No such file or directory"));
}

int main(void)
{
#define HOME_TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		HOME_TEST(a_directory_has_one_name_for_ever),
		HOME_TEST(workers_that_start_at_once_agree),
		HOME_TEST(what_is_no_name_is_said),
		HOME_TEST(a_directory_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
