/* SPDX-License-Identifier: Apache-2.0 */

#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define ROUNDS	    1000

static void assert_version(const char *text, char version)
{
	assert_true(uuid_valid(text));
	assert_int_equal(strlen(text), UUID_TEXT_BYTES - 1);
	assert_int_equal(text[14], version);
	assert_non_null(strchr("89ab", text[19]));
	assert_int_equal(strspn(text, "0123456789abcdef-"), UUID_TEXT_BYTES - 1);
}

static void version_4_is_well_formed_and_random(void **state)
{
	char before[UUID_TEXT_BYTES] = "";

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		char text[UUID_TEXT_BYTES];

		uuid_v4(text);
		assert_version(text, '4');
		assert_string_not_equal(text, before);
		memcpy(before, text, sizeof(before));
	}
}

/* The time of RFC 9562 appendix A.6. */
static void version_7_begins_with_the_time(void **state)
{
	char text[UUID_TEXT_BYTES], again[UUID_TEXT_BYTES];

	(void)state;
	uuid_v7(0x017f22e279b0, text);
	uuid_v7(0x017f22e279b0, again);
	assert_version(text, '7');
	assert_memory_equal(text, "017f22e2-79b0-7", 15);
	assert_memory_equal(again, text, 15);
	assert_string_not_equal(again, text);
}

static void version_7_sorts_by_time(void **state)
{
	char before[UUID_TEXT_BYTES] = "";

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		char text[UUID_TEXT_BYTES];

		uuid_v7(1763640000000 + i * 97, text);
		assert_true(strcmp(before, text) < 0);
		memcpy(before, text, sizeof(before));
	}
}

static void only_the_canonical_form_is_valid(void **state)
{
	static const char *const good[] = {
		UUID_NIL,
		"ffffffff-ffff-ffff-ffff-ffffffffffff",
		"017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
	};
	static const char *const bad[] = {
		"",
		"0",
		"-",
		"00000000",
		"00000000-",
		"00000000-0000-0000-0000-00000000000",
		"00000000-0000-0000-0000-0000000000000",
		"00000000-0000-0000-0000-000000000000 ",
		"00000000-0000-0000-0000-00000000000g",
		"00000000-0000-0000-0000 000000000000",
		"000000000000-0000-0000-0000-00000000",
		"00000000000000000000000000000000",
		"00000000-0000-0000-0000-",
		"00000000-0000-0000-0000-000000000000-",
		"{0000000-0000-0000-0000-000000000000}",
		"urn:uuid:00000000-0000-0000-0000-000000000000",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(uuid_valid(good[i]));
	for (size_t i = 0; i < COUNT(bad); i++) {
		char *exact = strdup(bad[i]); /* so that reading on is seen */

		assert_false(uuid_valid(exact));
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_4_is_well_formed_and_random),
		cmocka_unit_test(version_7_begins_with_the_time),
		cmocka_unit_test(version_7_sorts_by_time),
		cmocka_unit_test(only_the_canonical_form_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
