/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/route_match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void matches_whole_paths_only(void **state)
{
	static const struct {
		const char *pattern;
		const char *path;
		bool matches;
	} rows[] = {
		{"/mcp",			    "/mcp",	  true },
		{ "/mcp",			   "/mcp/",	   false},
		{ "/mcp",			   "/mcp/x",	    false},
		{ "/mcp",			   "/mc",		 false},
		{ "/mcp",			   "/mcpx",	   false},
		{ "/mcp",			   "/MCP",	  false},
		{ "/mcp",			   "//mcp",	   false},
		{ "/mcp",			   "/",	       false},
		{ "/mcp",			   "",	      false},
		{ "/",			      "/",	    true },
		{ "/",			      "/x",	     false},
		{ "/c/{connection}/mcp",		 "/c/crm/mcp",   true },
		{ "/c/{connection}/mcp",		 "/c//mcp",	    false},
		{ "/c/{connection}/mcp",		 "/c/a/b/mcp",   false},
		{ "/c/{connection}/mcp",		 "/c/mcp",	   false},
		{ "/c/{connection}/mcp",		 "/c/crm/mcp/",	false},
		{ "/keys/{id}",			"/keys/1",	   true },
		{ "/keys/{id}",			"/keys/",	  false},
		{ "/keys/{id}",			"/keys",	 false},
		{ "/t/{tenant}/c/{connection}/mcp", "/t/a/c/b/mcp", true },
		{ "/t/{tenant}/c/{connection}/mcp", "/t/a/c//mcp",  false},
	};
	struct route_params params;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (route_match(rows[i].pattern, span_of(rows[i].path), &params) != rows[i].matches)
			fail_msg("%s against %s", rows[i].path, rows[i].pattern);
	}
}

static void braces_take_a_segment_whole(void **state)
{
	struct route_params params;

	(void)state;
	assert_true(
		route_match("/t/{tenant}/c/{connection}/mcp", SPAN("/t/a.b/c/x y/mcp"), &params));
	assert_int_equal(params.n, 2);
	assert_true(span_is(params.all[0].name, "tenant"));
	assert_true(span_is(params.all[0].value, "a.b"));
	assert_true(span_is(params.all[1].name, "connection"));
	assert_true(span_is(params.all[1].value, "x y"));
	assert_true(route_match("/mcp", SPAN("/mcp"), &params));
	assert_int_equal(params.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_whole_paths_only),
		cmocka_unit_test(braces_take_a_segment_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
