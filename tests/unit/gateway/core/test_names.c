/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/names.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void names_of_connections_follow_one_rule(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{"a",				  true },
		{ "crm",			       true },
		{ "crm-2",			     true },
		{ "a_b-c_d",			     true },
		{ "0",				 true },
		{ "abcdefghijklmnopqrstuvwxyz012345",  true },
		{ "abcdefghijklmnopqrstuvwxyz0123456", false},
		{ "",				  false},
		{ "-a",				false},
		{ "a-",				false},
		{ "_a",				false},
		{ "a_",				false},
		{ "a__b",			      false},
		{ "a--b",			      false},
		{ "a-_b",			      false},
		{ "A",				 false},
		{ "a.b",			       false},
		{ "a b",			       false},
		{ "a/b",			       false},
		{ "\xc3\xa4",			      false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(name_valid(rows[i].name), rows[i].valid);
}

static void a_short_legal_name_is_prefixed_and_nothing_else(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(name_expose(arena, "crm", "get_contact"), "crm__get_contact");
	assert_string_equal(name_expose(arena, "crm", "a.b-C__d"), "crm__a.b-C__d");
	arena_free(&arena);
}

static void a_name_of_64_bytes_is_kept_and_one_of_65_is_cut_with_a_hash(void **state)
{
	struct arena *arena = arena_new();
	char tool[62];
	char *exposed;

	(void)state;
	memset(tool, 't', sizeof(tool));
	tool[59] = '\0'; /* c__ and 59 make 62 */
	assert_int_equal(strlen(name_expose(arena, "c", tool)), 62);
	memset(tool, 't', sizeof(tool));
	tool[61] = '\0';
	exposed = name_expose(arena, "c", tool);
	assert_int_equal(strlen(exposed), 64);
	assert_memory_equal(exposed, "c__ttt", 6);
	assert_null(strchr(exposed + 3, '_')); /* 64: untouched */
	exposed = name_expose(arena, "cc", tool);
	assert_int_equal(strlen(exposed), EXPOSED_MAX_BYTES);
	assert_int_equal(exposed[57], '_');
	assert_int_equal(strspn(exposed + 58, "0123456789abcdef"), 6);
	assert_string_equal(exposed, name_expose(arena, "cc", tool)); /* the same each time */
	arena_free(&arena);
}

static void illegal_bytes_are_replaced_and_distinct_tools_stay_distinct(void **state)
{
	struct arena *arena = arena_new();
	char *slash = name_expose(arena, "c", "a/b");
	char *space = name_expose(arena, "c", "a b");

	(void)state;
	assert_memory_equal(slash, "c__a_b_", 7);
	assert_memory_equal(space, "c__a_b_", 7);
	assert_int_equal(strlen(slash), 13);
	assert_string_not_equal(slash, space);
	arena_free(&arena);
}

static void a_name_splits_at_its_first_double_underscore(void **state)
{
	static const struct {
		const char *exposed;
		const char *connection;
		const char *tool;
	} rows[] = {
		{"crm__get",			      "crm", "get" },
		{ "crm__a__b",			       "crm", "a__b"},
		{ "crm__",				"crm", ""    },
		{ "a_b__c",			       "a_b", "c"   },
		{ "crm_get",			      NULL,  NULL	},
		{ "__get",				NULL,	 NULL  },
		{ "CRM__get",			      NULL,  NULL	 },
		{ "",				     NULL,  NULL	 },
		{ "a___b",				"a",	"_b"  },
		{ "abcdefghijklmnopqrstuvwxyz0123456__x", NULL,	NULL  },
	};
	char connection[NAME_MAX_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *tool = name_split(rows[i].exposed, connection);

		if (rows[i].tool == NULL) {
			assert_null(tool);
		} else {
			assert_string_equal(tool, rows[i].tool);
			assert_string_equal(connection, rows[i].connection);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_connections_follow_one_rule),
		cmocka_unit_test(a_short_legal_name_is_prefixed_and_nothing_else),
		cmocka_unit_test(a_name_of_64_bytes_is_kept_and_one_of_65_is_cut_with_a_hash),
		cmocka_unit_test(illegal_bytes_are_replaced_and_distinct_tools_stay_distinct),
		cmocka_unit_test(a_name_splits_at_its_first_double_underscore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
