/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/core/policy.h"
#include "gateway/core/principal.h"
#include "gateway/core/tenant.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct principal ana = { .refs = 1 };

static void globs_decide_and_denied_wins(void **state)
{
	static const struct {
		const char *allow[3];
		size_t n_allow;
		const char *deny[3];
		size_t n_deny;
		const char *tool;
		bool allowed;
	} rows[] = {
		{{ "*" },		   1, { NULL },	0, "get",	  true },
		{ { NULL },	    0, { NULL },	 0, "get",	   false},
		{ { "get_*" },	       1, { NULL },	    0, "get_x",	true },
		{ { "get_*" },	       1, { NULL },	    0, "set_x",	false},
		{ { "*" },		   1, { "delete_*" }, 1, "delete_all",   false},
		{ { "*" },		   1, { "delete_*" }, 1, "undelete_all", true },
		{ { "delete_all" },   1, { "*" },	1, "delete_all",	 false},
		{ { "a", "b*", "c" }, 3, { NULL },	   0, "bee",	     true },
		{ { "get" },	     1, { NULL },	  0, "GET",	    false},
		{ { "[a-z]" },	       1, { NULL },	    0, "b",	    false},
		{ { "*" },		   1, { NULL },	0, NULL,		 true },
		{ { NULL },	    0, { "*" },	1, NULL,		 true }, /* the connection itself */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct connection connection = {
			.enabled = true,
			.tools_allow = (const char **)rows[i].allow,
			.n_tools_allow = rows[i].n_allow,
			.tools_deny = (const char **)rows[i].deny,
			.n_tools_deny = rows[i].n_deny,
		};
		const char *reason = "unset";

		assert_int_equal(policy_check(&ana, &connection, rows[i].tool, &reason),
				 rows[i].allowed);
		assert_int_equal(reason == NULL, rows[i].allowed);
	}
}

static void nobody_disabled_and_invalid_are_refused(void **state)
{
	const char *all[] = { "*" };
	struct connection connection = {
		.enabled = true,
		.tools_allow = all,
		.n_tools_allow = 1,
	};

	(void)state;
	assert_true(policy_check(&ana, &connection, "get", NULL));
	assert_false(policy_check(NULL, &connection, "get", NULL));
	connection.enabled = false;
	assert_false(policy_check(&ana, &connection, "get", NULL));
	assert_false(policy_check(&ana, &connection, NULL, NULL));
	connection.enabled = true;
	connection.invalid = "its URL is none";
	assert_false(policy_check(&ana, &connection, "get", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs_decide_and_denied_wins),
		cmocka_unit_test(nobody_disabled_and_invalid_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
