/* SPDX-License-Identifier: Apache-2.0 */

#include "tokenstore/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ONES  "__________________________________________8"
#define HEAD  "{\"version\":1,\"pepper\":\"" ZEROS "\",\"primary\":2,"
#define KEYS  "\"keys\":[{\"id\":1,\"key\":\"" ZEROS "\"},{\"id\":2,\"key\":\"" ONES "\"}]}\n"

static void assert_prints(const char *text, const char *expected)
{
	struct err err = { 0 };
	struct keyring *keyring = keyring_parse(span_of(text), &err);
	struct buf out;

	if (keyring == NULL)
		fail_msg("%s", err.text);
	buf_init(&out, 65536);
	keyring_print(keyring, &out);
	assert_string_equal(buf_str(&out), expected);
	buf_wipe(&out);
	keyring_free(&keyring);
}

static void what_was_read_is_printed(void **state)
{
	(void)state;
	assert_prints(HEAD "\"last_id\":9," KEYS, HEAD "\"last_id\":9," KEYS);
	assert_prints(" " HEAD "\"last_id\":2, " KEYS, HEAD "\"last_id\":2," KEYS);
}

static void files_of_before_have_no_last_id(void **state)
{
	(void)state;
	assert_prints(HEAD KEYS, HEAD "\"last_id\":2," KEYS);
}

static void a_last_id_below_a_key_is_refused(void **state)
{
	static const char *const wrong[] = { "1", "0", "4294967296", "null", "\"9\"", "-1" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct err err = { 0 };
		char text[1024];

		snprintf(text, sizeof(text), HEAD "\"last_id\":%s," KEYS, wrong[i]);
		assert_null(keyring_parse(span_of(text), &err));
		assert_non_null(strstr(err.text, "last_id"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_read_is_printed),
		cmocka_unit_test(files_of_before_have_no_last_id),
		cmocka_unit_test(a_last_id_below_a_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
