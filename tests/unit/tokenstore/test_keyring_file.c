/* SPDX-License-Identifier: Apache-2.0 */

#include "tokenstore/keyring.h"

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fakes/iofail.h"

struct fixture {
	char dir[64];
	char path[96];
	char draft[104];
	char link[96];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	snprintf(f->dir, sizeof(f->dir), "/tmp/test_keyring_file.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/keyring.json", f->dir);
	snprintf(f->draft, sizeof(f->draft), "%s.new", f->path);
	snprintf(f->link, sizeof(f->link), "%s/link", f->dir);
	assert_int_equal(keyring_create(f->path, &err), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	iofail_disarm();
	unlink(f->link);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was left there */
	free(f);
	return 0;
}

static size_t count_keys(const char *path)
{
	uint32_t ids[KEYRING_MAX_KEYS];
	struct err err = { 0 };
	struct keyring *keyring = keyring_load(path, &err);
	size_t n;

	if (keyring == NULL)
		fail_msg("%s", err.text);
	n = keyring_ids(keyring, ids);
	keyring_free(&keyring);
	return n;
}

/* Returns what save says. */
static int add_key(const char *path)
{
	struct keyring_edit edit;
	struct err err = { 0 };
	uint32_t id;
	int ret;

	if (keyring_edit_begin(&edit, path, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(keyring_add(edit.keyring, &id, &err), 0);
	ret = keyring_edit_save(&edit, &err);
	keyring_edit_end(&edit);
	return ret;
}

static void a_change_is_saved_with_the_mode_it_had(void **state)
{
	struct fixture *f = *state;
	struct stat info;

	assert_int_equal(add_key(f->path), 0);
	assert_int_equal(count_keys(f->path), 2);
	assert_int_equal(stat(f->path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
}

static void the_owner_stays_the_same(void **state)
{
	struct fixture *f = *state;
	struct stat info;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(f->path, 65534, 65534), 0);
	assert_int_equal(add_key(f->path), 0);
	assert_int_equal(stat(f->path, &info), 0);
	assert_int_equal(info.st_uid, 65534);
	assert_int_equal(info.st_gid, 65534);
}

static void what_a_link_points_to_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct stat info;

	assert_int_equal(symlink(f->path, f->link), 0);
	assert_int_equal(add_key(f->link), 0);
	assert_int_equal(count_keys(f->path), 2);
	assert_int_equal(lstat(f->link, &info), 0);
	assert_true(S_ISLNK(info.st_mode));
}

static void one_at_a_time_may_change_it(void **state)
{
	struct fixture *f = *state;
	struct keyring_edit first, second;
	struct err err = { 0 };

	assert_int_equal(keyring_edit_begin(&first, f->path, &err), 0);
	assert_int_equal(keyring_edit_begin(&second, f->path, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	keyring_edit_end(&first);
	assert_int_equal(add_key(f->path), 0);
}

static void a_draft_that_somebody_left_is_no_hindrance(void **state)
{
	struct fixture *f = *state;
	int fd = open(f->draft, O_WRONLY | O_CREAT, 0644);

	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	assert_int_equal(add_key(f->path), 0);
	assert_int_equal(count_keys(f->path), 2);
	assert_int_equal(access(f->draft, F_OK), -1);
}

/* Whatever fails, and whatever fails after it: the old keyring is there or the new one, whole. */
static void at_each_point_one_of_the_two_is_there(void **state)
{
	static const enum iofail_mode modes[] = { IOFAIL_ONCE, IOFAIL_FROM, IOFAIL_SHORT_ONCE,
						  IOFAIL_EINTR_ONCE };
	struct fixture *f = *state;
	size_t n_keys = 1;

	for (size_t mode = 0; mode < sizeof(modes) / sizeof(modes[0]); mode++) {
		int fired = 1;

		for (unsigned n = 1; fired; n++) {
			size_t found;
			int ret;

			iofail_arm(modes[mode], n, ENOSPC);
			ret = add_key(f->path);
			fired = iofail_fired();
			iofail_disarm();
			found = count_keys(f->path);
			assert_true(found == n_keys || found == n_keys + 1);
			if (ret == 0)
				assert_int_equal(found, n_keys + 1);
			assert_true(fired || ret == 0);
			n_keys = found;
			assert_int_equal(access(f->draft, F_OK), -1);
		}
	}
	assert_true(n_keys > 4);
}

static void a_credential_is_read_and_not_written(void **state)
{
	struct fixture *f = *state;
	struct keyring_edit edit;
	struct err err = { 0 };

	assert_false(keyring_is_credential(f->path));
	assert_true(keyring_is_credential("/run/credentials/tollgate.service/keyring.json"));
	assert_false(keyring_is_credential("/run/credentials"));
	setenv("CREDENTIALS_DIRECTORY", f->dir, 1);
	assert_true(keyring_is_credential(f->path));
	assert_int_equal(keyring_edit_begin(&edit, f->path, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_non_null(strstr(err.text, "LoadCredential="));
	assert_int_equal(count_keys(f->path), 1);
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* 0440: the group's bits are the mask of the list by which the service's user may read it. */
static void the_mask_of_a_credential_is_no_group(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(f->path, 0440), 0);
	assert_null(keyring_load(f->path, &err));
	setenv("CREDENTIALS_DIRECTORY", f->dir, 1);
	assert_int_equal(count_keys(f->path), 1);
	assert_int_equal(chmod(f->path, 0444), 0);
	assert_null(keyring_load(f->path, &err));
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void a_stamp_changes_with_the_file(void **state)
{
	struct fixture *f = *state;
	struct keyring_stamp stamp = { 0 };

	assert_true(keyring_stamp(f->path, &stamp));
	assert_false(keyring_stamp(f->path, &stamp));
	assert_int_equal(add_key(f->path), 0);
	assert_true(keyring_stamp(f->path, &stamp));
	assert_false(keyring_stamp(f->path, &stamp));
	assert_int_equal(unlink(f->path), 0);
	assert_true(keyring_stamp(f->path, &stamp));
	assert_false(keyring_stamp(f->path, &stamp));
}

static void a_file_that_is_not_there_cannot_be_changed(void **state)
{
	struct fixture *f = *state;
	struct keyring_edit edit;
	struct err err = { 0 };

	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(keyring_edit_begin(&edit, f->path, &err), -1);
	assert_non_null(strstr(err.text, "No such file"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_change_is_saved_with_the_mode_it_had),
		TEST(the_owner_stays_the_same),
		TEST(what_a_link_points_to_is_replaced),
		TEST(one_at_a_time_may_change_it),
		TEST(a_draft_that_somebody_left_is_no_hindrance),
		TEST(at_each_point_one_of_the_two_is_there),
		TEST(a_credential_is_read_and_not_written),
		TEST(the_mask_of_a_credential_is_no_group),
		TEST(a_stamp_changes_with_the_file),
		TEST(a_file_that_is_not_there_cannot_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
