/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void finds_and_decodes_a_pair(void **state)
{
	static const struct {
		const char *query;
		const char *name;
		const char *value; /* NULL: none */
	} rows[] = {
		{"",			  "a",	   NULL	},
		{ "a=1",			 "a",      "1"	  },
		{ "a=1",			 "b",      NULL	   },
		{ "a=1&b=2",		     "b",	  "2"	      },
		{ "a=1&a=2",		     "a",	  "1"	      },
		{ "a",			"a",	    ""	       },
		{ "a=",			"a",	     ""		},
		{ "&&a=1",			   "a",	"1"	    },
		{ "=x",			"",	    "x"	},
		{ "ab=1&a=2",		      "a",	   "2"	       },
		{ "a=x+y%20z",		       "a",	    "x y z"    },
		{ "a=%2B%26%3D",		 "a",      "+&="	    },
		{ "a=b=c",			   "a",	"b=c"      },
		{ "%61=1",			   "a",	"1"	    },
		{ "a=%C3%A9",		      "a",	   "\xc3\xa9" },
		{ "a=%c3%a9",		      "a",	   "\xc3\xa9" },
		{ "a=%",			 "a",      NULL	   },
		{ "a=%4",			  "a",      NULL	    },
		{ "a=%4g",			   "a",	NULL	     },
		{ "a=1%00",		    "a",	 NULL	      },
		{ "%zz=1&a=2",		       "a",	    "2"	},
		{ "cursor=%7B%22x%22%3A1%7D", "cursor", "{\"x\":1}"},
	};
	char room[64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool found = query_find(span_of(rows[i].query), rows[i].name, room);

		if (found != (rows[i].value != NULL))
			fail_msg("%s in %s", rows[i].name, rows[i].query);
		if (found)
			assert_string_equal(room, rows[i].value);
	}
}

static void counts_pairs_of_a_name(void **state)
{
	static const struct {
		const char *query;
		size_t n;
	} rows[] = {
		{"",		      0},
		  { "b=1",	   0},
		  { "a",		 1},
		{ "a=1&b=2",	     1},
		{ "a=1&a=2",	     2},
		  { "%61=1&a=2&A=3", 2},
		  { "a%00=1&ab=2",   0},
		{ "a=%zz",	   1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(query_count(span_of(rows[i].query), "a"), rows[i].n);
}

static void gives_one_pair_after_the_other(void **state)
{
	struct span query = SPAN("&a=1&&b=x%3Dy&c&=d&e=%00&f=1");
	const char *key, *value;
	char room[64];

	(void)state;
	assert_int_equal(query_next(&query, room, &key, &value), QUERY_PAIR);
	assert_string_equal(key, "a");
	assert_string_equal(value, "1");
	assert_int_equal(query_next(&query, room, &key, &value), QUERY_PAIR);
	assert_string_equal(key, "b");
	assert_string_equal(value, "x=y");
	assert_int_equal(query_next(&query, room, &key, &value), QUERY_PAIR);
	assert_string_equal(key, "c");
	assert_string_equal(value, "");
	assert_int_equal(query_next(&query, room, &key, &value), QUERY_PAIR);
	assert_string_equal(key, "");
	assert_string_equal(value, "d");
	assert_int_equal(query_next(&query, room, &key, &value), QUERY_BROKEN);
	assert_int_equal(query_next(&query, room, &key, &value), QUERY_PAIR);
	assert_string_equal(key, "f");
	assert_int_equal(query_next(&query, room, &key, &value), QUERY_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_one_pair_after_the_other),
		cmocka_unit_test(finds_and_decodes_a_pair),
		cmocka_unit_test(counts_pairs_of_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
