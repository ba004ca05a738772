/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/config_yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Problems as "line:column: text", one a line. */
static void on_problem(void *ctx, struct yaml_place place, const char *text)
{
	buf_printf(ctx, "%zu:%zu: %s\n", place.line, place.column, text);
}

/* What was understood: "name=value", "name=[a|b]", "name=<path>", quoted ones with ', each with
 * its line. */
static void show(const struct yaml_mapping *mapping, struct buf *out)
{
	for (size_t i = 0; i < mapping->n; i++) {
		const struct yaml_entry *entry = &mapping->entries[i];

		buf_printf(out, "%zu %s=%s", entry->place.line, entry->name,
			   entry->shape == YAML_LIST   ? "["
			   : entry->shape == YAML_FILE ? "<"
						       : "");
		for (size_t j = 0; j < entry->n_values; j++)
			buf_printf(out, "%s%s%s", j > 0 ? "|" : "",
				   entry->values[j].style == YAML_QUOTED ? "'" : "",
				   entry->values[j].text);
		buf_printf(out, "%s\n",
			   entry->shape == YAML_LIST   ? "]"
			   : entry->shape == YAML_FILE ? ">"
						       : "");
	}
}

static void expect(struct span text, const char *understood, const char *problems)
{
	struct arena *arena = arena_new();
	struct yaml_mapping mapping;
	struct buf shown;
	struct buf told;

	buf_init(&shown, 1 << 20);
	buf_init(&told, 1 << 20);
	yaml_read(text, arena, &mapping, on_problem, &told);
	show(&mapping, &shown);
	assert_string_equal(buf_str(&told), problems);
	assert_string_equal(buf_str(&shown), understood);
	buf_fini(&told);
	buf_fini(&shown);
	arena_free(&arena);
}

static void what_is_well_formed_is_understood(void **state)
{
	static const struct {
		const char *text, *understood;
	} cases[] = {
		{"",									  ""				},
		{ "# nothing\n",							      ""				    },
		{ "---\n",								    ""				},
		{ "null\n",								   ""				},
		{ "{}",								       ""				},
		{ "a: b\n",								   "1 a=b\n"			      },
		{ "---\na: b\n...\n",							 "2 a=b\n"				},
		{ "%YAML 1.1\n---\na: b\n",						   "3 a=b\n"			      },
		{ "a: 'b'\nc: \"d\\n\"\n",						    "1 a='b\n2 c='d\n\n"		},
		{ "a: no\nb: 00123\nc:\nd: ~\n",						 "1 a=no\n2 b=00123\n3 c=\n4 d=~\n"},
		{ "a: [b, 'c']\nd:\n  - e\n  - f\ng: []\n",				    "1 a=[b|'c]\n2 d=[e|f]\n5 g=[]\n" },
		{ "a: {file: /x/y}\nb:\n  file: z\n",					      "1 a=</x/y>\n2 b=<z>\n"	      },
		{ "a: |\n  b\n  c\n",							 "1 a='b\nc\n\n"		      },
		{ "a: b # c\n'd': e#f\n",						     "1 a=b\n2 d=e#f\n"		     },
		{ "{\"a\":\"b\",\"c\":4,\n\t\"d\":[\"e\\/\\u00e9\"],\"f\":{\"file\":\"g\"}}",
		  "1 a='b\n1 c=4\n2 d=['e/\u00e9]\n2 f=<'g>\n"								   },
		{ "\xef\xbb\xbf"
		  "a: b\n",						  "1 a=b\n"			    },
		{ "a: b\r\nc: d\r\n",							 "1 a=b\n2 c=d\n"		       },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect(span_of(cases[i].text), cases[i].understood, "");
}

static void what_is_not_supported_is_told_and_left_out(void **state)
{
	static const struct {
		const char *text, *understood, *problems;
	} cases[] = {
		{"a: b\na: c\n",			  "1 a=b\n",	     "2:1: a is given twice: first in line 1\n"		},
		{ "a: &x b\nc: *x\nd: e\n",	    "1 a=b\n3 d=e\n",
		  "1:4: anchors (&x) are not supported\n2:4: aliases (*x) are not supported\n"				       },
		{ "a: !!str 5\n",			  "1 a=5\n",
		  "1:4: tags (tag:yaml.org,2002:str) are not supported\n"							  },
		{ "a: !x [b]\nc: &y [d]\n",	    "1 a=[b]\n2 c=[d]\n",
		  "1:4: tags (!x) are not supported\n2:4: anchors (&y) are not supported\n"				    },
		{ "a: &y {file: b}\n",	       "1 a=<b>\n",	    "1:4: anchors (&y) are not supported\n"	    },
		{ "a: b\n---\nc: d\n",	       "1 a=b\n",		  "2:1: there must be one document only\n"	   },
		{ "[a, b]\n",			      "",			  "1:1: settings are NAME: VALUE, one a line\n"	},
		{ "hello\n",			     "",			 "1:1: settings are NAME: VALUE, one a line\n"      },
		{ "'null'\n",			      "",			  "1:1: settings are NAME: VALUE, one a line\n"	},
		{ "? [a]\n: b\nc: d\n",		"3 c=d\n",		   "1:3: a name of a setting is needed here\n"	       },
		{ "a: [b, [c, {d: e}], f]\ng: h\n", "2 g=h\n",
		  "1:8: a: an entry of a list must be a text\n"								},
		{ "a: {b: c}\n",			 "",		     "1:4: a: a mapping here can only be {file: path}\n"},
		{ "a: {}\n",			     "",			 "1:4: a: a mapping here can only be {file: path}\n"},
		{ "a: {file: b, c: [d]}\n",	    "",
		  "1:4: a: a mapping here can only be {file: path}\n"							      },
		{ "a: {file: [b]}\nc: d\n",	    "2 c=d\n",
		  "1:4: a: a mapping here can only be {file: path}\n"							      },
		{ "a: {file: b, file: c}\n",	     "",
		  "1:4: a: a mapping here can only be {file: path}\n"							      },
		{ "a: \"b\\0c\"\n\"d\\0\": e\n",	 "",
		  "1:4: a value must not hold a NUL\n2:1: a value must not hold a NUL\n"					 },
		{ "<<: {file: b}\n",		     "1 <<=<b>\n",	   ""						      },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect(span_of(cases[i].text), cases[i].understood, cases[i].problems);
}

static void what_is_no_yaml_is_told_with_its_place(void **state)
{
	static const struct {
		const char *text, *problems;
	} cases[] = {
		{"a: [b\n",
		  "2:1: did not find expected ',' or ']', while parsing a flow sequence\n"	   },
		{ "a: b: c\n",	       "1:5: mapping values are not allowed in this context\n"},
		{ "a: 'b\n",
		  "2:1: found unexpected end of stream, while scanning a quoted scalar\n"		  },
		{ "a: *b\nc\n",		""						     },
		{ "a:\n\tb: c\n",		  "2:1: found character that cannot start any token, while "
				  "scanning for the next token\n" },
		{ "a: b\n\xc3\xa9: \xff\n", "2:4: invalid leading UTF-8 octet\n"			 },
		{ "a: \x01\n",	       "1:4: control characters are not allowed\n"		   },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct arena *arena = arena_new();
		struct yaml_mapping mapping;
		struct buf told;

		if (cases[i].problems[0] == '\0') {
			arena_free(&arena);
			continue;
		}
		buf_init(&told, 1 << 20);
		yaml_read(span_of(cases[i].text), arena, &mapping, on_problem, &told);
		assert_string_equal(buf_str(&told), cases[i].problems);
		buf_fini(&told);
		arena_free(&arena);
	}
}

static void what_grows_without_end_is_given_up(void **state)
{
	struct arena *arena = arena_new();
	struct yaml_mapping mapping;
	struct buf text;
	struct buf told;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&told, 1 << 20);
	buf_add(&text, "a: [");
	for (int i = 0; i < YAML_MAX_DEPTH + 2; i++)
		buf_add(&text, "[");
	yaml_read(buf_span(&text), arena, &mapping, on_problem, &told);
	assert_non_null(strstr(buf_str(&told), ": this is nested too deeply\n"));
	assert_int_equal(mapping.n, 0);

	buf_clear(&text);
	buf_clear(&told);
	buf_add(&text, "a: [");
	for (int i = 0; i <= YAML_MAX_ITEMS; i++)
		buf_add(&text, "x,");
	buf_add(&text, "]");
	yaml_read(buf_span(&text), arena, &mapping, on_problem, &told);
	assert_string_equal(buf_str(&told), "1:405: this list is too long\n");
	assert_int_equal(mapping.n, 0);

	buf_clear(&text);
	buf_clear(&told);
	for (int i = 0; i <= YAML_MAX_ENTRIES; i++)
		buf_printf(&text, "a%d: b\n", i);
	yaml_read(buf_span(&text), arena, &mapping, on_problem, &told);
	assert_string_equal(buf_str(&told), "1001:1: there are too many names\n");
	assert_int_equal(mapping.n, YAML_MAX_ENTRIES);
	buf_fini(&text);
	buf_fini(&told);
	arena_free(&arena);
}

static void plain_scalars_are_told_apart_as_json_would(void **state)
{
	static const struct {
		const char *text;
		enum yaml_type type;
	} cases[] = {
		{"",	      YAML_NULL	},
		       { "~",      YAML_NULL	},
		  { "null",   YAML_NULL  },
		{ "true",	  YAML_BOOL  },
		       { "FALSE",  YAML_BOOL  },
		  { "no",	  YAML_TEXT  },
		{ "on",	YAML_TEXT  },
		       { "yes",	YAML_TEXT  },
		  { "0",	 YAML_NUMBER},
		{ "12",	YAML_NUMBER},
		       { "-1.5e3", YAML_NUMBER},
		  { "00123",  YAML_TEXT  },
		{ "+1",	YAML_TEXT  },
		       { "0x10",	 YAML_TEXT  },
		  { "1_000",  YAML_TEXT  },
		{ ".5",	YAML_TEXT  },
		       { "1:30",	 YAML_TEXT  },
		  { ".inf",   YAML_TEXT  },
		{ "nan",	 YAML_TEXT  },
		       { "10s",	YAML_TEXT  },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(yaml_type_of(cases[i].text), cases[i].type);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_well_formed_is_understood),
		cmocka_unit_test(what_is_not_supported_is_told_and_left_out),
		cmocka_unit_test(what_is_no_yaml_is_told_with_its_place),
		cmocka_unit_test(what_grows_without_end_is_given_up),
		cmocka_unit_test(plain_scalars_are_told_apart_as_json_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
