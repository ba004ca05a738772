/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/csrf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void a_form_of_ours_is_told_from_others(void **state)
{
	static const char *const hosts[] = { "gw.example", "gw.example:8443" };
	const struct http_app app = { .allowed_hosts = hosts, .n_allowed_hosts = COUNT(hosts) };
	static const struct {
		const char *site, *origin, *host;
		bool ours;
	} rows[] = {
		{"same-origin",	 "https://gw.example",      "gw.example",	     true },
		{ "same-origin", NULL,		       "gw.example",	     true },
		{ NULL,		"https://gw.example",      "gw.example",	    true },
		{ NULL,		"https://GW.example",      "gw.example",	    true },
		{ NULL,		"https://gw.example:8443", "gw.example:8443", true },
		{ NULL,		NULL,		      "gw.example",	    false},
		{ "same-site",   "https://gw.example",	     "gw.example",	   false},
		{ "cross-site",	NULL,		      "gw.example",	    false},
		{ "none",	  NULL,			"gw.example",      false},
		{ "",	      NULL,			    "gw.example",	  false},
		{ NULL,		"null",			"gw.example",      false},
		{ "same-origin", "null",			 "gw.example",      false},
		{ "same-origin", "https://evil.example",	 "gw.example",      false},
		{ NULL,		"https://evil.example",	"gw.example",      false},
		{ NULL,		"https://evil.example",	"evil.example",	false},
		{ NULL,		"https://gw.example:8443", "gw.example",	 false},
		{ NULL,		"https://gw.example",      NULL,		    false},
		{ NULL,		"gw.example",	      "gw.example",	    false},
		{ NULL,		"",			    "gw.example",	  false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (csrf_same_origin(&app, rows[i].site, rows[i].origin, rows[i].host) !=
		    rows[i].ours)
			fail_msg("row %zu", i);
	}
}

static void a_token_is_of_one_session_and_one_form(void **state)
{
	char token[CSRF_TOKEN_BYTES];

	(void)state;
	csrf_token("session", "form", token);
	assert_int_equal(strlen(token), CSRF_TOKEN_BYTES - 1);
	assert_true(csrf_check("session", "form", token));
	assert_false(csrf_check("other", "form", token));
	assert_false(csrf_check("session", "other", token));
	assert_false(csrf_check("session", "form", NULL));
	assert_false(csrf_check("session", "form", ""));
	token[0] ^= 1;
	assert_false(csrf_check("session", "form", token));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_form_of_ours_is_told_from_others),
		cmocka_unit_test(a_token_is_of_one_session_and_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
