/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct span accepted[] = {
	/* values alone, and white space */
	SPAN("null"),
	SPAN("true"),
	SPAN("false"),
	SPAN("0"),
	SPAN("\"\""),
	SPAN("[]"),
	SPAN("{}"),
	SPAN(" null "),
	SPAN("\t\r\n []\n"),
	SPAN("[ ]"),
	SPAN("{ }"),
	SPAN("{\n}"),
	SPAN(" [ 1 , 2 ] "),
	SPAN("{ \"a\" : 1 , \"b\" : 2 }"),
	/* numbers: of any size, and as they stand */
	SPAN("-0"),
	SPAN("-1"),
	SPAN("10"),
	SPAN("12345678901234567890"),
	SPAN("-12345678901234567890123456789012345678901234567890"),
	SPAN("1e400"),
	SPAN("-1E+400"),
	SPAN("1e-400"),
	SPAN("0e1"),
	SPAN("0E+1"),
	SPAN("0.0"),
	SPAN("-0.0"),
	SPAN("1.5"),
	SPAN("123.456e78"),
	SPAN("1E22"),
	SPAN("1e00"),
	SPAN("1e-00001"),
	SPAN("0.00000000000000000000000000000000000000000000000000000001"),
	SPAN("[1,-2,3.5]"),
	SPAN("[123e65]"),
	SPAN("[0e+1]"),
	SPAN("[ 4]"),
	SPAN("[-123123123123123123123123123123]"),
	/* strings */
	SPAN("\"a\""),
	SPAN("\" \""),
	SPAN("\"\x7F\""),
	SPAN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
	SPAN("\"\\u0000\""),
	SPAN("\"\\u001f\\u0020\""),
	SPAN("\"\\u00e9\\u20AC\\uFFFF\""),
	SPAN("\"\\ud83d\\ude00\""),
	SPAN("\"\\uDBFF\\uDFFF\""),
	SPAN("\"\\uD800\\uDC00\\uD800\\uDC00\""),
	SPAN("\"\\\\uD800\""),
	SPAN("\"\\\\\\\\\""),
	SPAN("\"\\u005C\""),
	SPAN("\"\\u0022\""),
	SPAN("\"\\uFEFF\""),
	SPAN("\"\\uFDD0 \\uFFFE\""),
	SPAN("\"// /* no comment */\""),
	SPAN("\"asd \""),
	SPAN("\"[{,:}]\""),
	SPAN("\"1234567\""),
	SPAN("\"12345678\""),
	SPAN("\"123456789\""),
	SPAN("\"1234567\\n\""),
	SPAN("\"1234567\\\"8\""),
	/* UTF-8: first and last of each length, beside the surrogates, non-characters */
	SPAN("\"\xC2\x80\""),
	SPAN("\"\xDF\xBF\""),
	SPAN("\"\xE0\xA0\x80\""),
	SPAN("\"\xEC\xBF\xBF\""),
	SPAN("\"\xED\x9F\xBF\""),
	SPAN("\"\xEE\x80\x80\""),
	SPAN("\"\xEF\xBF\xBF\""),
	SPAN("\"\xEF\xBB\xBF\""),
	SPAN("\"\xF0\x90\x80\x80\""),
	SPAN("\"\xF3\xBF\xBF\xBF\""),
	SPAN("\"\xF4\x8F\xBF\xBF\""),
	SPAN("\"\xE2\x80\xA8\xE2\x80\xA9\""),
	SPAN("\"abcdefg\xC3\xA9hijklmnop\xF0\x9F\x98\x80qrstuvwxyz\""),
	/* containers */
	SPAN("[[]]"),
	SPAN("[[],[]]"),
	SPAN("[{},{}]"),
	SPAN("[null,1,\"1\",{}]"),
	SPAN("[1,null,null,null,2]"),
	SPAN("{\"\":0}"),
	SPAN("{\"a\":[]}"),
	SPAN("{\"a\":{\"a\":{\"a\":0}}}"),
	SPAN("{\"a\":1,\"A\":1}"),
	SPAN("[{\"a\":1},{\"a\":1}]"),
	SPAN("{\"x\":{\"a\":1},\"y\":{\"a\":1},\"a\":1}"),
	SPAN("{\"a\":1,\"\\u0061\\u0000\":1}"),
	SPAN("{\"\\u0000\":1,\"\":2}"),
	SPAN("{\"\\u0000a\":1,\"\\u0000b\":2}"),
	SPAN("{\"\\u00e9\":1,\"e\xCC\x81\":2}"),
	SPAN("{\"\\\\u0061\":1,\"a\":2}"),
	SPAN("{\"__proto__\":1,\"constructor\":2,\"toString\":3}"),
};

static const struct span refused[] = {
	/* no value, more than one value */
	{NULL, 0},
	SPAN(""),
	SPAN(" "),
	SPAN("\n\n"),
	SPAN("1 2"),
	SPAN("[][]"),
	SPAN("{}{}"),
	SPAN("null null"),
	SPAN("[1]x"),
	SPAN("1]"),
	SPAN("{}}"),
	SPAN("[]#"),
	SPAN("\"a\" \"b\""),
	SPAN("\"\"\""),
 /* what is no white space */
	SPAN("\xEF\xBB\xBF{}"),
	SPAN("\xFF\xFE[\0]\0"),
	SPAN("\0"),
	SPAN("{}\0"),
	SPAN("[\0]"),
	SPAN("[1\0]"),
	SPAN("[\f]"),
	SPAN("[\v1]"),
	SPAN("[\xC2\xA0]"),
	SPAN("[\xE2\x81\xA0]"),
	SPAN("/* c */ 1"),
	SPAN("1 // c"),
	SPAN("{\"a\":1/**/}"),
 /* literals */
	SPAN("nul"),
	SPAN("nulls"),
	SPAN("tru"),
	SPAN("truf"),
	SPAN("True"),
	SPAN("FALSE"),
	SPAN("fals"),
	SPAN("undefined"),
	SPAN("NaN"),
	SPAN("Infinity"),
	SPAN("-Infinity"),
	SPAN("[nul]"),
	SPAN("[true false]"),
	SPAN("*"),
	SPAN("a"),
	SPAN("'a'"),
 /* numbers */
	SPAN("-"),
	SPAN("+1"),
	SPAN("01"),
	SPAN("-01"),
	SPAN("00"),
	SPAN("-00"),
	SPAN(".5"),
	SPAN("-.5"),
	SPAN("1."),
	SPAN("1.e1"),
	SPAN("1.5."),
	SPAN("1e"),
	SPAN("1e+"),
	SPAN("1e1.5"),
	SPAN("1E-"),
	SPAN("1eE2"),
	SPAN("0x10"),
	SPAN("1_000"),
	SPAN("1,000"),
	SPAN("--1"),
	SPAN("- 1"),
	SPAN("1 e1"),
	SPAN("[1+2]"),
	SPAN("[-]"),
	SPAN("[1.]"),
	SPAN("[0e]"),
	SPAN("[\xEF\xBC\x91]"),
	SPAN("1n"),
 /* strings */
	SPAN("\""),
	SPAN("\"a"),
	SPAN("\"\\\""),
	SPAN("\"\\"),
	SPAN("\"12345678"),
	SPAN("\"\\x\""),
	SPAN("\"\\a\""),
	SPAN("\"\\'\""),
	SPAN("\"\\0\""),
	SPAN("\"\\U0041\""),
	SPAN("\"\\\n\""),
	SPAN("\"\\\xC3\xA9\""),
	SPAN("\"\\u\""),
	SPAN("\"\\u0\""),
	SPAN("\"\\u004\""),
	SPAN("\"\\u004g\""),
	SPAN("\"\\u 041\""),
	SPAN("\"\\u+041\""),
	SPAN("\"\\u-041\""),
	SPAN("\"\\u0041"),
	SPAN("\"\\u004"),
	SPAN("\"a\nb\""),
	SPAN("\"a\tb\""),
	SPAN("\"a\0b\""),
	SPAN("\"\x1F\""),
	SPAN("\"1234567\x01"
	     "8\""),
 /* lone surrogate escapes */
	SPAN("\"\\uD800\""),
	SPAN("\"\\uDBFF\""),
	SPAN("\"\\uDC00\""),
	SPAN("\"\\uDFFF\""),
	SPAN("\"\\uD800a\""),
	SPAN("\"\\uD800\\n\""),
	SPAN("\"\\uD800\\u0041\""),
	SPAN("\"\\uD800\\uD800\""),
	SPAN("\"\\uDC00\\uD800\""),
	SPAN("\"\\uD800\\\\uDC00\""),
	SPAN("\"\\uD800\\uD800\\uDC00\""),
	SPAN("\"\\uD800\\uDC0\""),
	SPAN("\"\\uD800\\u\""),
	SPAN("\"\\uD800\\uDC0"),
	SPAN("{\"\\uD800\":1}"),
 /* UTF-8: stray, cut off, overlong, surrogates, too high */
	SPAN("\"\x80\""),
	SPAN("\"\xBF\""),
	SPAN("\"\xC0\x80\""),
	SPAN("\"\xC0\xAF\""),
	SPAN("\"\xC1\xBF\""),
	SPAN("\"\xC2\""),
	SPAN("\"\xC2"),
	SPAN("\"\xC2\x41\""),
	SPAN("\"\xC2\xC0\""),
	SPAN("\"\xE0\x80\xAF\""),
	SPAN("\"\xE0\x9F\xBF\""),
	SPAN("\"\xE2\x82\""),
	SPAN("\"\xE2\x82"),
	SPAN("\"\xE2\x28\xA1\""),
	SPAN("\"\xED\xA0\x80\""),
	SPAN("\"\xED\xBF\xBF\""),
	SPAN("\"\xED\xA0\x80\xED\xB0\x80\""),
	SPAN("\"\xF0\x80\x80\xAF\""),
	SPAN("\"\xF0\x8F\xBF\xBF\""),
	SPAN("\"\xF0\x9F\x98\""),
	SPAN("\"\xF4\x90\x80\x80\""),
	SPAN("\"\xF5\x80\x80\x80\""),
	SPAN("\"\xF8\x88\x80\x80\x80\""),
	SPAN("\"\xFC\x84\x80\x80\x80\x80\""),
	SPAN("\"\xFE\""),
	SPAN("\"\xFF\""),
	SPAN("\"abcdefgh\xE9ijklmnop\""),
	SPAN("{\"\xFF\":1}"),
 /* containers */
	SPAN("["),
	SPAN("]"),
	SPAN("{"),
	SPAN("}"),
	SPAN("[1"),
	SPAN("[1,"),
	SPAN("[,"),
	SPAN("[,]"),
	SPAN("[,1]"),
	SPAN("[1,]"),
	SPAN("[1,,2]"),
	SPAN("[1 2]"),
	SPAN("[1:2]"),
	SPAN("[1}"),
	SPAN("[\"a\":1]"),
	SPAN("[[]"),
	SPAN("[{]}"),
	SPAN("[...]"),
	SPAN("{,}"),
	SPAN("{]"),
	SPAN("{1:1}"),
	SPAN("{a:1}"),
	SPAN("{'a':1}"),
	SPAN("{null:1}"),
	SPAN("{[]:1}"),
	SPAN("{\"a\"}"),
	SPAN("{\"a\":}"),
	SPAN("{\"a\" 1}"),
	SPAN("{\"a\"::1}"),
	SPAN("{\"a\",1}"),
	SPAN("{\"a\"=1}"),
	SPAN("{\"a\";1}"),
	SPAN("{\"a\":1"),
	SPAN("{\"a\":1,"),
	SPAN("{\"a\":1,}"),
	SPAN("{\"a\":1,,\"b\":2}"),
	SPAN("{\"a\":1 \"b\":2}"),
	SPAN("{\"a\":1]"),
	SPAN("{\"a\":1:2}"),
	SPAN("{\"a"),
	SPAN("{\"a\":\"b"),
	SPAN("{\"a\":[}"),
 /* the same name twice, however it is spelled and wherever it stands */
	SPAN("{\"a\":1,\"a\":1}"),
	SPAN("{\"a\":1,\"b\":2,\"a\":3}"),
	SPAN("{\"\":1,\"\":2}"),
	SPAN("{\"a\":1,\"\\u0061\":2}"),
	SPAN("{\"\\u0061\":1,\"a\":2}"),
	SPAN("{\"/\":1,\"\\/\":2}"),
	SPAN("{\"\\n\":1,\"\\u000A\":2}"),
	SPAN("{\"\\u000a\":1,\"\\u000A\":2}"),
	SPAN("{\"\\u0000\":1,\"\\u0000\":2}"),
	SPAN("{\"\xC3\xA9\":1,\"\\u00e9\":2}"),
	SPAN("{\"\xE2\x82\xAC\":1,\"\\u20AC\":2}"),
	SPAN("{\"\xF0\x9F\x98\x80\":1,\"\\ud83d\\uDE00\":2}"),
	SPAN("{\"abcdefghij\":1,\"abcdefgh\\u0069j\":2}"),
	SPAN("{\"method\":\"a\",\"m\\u0065th\\u006fd\":\"b\"}"),
	SPAN("[{\"a\":1},{\"b\":{\"c\":1,\"c\":2}}]"),
	SPAN("{\"a\":{\"b\":1},\"a\":{}}"),
	SPAN("{\"a\":{\"a\":{\"a\":1,\"a\":2}}}"),
	SPAN("{\"a\":[{\"b\":1,\"c\":[],\"b\":2}]}"),
};

static void accepts_what_rfc_8259_allows(void **state)
{
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(accepted); i++) {
		if (span_check(accepted[i], NULL, &err) < 0)
			fail_msg("case %zu: %s: %s", i, accepted[i].p, err.text);
	}
}

static void refuses_everything_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct err err = { .code = ERR_INTERNAL };

		if (span_check(refused[i], NULL, &err) == 0)
			fail_msg("case %zu: %s", i, refused[i].p);
		assert_int_equal(err.code, ERR_PARSE);
		assert_true(err.text[0] != '\0');
	}
}

/* Cut at any byte, a text that needs its last byte is none. */
static void refuses_every_proper_prefix(void **state)
{
	static const char text[] =
		"{\"a\":[1.5e3,\"\\ud83d\\ude00\xE2\x82\xAC\",true,null],\"b\":{}}";
	struct err err;

	(void)state;
	assert_int_equal(span_check(SPAN(text), NULL, &err), 0);
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		/* A copy of its own, so that the sanitizer sees a byte read too much. */
		char *cut = test_malloc(n + 1);

		memcpy(cut, text, n);
		assert_int_equal(span_check((struct span){ cut, n }, NULL, &err), -1);
		test_free(cut);
	}
}

/* Strings are read eight bytes at a time: no byte may hide behind another. */
static void judges_each_byte_at_each_place(void **state)
{
	struct err err;

	(void)state;
	for (unsigned int byte = 0; byte < 256; byte++) {
		bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';

		for (size_t place = 1; place <= 20; place++) {
			char text[] = "\"01234567890123456789\"";

			text[place] = (char)byte;
			assert_int_equal(span_check(span_of(text), NULL, &err), plain ? 0 : -1);
		}
	}
}

static void says_what_is_wrong_and_where(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{"",		      "no JSON: the text is empty"				   },
		{ "[1,",		 "no JSON: the text ends too early at byte 3"		      },
		{ "[1 2]",		   "no JSON: a comma or a closing bracket is missing at byte 3"},
		{ "{\"a\":1,\"a\":2}", "no JSON: duplicate member name at byte 7"		  },
		{ "[\"\\ud800\"]",	   "no JSON: half of a surrogate pair is missing at byte 8"    },
		{ "\"\xFF\"",	      "no JSON: invalid UTF-8 at byte 1"				 },
		{ "{} {}",		   "no JSON: more follows the value at byte 3"		       },
		{ "{1:2}",		   "no JSON: a member name is missing at byte 1"		 },
		{ "{\"a\"}",	     "no JSON: a colon is missing at byte 4"		     },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(span_check(span_of(cases[i].text), NULL, &err), -1);
		assert_string_equal(err.text, cases[i].says);
	}
}

/* The input may hold a token that somebody put in the wrong place. */
static void never_quotes_the_input(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(span_check(SPAN("{\"hunter2\":1,\"hunter2\":hunter2"), NULL, &err), -1);
	assert_null(strstr(err.text, "hunter2"));
}

static int check_nested(char open, char close, size_t depth, size_t max_depth)
{
	struct span_limits limits = { .max_depth = max_depth };
	struct buf text;
	struct err err;
	int ret;

	buf_init(&text, 5 * depth + 16);
	for (size_t i = 0; i < depth; i++)
		buf_add(&text, open == '[' ? "[" : i + 1 < depth ? "{\"\":" : "{");
	for (size_t i = 0; i < depth; i++)
		buf_append(&text, &close, 1);
	ret = span_check(buf_span(&text), &limits, &err);
	buf_fini(&text);
	return ret;
}

static void counts_depth(void **state)
{
	(void)state;
	assert_int_equal(check_nested('[', ']', SPAN_MAX_DEPTH, 0), 0);
	assert_int_equal(check_nested('[', ']', SPAN_MAX_DEPTH + 1, 0), -1);
	assert_int_equal(check_nested('{', '}', SPAN_MAX_DEPTH, 0), 0);
	assert_int_equal(check_nested('{', '}', SPAN_MAX_DEPTH + 1, 0), -1);
	assert_int_equal(check_nested('[', ']', 1, 1), 0);
	assert_int_equal(check_nested('[', ']', 2, 1), -1);
	/* No recursion: this many frames would not fit a stack. */
	assert_int_equal(check_nested('[', ']', 3000000, 3000000), -1);
	assert_int_equal(check_nested('[', ']', 900000, 900000), 0);
	assert_int_equal(check_nested('{', '}', 900000, 900000), 0);
	assert_int_equal(check_nested('[', ']', 900001, 900000), -1);
}

static void counts_values(void **state)
{
	static const struct {
		const char *text;
		size_t nodes;
	} cases[] = {
		{"1",			   1},
		{ "[]",			 1},
		{ "[1,2]",			   3},
		{ "{\"a\":1}",		       2},
		{ "{\"a\":[{},{\"b\":\"c\"}]}", 5},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span_limits limits = { .max_nodes = cases[i].nodes };

		assert_int_equal(span_check(span_of(cases[i].text), &limits, &err), 0);
		if (cases[i].nodes == 1)
			continue;
		limits.max_nodes--;
		assert_int_equal(span_check(span_of(cases[i].text), &limits, &err), -1);
		assert_non_null(strstr(err.text, "too many values"));
	}
}

static void has_a_ceiling_for_values_of_its_own(void **state)
{
	struct buf text;
	struct err err;

	(void)state;
	buf_init(&text, 4 * SPAN_MAX_NODES);
	buf_add(&text, "[0");
	for (size_t i = 0; i < SPAN_MAX_NODES - 2; i++)
		buf_add(&text, ",0");
	buf_add(&text, "]");
	assert_int_equal(span_check(buf_span(&text), NULL, &err), 0);
	text.data[text.len - 1] = ',';
	buf_add(&text, "0]");
	assert_int_equal(span_check(buf_span(&text), NULL, &err), -1);
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_what_rfc_8259_allows),
		cmocka_unit_test(refuses_everything_else),
		cmocka_unit_test(refuses_every_proper_prefix),
		cmocka_unit_test(judges_each_byte_at_each_place),
		cmocka_unit_test(says_what_is_wrong_and_where),
		cmocka_unit_test(never_quotes_the_input),
		cmocka_unit_test(counts_depth),
		cmocka_unit_test(counts_values),
		cmocka_unit_test(has_a_ceiling_for_values_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
