/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Whether the place, members in a row with * for an element, is secret. */
static bool is_secret(const char *text, const char *place)
{
	struct arena *arena = arena_new();
	const struct redact_schema *schema;
	struct schema_set at = { 0 };
	struct err err;
	char *path = mem_strdup(place);
	char *save = NULL;

	assert_int_equal(span_check(span_of(text), NULL, &err), 0);
	schema = redact_schema_compile(arena, span_of(text));
	if (schema != NULL)
		redact_schema_root(schema, &at);
	for (char *step = strtok_r(path, " ", &save); step != NULL && schema != NULL;
	     step = strtok_r(NULL, " ", &save)) {
		struct schema_set next;

		if (strcmp(step, "*") == 0)
			redact_schema_element(schema, &at, &next);
		else
			redact_schema_member(schema, &at, span_of(step), &next);
		at = next;
	}
	free(path);
	arena_free(&arena);
	return at.secret;
}

static const struct {
	const char *schema;
	const char *secret; /* places between commas */
	const char *plain;
} cases[] = {
	{"{\"properties\":{\"a\":{\"type\":\"string\",\"format\":\"password\"},\"b\":{}}}", "a",
	  "b,,c,a x"																			   },
	{ "{\"properties\":{\"a\":{\"writeOnly\":true},\"b\":{\"writeOnly\":false}}}",      "a",								    "b"		},
	{ "{\"properties\":{\"\\u0061\":{\"format\":\"passw\\u006frd\"}}}",		    "a",								 "b"	     },
	{ "{\"properties\":{\"a\":{\"items\":{\"properties\":{\"b\":{\"writeOnly\":true}}}}"
	  "}}",								    "a * b",							     "a,a *,a b,b"},
	{ "{\"properties\":{\"a\":{\"items\":[{},{\"writeOnly\":true}]},\"b\":{"
	  "\"prefixItems\":[{"
	  "\"writeOnly\":true}]}}}",					       "a *,b *",							   "a,b"	   },
	{ "{\"anyOf\":[{\"properties\":{\"a\":{\"writeOnly\":true}}},{\"properties\":{"
	  "\"a\":{}}}]}",							  "a",								 "b"	   },
	{ "{\"oneOf\":[{\"allOf\":[{\"properties\":{\"a\":{\"anyOf\":[{\"type\":\"null\"},{"
	  "\"format\":"
	  "\"password\"}]}}}]}]}",						 "a",								 "b"	   },
	{ "{\"additionalProperties\":{\"writeOnly\":true},\"properties\":{\"a\":{}}}",      "a,b,zz",
	  ""																				   },
	{ "{\"patternProperties\":{\"^x\":{\"properties\":{\"y\":{\"format\":\"password\"}}"
	  "}}}",								   "x1 y",							      "x1"	       },
	{ "{\"if\":{},\"then\":{\"properties\":{\"a\":{\"writeOnly\":true}}},\"else\":{"
	  "\"properties\":{\"b\":{"
	  "\"writeOnly\":true}}},\"dependentSchemas\":{\"q\":{\"properties\":{\"c\":{"
	  "\"writeOnly\":true}}}}}",					       "a,b,c",							     "q,d"	 },
	{ "{\"$defs\":{\"s\":{\"format\":\"password\"},\"o/x~y "
	  "z\":{\"properties\":{\"p\":{\"$ref\":"
	  "\"#/$defs/s\"}}}},\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
	  "o~1x~0y%20z\"},\"b\":{\"$ref\":"
	  "\"#/$defs/s\"}}}",						      "a p,b",							     "a,p"	 },
	{ "{\"properties\":{\"child\":{\"$ref\":\"#\"},\"list\":{\"items\":{\"$ref\":\"#\"}"
	  "},\"pw\":{"
	  "\"writeOnly\":true}}}",						 "pw,child pw,child child child pw,list * pw,list * child list * pw",
	  "child,list *,child list"																	    },
	{ "{\"properties\":{\"a\":{\"allOf\":[{\"$ref\":\"#/properties/"
	  "b\"}]},\"b\":{\"allOf\":[{\"$ref\":"
	  "\"#/properties/a\"}],\"writeOnly\":true}}}",			    "a,b",							       "c"	     },
	{ "{\"writeOnly\":true}",							   "",								  "a"	  },
 /* What cannot be seen, of a schema that has secrets. */
	{ "{\"properties\":{\"a\":{\"$ref\":\"https://x.example/s\"},\"b\":{\"$ref\":\"#/"
	  "nothing\"},\"c\":{"
	  "\"$ref\":\"#anchor\"},\"d\":{\"description\":\"no "
	  "password\"},\"e\":{\"allOf\":[{\"$ref\":"
	  "\"#/properties/f/allOf/1\"}]},\"f\":{\"allOf\":[{}]}}}",		"a,b,c,e",							   "d,f"	   },
 /* Nothing is marked. */
	{ "{\"properties\":{\"password\":{\"type\":\"string\"},\"a\":{\"format\":\"date\"}}"
	  "}",								     NULL,								"password,a" },
	{ "{\"properties\":{\"a\":{\"default\":{\"format\":\"password\"},\"const\":{"
	  "\"writeOnly\":true}}}}",						NULL,								"a,a format" },
	{ "true",									   NULL,								"a"	    },
	{ "[]",									     NULL,								"a"	  },
	{ "{\"properties\":[1],\"items\":\"password\"}",					 NULL,								"a,*"	     },
};

static void places_are_marked_however_the_schema_gets_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (int secret = 0; secret < 2; secret++) {
			const char *all = secret ? cases[i].secret : cases[i].plain;

			while (all != NULL) {
				const char *comma = strchr(all, ',');
				char *place = comma != NULL
						      ? mem_printf("%.*s", (int)(comma - all), all)
						      : mem_strdup(all);

				/* An empty last one is there only if it is the only one. */
				if ((*place != '\0' || all == cases[i].secret) &&
				    is_secret(cases[i].schema, place) != (bool)secret)
					fail_msg("case %zu: %s", i, place);
				free(place);
				all = comma != NULL ? comma + 1 : NULL;
			}
		}
	}
}

static void most_schemas_cost_nothing(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	assert_null(redact_schema_compile(arena, (struct span){ 0 }));
	assert_null(redact_schema_compile(arena,
					  SPAN("{\"properties\":{\"a\":{\"type\":\"string\"}}}")));
	assert_null(redact_schema_compile(
		arena, SPAN("{\"properties\":{\"a\":{\"description\":\"the password\"}}}")));
	arena_free(&arena);
}

/* Nested deeper than any ceiling, as wide, and with more alternatives than are told apart. */
static void what_is_too_much_is_secret(void **state)
{
	struct buf text;
	struct buf place;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&place, 1 << 20);
	buf_add(&text, "{\"properties\":{\"pw\":{\"writeOnly\":true}");
	for (int i = 0; i < 2000; i++)
		buf_printf(&text, ",\"p%d\":{}", i);
	buf_add(&text, "}}");
	assert_true(is_secret(buf_str(&text), "pw"));
	assert_false(is_secret(buf_str(&text), "p3"));
	assert_true(is_secret(buf_str(&text), "p1999"));

	buf_clear(&text);
	buf_add(&text, "{\"properties\":{\"a\":{\"anyOf\":[{\"description\":\"password\"}");
	for (int i = 0; i < 40; i++)
		buf_printf(&text, ",{\"minimum\":%d}", i);
	buf_add(&text, "]},\"b\":{\"writeOnly\":true}}}");
	assert_true(is_secret(buf_str(&text), "a"));
	assert_true(is_secret(buf_str(&text), "b"));
	assert_false(is_secret(buf_str(&text), "c"));

	buf_clear(&text);
	for (int i = 0; i < 20; i++) {
		buf_add(&text, "{\"properties\":{\"n\":");
		buf_add(&place, "n ");
	}
	buf_add(&text, "{\"writeOnly\":true}");
	for (int i = 0; i < 20; i++)
		buf_add(&text, "}}");
	assert_true(is_secret(buf_str(&text), buf_str(&place)));
	buf_fini(&text);
	buf_fini(&place);
}

/* What leads through a long schema again and again is not followed for ever. */
static void references_that_take_too_long_are_secret(void **state)
{
	const size_t n = (size_t)256 << 10;
	struct buf text;

	(void)state;
	buf_init(&text, n + 1024);
	buf_add(&text, "{\"properties\":{\"a\":{\"$ref\":\"#/$defs/pw\"}");
	for (int i = 0; i < 900; i++)
		buf_printf(&text, ",\"p%d\":{\"$ref\":\"#/$defs/plain\"}", i);
	buf_add(&text, "},\"description\":\"");
	while (text.len < n)
		buf_add(&text, "................................................................");
	buf_add(&text, "\",\"$defs\":{\"plain\":{},\"pw\":{\"format\":\"password\"}}}");
	assert_true(is_secret(buf_str(&text), "a"));
	assert_false(is_secret(buf_str(&text), "p7"));
	assert_true(is_secret(buf_str(&text), "p899"));
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_marked_however_the_schema_gets_there),
		cmocka_unit_test(most_schemas_cost_nothing),
		cmocka_unit_test(what_is_too_much_is_secret),
		cmocka_unit_test(references_that_take_too_long_are_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
