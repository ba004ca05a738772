/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void one_step_is_an_insertion_a_removal_a_replacement_or_a_swap(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} cases[] = {
		{"",	      "",	  0},
		     { "",	   "abc",	  3},
		 { "abc",	  "abc",	 0},
		{ "abc",	 "ab",      1},
		     { "abc",     "abxc",    1},
		 { "abc",	  "axc",	 1},
		{ "abc",	 "bac",	1},
		     { "kitten",	 "sitting", 3},
		 { "wrokers", "workers", 1},
		{ "ca",	"abc",     3},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(nearest_distance(cases[i].a, cases[i].b), cases[i].distance);
		assert_int_equal(nearest_distance(cases[i].b, cases[i].a), cases[i].distance);
	}
}

static void what_is_too_long_is_far_from_everything(void **state)
{
	char text[NEAREST_MAX_BYTES + 2];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[NEAREST_MAX_BYTES + 1] = '\0';
	assert_int_equal(nearest_distance(text, "x"), SIZE_MAX);
	text[NEAREST_MAX_BYTES] = '\0';
	assert_int_equal(nearest_distance(text, "x"), NEAREST_MAX_BYTES - 1);
}

static const char *among(const char *word, const char *const *candidates)
{
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (; *candidates != NULL; candidates++)
		nearest_try(&nearest, *candidates);
	return nearest.found;
}

static void the_nearest_is_found_if_it_is_near(void **state)
{
	static const char *const candidates[] = { "listen", "key_listen", "log_level", "log_format",
						  NULL };

	(void)state;
	assert_string_equal(among("lissten", candidates), "listen");
	assert_string_equal(among("keylisten", candidates), "key_listen");
	assert_string_equal(among("log_levle", candidates), "log_level");
	assert_null(among("color", candidates));
	assert_null(among("", candidates));
	assert_null(among("xy", candidates));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_step_is_an_insertion_a_removal_a_replacement_or_a_swap),
		cmocka_unit_test(what_is_too_long_is_far_from_everything),
		cmocka_unit_test(the_nearest_is_found_if_it_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
