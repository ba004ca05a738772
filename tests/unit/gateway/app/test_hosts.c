/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_hosts(const char *public_url, const char *const *expected, size_t n_expected)
{
	struct config config;
	struct err err;
	const char **hosts;
	size_t n;

	config_init(&config);
	assert_int_equal(config_set(&config, "allowed_hosts", "a.example,b.example:444", &err), 0);
	assert_int_equal(config_set(&config, "listen", "127.0.0.1:1", &err), 0);
	assert_int_equal(config_set(&config, "key_listen", "127.0.0.1:2", &err), 0);
	hosts = hosts_collect(&config, public_url, &n);
	assert_int_equal(n, n_expected);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(hosts[i], expected[i]);
	config_free(&config);
}

static void they_are_the_configured_the_listening_and_the_public_ones(void **state)
{
	static const char *const named[] = { "a.example", "b.example:444", "127.0.0.1:1",
					     "127.0.0.1:2", "mcp.example:443" };
	static const char *const literal[] = { "a.example", "b.example:444", "127.0.0.1:1",
					       "127.0.0.1:2", "[::1]:8080" };

	(void)state;
	assert_hosts("https://mcp.example", named, 5);
	assert_hosts("http://[::1]:8080/x", literal, 5);
	assert_hosts("no url", named, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_the_configured_the_listening_and_the_public_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
