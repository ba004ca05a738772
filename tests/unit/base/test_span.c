/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct span checked(const char *text)
{
	struct err err;

	if (span_check(span_of(text), NULL, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return span_of(text);
}

static void assert_span(struct span span, const char *text)
{
	if (!span_is(span, text))
		fail_msg("is %.*s, not %s", (int)span.n, span.p != NULL ? span.p : "(absent)",
			 text);
}

static void absent_is_not_empty(void **state)
{
	struct span absent = span_of(NULL);

	(void)state;
	assert_null(absent.p);
	assert_true(span_eq(absent, (struct span){ NULL, 0 }));
	assert_false(span_eq(absent, SPAN("")));
	assert_false(span_is(absent, ""));
	assert_true(span_is(SPAN(""), ""));
	assert_true(span_eq(SPAN("a\0b"), SPAN("a\0b")));
	assert_false(span_is(SPAN("a\0b"), "a"));
	assert_false(span_eq(SPAN("ab"), SPAN("abc")));
}

static void tells_the_type(void **state)
{
	static const struct {
		const char *text;
		enum span_type type;
	} cases[] = {
		{"null",	  SPAN_NULL  },
		 { "true",	   SPAN_BOOL  },
		  { "false",    SPAN_BOOL  },
		{ "0",	       SPAN_NUMBER},
		 { "-1e9",	   SPAN_NUMBER},
		  { "\"null\"", SPAN_STRING},
		{ " [1] ",	   SPAN_ARRAY },
		 { "\n{}",	   SPAN_OBJECT},
		  { "",		SPAN_ABSENT},
		{ NULL,	SPAN_ABSENT},
		 { "  ",	 SPAN_ABSENT},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(span_type(span_of(cases[i].text)), cases[i].type);
}

static void trims_white_space_only(void **state)
{
	(void)state;
	assert_span(span_trim(SPAN(" \t\r\n1 2\n ")), "1 2");
	assert_span(span_trim(SPAN("\" \"")), "\" \"");
	assert_int_equal(span_trim(SPAN("  ")).n, 0);
	assert_null(span_trim(span_of(NULL)).p);
}

static void gets_members_as_their_own_bytes(void **state)
{
	struct span text = checked(" { \"a\" : 1e400 , \"b\" :\t[ 1 , {\"c\":\"]}\"} ] ,\n"
				   "\"n\":null,\"\":-0,\"\\u0065\":\"\\\"\\\\\" }\n");

	(void)state;
	assert_span(span_get(text, "a"), "1e400");
	assert_span(span_get(text, "b"), "[ 1 , {\"c\":\"]}\"} ]");
	assert_span(span_get(text, "n"), "null");
	assert_span(span_get(text, ""), "-0");
	assert_span(span_get(text, "e"), "\"\\\"\\\\\"");
	assert_null(span_get(text, "c").p);
	assert_null(span_get(text, "\\u0065").p);
	assert_null(span_get(text, "A").p);
}

static void gets_nothing_from_what_is_no_object(void **state)
{
	static const char *const texts[] = { "[\"a\",1]", "\"a\"", "null", "1", "{}", "[]" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_null(span_get(checked(texts[i]), "a").p);
	assert_null(span_get(span_of(NULL), "a").p);
}

/* A C string ends at its NUL; a name that goes on behind it is another name. */
static void a_name_with_nul_matches_no_c_string(void **state)
{
	struct span text = checked("{\"a\\u0000b\":1,\"\\u0000\":2}");

	(void)state;
	assert_null(span_get(text, "a").p);
	assert_null(span_get(text, "").p);
	assert_false(span_string_is(SPAN("\"a\\u0000\""), "a"));
}

static void iterates_in_order_with_raw_keys(void **state)
{
	struct span text = checked("{\"z\":1, \"\\u0061\" : [ ] ,\"a\\n\":{\"x\":{}}}");
	static const char *const want[][2] = {
		{"\"z\"",	   "1"	       },
		{ "\"\\u0061\"", "[ ]"       },
		{ "\"a\\n\"",    "{\"x\":{}}"},
	};
	struct span_iter iter;
	struct span key;
	struct span value;

	(void)state;
	span_iter_init(&iter, text);
	for (size_t i = 0; i < COUNT(want); i++) {
		assert_true(span_next(&iter, &key, &value));
		assert_span(key, want[i][0]);
		assert_span(value, want[i][1]);
	}
	assert_false(span_next(&iter, &key, &value));
	assert_null(value.p);
	assert_false(span_next(&iter, &key, &value));
}

static void iterates_over_elements_without_keys(void **state)
{
	struct span text = checked(" [ 1 ,\"a,b]\", [2,[3]] ,null,-0.0e1] ");
	static const char *const want[] = { "1", "\"a,b]\"", "[2,[3]]", "null", "-0.0e1" };
	struct span_iter iter;
	struct span key;
	struct span value;

	(void)state;
	span_iter_init(&iter, text);
	for (size_t i = 0; i < COUNT(want); i++) {
		assert_true(span_next(&iter, &key, &value));
		assert_null(key.p);
		assert_span(value, want[i]);
	}
	assert_false(span_next(&iter, &key, &value));
}

static void there_is_nothing_to_iterate_in_the_rest(void **state)
{
	static const char *const texts[] = {
		"{}", "[]", "{ }", "[\n]", "1", "\"[1]\"", "null", NULL
	};
	struct span_iter iter;
	struct span key;
	struct span value;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		span_iter_init(&iter, span_of(texts[i]));
		assert_false(span_next(&iter, &key, &value));
	}
}

static void unescapes_strings(void **state)
{
	static const struct {
		const char *text;
		struct span bytes;
	} cases[] = {
		{"\"\"",				  SPAN("")				   },
		{ " \"abc\" ",			       SPAN("abc")				   },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",	    SPAN("\"\\/\b\f\n\r\t")		    },
		{ "\"a\\u0000b\"",			   SPAN("a\0b")				},
		{ "\"\\u0041\\u007f\\u0080\\u07FF\"",     SPAN("A\x7F\xC2\x80\xDF\xBF")	    },
		{ "\"\\u0800\\ud7ff\\ue000\\uFFFF\"",
		  SPAN("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF")			   },
		{ "\"\\ud800\\udc00\\uDBFF\\uDFFF\"",     SPAN("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF")},
		{ "\"x\xF0\x9F\x98\x80\\ud83d\\ude00y\"",
		  SPAN("x\xF0\x9F\x98\x80\xF0\x9F\x98\x80y")					     },
		{ "\"\\\\u0041\"",			   SPAN("\\u0041")			   },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;

		buf_init(&out, 64);
		assert_int_equal(span_string(checked(cases[i].text), &out), 0);
		assert_true(span_eq(buf_span(&out), cases[i].bytes));
		buf_fini(&out);
	}
}

static void span_string_refuses_other_types_and_overflow(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 3);
	assert_int_equal(span_string(SPAN("1"), &out), -1);
	assert_int_equal(span_string(SPAN("null"), &out), -1);
	assert_int_equal(span_string(SPAN("[\"a\"]"), &out), -1);
	assert_int_equal(span_string(span_of(NULL), &out), -1);
	assert_int_equal(out.len, 0);
	assert_int_equal(span_string(SPAN("\"abc\""), &out), 0);
	assert_int_equal(span_string(SPAN("\"d\""), &out), -1);
	assert_true(out.overflow);
	buf_fini(&out);
}

static void compares_strings_unescaped(void **state)
{
	(void)state;
	assert_true(span_string_is(SPAN("\"abc\""), "abc"));
	assert_true(span_string_is(SPAN("\"\\u0061b\\u0063\""), "abc"));
	assert_true(span_string_is(SPAN(" \"\" "), ""));
	assert_true(span_string_is(SPAN("\"\\ud83d\\ude00\""), "\xF0\x9F\x98\x80"));
	assert_false(span_string_is(SPAN("\"abc\""), "ab"));
	assert_false(span_string_is(SPAN("\"ab\""), "abc"));
	assert_false(span_string_is(SPAN("\"abd\""), "abc"));
	assert_false(span_string_is(SPAN("abc"), "abc"));
	assert_false(span_string_is(SPAN("null"), "null"));
	assert_false(span_string_is(span_of(NULL), ""));
}

static void reads_integers_that_fit(void **state)
{
	static const struct {
		const char *text;
		int64_t number;
	} cases[] = {
		{"0",		       0	 },
		{ "-0",			0	  },
		{ " 7 ",			 7	   },
		{ "-12",			 -12	     },
		{ "9223372036854775807",	 INT64_MAX},
		{ "-9223372036854775808", INT64_MIN},
	};
	static const char *const others[] = {
		"9223372036854775808",
		"-9223372036854775809",
		"12345678901234567890",
		"1.0",
		"1e2",
		"-1.5",
		"\"1\"",
		"null",
		"true",
		"[1]",
		NULL,
	};
	int64_t number = 42;

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++) {
		assert_int_equal(span_int64(span_of(others[i]), &number), -1);
		assert_true(number == 42);
	}
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(span_int64(span_of(cases[i].text), &number), 0);
		assert_true(number == cases[i].number);
	}
}

static void only_true_is_true(void **state)
{
	(void)state;
	assert_true(span_true(SPAN(" true ")));
	assert_false(span_true(SPAN("false")));
	assert_false(span_true(SPAN("1")));
	assert_false(span_true(SPAN("\"true\"")));
	assert_false(span_true(span_of(NULL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_is_not_empty),
		cmocka_unit_test(tells_the_type),
		cmocka_unit_test(trims_white_space_only),
		cmocka_unit_test(gets_members_as_their_own_bytes),
		cmocka_unit_test(gets_nothing_from_what_is_no_object),
		cmocka_unit_test(a_name_with_nul_matches_no_c_string),
		cmocka_unit_test(iterates_in_order_with_raw_keys),
		cmocka_unit_test(iterates_over_elements_without_keys),
		cmocka_unit_test(there_is_nothing_to_iterate_in_the_rest),
		cmocka_unit_test(unescapes_strings),
		cmocka_unit_test(span_string_refuses_other_types_and_overflow),
		cmocka_unit_test(compares_strings_unescaped),
		cmocka_unit_test(reads_integers_that_fit),
		cmocka_unit_test(only_true_is_true),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
