/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trace_context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/crypto.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ID	     "0af7651916cd43dd8448eb211c80319c"
#define SPAN_HEX     "b7ad6b7169203331"
#define GOOD	     "00-" ID "-" SPAN_HEX "-01"

/* The cases of the W3C's trace-context test suite, test/test.py, TraceContextTest. */
static const struct {
	const char *text;
	int flags; /* -1: it is none */
} traceparents[] = {
	{GOOD,						   1 },
	{ "00-" ID "-" SPAN_HEX "-00",			       0 },
	{ "00-" ID "-" SPAN_HEX "-03",			       3 },
	{ "00-" ID "-" SPAN_HEX "-ff",			       3 },
	{ "00-" ID "-" SPAN_HEX "-fc",			       0 },
 /* versions */
	{ "cc-" ID "-" SPAN_HEX "-01",			       1 },
	{ "cc-" ID "-" SPAN_HEX "-01-what-the-future-will-be",   1 },
	{ "cc-" ID "-" SPAN_HEX "-01.what-the-future-will-be",   -1},
	{ "00-" ID "-" SPAN_HEX "-01-what-the-future-will-be",   -1},
	{ "00-" ID "-" SPAN_HEX "-01-",				-1},
	{ "ff-" ID "-" SPAN_HEX "-01",			       -1},
	{ ".0-" ID "-" SPAN_HEX "-01",			       -1},
	{ "0.-" ID "-" SPAN_HEX "-01",			       -1},
	{ "000-" ID "-" SPAN_HEX "-01",				-1},
	{ "0-" ID "-" SPAN_HEX "-01",			      -1},
 /* trace ids */
	{ "00-00000000000000000000000000000000-" SPAN_HEX "-01", -1},
	{ "00-.af7651916cd43dd8448eb211c80319c-" SPAN_HEX "-01", -1},
	{ "00-" ID "0-" SPAN_HEX "-01",				-1},
	{ "00-0af7651916cd43dd8448eb211c80319-" SPAN_HEX "-01",	-1},
	{ "00-0AF7651916CD43DD8448EB211C80319C-" SPAN_HEX "-01", -1},
 /* parent ids */
	{ "00-" ID "-0000000000000000-01",			   -1},
	{ "00-" ID "-.7ad6b7169203331-01",			   -1},
	{ "00-" ID "-" SPAN_HEX "0-01",				-1},
	{ "00-" ID "-b7ad6b716920333-01",			  -1},
	{ "00-" ID "-B7AD6B7169203331-01",			   -1},
 /* flags */
	{ "00-" ID "-" SPAN_HEX "-.0",			       -1},
	{ "00-" ID "-" SPAN_HEX "-0.",			       -1},
	{ "00-" ID "-" SPAN_HEX "-001",				-1},
	{ "00-" ID "-" SPAN_HEX "-1",			      -1},
	{ "00-" ID "-" SPAN_HEX "-",			     -1},
	{ "00-" ID "-" SPAN_HEX,				 -1},
	{ "00-" ID "-" SPAN_HEX "-0A",			       -1},
 /* how it is carried: white space, twice, nothing */
	{ " " GOOD,					      -1},
	{ GOOD " ",					      -1},
	{ GOOD "\t",					     -1},
	{ GOOD ", " GOOD,					-1},
	{ "00_" ID "-" SPAN_HEX "-01",			       -1},
	{ "",						    -1},
	{ NULL,						  -1},
};

static void traceparents_are_read_as_the_w3c_wants_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(traceparents); i++) {
		struct trace_context context;
		char hex[2 * TRACE_ID_BYTES + 1];
		struct trace_context before;
		bool read;

		memset(&context, 0xa5, sizeof(context));
		before = context;
		read = traceparent_parse(span_of(traceparents[i].text), &context);
		if (read != (traceparents[i].flags >= 0))
			fail_msg("%s", traceparents[i].text);
		if (!read) {
			assert_memory_equal(&context, &before, sizeof(context));
			continue;
		}
		assert_int_equal(context.flags, traceparents[i].flags);
		hex_encode(context.trace_id, TRACE_ID_BYTES, hex);
		assert_string_equal(hex, ID);
		hex_encode(context.span_id, SPAN_ID_BYTES, hex);
		assert_string_equal(hex, SPAN_HEX);
	}
}

static void what_is_written_is_read_again(void **state)
{
	struct trace_context context;
	char text[TRACEPARENT_BYTES];

	(void)state;
	assert_true(traceparent_parse(span_of("fe-" ID "-" SPAN_HEX "-ff-later"), &context));
	traceparent_write(&context, text);
	assert_string_equal(text, "00-" ID "-" SPAN_HEX "-03");
}

static char *repeated(char c, size_t n, const char *before, const char *after)
{
	char *middle = mem_new(n + 1);
	char *text;

	memset(middle, c, n);
	text = mem_printf("%s%s%s", before, middle, after);
	free(middle);
	return text;
}

/* expected NULL: nothing is kept. */
static void assert_state(const char *text, const char *expected)
{
	struct arena *arena = arena_new();
	const char *read = tracestate_read(span_of(text), arena);

	if ((read == NULL) != (expected == NULL) || (read != NULL && strcmp(read, expected) != 0))
		fail_msg("%s: %s", text, read != NULL ? read : "(none)");
	arena_free(&arena);
}

/* The same suite, test_tracestate_*. */
static void tracestates_are_read_as_the_w3c_wants_it(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{"foo=1",									 "foo=1"		   },
		{ "foo=1,bar=2",								  "foo=1,bar=2"      },
		{ "foo=1, \t bar=2 ,baz=3\t",						     "foo=1,bar=2,baz=3"},
		{ "foo=1,",								       "foo=1"	    },
		{ ",foo=1,,bar=2,",							       "foo=1,bar=2"	  },
		{ "foo=1 \t , \t bar=2",							  "foo=1,bar=2"      },
		{ "foo= 1",								       "foo= 1"	     },
		{ "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		  "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"							    },
		{ "abcdefghijklmnopqrstuvwxyz0123456789_-*/=\" !\"#$%&'()*+-./:;<>?@[\\]^_`{|}~",
		  "abcdefghijklmnopqrstuvwxyz0123456789_-*/=\" !\"#$%&'()*+-./:;<>?@[\\]^_`{|}~"			 },
		{ "0tenant@a-z_0*/=1",							    "0tenant@a-z_0*/=1"},
		{ "",									     NULL		   },
		{ ",,",									   NULL		     },
		{ " \t ",									 NULL	       },
		{ "foo",									  NULL		      },
		{ "foo=",									 NULL	       },
		{ "=1",									   NULL		     },
		{ "foo=1,foo=1",								  NULL		      },
		{ "foo=1,foo=2",								  NULL		      },
		{ "foo =1",								       NULL		 },
		{ "FOO=1",									NULL		},
		{ "foo.bar=1",								    NULL		    },
		{ "foo@=1,bar=2",								 NULL	       },
		{ "@foo=1,bar=2",								 NULL	       },
		{ "foo@@bar=1,bar=2",							     NULL		   },
		{ "foo@bar@baz=1,bar=2",							  NULL		      },
		{ "foo=1=2",								      NULL		  },
		{ "foo=\x01",								     NULL		   },
		{ "foo=\xc3\xa4",								 NULL	       },
		{ "foo=1\n",								      NULL		  },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_state(rows[i].text, rows[i].expected);
	assert_state(NULL, NULL);
}

static void assert_limit(char c, size_t n, const char *before, const char *after, bool fits)
{
	char *text = repeated(c, n, before, after);

	assert_state(text, fits ? text : NULL);
	free(text);
}

static void keys_and_values_have_their_limits(void **state)
{
	(void)state;
	assert_limit('z', 256, "", "=1", true);
	assert_limit('z', 257, "", "=1", false);
	assert_limit('t', 241, "", "@v=1", true);
	assert_limit('t', 242, "", "@v=1", false);
	assert_limit('v', 14, "t@", "=1", true);
	assert_limit('v', 15, "t@", "=1", false);
	assert_limit('z', 256, "a=", "", true);
	assert_limit('z', 257, "a=", "", false);
}

static char *members(size_t n, const char *format)
{
	struct buf text;

	buf_init(&text, 65536);
	for (size_t i = 0; i < n; i++) {
		buf_add(&text, i > 0 ? "," : "");
		buf_printf(&text, "%c%02zu=%s", 'a' + (int)(i % 26), i, format);
	}
	return buf_take(&text, NULL);
}

static void a_list_has_thirty_two_members(void **state)
{
	char *most = members(32, "1");
	char *more = members(33, "1");

	(void)state;
	assert_state(most, most);
	assert_state(more, NULL);
	free(most);
	free(more);
}

/* Section 3.3.1.5: at least 512 bytes are passed on; long members go first. */
static void a_list_that_is_too_long_is_shortened(void **state)
{
	char *big = repeated('x', 130, "big=", "");
	char *most = members(32, "12345678901");
	char *some = members(23, "12345678901234567");
	char *text;

	(void)state;
	assert_int_equal(strlen(most), 32 * 15 + 31);
	assert_state(most, most);
	text = mem_printf("%s,%s", big, most);
	assert_state(text, NULL); /* 33 members */
	free(text);
	text = mem_printf("%s,%s", big, some);
	assert_int_equal(strlen(some), 23 * 21 + 22);
	assert_state(text, some);
	free(text);
	free(most);
	most = members(28, "12345678901234567"); /* 615 bytes, none of them long */
	text = members(23, "12345678901234567"); /* 505 */
	assert_state(most, text);
	free(big);
	free(some);
	free(most);
	free(text);
}

static void assert_baggage(const char *text, bool good)
{
	struct arena *arena = arena_new();
	const char *read = baggage_read(span_of(text), arena);

	if ((read != NULL) != good)
		fail_msg("%s", text);
	arena_free(&arena);
}

static void baggage_is_passed_on_whole_or_not_at_all(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"key1=value1,key2=value2",				     true },
		{ "key1=value1;property1;property2, key2 = value2, key3=value3; "
		  "propertyKey=propertyValue",		  true },
		{ "userId=Am%C3%A9lie,serverNode=DF%2028,isProduction=false", true },
		{ "k=",						       true },
		{ "k=a=b",						    true },
		{ "k=v ; p = q ",					     true },
		{ "",							 false},
		{ " ",							false},
		{ "k",							false},
		{ "=v",						       false},
		{ "k=v,",						     false},
		{ "k=v,,l=w",						 false},
		{ "k k=v",						    false},
		{ "k=v v",						    false},
		{ "k=\"v\"",						  false},
		{ "k=v\\w",						   false},
		{ "k=v;",						     false},
		{ "k=v;=w",						   false},
		{ "k=\xc3\xa9",					       false},
		{ "k=v\n",						    false},
		{ "k(=v",						     false},
	};
	char *most = repeated('v', BAGGAGE_MAX_BYTES - 2, "k=", "");
	char *more = repeated('v', BAGGAGE_MAX_BYTES - 1, "k=", "");
	char *many = members(BAGGAGE_MAX_MEMBERS, "1");
	char *too_many = members(BAGGAGE_MAX_MEMBERS + 1, "1");

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_baggage(rows[i].text, rows[i].good);
	assert_baggage(NULL, false);
	assert_baggage(most, true);
	assert_baggage(more, false);
	assert_baggage(many, true);
	assert_baggage(too_many, false);
	free(most);
	free(more);
	free(many);
	free(too_many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traceparents_are_read_as_the_w3c_wants_it),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(tracestates_are_read_as_the_w3c_wants_it),
		cmocka_unit_test(keys_and_values_have_their_limits),
		cmocka_unit_test(a_list_has_thirty_two_members),
		cmocka_unit_test(a_list_that_is_too_long_is_shortened),
		cmocka_unit_test(baggage_is_passed_on_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
