/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/media.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void compares_content_types_without_parameters(void **state)
{
	static const char *const json[] = { "application/json", "Application/JSON",
					    "application/json; charset=utf-8",
					    " application/json ;x=1", "application/json;" };
	static const char *const others[] = { "",
					      "text/plain",
					      "application",
					      "application/jsonx",
					      "application/",
					      "application/json-rpc",
					      "text/plain; application/json",
					      "application/json, text/plain" };

	(void)state;
	for (size_t i = 0; i < COUNT(json); i++)
		assert_true(media_is(json[i], "application/json"));
	for (size_t i = 0; i < COUNT(others); i++)
		assert_false(media_is(others[i], "application/json"));
	assert_false(media_is(NULL, "application/json"));
}

static void accept_permits_what_a_range_covers(void **state)
{
	static const struct {
		const char *accept;
		bool json;
		bool events;
	} rows[] = {
		{NULL,					true,  true },
		{ "",					 true,  true },
		{ "*/*",				      true,  true },
		{ "application/json, text/event-stream",	 true,  true },
		{ "application/json,text/event-stream;q=0.5", true,  true },
		{ "APPLICATION/JSON",			      true,  false},
		{ "text/event-stream",			       false, true },
		{ "text/*",				   false, true },
		{ "application/*;q=0.1",			 true,  false},
		{ "text/html, */*;q=0.1",			  true,	true },
		{ "application/json;q=0, text/event-stream",  false, true },
		{ "application/json; q=0.000",		       false, false},
		{ "application/json;v=1;Q=0",		      false, false},
		{ "application/json;q=0.001",		      true,  false},
		{ "application/json;q=",			 true,  false},
		{ "text/html",				false, false},
		{ "application/jsonp",			       false, false},
		{ "json",				     false, false},
		{ "application",				 false, false},
		{ ",",					false, false},
		{ ", application/json",			true,  false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (media_accepted(rows[i].accept, "application/json") != rows[i].json ||
		    media_accepted(rows[i].accept, "text/event-stream") != rows[i].events)
			fail_msg("row %zu: %s", i, rows[i].accept);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_content_types_without_parameters),
		cmocka_unit_test(accept_permits_what_a_range_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
