/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void copies_and_ends_with_nul(void **state)
{
	char bytes[] = { 'a', '\0', 'b' };
	struct secret secret = secret_new(bytes, sizeof(bytes));

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(secret.n, 3);
	assert_memory_equal(secret.reveal, "a\0b", 4);
	secret_fini(&secret);
	assert_null(secret.reveal);
	assert_int_equal(secret.n, 0);
	secret_fini(&secret);
}

static void an_empty_secret_is_not_none(void **state)
{
	struct secret empty = secret_new("", 0);
	struct secret none = secret_new(NULL, 0);

	(void)state;
	assert_string_equal(empty.reveal, "");
	assert_null(none.reveal);
	secret_fini(&empty);
	secret_fini(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_and_ends_with_nul),
		cmocka_unit_test(an_empty_secret_is_not_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
