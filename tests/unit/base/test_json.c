/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void writes_what_it_parsed_in_the_order_it_came(void **state)
{
	static const char *const cases[][2] = {
		{"{ \"z\" : 1 , \"a\" : [ true , null ] }",	     "{\"z\":1,\"a\":[true,null]}"},
		{ "\"\\u0041\\u0000\\n\"",			   "\"A\\u0000\\n\""	     },
		{ "7",					      "7"			   },
		{ "null",					   "null"			 },
		{ "[9223372036854775807,-9223372036854775808,1.5]",
		  "[9223372036854775807,-9223372036854775808,1.5]"				   },
		{ "\"\xE2\x82\xAC\"",				      "\"\xE2\x82\xAC\""		 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err err;
		struct buf out;
		json_t *value = json_parse(span_of(cases[i][0]), &err);

		assert_non_null(value);
		buf_init(&out, 100);
		assert_int_equal(json_write(value, &out), 0);
		assert_string_equal(buf_str(&out), cases[i][1]);
		buf_fini(&out);
		json_decref(value);
	}
}

static void refuses_as_parse_errors(void **state)
{
	static const char *const cases[] = {
		"",
		"{",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"\"\\ud800\"",
		"\"\xFF\"",
		"[1] 2",
		"12345678901234567890",
		"[1e400]",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err err = { .code = ERR_INTERNAL };

		assert_null(json_parse(span_of(cases[i]), &err));
		assert_int_equal(err.code, ERR_PARSE);
		assert_true(err.text[0] != '\0');
	}
}

/* jansson has no names with NUL; what it says about them must not pass for success. */
static void refuses_names_with_nul(void **state)
{
	struct err err;

	(void)state;
	assert_null(json_parse(SPAN("{\"admin\\u0000x\":1}"), &err));
	assert_int_equal(err.code, ERR_PARSE);
}

static void never_quotes_the_input(void **state)
{
	struct err err;

	(void)state;
	assert_null(json_parse(SPAN("[123456789123456789123456789]"), &err));
	assert_null(strstr(err.text, "123456789123"));
	assert_non_null(strstr(err.text, "out of range"));
}

static void refuses_depth_over_the_ceiling(void **state)
{
	char text[2 * SPAN_MAX_DEPTH + 2];
	struct err err;
	json_t *value;

	(void)state;
	memset(text, '[', SPAN_MAX_DEPTH);
	memset(text + SPAN_MAX_DEPTH, ']', SPAN_MAX_DEPTH);
	value = json_parse((struct span){ text, 2 * SPAN_MAX_DEPTH }, &err);
	assert_non_null(value);
	json_decref(value);
	memset(text, '[', SPAN_MAX_DEPTH + 1);
	memset(text + SPAN_MAX_DEPTH + 1, ']', SPAN_MAX_DEPTH + 1);
	assert_null(json_parse((struct span){ text, sizeof(text) }, &err));
}

static void writing_stops_at_the_ceiling(void **state)
{
	struct err err;
	struct buf out;
	json_t *value = json_parse(SPAN("[1,2,3,4,5]"), &err);

	(void)state;
	buf_init(&out, 10);
	assert_int_equal(json_write(value, &out), -1);
	assert_true(out.overflow);
	buf_fini(&out);
	json_decref(value);
}

static void text_is_a_string_that_c_can_hold(void **state)
{
	struct err err;
	json_t *value = json_parse(
		SPAN("{\"s\":\"x\",\"e\":\"\",\"n\":1,\"z\":null,\"nul\":\"admin\\u0000x\"}"),
		&err);

	(void)state;
	assert_string_equal(json_text(value, "s"), "x");
	assert_string_equal(json_text(value, "e"), "");
	assert_null(json_text(value, "n"));
	assert_null(json_text(value, "z"));
	assert_null(json_text(value, "none"));
	assert_null(json_text(value, "nul"));
	assert_null(json_text(json_object_get(value, "s"), "s"));
	assert_null(json_text(NULL, "s"));
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_what_it_parsed_in_the_order_it_came),
		cmocka_unit_test(refuses_as_parse_errors),
		cmocka_unit_test(refuses_names_with_nul),
		cmocka_unit_test(never_quotes_the_input),
		cmocka_unit_test(refuses_depth_over_the_ceiling),
		cmocka_unit_test(writing_stops_at_the_ceiling),
		cmocka_unit_test(text_is_a_string_that_c_can_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
