/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const allowed[] = { "gate.example.com", "other.example.com:8443", "192.0.2.1:80",
				       "[2001:db8::1]" };

static const struct http_app serving = { .allowed_hosts = allowed,
					 .n_allowed_hosts = COUNT(allowed) };
static const struct http_app developing = { .development = true };

/* Whether `serve` with the list above, and `dev` without any, serve it. */
struct row {
	const char *value;
	bool serve, dev;
};

static const struct row hosts[] = {
	{"gate.example.com",		      true,  false},
	{ "GATE.Example.com",		      true,  false},
	{ "gate.example.com:80",		 true,  false},
	{ "gate.example.com:443",		  true,	false},
	{ "gate.example.com:8081",		   true,	 false},
	{ "other.example.com:8443",	    true,  false},
	{ "other.example.com:8444",	    false, false},
	{ "other.example.com",		       false, false},
	{ "192.0.2.1:80",			  true,	false},
	{ "192.0.2.1",			 true,  false},
	{ "192.0.2.1:81",			  false, false},
	{ "[2001:db8::1]",			   true,	 false},
	{ "[2001:DB8::1]:9000",		true,  false},
	{ "[2001:db8::2]",			   false, false},
	{ "2001:db8::1",			 false, false},
	{ "localhost",			 false, true },
	{ "LOCALHOST:1",			 false, true },
	{ "localhost:65535",		     false, true },
	{ "127.0.0.1",			 false, true },
	{ "127.0.0.1:8080",		    false, true },
	{ "[::1]",			     false, true },
	{ "[::1]:8080",			false, true },
	{ "::1",			       false, false},
	{ "127.0.0.2",			 false, false},
	{ "127.1",			     false, false},
	{ "0.0.0.0",			   false, false},
	{ "localhost.",			false, false},
	{ "localhost.evil.example.com",	false, false},
	{ "evil.example.com",		      false, false},
	{ "gate.example.com.evil.example",	   false, false},
	{ "notgate.example.com",		 false, false},
	{ "",				  false, false},
	{ ":80",			       false, false},
	{ "gate.example.com:",		       false, false},
	{ "gate.example.com:x",		false, false},
	{ "gate.example.com:123456",	     false, false},
	{ "gate.example.com:80:80",	    false, false},
	{ "user@gate.example.com",		   false, false},
	{ "localhost/admin?",		      false, false},
	{ "localhost, gate.example.com",	 false, false},
	{ "gate.example.com gate.example.com", false, false},
	{ "gate.example.com\\",		false, false},
	{ "[localhost]",			 false, false},
	{ "[::1",			      false, false},
	{ "[::1]x",			    false, false},
	{ "[]",				false, false},
	{ "[::1%25lo]",			false, false},
};

static const struct row origins[] = {
	{"https://gate.example.com",			      true,  false},
	{ "http://gate.example.com",			     true,  false},
	{ "HTTPS://GATE.example.com",			      true,  false},
	{ "https://gate.example.com:443",			  true,	false},
	{ "http://gate.example.com:443",			 false, false},
	{ "https://gate.example.com:8081",			   false, false},
	{ "https://other.example.com:8443",			    true,  false},
	{ "https://other.example.com",			       false, false},
	{ "http://192.0.2.1",				   true,  false},
	{ "https://192.0.2.1",				  false, false},
	{ "https://[2001:db8::1]",				   true,	 false},
	{ "http://localhost:3000",				   false, true },
	{ "https://127.0.0.1",				  false, true },
	{ "http://[::1]:5173",				  false, true },
	{ "http://localhost.evil.example.com",		       false, false},
	{ "https://evil.example.com",			      false, false},
	{ "null",					       false, false},
	{ "",						   false, false},
	{ "gate.example.com",				   false, false},
	{ "file://",					    false, false},
	{ "ftp://gate.example.com",				    false, false},
	{ "chrome-extension://localhost",			  false, false},
	{ "https://gate.example.com/",			       false, false},
	{ "https://user@gate.example.com",			   false, false},
	{ "https://gate.example.com, https://gate.example.com", false, false},
	{ "https://gate.example.com https://evil.example.com",  false, false},
	{ "https:gate.example.com",				    false, false},
	{ "https://",					   false, false},
};

static void serves_known_hosts_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(hosts); i++) {
		if (guard_host(&serving, hosts[i].value) != hosts[i].serve ||
		    guard_host(&developing, hosts[i].value) != hosts[i].dev)
			fail_msg("host \"%s\"", hosts[i].value);
	}
}

static void serves_known_origins_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(origins); i++) {
		if (guard_origin(&serving, origins[i].value) != origins[i].serve ||
		    guard_origin(&developing, origins[i].value) != origins[i].dev)
			fail_msg("origin \"%s\"", origins[i].value);
	}
}

static void a_missing_host_is_refused(void **state)
{
	(void)state;
	assert_false(guard_host(&serving, NULL));
	assert_false(guard_host(&developing, NULL));
}

static void nobody_is_served_without_configuration(void **state)
{
	const struct http_app nothing = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(hosts); i++)
		assert_false(guard_host(&nothing, hosts[i].value));
	for (size_t i = 0; i < COUNT(origins); i++)
		assert_false(guard_origin(&nothing, origins[i].value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_known_hosts_only),
		cmocka_unit_test(serves_known_origins_only),
		cmocka_unit_test(a_missing_host_is_refused),
		cmocka_unit_test(nobody_is_served_without_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
