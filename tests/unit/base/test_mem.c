/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is_zero(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (((const unsigned char *)p)[i] != 0)
			return false;
	}
	return true;
}

static void new_memory_is_zero(void **state)
{
	char *one = mem_new(1000);
	char *many = mem_new_array(10, 100);
	char *none = mem_new(0);

	(void)state;
	assert_true(is_zero(one, 1000));
	assert_true(is_zero(many, 1000));
	assert_non_null(none);
	free(one);
	free(many);
	free(none);
}

static void resize_keeps_the_contents(void **state)
{
	int *numbers = mem_resize(NULL, 2, sizeof(*numbers));

	(void)state;
	numbers[0] = 1;
	numbers[1] = 2;
	numbers = mem_resize(numbers, 10000, sizeof(*numbers));
	assert_int_equal(numbers[0], 1);
	assert_int_equal(numbers[1], 2);
	free(numbers);
}

static void copies_are_copies(void **state)
{
	char *bytes = mem_dup("a\0b", 3);
	char *text = mem_strdup("abc");
	char *part = mem_strndup("abc", 2);
	char *whole = mem_strndup("abc", 10);
	char *printed = mem_printf("%s-%d", "x", 7);
	char *nothing = mem_dup(NULL, 0);

	(void)state;
	assert_memory_equal(bytes, "a\0b", 3);
	assert_string_equal(text, "abc");
	assert_string_equal(part, "ab");
	assert_string_equal(whole, "abc");
	assert_string_equal(printed, "x-7");
	assert_non_null(nothing);
	free(bytes);
	free(text);
	free(part);
	free(whole);
	free(printed);
	free(nothing);
}

static void wipe_zeroes(void **state)
{
	char bytes[] = "secret";

	(void)state;
	mem_wipe(bytes, 3);
	assert_memory_equal(bytes, "\0\0\0ret", 7);
	mem_wipe(NULL, 0);
	mem_wipe(NULL, 10);
}

static void arena_memory_is_zero_aligned_and_apart(void **state)
{
	struct arena *arena = arena_new();
	unsigned char *pieces[200];

	(void)state;
	for (size_t i = 0; i < 200; i++) {
		pieces[i] = arena_alloc(arena, i * 37 % 5000);
		assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		assert_true(is_zero(pieces[i], i * 37 % 5000));
		memset(pieces[i], (int)i, i * 37 % 5000);
	}
	for (size_t i = 0; i < 200; i++) {
		for (size_t k = 0; k < i * 37 % 5000; k++)
			assert_int_equal(pieces[i][k], i);
	}
	arena_free(&arena);
	assert_null(arena);
	arena_free(&arena);
}

static void arena_copies_end_with_nul(void **state)
{
	struct arena *arena = arena_new();
	char *bytes = arena_dup(arena, "a\0b", 3);

	(void)state;
	assert_memory_equal(bytes, "a\0b", 4);
	assert_string_equal(arena_dup(arena, NULL, 0), "");
	assert_string_equal(arena_strdup(arena, "abc"), "abc");
	assert_string_equal(arena_printf(arena, "%d %s", 7, "x"), "7 x");
	assert_string_equal(arena_printf(arena, "%s", ""), "");
	arena_free(&arena);
}

struct witness {
	char order[8];
	struct arena *arena;
};

static void on_release_a(void *p)
{
	struct witness *witness = p;

	witness->order[strlen(witness->order)] = 'a';
}

static void on_release_b(void *p)
{
	struct witness *witness = p;

	witness->order[strlen(witness->order)] = 'b';
	/* Somebody who lets go may well need memory for it. */
	arena_alloc(witness->arena, 100000);
	arena_attach(witness->arena, witness, on_release_a);
}

static void releases_run_newest_first(void **state)
{
	struct witness witness = { .arena = arena_new() };
	struct arena *arena = witness.arena;

	(void)state;
	arena_attach(arena, &witness, on_release_a);
	arena_attach(arena, &witness, on_release_b);
	arena_attach(arena, &witness, on_release_b);
	arena_free(&arena);
	assert_string_equal(witness.order, "babaa");
}

static void an_attached_thing_may_lie_in_the_arena(void **state)
{
	struct arena *arena = arena_new();
	struct witness *witness = arena_alloc(arena, sizeof(*witness));

	(void)state;
	arena_attach(arena, witness, on_release_a);
	arena_attach(arena, mem_strdup("owned by the arena"), free);
	arena_free(&arena);
	assert_null(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_memory_is_zero),
		cmocka_unit_test(resize_keeps_the_contents),
		cmocka_unit_test(copies_are_copies),
		cmocka_unit_test(wipe_zeroes),
		cmocka_unit_test(arena_memory_is_zero_aligned_and_apart),
		cmocka_unit_test(arena_copies_end_with_nul),
		cmocka_unit_test(releases_run_newest_first),
		cmocka_unit_test(an_attached_thing_may_lie_in_the_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
