/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/mcp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void knows_every_legacy_revision_and_no_other(void **state)
{
	static const char *const known[] = { "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05",
					     "2024-10-07" };
	static const char *const others[] = { "",
					      "2026-07-28",
					      "2025-11-2",
					      "2025-11-25 ",
					      "1.0",
					      "draft",
					      "2025-11-25, 2025-11-25" };

	(void)state;
	for (size_t i = 0; i < COUNT(known); i++)
		assert_true(mcp_legacy_known(known[i]));
	for (size_t i = 0; i < COUNT(others); i++)
		assert_false(mcp_legacy_known(others[i]));
}

static void never_agrees_on_a_revision_with_batches(void **state)
{
	static const struct {
		const char *requested;
		const char *answer;
	} rows[] = {
		{"2025-11-25",	"2025-11-25"},
		{ "2025-06-18", "2025-06-18"},
		{ "2025-03-26", "2025-11-25"},
		{ "2024-11-05", "2025-11-25"},
		{ "2024-10-07", "2025-11-25"},
		{ "2026-07-28", "2025-11-25"},
		{ "",	      "2025-11-25"},
		{ "nonsense",   "2025-11-25"},
		{ NULL,		"2025-11-25"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(mcp_legacy_negotiate(rows[i].requested), rows[i].answer);
}

static void orders_log_levels_by_severity(void **state)
{
	static const char *const levels[] = { "debug", "info",	   "notice", "warning",
					      "error", "critical", "alert",  "emergency" };

	(void)state;
	for (size_t i = 0; i < COUNT(levels); i++)
		assert_int_equal(mcp_log_level(levels[i]), (int)i);
	assert_int_equal(mcp_log_level(""), -1);
	assert_int_equal(mcp_log_level("Info"), -1);
	assert_int_equal(mcp_log_level("warn"), -1);
	assert_int_equal(mcp_log_level("fatal"), -1);
}

static void names_the_eras(void **state)
{
	(void)state;
	assert_string_equal(mcp_era_name(MCP_LEGACY), "legacy");
	assert_string_equal(mcp_era_name(MCP_MODERN), "modern");
}

static void a_client_elicits_urls_only_if_it_says_so(void **state)
{
	static const struct {
		const char *capabilities;
		bool does;
	} rows[] = {
		{"{\"elicitation\":{\"url\":{}}}",			    true },
		{ "{\"elicitation\":{\"form\":{},\"url\":{}},\"x\":1}", true },
		{ "{\"elicitation\":{}}",				  false},
		{ "{\"elicitation\":{\"form\":{}}}",		     false},
		{ "{\"elicitation\":{\"url\":true}}",		      false},
		{ "{\"url\":{}}",				       false},
		{ "{}",						 false},
		{ "[]",						 false},
		{ NULL,						 false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(mcp_elicits_url(span_of(rows[i].capabilities)), rows[i].does);
}

static void of_capabilities_the_known_ones_are_kept(void **state)
{
	static const struct {
		const char *declared;
		const char *kept;
	} rows[] = {
		{"{}",									      "{}"							},
		{ "{\"roots\":{\"listChanged\":true},\"experimental\":{\"x\":\"s3cret\"},\"y\":1}",
		  "{\"roots\":{}}"															       },
		{ "{\"elicitation\":{\"url\":{\"a\":\"s3cret\"},\"form\":1,\"z\":{}},\"sampling\":{"
		  "\"tools\":{}}}",						"{\"sampling\":{\"tools\":{}},\"elicitation\":{\"url\":{}}}"},
		{ "{\"roots\":1,\"sampling\":[],\"elicitation\":{}}",				      "{\"elicitation\":{}}"					     },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out;

		buf_init(&out, 1000);
		mcp_known_capabilities(span_of(rows[i].declared), &out);
		assert_string_equal(buf_str(&out), rows[i].kept);
		assert_int_equal(mcp_elicits_url(buf_span(&out)),
				 mcp_elicits_url(span_of(rows[i].declared)));
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_capabilities_the_known_ones_are_kept),
		cmocka_unit_test(knows_every_legacy_revision_and_no_other),
		cmocka_unit_test(never_agrees_on_a_revision_with_batches),
		cmocka_unit_test(orders_log_levels_by_severity),
		cmocka_unit_test(names_the_eras),
		cmocka_unit_test(a_client_elicits_urls_only_if_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
