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

static void expect_args(const char *const *pairs, size_t n, const char *expected)
{
	struct cli_list list = { .items = (const char **)(uintptr_t)pairs, .n = n };
	struct buf text;
	struct err err;
	int ret;

	buf_init(&text, 4096);
	ret = args_write(&list, &text, &err);
	if (expected == NULL) {
		assert_int_equal(ret, -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_non_null(strstr(err.text, "-a"));
	} else {
		assert_int_equal(ret, 0);
		assert_string_equal(buf_str(&text), expected);
	}
	buf_fini(&text);
}

static void values_are_json_if_they_can_be(void **state)
{
	static const char *const pairs[] = {
		"n=5",	       "big=12345678901234567890",
		"huge=1e400",  "t=true",
		"null=null",   "list=[1, 2]",
		"o={\"a\":1}", "quoted=\"5\"",
		"text=a b=c",  "empty=",
		"almost={x",   "date=2026-11-20",
	};

	(void)state;
	expect_args(pairs, COUNT(pairs),
		    "{\"n\":5,\"big\":12345678901234567890,\"huge\":1e400,\"t\":true,\"null\":null,"
		    "\"list\":[1, 2],\"o\":{\"a\":1},\"quoted\":\"5\",\"text\":\"a b=c\","
		    "\"empty\":\"\",\"almost\":\"{x\",\"date\":\"2026-11-20\"}");
	expect_args(NULL, 0, "{}");
}

static void names_are_escaped(void **state)
{
	static const char *const pairs[] = { "a\"b=1" };

	(void)state;
	expect_args(pairs, 1, "{\"a\\\"b\":1}");
}

static void what_is_no_pair_or_comes_twice_is_refused(void **state)
{
	static const char *const no_pair[] = { "a=1", "novalue" };
	static const char *const no_name[] = { "=5" };
	static const char *const twice[] = { "a=1", "ab=2", "a=3" };

	(void)state;
	expect_args(no_pair, 2, NULL);
	expect_args(no_name, 1, NULL);
	expect_args(twice, 3, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_json_if_they_can_be),
		cmocka_unit_test(names_are_escaped),
		cmocka_unit_test(what_is_no_pair_or_comes_twice_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
