/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/bridge.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_BYTES    4096

static void results_change_only_where_the_eras_differ(void **state)
{
	static const struct {
		const char *result;
		enum mcp_era from, to;
		const char *expected; /* NULL: refused */
	} rows[] = {
		{"{\"content\":[ ],\"x\":12345678901234567890}",			  MCP_LEGACY, MCP_LEGACY,
		  "{\"content\":[ ],\"x\":12345678901234567890}"										      },
		{ "{\"x\":1e400}",						   MCP_LEGACY, MCP_MODERN,
		  "{\"resultType\":\"complete\",\"x\":1e400}"											 },
		{ "{}",							      MCP_LEGACY, MCP_MODERN, "{\"resultType\":\"complete\"}"		},
		{ "{\"resultType\":\"strange\"}",					  MCP_LEGACY, MCP_MODERN,
		  "{\"resultType\":\"complete\"}"												     },
		{ "{\"resultType\":\"complete\",\"x\":-0}",			    MCP_MODERN, MCP_MODERN,
		  "{\"resultType\":\"complete\",\"x\":-0}"											    },
		{ "{\"x\":-0}",						      MCP_MODERN, MCP_MODERN, "{\"resultType\":\"complete\",\"x\":-0}"},
		{ "{\"resultType\":\"complete\",\"x\":-0}",			    MCP_MODERN, MCP_LEGACY, "{\"x\":-0}"				 },
		{ "{\"a\":1,\"resultType\":\"complete\",\"structuredContent\":[1]}", MCP_MODERN,
		  MCP_LEGACY,										 "{\"a\":1}"				  },
		{ "{\"structuredContent\":7,\"a\":1}",			       MCP_MODERN, MCP_LEGACY, "{\"a\":1}"				   },
		{ "{\"structuredContent\":{\"n\":1E2}}",				 MCP_MODERN, MCP_LEGACY,
		  "{\"structuredContent\":{\"n\":1E2}}"											       },
		{ "{\"structuredContent\":[1]}",					 MCP_MODERN, MCP_MODERN,
		  "{\"resultType\":\"complete\",\"structuredContent\":[1]}"									    },
		{ "{\"resultType\":\"input_required\"}",				 MCP_MODERN, MCP_MODERN, NULL				      },
		{ "{\"resultType\":\"input_required\"}",				 MCP_MODERN, MCP_LEGACY, NULL				      },
		{ "{\"resultType\":\"task\"}",				       MCP_MODERN, MCP_MODERN, NULL				    },
		{ "[]",							      MCP_LEGACY, MCP_LEGACY, NULL				     },
		{ "\"x\"",							   MCP_MODERN, MCP_MODERN, NULL					},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;
		int ret;

		buf_init(&out, MAX_BYTES);
		ret = bridge_result(span_of(rows[i].result), rows[i].from, rows[i].to, &out);
		assert_int_equal(ret, rows[i].expected != NULL ? 0 : -1);
		if (rows[i].expected != NULL)
			assert_string_equal(buf_str(&out), rows[i].expected);
		buf_fini(&out);
	}
}

static void tools_keep_every_member_but_the_name(void **state)
{
	static const struct {
		const char *tool;
		const char *exposed;
		enum mcp_era to;
		const char *expected;
	} rows[] = {
		{"{\"name\":\"t\", \"odd\":[1e400],\"_meta\":{}}",	    "c__t", MCP_LEGACY,
		  "{\"name\":\"c__t\", \"odd\":[1e400],\"_meta\":{}}"							      },
		{ "{\"odd\":1,\"name\":\"t\"}",				NULL,   MCP_MODERN, "{\"odd\":1,\"name\":\"t\"}"},
		{ "{\"name\":\"t\",\"outputSchema\":{\"type\":\"array\"}}",  "c__t", MCP_LEGACY,
		  "{\"name\":\"c__t\"}"										       },
		{ "{\"outputSchema\":{\"type\":\"array\"},\"name\":\"t\"}",  "c__t", MCP_LEGACY,
		  "{\"name\":\"c__t\"}"										       },
		{ "{\"outputSchema\":{\"type\":\"array\"}}",		     "c__t", MCP_LEGACY,
		  "{\"name\":\"c__t\"}"										       },
		{ "{\"name\":\"t\",\"outputSchema\":{\"type\":\"array\"}}",  "c__t", MCP_MODERN,
		  "{\"name\":\"c__t\",\"outputSchema\":{\"type\":\"array\"}}"						      },
		{ "{\"name\":\"t\",\"outputSchema\":{\"type\":\"object\"}}", "c__t", MCP_LEGACY,
		  "{\"name\":\"c__t\",\"outputSchema\":{\"type\":\"object\"}}"						       },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;

		buf_init(&out, MAX_BYTES);
		bridge_tool(span_of(rows[i].tool), rows[i].exposed, rows[i].to, &out);
		assert_string_equal(buf_str(&out), rows[i].expected);
		buf_fini(&out);
	}
}

static void codes_of_the_gateways_own_dialogue_do_not_pass(void **state)
{
	static const struct {
		int code;
		bool legacy, modern;
	} rows[] = {
		{-32602,  true,	true },
		  { -32603, true,  true },
		    { -32000, true,  true },
		{ -32020, false, false},
		  { -32021, false, false},
		    { -32022, false, false},
		{ -32042, true,	false},
		  { -32099, true,  true },
		    { -32100, true,  true },
		{ 7,	     true,  true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(bridge_error_passes(rows[i].code, MCP_LEGACY), rows[i].legacy);
		assert_int_equal(bridge_error_passes(rows[i].code, MCP_MODERN), rows[i].modern);
	}
}

static void a_client_lacks_what_it_did_not_declare(void **state)
{
	static const struct {
		const char *required, *declared;
		bool lacks;
	} rows[] = {
		{"{\"sampling\":{}}",		       "{}",				     true },
		{ "{\"sampling\":{}}",	       NULL,				     true },
		{ "{\"sampling\":{}}",	       "{\"sampling\":{}}",		    false},
		{ "{\"\\u0073ampling\":{}}",	     "{\"sampling\":{\"tools\":{}}}",   false},
		{ "{\"roots\":{},\"sampling\":{}}",  "{\"roots\":{}}",		      true },
		{ "{\"elicitation\":{\"form\":{}}}", "{\"elicitation\":{}}",	     false},
		{ "{\"elicitation\":{\"url\":{}}}",  "{\"elicitation\":{}}",	    true },
		{ "{\"sampling\":{\"tools\":{}}}",   "{\"sampling\":{}}",		true },
		{ "{\"elicitation\":{\"url\":{}}}",  "{\"elicitation\":{\"form\":{}}}", true },
		{ "{\"elicitation\":{\"url\":{}}}",  "{\"elicitation\":{\"url\":{}}}",  false},
		{ "{\"elicitation\":{\"url\":{}}}",  "{\"elicitation\":true}",	      true },
		{ "{\"\\u0000\":{}}",		      "{\"\":{}}",			   true },
		{ "{}",			      "{}",			      false},
		{ "[\"sampling\"]",		    "{}",				  false},
		{ NULL,			      "{}",			      false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(
			bridge_client_lacks(span_of(rows[i].required), span_of(rows[i].declared)),
			rows[i].lacks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_change_only_where_the_eras_differ),
		cmocka_unit_test(tools_keep_every_member_but_the_name),
		cmocka_unit_test(codes_of_the_gateways_own_dialogue_do_not_pass),
		cmocka_unit_test(a_client_lacks_what_it_did_not_declare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
