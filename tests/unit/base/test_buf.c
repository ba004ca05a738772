/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void holds_what_was_added(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100);
	assert_null(buf.data);
	assert_string_equal(buf_str(&buf), "");
	assert_int_equal(buf_append(&buf, NULL, 0), 0);
	assert_null(buf.data);
	assert_int_equal(buf_append(&buf, "a\0b", 3), 0);
	assert_int_equal(buf_add(&buf, "c"), 0);
	assert_int_equal(buf_add_span(&buf, SPAN("de")), 0);
	assert_int_equal(buf_add_span(&buf, span_of(NULL)), 0);
	assert_int_equal(buf_printf(&buf, "%d%s", 7, ""), 0);
	assert_int_equal(buf_printf(&buf, "%s", ""), 0);
	assert_int_equal(buf.len, 7);
	assert_memory_equal(buf.data, "a\0bcde7", 8);
	assert_true(span_eq(buf_span(&buf), SPAN("a\0bcde7")));
	buf_fini(&buf);
	assert_null(buf.data);
}

static void grows_without_losing_bytes(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf_append(&buf, &"0123456789"[i % 10], 1), 0);
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(buf.data[i], '0' + (int)(i % 10));
	assert_int_equal(buf.data[100000], '\0');
	assert_int_equal(buf_append(&buf, "x", 1), -1);
	buf_fini(&buf);
}

static void keeps_what_fit_and_refuses_everything_after_it(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 4);
	assert_int_equal(buf_add(&buf, "abc"), 0);
	assert_int_equal(buf_add(&buf, "de"), -1);
	assert_true(buf.overflow);
	assert_string_equal(buf_str(&buf), "abc");
	assert_int_equal(buf_add(&buf, "d"), -1);
	assert_int_equal(buf_append(&buf, "", 0), -1);
	assert_int_equal(buf_printf(&buf, "d"), -1);
	assert_int_equal(buf_add_json_string(&buf, "", 0), -1);
	assert_string_equal(buf_str(&buf), "abc");
	buf_clear(&buf);
	assert_false(buf.overflow);
	assert_int_equal(buf_add(&buf, "abcd"), 0);
	assert_int_equal(buf_printf(&buf, "%c", 'e'), -1);
	assert_string_equal(buf_str(&buf), "abcd");
	buf_fini(&buf);
}

static void clear_keeps_the_memory(void **state)
{
	struct buf buf;
	const char *was;

	(void)state;
	buf_init(&buf, 100);
	buf_add(&buf, "abc");
	was = buf.data;
	buf_clear(&buf);
	assert_int_equal(buf.len, 0);
	assert_string_equal(buf_str(&buf), "");
	buf_add(&buf, "z");
	assert_ptr_equal(buf.data, was);
	buf_fini(&buf);
}

static void reserved_room_does_not_move(void **state)
{
	struct buf buf;
	const char *was;

	(void)state;
	buf_init(&buf, 3000);
	assert_int_equal(buf_reserve(&buf, 3000), 0);
	was = buf.data;
	for (int i = 0; i < 3000; i++)
		buf_add(&buf, "x");
	assert_ptr_equal(buf.data, was);
	assert_int_equal(buf_reserve(&buf, 1), -1);
	assert_true(buf.overflow);
	buf_fini(&buf);
}

static void consume_drops_the_front(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100);
	buf_consume(&buf, 0);
	buf_add(&buf, "abcdef");
	buf_consume(&buf, 2);
	assert_string_equal(buf_str(&buf), "cdef");
	buf_consume(&buf, 4);
	assert_string_equal(buf_str(&buf), "");
	assert_int_equal(buf.len, 0);
	buf_fini(&buf);
}

static void take_gives_the_bytes_away(void **state)
{
	struct buf buf;
	size_t n = 99;
	char *bytes;

	(void)state;
	buf_init(&buf, 3);
	bytes = buf_take(&buf, &n);
	assert_string_equal(bytes, "");
	assert_int_equal(n, 0);
	free(bytes);
	buf_add(&buf, "abc");
	buf_add(&buf, "d");
	bytes = buf_take(&buf, NULL);
	assert_string_equal(bytes, "abc");
	free(bytes);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buf_add(&buf, "xyz"), 0);
	buf_fini(&buf);
}

static void wipe_leaves_it_usable(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 10);
	buf_wipe(&buf);
	buf_add(&buf, "secret");
	buf_consume(&buf, 6);
	buf_wipe(&buf);
	assert_null(buf.data);
	assert_int_equal(buf_add(&buf, "again"), 0);
	buf_fini(&buf);
}

static void writes_json_strings(void **state)
{
	static const struct {
		struct span bytes;
		const char *want;
	} cases[] = {
		{SPAN(""),			      "\"\""				    },
		{ SPAN("plain text / \x27"),	     "\"plain text / \x27\""		     },
		{ SPAN("a\"b\\c"),			   "\"a\\\"b\\\\c\""			     },
		{ SPAN("\b\f\n\r\t"),		      "\"\\b\\f\\n\\r\\t\""			    },
		{ SPAN("\0\x01\x1F"),		      "\"\\u0000\\u0001\\u001f\""		  },
		{ SPAN("\x7F\xC2\x80\xC2\x9F\xC2\xA0"), "\"\\u007f\\u0080\\u009f\xC2\xA0\""	    },
		{ SPAN("\xE2\x82\xAC\xF0\x9F\x98\x80"), "\"\xE2\x82\xAC\xF0\x9F\x98\x80\""	   },
		{ SPAN("a\xFFz"),			  "\"a\xEF\xBF\xBDz\""		       },
		{ SPAN("\xED\xA0\x80"),			"\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
		{ SPAN("\xC3"),				"\"\xEF\xBF\xBD\""			   },
		{ SPAN("\xC3\"\xC3"),		      "\"\xEF\xBF\xBD\\\"\xEF\xBF\xBD\""	 },
		{ SPAN("\xC0\x80"),			    "\"\xEF\xBF\xBD\xEF\xBF\xBD\""		   },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf buf;
		struct err err;

		buf_init(&buf, 100);
		assert_int_equal(buf_add_json_string(&buf, cases[i].bytes.p, cases[i].bytes.n), 0);
		assert_string_equal(buf_str(&buf), cases[i].want);
		assert_int_equal(span_check(buf_span(&buf), NULL, &err), 0);
		buf_fini(&buf);
	}
}

static void a_json_string_is_written_whole_or_not_at_all(void **state)
{
	(void)state;
	for (size_t max = 1; max < 16; max++) {
		struct buf buf;
		int ret;

		buf_init(&buf, max);
		buf_add(&buf, ":");
		ret = buf_add_json_string(&buf,
					  "ab\n\x01"
					  "c\xFF",
					  6);
		assert_int_equal(ret, max < 17 ? -1 : 0);
		assert_string_equal(buf_str(&buf), ":");
		buf_fini(&buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_what_was_added),
		cmocka_unit_test(grows_without_losing_bytes),
		cmocka_unit_test(keeps_what_fit_and_refuses_everything_after_it),
		cmocka_unit_test(clear_keeps_the_memory),
		cmocka_unit_test(reserved_room_does_not_move),
		cmocka_unit_test(consume_drops_the_front),
		cmocka_unit_test(take_gives_the_bytes_away),
		cmocka_unit_test(wipe_leaves_it_usable),
		cmocka_unit_test(writes_json_strings),
		cmocka_unit_test(a_json_string_is_written_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
