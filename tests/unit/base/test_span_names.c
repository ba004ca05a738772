/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"

#define MANY 100000

/* Names that must not move while the set holds them. */
static char (*make_bodies(void))[16]
{
	char(*bodies)[16] = test_calloc(MANY, sizeof(bodies[0]));

	for (size_t i = 0; i < MANY; i++)
		snprintf(bodies[i], sizeof(bodies[i]), "name%zu", i);
	return bodies;
}

static void finds_each_of_many_names_again(void **state)
{
	char(*bodies)[16] = make_bodies();
	struct names names;

	(void)state;
	names_init(&names);
	for (size_t i = 0; i < MANY; i++)
		assert_true(names_add(&names, span_of(bodies[i]), 0));
	for (size_t i = 0; i < MANY; i++)
		assert_false(names_add(&names, span_of(bodies[i]), 0));
	assert_int_equal(names.count, MANY);
	names_fini(&names);
	test_free(bodies);
}

static void an_inner_object_has_names_of_its_own(void **state)
{
	struct names names;

	(void)state;
	names_init(&names);
	assert_true(names_add(&names, SPAN("a"), 0));
	assert_true(names_add(&names, SPAN("b"), 0));
	assert_true(names_add(&names, SPAN("a"), 2));
	assert_false(names_add(&names, SPAN("a"), 2));
	names_drop(&names, 2);
	assert_false(names_add(&names, SPAN("a"), 0));
	assert_false(names_add(&names, SPAN("b"), 0));
	assert_true(names_add(&names, SPAN("c"), 0));
	names_fini(&names);
}

/* Growing rebuilds the chains while outer objects still have names in them. */
static void outer_names_survive_growth_and_drop(void **state)
{
	char(*bodies)[16] = make_bodies();
	struct names names;

	(void)state;
	names_init(&names);
	for (size_t i = 0; i < 100; i++)
		assert_true(names_add(&names, span_of(bodies[i]), 0));
	for (size_t i = 0; i < MANY; i++)
		assert_true(names_add(&names, span_of(bodies[i]), 100));
	names_drop(&names, 100);
	for (size_t i = 0; i < 100; i++)
		assert_false(names_add(&names, span_of(bodies[i]), 0));
	for (size_t i = 100; i < 200; i++)
		assert_true(names_add(&names, span_of(bodies[i]), 0));
	names_drop(&names, 0);
	for (size_t i = 0; i < 200; i++)
		assert_true(names_add(&names, span_of(bodies[i]), 0));
	names_fini(&names);
	test_free(bodies);
}

static void compares_what_is_meant_not_how_it_is_spelled(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		bool same;
	} cases[] = {
		{"a",		       "\\u0061",	  true },
		{ "ab",		"a\\u0062",	    true },
		{ "abcdefgh\\u0069",  "\\u0061bcdefghi", true },
		{ "\\\\",		  "\\u005C",	     true },
		{ "\\/",		 "/",		      true },
		{ "\xF0\x9F\x98\x80", "\\uD83D\\uDE00",	true },
		{ "a",		       "A",		    false},
		{ "",		      "\\u0000",	 false},
		{ "a",		       "a\\u0000",	   false},
		{ "a\\u0000",	      "a\\u0000\\u0000", false},
		{ "\\\\u0061",	       "a",		    false},
		{ "\\n",		 "n",		      false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct names names;

		names_init(&names);
		assert_true(names_add(&names, span_of(cases[i].a), 0));
		assert_int_equal(names_add(&names, span_of(cases[i].b), 0), !cases[i].same);
		names_fini(&names);
	}
}

static void hashes_with_a_key_that_is_not_zero(void **state)
{
	struct names names;

	(void)state;
	names_init(&names);
	assert_true(names.key[0] != 0 && names.key[1] != 0 && names.key[0] != names.key[1]);
	names_fini(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_each_of_many_names_again),
		cmocka_unit_test(an_inner_object_has_names_of_its_own),
		cmocka_unit_test(outer_names_survive_growth_and_drop),
		cmocka_unit_test(compares_what_is_meant_not_how_it_is_spelled),
		cmocka_unit_test(hashes_with_a_key_that_is_not_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
