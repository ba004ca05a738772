/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define A	     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define B	     "BBBBBBBBBBBBBBBBBBBB_BBBBBBBBBBBBBBBBBBBBB-"

static void a_cookie_is_read_if_it_is_certain(void **state)
{
	static const struct {
		const char *header;
		const char *token; /* NULL: none */
	} rows[] = {
		{NULL,						 NULL},
		{ "",						  NULL},
		{ "__Host-tollgate=" A,				A	  },
		{ "__Host-tollgate=" B "; x=1",			B	  },
		{ "x=1; __Host-tollgate=" A,			     A   },
		{ "x=1;__Host-tollgate=" A " ",			NULL},
		{ "tollgate=" A,				       NULL},
		{ "__host-tollgate=" A,				NULL},
		{ "__Host-tollgatex=" A,				 NULL},
		{ "x__Host-tollgate=" A,				 NULL},
		{ "__Host-tollgate",				     NULL},
		{ "__Host-tollgate=",				      NULL},
		{ "__Host-tollgate=" A "A",			    NULL},
		{ "__Host-tollgate=AAAA",				  NULL},
		{ "__Host-tollgate=\"" A "\"",			       NULL},
		{ "__Host-tollgate=" A "; __Host-tollgate=" B,	       NULL},
		{ "__Host-tollgate=" A "; __Host-tollgate=",	     NULL},
		{ "__Host-tollgate=; __Host-tollgate=" A,		  NULL},
		{ "__Host-tollgate-connect=" B "; __Host-tollgate=" A, A	 },
	};
	char token[BROWSER_TOKEN_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool found = cookie_read(rows[i].header, COOKIE_SESSION, true, token);

		if (found != (rows[i].token != NULL))
			fail_msg("row %zu", i);
		if (found)
			assert_string_equal(token, rows[i].token);
	}
}

static void over_plain_http_the_names_are_others(void **state)
{
	char token[BROWSER_TOKEN_BYTES];

	(void)state;
	assert_true(cookie_read("tollgate=" A, COOKIE_SESSION, false, token));
	assert_false(cookie_read("__Host-tollgate=" A, COOKIE_SESSION, false, token));
	assert_true(cookie_read("tollgate-connect=" A, COOKIE_CONNECT, false, token));
	assert_false(cookie_read("tollgate-connect=" A, COOKIE_SESSION, false, token));
}

static void cookies_have_all_attributes(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(cookie_write(arena, COOKIE_SESSION, true, A),
			    "__Host-tollgate=" A
			    "; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure");
	assert_string_equal(cookie_write(arena, COOKIE_CONNECT, true, A),
			    "__Host-tollgate-connect=" A
			    "; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure");
	assert_string_equal(cookie_write(arena, COOKIE_SESSION, false, A),
			    "tollgate=" A "; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax");
	assert_string_equal(cookie_write(arena, COOKIE_SESSION, true, NULL),
			    "__Host-tollgate=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cookie_is_read_if_it_is_certain),
		cmocka_unit_test(over_plain_http_the_names_are_others),
		cmocka_unit_test(cookies_have_all_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
