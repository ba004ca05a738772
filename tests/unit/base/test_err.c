/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void sets_code_and_text_and_returns_failure(void **state)
{
	struct err err;

	(void)state;
	memset(&err, 'x', sizeof(err));
	assert_int_equal(err_set(&err, ERR_CONFLICT, "%s is %d", "a", 7), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_string_equal(err.text, "a is 7");
	assert_string_equal(err.tag, "");
}

static void prefix_keeps_code_and_tag(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_UNAVAILABLE, "no answer");
	memcpy(err.tag, "57014", 6);
	assert_int_equal(err_prefix(&err, "row %d", 3), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.tag, "57014");
	assert_string_equal(err.text, "row 3: no answer");
	assert_int_equal(err_prefix(&err, "load"), -1);
	assert_string_equal(err.text, "load: row 3: no answer");
}

static void an_argument_may_be_the_text_itself(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_INTERNAL, "inner");
	err_set(&err, ERR_UPSTREAM, "outer: %s", err.text);
	assert_string_equal(err.text, "outer: inner");
	err_prefix(&err, "%s", err.text);
	assert_string_equal(err.text, "outer: inner: outer: inner");
}

static void replaces_control_bytes_and_broken_characters(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_INTERNAL, "a\nb\tc\x1B[31m\x7F\xC2\x9B\xFF\xE2\x82\xAC\xE2\x82");
	assert_string_equal(err.text, "a b c?[31m???\xE2\x82\xAC??");
}

static void cuts_long_texts_between_characters(void **state)
{
	char text[400];
	struct err err;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[399] = '\0';
	err_set(&err, ERR_INTERNAL, "%s", text);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	memcpy(text + 245, "\xE2\x82\xAC", 3);
	err_set(&err, ERR_INTERNAL, "%s", text);
	assert_int_equal(strlen(err.text), 245);
	err_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.text), 245);
}

static void every_code_has_its_row(void **state)
{
	static const struct {
		enum err_code code;
		int http;
		int rpc;
		const char *name;
	} rows[] = {
#define X(name, http, rpc, text) { ERR_##name, http, rpc, text },
		ERR_CODES(X)
#undef X
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(err_http_status(rows[i].code), rows[i].http);
		assert_int_equal(err_rpc_code(rows[i].code), rows[i].rpc);
		assert_string_equal(err_name(rows[i].code), rows[i].name);
	}
	assert_int_equal(err_http_status(ERR_PARSE), 400);
	assert_int_equal(err_rpc_code(ERR_PARSE), -32700);
	assert_string_equal(err_name(ERR_PRECONDITION), "precondition_failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_code_and_text_and_returns_failure),
		cmocka_unit_test(prefix_keeps_code_and_tag),
		cmocka_unit_test(an_argument_may_be_the_text_itself),
		cmocka_unit_test(replaces_control_bytes_and_broken_characters),
		cmocka_unit_test(cuts_long_texts_between_characters),
		cmocka_unit_test(every_code_has_its_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
