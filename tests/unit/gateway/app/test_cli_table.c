/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char *printed(const struct cli_table *table, size_t max_width)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	cli_table_print(table, out, max_width);
	fclose(out);
	return text;
}

static void expect_table(const char *const *titles, const char *const *cells, size_t n_rows,
			 size_t max_width, const char *expected)
{
	struct arena *arena = arena_new();
	struct cli_table table;
	char *text;

	cli_table_init(&table, arena, titles);
	for (size_t i = 0; i < n_rows; i++)
		cli_table_add(&table, &cells[i * table.n_columns]);
	text = printed(&table, max_width);
	assert_string_equal(text, expected);
	free(text);
	arena_free(&arena);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	static const char *const titles[] = { "A", "LONGER", "C", NULL };
	static const char *const cells[] = { "first", "x", "1", "2", NULL, "" };

	(void)state;
	expect_table(titles, cells, 2, 0,
		     "A      LONGER  C\n"
		     "first  x       1\n"
		     "2      -       -\n");
	expect_table(titles, cells, 0, 0, "A  LONGER  C\n");
}

static void width_is_counted_in_characters(void **state)
{
	static const char *const titles[] = { "NAME", "X", NULL };
	static const char *const cells[] = { "h\xc3\xa4nd", "1", "naive", "2" };

	(void)state;
	expect_table(titles, cells, 2, 0,
		     "NAME   X\n"
		     "h\xc3\xa4nd   1\n"
		     "naive  2\n");
}

static void a_line_ends_where_the_terminal_does(void **state)
{
	static const char *const titles[] = { "NAME", "TEXT", NULL };
	static const char *const cells[] = { "a", "0123456789", "b", "01234567" };

	(void)state;
	expect_table(titles, cells, 2, 14,
		     "NAME  TEXT\n"
		     "a     0123456\xe2\x80\xa6\n"
		     "b     01234567\n");
}

static void nothing_in_a_cell_commands_the_terminal(void **state)
{
	static const char *const titles[] = { "T", NULL };
	static const char *const cells[] = { "a\x1b[2Jb\nc\td\x7f"
					     "e\xc2\x9b"
					     "f" };

	(void)state;
	expect_table(titles, cells, 1, 0, "T\na [2Jb c d e f\n");
}

static void many_rows_are_kept(void **state)
{
	static const char *const titles[] = { "N", NULL };
	struct arena *arena = arena_new();
	struct cli_table table;
	char *text;
	size_t lines = 0;

	(void)state;
	cli_table_init(&table, arena, titles);
	for (int i = 0; i < 1000; i++) {
		const char *cell = arena_printf(arena, "%d", i);

		cli_table_add(&table, &cell);
	}
	text = printed(&table, 0);
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 1001);
	assert_non_null(strstr(text, "\n0\n"));
	assert_non_null(strstr(text, "\n999\n"));
	free(text);
	arena_free(&arena);
}

static void cells_are_texts_or_json(void **state)
{
	static const struct {
		const char *path;
		const char *cell;
	} cases[] = {
		{"s",	       "a\"b\n"		},
		{ "n",	       "12345678901234567890"},
		{ "t",	       "true"		      },
		{ "o.deep.er", "x"		   },
		{ "o.deep",    "{\"er\":\"x\"}"	     },
		{ "l",	       "[1, 2]"		},
		{ "null",	  NULL		       },
		{ "none",	  NULL		       },
		{ "s.x",	 NULL		      },
	};
	const struct span object = SPAN("{\"s\":\"a\\\"b\\n\",\"n\": 12345678901234567890 ,"
					"\"t\":true,\"o\":{\"deep\":{\"er\":\"x\"}},"
					"\"l\":[1, 2],\"null\":null}");
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *cell = cli_cell(arena, object, cases[i].path);

		if (cases[i].cell == NULL)
			assert_null(cell);
		else
			assert_string_equal(cell, cases[i].cell);
	}
	arena_free(&arena);
}

static void texts_for_programs_are_left_alone(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *out = tmpfile();

	(void)state;
	assert_non_null(out);
	cli_print_text(out, SPAN("\x1b[1mbold"));
	cli_print_text(out, SPAN("line\n"));
	cli_print_text(out, SPAN(""));
	n = (size_t)ftell(out);
	rewind(out);
	text = calloc(1, n + 1);
	assert_int_equal(fread(text, 1, n, out), n);
	assert_string_equal(text, "\x1b[1mbold\nline\n\n");
	free(text);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(width_is_counted_in_characters),
		cmocka_unit_test(a_line_ends_where_the_terminal_does),
		cmocka_unit_test(nothing_in_a_cell_commands_the_terminal),
		cmocka_unit_test(many_rows_are_kept),
		cmocka_unit_test(cells_are_texts_or_json),
		cmocka_unit_test(texts_for_programs_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
