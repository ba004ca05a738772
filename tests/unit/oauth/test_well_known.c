/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/well_known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

struct place {
	const char *url;
	const char *expected[WELL_KNOWN_MAX];
};

static void check(struct well_known (*of)(struct arena *, const char *), const struct place *place)
{
	struct arena *arena = arena_new();
	struct well_known got = of(arena, place->url);

	for (size_t i = 0; i < WELL_KNOWN_MAX; i++) {
		if (place->expected[i] == NULL)
			assert_int_equal(got.n, i);
		if (i >= got.n)
			break;
		assert_string_equal(got.urls[i], place->expected[i]);
	}
	arena_free(&arena);
}

static void a_resource_is_looked_up_with_its_path_then_without(void **state)
{
	static const struct place places[] = {
		{"https://h",	       { "https://h/.well-known/oauth-protected-resource" }},
		{ "https://h/",		{ "https://h/.well-known/oauth-protected-resource" }},
		{ "https://h:8443/mcp",
		  { "https://h:8443/.well-known/oauth-protected-resource/mcp",
		    "https://h:8443/.well-known/oauth-protected-resource" }		    },
		{ "https://h/a/b/",
		  { "https://h/.well-known/oauth-protected-resource/a/b/",
		    "https://h/.well-known/oauth-protected-resource" }		       },
		{ "https://h/mcp?x=1",
		  { "https://h/.well-known/oauth-protected-resource/mcp?x=1",
		    "https://h/.well-known/oauth-protected-resource" }		       },
		{ "https://h/?x=1",
		  { "https://h/.well-known/oauth-protected-resource?x=1",
		    "https://h/.well-known/oauth-protected-resource" }		       },
		{ "https://h?x=1",
		  { "https://h/.well-known/oauth-protected-resource?x=1",
		    "https://h/.well-known/oauth-protected-resource" }		       },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++)
		check(well_known_resource, &places[i]);
}

static void a_server_is_looked_up_in_the_order_of_mcp(void **state)
{
	static const struct place places[] = {
		{"https://as",
		  { "https://as/.well-known/oauth-authorization-server",
		    "https://as/.well-known/openid-configuration" }	    },
		{ "https://as/",
		  { "https://as/.well-known/oauth-authorization-server",
		    "https://as/.well-known/openid-configuration" }	    },
		{ "https://as:1/t1",
		  { "https://as:1/.well-known/oauth-authorization-server/t1",
		    "https://as:1/.well-known/openid-configuration/t1",
		    "https://as:1/t1/.well-known/openid-configuration" }},
		{ "https://as/t/1/",
		  { "https://as/.well-known/oauth-authorization-server/t/1",
		    "https://as/.well-known/openid-configuration/t/1",
		    "https://as/t/1/.well-known/openid-configuration" } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++)
		check(well_known_server, &places[i]);
}

static void an_origin_is_scheme_and_authority(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(well_known_origin(arena, "https://h:1/a?b"), "https://h:1");
	assert_string_equal(well_known_origin(arena, "http://[::1]?b=://"), "http://[::1]");
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_resource_is_looked_up_with_its_path_then_without),
		cmocka_unit_test(a_server_is_looked_up_in_the_order_of_mcp),
		cmocka_unit_test(an_origin_is_scheme_and_authority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
