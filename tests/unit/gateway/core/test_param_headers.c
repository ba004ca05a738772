/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "gateway/core/param_headers.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TOOL(schema) "{\"name\":\"t\",\"inputSchema\":" schema "}"
#define PROPS(props) TOOL("{\"type\":\"object\",\"properties\":{" props "}}")
#define ANNOTATED    "{\"type\":\"string\",\"x-mcp-header\":\"A\"}"

static const struct {
	const char *tool;
	int expected; /* annotations; -1: against the rules */
} judged[] = {
	{"{\"name\":\"t\"}",							       0 },
	{ TOOL("{}"),								      0 },
	{ TOOL("[]"),								      0 },
	{ TOOL("\"x-mcp-header\""),							0 },
	{ PROPS("\"a\":{\"type\":\"string\"}"),						0 },
	{ PROPS("\"a\":" ANNOTATED),						       1 },
	{ PROPS("\"a\":{\"x-mcp-header\":\"A\",\"type\":\"integer\"}"),			1 },
	{ PROPS("\"a\":{\"type\":\"boolean\",\"x-mcp-header\":\"A-b_c.1\"}"),	      1 },
	{ PROPS("\"a\":{\"type\":\"string\",\"x\\u002dmcp-header\":\"\\u0041\"}"),	   1 },
	{ PROPS("\"a\":" ANNOTATED ",\"b\":{\"type\":\"string\",\"x-mcp-header\":\"B\"}"), 2 },
 /* At any depth of properties. */
	{ PROPS("\"o\":{\"type\":\"object\",\"properties\":{\"p\":{\"properties\":{"
		"\"a\":" ANNOTATED "}}}}"),
	  1										   },
 /* A property of that name, and data that happen to look so, are no annotations. */
	{ PROPS("\"x-mcp-header\":{\"type\":\"number\"}"),				   0 },
	{ PROPS("\"a\":{\"type\":\"object\",\"default\":" ANNOTATED ",\"enum\":[" ANNOTATED
		"],\"const\":" ANNOTATED ",\"examples\":[" ANNOTATED "]}"),
	  0										   },
 /* The name. */
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\"}"),		      -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a b\"}"),			 -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a:b\"}"),			 -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a\\r\\nb\"}"),	      -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a\\u0000\"}"),	      -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\\u00e4\"}"),		     -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":7}"),			   -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":null}"),		      -1},
	{ PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":[\"A\"]}"),			 -1},
 /* Unique without regard to case, at whatever depth. */
	{ PROPS("\"a\":" ANNOTATED ",\"b\":" ANNOTATED),					 -1},
	{ PROPS("\"a\":" ANNOTATED ",\"o\":{\"properties\":{\"b\":{\"type\":\"string\","
		"\"x-mcp-header\":\"a\"}}}"),
	  -1										  },
 /* The type. */
	{ PROPS("\"a\":{\"type\":\"number\",\"x-mcp-header\":\"A\"}"),		       -1},
	{ PROPS("\"a\":{\"type\":\"object\",\"x-mcp-header\":\"A\"}"),		       -1},
	{ PROPS("\"a\":{\"type\":\"array\",\"x-mcp-header\":\"A\"}"),		      -1},
	{ PROPS("\"a\":{\"type\":\"null\",\"x-mcp-header\":\"A\"}"),			     -1},
	{ PROPS("\"a\":{\"type\":[\"string\",\"null\"],\"x-mcp-header\":\"A\"}"),	  -1},
	{ PROPS("\"a\":{\"x-mcp-header\":\"A\"}"),					   -1},
 /* The place. */
	{ TOOL("{\"type\":\"string\",\"x-mcp-header\":\"A\"}"),				-1},
	{ PROPS("\"a\":{\"type\":\"array\",\"items\":" ANNOTATED "}"),		       -1},
	{ PROPS("\"a\":{\"prefixItems\":[{}," ANNOTATED "]}"),			       -1},
	{ PROPS("\"a\":{\"items\":{\"properties\":{\"b\":" ANNOTATED "}}}"),		     -1},
	{ TOOL("{\"additionalProperties\":" ANNOTATED "}"),				    -1},
	{ TOOL("{\"patternProperties\":{\"^a\":" ANNOTATED "}}"),			  -1},
	{ TOOL("{\"oneOf\":[{\"properties\":{\"a\":" ANNOTATED "}}]}"),			-1},
	{ TOOL("{\"anyOf\":[" ANNOTATED "]}"),					       -1},
	{ TOOL("{\"allOf\":[" ANNOTATED "]}"),					       -1},
	{ TOOL("{\"not\":" ANNOTATED "}"),						 -1},
	{ TOOL("{\"if\":" ANNOTATED "}"),						  -1},
	{ TOOL("{\"then\":" ANNOTATED "}"),						-1},
	{ TOOL("{\"else\":" ANNOTATED "}"),						-1},
	{ TOOL("{\"dependentSchemas\":{\"a\":" ANNOTATED "}}"),				-1},
	{ TOOL("{\"$defs\":{\"a\":" ANNOTATED "}}"),					     -1},
	{ TOOL("{\"definitions\":{\"a\":" ANNOTATED "}}"),				   -1},
	{ TOOL("{\"$defs\":{\"x-mcp-header\":{\"type\":\"number\"}}}"),			0 },
	{ "{\"x-mcp-header\":\"A\",\"outputSchema\":" ANNOTATED "}",			     0 },
};

static void tools_are_judged_by_where_and_how_they_annotate(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(judged); i++) {
		struct err err;
		int n = param_headers_check(span_of(judged[i].tool), &err);

		if (n != judged[i].expected)
			fail_msg("%s: %d, not %d", judged[i].tool, n, judged[i].expected);
	}
}

static void a_tool_may_annotate_only_so_many(void **state)
{
	(void)state;
	for (int n = PARAM_HEADERS_MAX; n <= PARAM_HEADERS_MAX + 1; n++) {
		struct buf tool;
		struct err err;

		buf_init(&tool, 16384);
		buf_add(&tool, "{\"inputSchema\":{\"properties\":{");
		for (int i = 0; i < n; i++)
			buf_printf(&tool,
				   "%s\"a%d\":{\"type\":\"string\",\"x-mcp-header\":\"A%d\"}",
				   i > 0 ? "," : "", i, i);
		buf_add(&tool, "}}}");
		assert_int_equal(param_headers_check(buf_span(&tool), &err),
				 n > PARAM_HEADERS_MAX ? -1 : n);
		buf_fini(&tool);
	}
}

static void arguments_become_headers(void **state)
{
	static const char tool[] =
		PROPS("\"s\":{\"type\":\"string\",\"x-mcp-header\":\"Str\"},"
		      "\"i\":{\"type\":\"integer\",\"x-mcp-header\":\"Int\"},"
		      "\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"Bool\"},"
		      "\"o\":{\"properties\":{\"k\\u0065y\":{\"type\":\"string\","
		      "\"x-mcp-header\":\"Deep\"}}},"
		      "\"plain\":{\"type\":\"string\"}");
	static const struct {
		const char *arguments;
		const char *expected; /* name=value lines */
	} rows[] = {
		{NULL,					""				  },
		{ "{}",				       ""				  },
		{ "{\"plain\":\"x\",\"unknown\":1}",	     ""					},
		{ "{\"s\":\"eu\",\"i\":-7,\"b\":true}",
		  "Mcp-Param-Str=eu\nMcp-Param-Int=-7\nMcp-Param-Bool=true\n"		      },
		{ "{\"b\":false,\"i\":12345678901234567890}",
		  "Mcp-Param-Int=12345678901234567890\nMcp-Param-Bool=false\n"		       },
		{ "{\"i\":1e2}",				 "Mcp-Param-Int=1e2\n"	       },
		{ "{\"s\":null,\"i\":null}",		     ""					},
		{ "{\"s\":[\"x\"],\"i\":{}}",		      ""					 },
		{ "{\"s\":7,\"i\":\"7\"}",			   "Mcp-Param-Str=7\nMcp-Param-Int=7\n"},
		{ "{\"o\":{\"key\":\"v\"}}",		     "Mcp-Param-Deep=v\n"		  },
		{ "{\"o\":{\"\\u006bey\":\"v\"}}",		   "Mcp-Param-Deep=v\n"		},
		{ "{\"o\":\"key\"}",			     ""					},
		{ "{\"key\":\"v\"}",			     ""					},
		{ "{\"s\":\"\"}",				  "Mcp-Param-Str==?base64?"
				  "?=\n"			 },
		{ "{\"s\":\"a\\nb\"}",			       "Mcp-Param-Str==?base64?YQpi?=\n"	 },
		{ "{\"s\":\"a\\u0000\"}",			  "Mcp-Param-Str==?base64?YQA=?=\n"   },
		{ "{\"s\":\"\\u00e4\"}",			 "Mcp-Param-Str==?base64?w6Q=?=\n"   },
		{ "{\"s\":\" a\"}",			    "Mcp-Param-Str==?base64?IGE=?=\n"   },
		{ "{\"s\":\"a b\"}",			     "Mcp-Param-Str=a b\n"		   },
		{ "{\"s\":\"=?base64?YQ==?=\"}",
		  "Mcp-Param-Str==?base64?PT9iYXNlNjQ/WVE9PT89?=\n"				    },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_header headers[PARAM_HEADERS_MAX];
		struct arena *arena = arena_new();
		struct buf lines;
		size_t n = param_headers_write(span_of(tool), span_of(rows[i].arguments), arena,
					       headers);

		buf_init(&lines, 4096);
		for (size_t j = 0; j < n; j++)
			buf_printf(&lines, "%s=%s\n", headers[j].name, headers[j].value);
		assert_string_equal(buf_str(&lines), rows[i].expected);
		buf_fini(&lines);
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tools_are_judged_by_where_and_how_they_annotate),
		cmocka_unit_test(a_tool_may_annotate_only_so_many),
		cmocka_unit_test(arguments_become_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
