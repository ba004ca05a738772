/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define MAX_OUT_BYTES 4096

static void assert_applied(struct span text, const struct splice *splices, size_t n,
			   const char *want)
{
	struct buf out;
	struct err err;

	buf_init(&out, MAX_OUT_BYTES);
	assert_int_equal(splice_apply(text, splices, n, &out), 0);
	assert_string_equal(buf_str(&out), want);
	assert_int_equal(span_check(buf_span(&out), NULL, &err), 0);
	buf_fini(&out);
}

static void no_splices_give_the_text_back(void **state)
{
	static const char text[] = " {\"a\" : 12345678901234567890,\t\"b\":-0 , \"c\":1e400}\n";

	(void)state;
	assert_applied(SPAN(text), NULL, 0, text);
}

static void replaces_values_and_leaves_the_rest_alone(void **state)
{
	struct span text = SPAN("{ \"id\" : 1e400,\"params\":{\"name\":\"a__b\" ,\"x\":-0} }");
	struct span params = span_get(text, "params");
	const struct splice splices[] = {
		{span_get(text,	 "id"),	SPAN("\"gw-7\"")},
		{ span_get(params, "name"), SPAN("\"b\"")	  },
	};

	(void)state;
	assert_applied(text, splices, 2,
		       "{ \"id\" : \"gw-7\",\"params\":{\"name\":\"b\" ,\"x\":-0} }");
}

static void puts_a_member_where_it_is_or_first(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{"{\"k\":1}",				"{\"k\":[2]}"			     },
		{ "{ \"a\":0, \"k\" : {\"x\":1} , \"b\":2}", "{ \"a\":0, \"k\" : [2] , \"b\":2}"},
		{ "{\"\\u006b\":null}",			"{\"\\u006b\":[2]}"		    },
		{ "{}",				      "{\"k\":[2]}"		      },
		{ " { } ",				   " {\"k\":[2] } "		    },
		{ "{\n}",				    "{\"k\":[2]\n}"			  },
		{ "{\"a\":1}",			       "{\"k\":[2],\"a\":1}"		     },
		{ "{ \"a\":1 }",				 "{\"k\":[2], \"a\":1 }"		 },
		{ "{\"a\":{\"k\":1}}",		       "{\"k\":[2],\"a\":{\"k\":1}}"	     },
		{ "{\"K\":1}",			       "{\"k\":[2],\"K\":1}"		     },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span text = span_of(cases[i].text);
		struct splice splice;
		struct buf scratch;

		buf_init(&scratch, 64);
		splice = splice_member(text, "k", SPAN("[2]"), &scratch);
		assert_applied(text, &splice, 1, cases[i].want);
		buf_fini(&scratch);
	}
}

static void inserts_into_an_object_inside(void **state)
{
	struct span text = SPAN("{\"id\":1,\"params\":{},\"z\":[]}");
	struct splice splice;
	struct buf scratch;

	(void)state;
	buf_init(&scratch, 64);
	splice = splice_member(span_get(text, "params"), "_meta", SPAN("{\"a\":0}"), &scratch);
	assert_applied(text, &splice, 1, "{\"id\":1,\"params\":{\"_meta\":{\"a\":0}},\"z\":[]}");
	buf_fini(&scratch);
}

/* The bytes of the first splice must stay where they are while others are added. */
static void several_members_share_a_scratch(void **state)
{
	struct span text = SPAN("[{},{\"a\":1},{\"k\":1},{}]");
	static const char *const keys[] = { "one", "two", "k", "four" };
	struct splice splices[COUNT(keys)];
	struct span_iter iter;
	struct span key;
	struct span object;
	struct buf scratch;

	(void)state;
	buf_init(&scratch, 2000);
	span_iter_init(&iter, text);
	for (size_t i = 0; i < COUNT(keys); i++) {
		char value[402];

		assert_true(span_next(&iter, &key, &object));
		memset(value, 'v', sizeof(value));
		value[0] = value[401] = '"';
		splices[i] = splice_member(object, keys[i], (struct span){ value, sizeof(value) },
					   &scratch);
		memset(value, '!', sizeof(value));
	}
	for (size_t i = 0; i < COUNT(keys); i++)
		assert_null(memchr(splices[i].with.p, '!', splices[i].with.n));
	assert_memory_equal(splices[0].with.p, "\"one\":\"vvv", 10);
	assert_memory_equal(splices[2].with.p, "\"vvv", 4);
	buf_fini(&scratch);
}

static void a_member_that_does_not_fit_fails_when_applied(void **state)
{
	struct span text = SPAN("{\"a\":1}");
	struct splice splice;
	struct buf scratch;
	struct buf out;

	(void)state;
	buf_init(&scratch, 8);
	buf_init(&out, MAX_OUT_BYTES);
	splice = splice_member(text, "key", SPAN("\"too long\""), &scratch);
	assert_true(scratch.overflow);
	assert_int_equal(splice_apply(text, &splice, 1, &out), -1);
	buf_fini(&scratch);
	buf_fini(&out);
}

static void removes_a_member_with_one_comma(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{"{\"k\":1}",				     "{}"			    },
		{ "{ \"k\" : 1 }",				   "{ }"			 },
		{ "{\"k\":1,\"a\":2}",			       "{\"a\":2}"		   },
		{ "{ \"k\":1 , \"a\":2 }",			   "{  \"a\":2 }"		  },
		{ "{\"a\":1,\"k\":2}",			       "{\"a\":1}"		   },
		{ "{\"a\":1 , \"k\":2 }",			  "{\"a\":1 }"		       },
		{ "{\"a\":1,\"k\":[{\"k\":3}],\"b\":2}",		 "{\"a\":1,\"b\":2}"	     },
		{ "{\"a\":\"},\\\"\",\"\\u006B\":\",\",\"b\":2}", "{\"a\":\"},\\\"\",\"b\":2}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span text = span_of(cases[i].text);
		struct splice splice;

		assert_true(splice_remove(text, "k", &splice));
		assert_applied(text, &splice, 1, cases[i].want);
	}
}

static void there_may_be_nothing_to_remove(void **state)
{
	static const char *const texts[] = { "{}",	  "{\"a\":{\"k\":1}}",
					     "[\"k\",1]", "\"k\"",
					     "null",	  NULL };
	struct splice splice;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_false(splice_remove(span_of(texts[i]), "k", &splice));
}

static void stops_at_the_ceiling(void **state)
{
	struct span text = SPAN("{\"id\":1}");
	struct splice splice = { span_get(text, "id"), SPAN("\"0123456789\"") };
	struct buf out;

	(void)state;
	buf_init(&out, 18);
	assert_int_equal(splice_apply(text, &splice, 1, &out), -1);
	assert_true(out.overflow);
	buf_fini(&out);
	buf_init(&out, 19);
	assert_int_equal(splice_apply(text, &splice, 1, &out), 0);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_splices_give_the_text_back),
		cmocka_unit_test(replaces_values_and_leaves_the_rest_alone),
		cmocka_unit_test(puts_a_member_where_it_is_or_first),
		cmocka_unit_test(inserts_into_an_object_inside),
		cmocka_unit_test(several_members_share_a_scratch),
		cmocka_unit_test(a_member_that_does_not_fit_fails_when_applied),
		cmocka_unit_test(removes_a_member_with_one_comma),
		cmocka_unit_test(there_may_be_nothing_to_remove),
		cmocka_unit_test(stops_at_the_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
