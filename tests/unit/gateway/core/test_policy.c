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

/* What was worked out for one of a view is given to the others: policy_check must agree. */
static void a_view_is_of_those_who_get_the_same_answers(void **state)
{
	const struct principal bob = { .refs = 1, .role = ROLE_ADMIN };
	const char *all[] = { "*" };
	const struct connection connections[] = {
		{.enabled = true,	   .tools_allow = all, .n_tools_allow = 1 },
		{ .enabled = true		  },
		{ .tools_allow = all, .n_tools_allow = 1			 },
	};

	(void)state;
	assert_string_equal(policy_view(&ana), policy_view(&bob));
	for (size_t i = 0; i < COUNT(connections); i++)
		assert_int_equal(policy_check(&ana, &connections[i], "get", NULL),
				 policy_check(&bob, &connections[i], "get", NULL));
	assert_string_not_equal(policy_view(&ana), policy_view(NULL));
	assert_false(policy_check(NULL, &connections[0], "get", NULL));
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
		cmocka_unit_test(a_view_is_of_those_who_get_the_same_answers),
		cmocka_unit_test(nobody_disabled_and_invalid_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
