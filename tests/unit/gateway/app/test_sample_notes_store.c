/* SPDX-License-Identifier: Apache-2.0 */

/* What the sample upstream `notes` knows, and what it believes of a token. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/app/sample_notes.h"
#include "gateway/app/sample_notes_priv.h"

struct fixture {
	char dir[64];
	char file[128];
	struct notes notes;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/tollgate-notes-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->file, sizeof(f->file), "%s/notes.json", f->dir);
	assert_int_equal(notes_open(&f->notes, f->file, &err), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	notes_close(&f->notes);
	unlink(f->file);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	struct err err;

	notes_close(&f->notes);
	memset(&f->notes, 0, sizeof(f->notes));
	assert_int_equal(notes_open(&f->notes, f->file, &err), 0);
}

static void a_token_is_what_was_written(void **state)
{
	struct fixture *f = *state;
	char text[NOTES_TOKEN_BYTES];
	char id[NOTES_ID_BYTES];
	char read[NOTES_ID_BYTES];
	int64_t number;

	notes_new_id(id);
	notes_token_write(&f->notes, NOTES_REFRESH, id, 9007199254740993, text);
	assert_true(notes_token_read(&f->notes, NOTES_REFRESH, text, read, &number));
	assert_string_equal(read, id);
	assert_int_equal(number, 9007199254740993);
}

static void nothing_of_a_token_can_be_changed(void **state)
{
	struct fixture *f = *state;
	char text[NOTES_TOKEN_BYTES];
	char read[NOTES_ID_BYTES];
	int64_t number;

	notes_token_write(&f->notes, NOTES_REFRESH, "abc", 7, text);
	assert_false(notes_token_read(&f->notes, NOTES_ACCESS, text, read, &number));
	for (size_t i = 0; text[i] != '\0'; i++) {
		char kept = text[i];

		text[i] = kept == '8' ? '9' : '8';
		assert_false(notes_token_read(&f->notes, NOTES_REFRESH, text, read, &number));
		text[i] = '\0';
		assert_false(notes_token_read(&f->notes, NOTES_REFRESH, text, read, &number));
		text[i] = kept;
	}
	assert_true(notes_token_read(&f->notes, NOTES_REFRESH, text, read, &number));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "A");
	assert_false(notes_token_read(&f->notes, NOTES_REFRESH, text, read, &number));
}

static void words_that_are_no_token_are_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"refresh",
		"refresh.",
		"refresh.a",
		"refresh.a.",
		"refresh.a.1",
		"refresh.a.x.y",
		"refresh.a.-1.y",
		"refresh.a.99999999999999999999.y",
		"refresh.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.1.y"
	};
	struct fixture *f = *state;
	char read[NOTES_ID_BYTES];
	int64_t number;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(notes_token_read(&f->notes, NOTES_REFRESH, texts[i], read, &number));
}

static void an_access_token_ends(void **state)
{
	struct fixture *f = *state;
	char text[NOTES_TOKEN_BYTES];

	notes_put(f->notes.grants, "g", json_pack("{s:s}", "user", "ana"), NOTES_MAX_GRANTS);
	notes_token_write(&f->notes, NOTES_ACCESS, "g", notes_now_s() + SAMPLE_NOTES_ACCESS_S,
			  text);
	assert_ptr_equal(notes_grant_of_access(&f->notes, text),
			 json_object_get(f->notes.grants, "g"));
	json_object_del(f->notes.grants, "g");
	assert_null(notes_grant_of_access(&f->notes, text));
	notes_put(f->notes.grants, "g", json_object(), NOTES_MAX_GRANTS);
	notes_token_write(&f->notes, NOTES_ACCESS, "g", notes_now_s(), text);
	assert_null(notes_grant_of_access(&f->notes, text));
}

static void tokens_and_grants_outlive_a_restart(void **state)
{
	struct fixture *f = *state;
	char text[NOTES_TOKEN_BYTES];
	struct stat kept;

	notes_put(f->notes.grants, "g", json_object(), NOTES_MAX_GRANTS);
	notes_token_write(&f->notes, NOTES_ACCESS, "g", notes_now_s() + 60, text);
	notes_save(&f->notes);
	assert_int_equal(stat(f->file, &kept), 0);
	assert_int_equal(kept.st_mode & 0777, 0600);
	reopen(f);
	assert_non_null(notes_grant_of_access(&f->notes, text));
	/* Another key: whoever takes the file away takes the tokens with it. */
	unlink(f->file);
	reopen(f);
	notes_put(f->notes.grants, "g", json_object(), NOTES_MAX_GRANTS);
	assert_null(notes_grant_of_access(&f->notes, text));
}

static void a_file_of_somebody_else_is_left_alone(void **state)
{
	static const char text[] = "not ours";
	struct fixture *f = *state;
	struct notes other = { .file = NULL };
	char kept[sizeof(text)];
	struct err err;
	int fd = open(f->file, O_RDWR | O_TRUNC);

	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	assert_int_equal(notes_open(&other, f->file, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_int_equal(pread(fd, kept, sizeof(kept), 0), sizeof(kept));
	assert_memory_equal(kept, text, sizeof(text));
	close(fd);
}

static void the_oldest_makes_room(void **state)
{
	json_t *object = json_object();

	(void)state;
	notes_put(object, "b", json_true(), 2);
	notes_put(object, "c", json_true(), 2);
	notes_put(object, "a", json_true(), 2);
	assert_int_equal(json_object_size(object), 2);
	assert_null(json_object_get(object, "b"));
	json_decref(object);
}

static void a_scope_is_a_whole_word(void **state)
{
	json_t *grant = json_pack("{s:s}", "scope", "notes:read  notes:writer");

	(void)state;
	assert_true(notes_has_scope(grant, "notes:read"));
	assert_false(notes_has_scope(grant, "notes:write"));
	assert_false(notes_has_scope(grant, "notes"));
	json_decref(grant);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_is_what_was_written),
		TEST(nothing_of_a_token_can_be_changed),
		TEST(words_that_are_no_token_are_refused),
		TEST(an_access_token_ends),
		TEST(tokens_and_grants_outlive_a_restart),
		TEST(a_file_of_somebody_else_is_left_alone),
		TEST(the_oldest_makes_room),
		TEST(a_scope_is_a_whole_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
