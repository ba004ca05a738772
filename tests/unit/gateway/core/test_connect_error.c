/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/connect_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void each_error_says_what_and_what_to_do(void **state)
{
	(void)state;
	for (int i = 1; i < CONNECT_N_ERRORS; i++) {
		const struct connect_error_row *row = &connect_errors[i];

		assert_non_null(row->code);
		assert_int_equal(connect_error_parse(row->code), i);
		assert_in_range(row->status, 400, 599);
		assert_true(strlen(row->title) > 0 && row->title[strlen(row->title) - 1] != '.');
		assert_int_equal(row->sentence[strlen(row->sentence) - 1], '.');
		assert_int_equal(row->remedy[strlen(row->remedy) - 1], '.');
	}
}

static void what_is_no_code_is_no_error(void **state)
{
	(void)state;
	assert_int_equal(connect_error_parse(NULL), CONNECT_NO_ERROR);
	assert_int_equal(connect_error_parse(""), CONNECT_NO_ERROR);
	assert_int_equal(connect_error_parse("Denied"), CONNECT_NO_ERROR);
	assert_int_equal(connect_error_parse("<script>"), CONNECT_NO_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_error_says_what_and_what_to_do),
		cmocka_unit_test(what_is_no_code_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
