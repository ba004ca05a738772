/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void stars_match_any_run(void **state)
{
	static const struct {
		const char *pattern;
		const char *text;
		bool match;
	} cases[] = {
		{"",	      "",		  true },
		{ "",	      "a",	   false},
		{ "*",      "",		   true },
		{ "*",      "anything",	   true },
		{ "**",	"x",	     true },
		{ "get_*",  "get_user",    true },
		{ "get_*",  "get_",	   true },
		{ "get_*",  "forget_user", false},
		{ "*_user", "get_user",	true },
		{ "*_user", "get_users",	 false},
		{ "a*b*c",  "a123b456c",	true },
		{ "a*b*c",  "abbcbc",	     true },
		{ "a*b*c",  "acb",	  false},
		{ "*a*",	 "bbb",		false},
		{ "[ab]",	  "a",	       false},
		{ "[ab]",	  "[ab]",	  true },
		{ "?",      "a",	    false},
		{ "\\*",	 "*",	      false},
		{ "\\*",	 "\\anything",  true },
		{ "A",      "a",	    false},
		{ "abc",	 "ab",	       false},
		{ "ab",	"abc",	       false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(glob_match(cases[i].pattern, cases[i].text), cases[i].match);
}

/* Trying every split would take longer than the universe has. */
static void many_stars_stay_cheap(void **state)
{
	char text[5001];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

static void reads_whole_numbers_in_range(void **state)
{
	static const char *const others[] = { "",
					      " 1",
					      "1 ",
					      "+1",
					      "-1",
					      "1.0",
					      "0x1",
					      "1e1",
					      "4",
					      "21",
					      "1000",
					      "a",
					      "18446744073709551616" };
	struct err err;
	uint64_t value = 42;

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++) {
		assert_int_equal(text_uint(others[i], 5, 20, &value, &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_int_equal(value, 42);
	}
	assert_string_equal(err.text, "must be a whole number from 5 to 20");
	assert_int_equal(text_uint("5", 5, 20, &value, &err), 0);
	assert_int_equal(value, 5);
	assert_int_equal(text_uint("020", 5, 20, &value, &err), 0);
	assert_int_equal(value, 20);
	assert_int_equal(text_uint("18446744073709551615", 0, UINT64_MAX, &value, &err), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(text_uint("18446744073709551616", 0, UINT64_MAX, &value, &err), -1);
}

static void reads_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"0",		       0	 },
		    { "10",		    10000	  },
		{ "0.5",			 500	     },
		    { "1.250",		       1250	    },
		{ "250ms",		   250      },
		    { "10s",		     10000	   },
		{ "1.5s",		  1500     },
		    { "5m",		    300000   },
		{ "0.1m",		  6000     },
		    { "2h",		    7200000  },
		{ "1d",			86400000 },
		    { "0s",		    0	      },
		{ "1.0000",		    1000	 },
		    { "9223372036854775807ms", INT64_MAX},
	};
	static const char *const others[] = {
		"",
		"s",
		"ms",
		".5",
		"5.",
		"1.s",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1 s",
		"1S",
		"1sec",
		"1w",
		"1m30s",
		"0.5ms",
		"0.0001",
		"1.0000000001",
		"1e3",
		"0x10",
		"9223372036854775808ms",
		"9223372036854775807s",
		"99999999999999999999",
	};
	struct err err;
	int64_t ms = 42;

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++) {
		assert_int_equal(text_duration_ms(others[i], &ms, &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_int_equal(ms, 42);
	}
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(text_duration_ms(cases[i].text, &ms, &err), 0);
		assert_true(ms == cases[i].ms);
	}
}

static void writes_times(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{0,			  "1970-01-01T00:00:00.000000Z"},
		{ INT64_C(1795177860000001), "2026-11-20T12:31:00.000001Z"},
		{ -1,			"1969-12-31T23:59:59.999999Z"},
		{ INT64_C(951782400000000),  "2000-02-29T00:00:00.000000Z"},
		{ INT64_MAX,		     "9999-12-31T23:59:59.999999Z"},
		{ INT64_MIN,		     "0000-01-01T00:00:00.000000Z"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char out[TEXT_TIME_BYTES];

		text_time(cases[i].us, out);
		assert_string_equal(out, cases[i].text);
	}
}

static void reads_times_with_their_zone(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{"1970-01-01T00:00:00Z",		  0			    },
		{ "2026-11-20T12:31:00.000001Z",	 INT64_C(1795177860000001)},
		{ "2026-11-20t12:31:00z",		  INT64_C(1795177860000000)},
		{ "2026-11-20T14:01:00+01:30",       INT64_C(1795177860000000)},
		{ "2026-11-20T02:31:00-10:00",       INT64_C(1795177860000000)},
		{ "2026-11-20T12:31:00.5-00:00",	 INT64_C(1795177860500000)},
		{ "2026-11-20T12:31:00.1234569999Z", INT64_C(1795177860123456)},
		{ "2000-02-29T00:00:00Z",		  INT64_C(951782400000000) },
		{ "1990-12-31T23:59:60Z",		  INT64_C(662688000000000) },
		{ "1969-12-31T23:59:59.999999Z",	 -1			    },
	};
	static const char *const others[] = {
		"",
		"2026-11-20",
		"2026-11-20T12:31:00",
		"2026-11-20 12:31:00Z",
		"2026-11-20T12:31Z",
		"2026-11-20T12:31:00.Z",
		"2026-11-20T12:31:00,5Z",
		"2026-11-20T12:31:00Zx",
		"2026-11-20T12:31:00+01",
		"2026-11-20T12:31:00+0100",
		"2026-11-20T12:31:00+24:00",
		"2026-11-20T12:31:00+01:60",
		"2026-11-20T24:00:00Z",
		"2026-11-20T12:60:00Z",
		"2026-11-20T12:31:61Z",
		"2026-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-02-30T00:00:00Z",
		"2026-04-31T12:00:00Z",
		"2026-00-10T00:00:00Z",
		"2026-13-10T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-01-32T00:00:00Z",
		"26-11-20T12:31:00Z",
		"2026-1-20T12:31:00Z",
		"+2026-11-20T12:31:00Z",
		" 2026-11-20T12:31:00Z",
	};
	struct err err;
	int64_t us = 42;

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++) {
		if (text_parse_time(others[i], &us, &err) == 0)
			fail_msg("%s", others[i]);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_int_equal(us, 42);
	}
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(text_parse_time(cases[i].text, &us, &err), 0);
		assert_true(us == cases[i].us);
	}
}

static void time_survives_the_way_there_and_back(void **state)
{
	struct err err;

	(void)state;
	for (int64_t us = INT64_C(-62167219200000000); us < INT64_C(253402300800000000);
	     us += INT64_C(8640000123457)) {
		char out[TEXT_TIME_BYTES];
		int64_t back;

		text_time(us, out);
		assert_int_equal(text_parse_time(out, &back, &err), 0);
		assert_true(back == us);
	}
}

static void tokens_are_those_of_http(void **state)
{
	(void)state;
	assert_true(text_is_token("Content-Type"));
	assert_true(text_is_token("!#$%&'*+-.^_`|~09azAZ"));
	assert_false(text_is_token(""));
	assert_false(text_is_token("a b"));
	assert_false(text_is_token("a:b"));
	assert_false(text_is_token("a\r\nb"));
	assert_false(text_is_token("\xC3\xA9"));
	assert_false(text_is_token("(a)"));
}

static void knows_utf8(void **state)
{
	static const struct {
		struct span bytes;
		bool valid;
	} cases[] = {
		{SPAN(""),					  true },
		{ SPAN("a\0b"),				     true },
		{ SPAN("0123456789abcdef\xC3\xA9"),		    true },
		{ SPAN("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"), true },
		{ SPAN("01234567\xC3"),				false},
		{ SPAN("\xC0\x80"),				    false},
		{ SPAN("\xE0\x9F\xBF"),				false},
		{ SPAN("\xED\xA0\x80"),				false},
		{ SPAN("\xF0\x8F\xBF\xBF"),			    false},
		{ SPAN("\xF4\x90\x80\x80"),			    false},
		{ SPAN("\xF8\x88\x80\x80\x80"),			false},
		{ SPAN("0123456789\x80"),				  false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(text_is_utf8(cases[i].bytes.p, cases[i].bytes.n), cases[i].valid);
}

static void ignores_case_in_ascii_only(void **state)
{
	(void)state;
	assert_true(text_equal_nocase("Content-TYPE", "content-type"));
	assert_true(text_equal_nocase("", ""));
	assert_false(text_equal_nocase("a", "ab"));
	assert_false(text_equal_nocase("ab", "a"));
	assert_false(text_equal_nocase("[", "{"));
	assert_false(text_equal_nocase("@", "`"));
	assert_false(text_equal_nocase("\xC3\x89", "\xC3\xA9"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stars_match_any_run),
		cmocka_unit_test(many_stars_stay_cheap),
		cmocka_unit_test(reads_whole_numbers_in_range),
		cmocka_unit_test(reads_durations),
		cmocka_unit_test(writes_times),
		cmocka_unit_test(reads_times_with_their_zone),
		cmocka_unit_test(time_survives_the_way_there_and_back),
		cmocka_unit_test(tokens_are_those_of_http),
		cmocka_unit_test(knows_utf8),
		cmocka_unit_test(ignores_case_in_ascii_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
