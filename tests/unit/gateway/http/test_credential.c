/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/credential.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void takes_the_key_from_either_header(void **state)
{
	static const struct {
		const char *authorization;
		const char *x_api_key;
		const char *key;
	} rows[] = {
		{NULL,		NULL, NULL},
		      { "Bearer k1",   NULL, "k1"},
		{ "bearer k1",   NULL, "k1"},
		      { "BEARER   k1", NULL, "k1"},
		{ NULL,		"k1", "k1"},
		      { "Bearer k1",   "k1", "k1"},
		{ "Basic dTpw",	NULL, NULL},
		      { "Basic dTpw",  "k1", "k1"},
		{ "Bearer",	    NULL, NULL},
		      { "Bearer ",	   "k1", "k1"},
		{ "Bearer k1",   "",   "k1"},
		      { "",	    "",	NULL},
		{ "Bearerk1",    NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *key = "unset";
		struct err err;

		assert_int_equal(
			credential_read(rows[i].authorization, rows[i].x_api_key, &key, &err), 0);
		if (rows[i].key == NULL)
			assert_null(key);
		else
			assert_string_equal(key, rows[i].key);
	}
}

static void refuses_two_different_keys(void **state)
{
	const char *key;
	struct err err;

	(void)state;
	assert_int_equal(credential_read("Bearer k1", "k2", &key, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_int_equal(credential_read("Bearer k1, Bearer k2", "k1", &key, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_key_from_either_header),
		cmocka_unit_test(refuses_two_different_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
