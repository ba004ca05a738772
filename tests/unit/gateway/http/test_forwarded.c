/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void believes_trusted_proxies_only(void **state)
{
	static const char *const trusted[] = { "10.0.0.1", "10.0.0.2", "::ffff:10.0.0.3",
					       "2001:DB8::0:1", "nonsense" };
	static const struct {
		const char *peer;
		const char *hops;
		const char *source;
	} rows[] = {
		{"192.0.2.1",    NULL,							      "192.0.2.1"	 },
		{ "192.0.2.1",   "198.51.100.1",						    "192.0.2.1"   },
		{ "10.0.0.1",    NULL,							      "10.0.0.1"    },
		{ "10.0.0.1",    "",								"10.0.0.1"    },
		{ "10.0.0.1",    "198.51.100.1",						    "198.51.100.1"},
		{ "10.0.0.1",    "  198.51.100.1\t",						  "198.51.100.1"},
		{ "10.0.0.1",    "6.6.6.6, 198.51.100.1",					       "198.51.100.1"},
		{ "10.0.0.1",    "6.6.6.6,198.51.100.1,10.0.0.2",				       "198.51.100.1"},
		{ "10.0.0.1",    "198.51.100.1, 10.0.0.3",						"198.51.100.1"},
		{ "10.0.0.3",    "198.51.100.1",						    "198.51.100.1"},
		{ "2001:db8::1", "2001:db8::2",						     "2001:db8::2" },
		{ "10.0.0.1",    "[2001:db8::2]",						   "2001:db8::2" },
		{ "10.0.0.1",    "[2001:db8::2]:443",						   "2001:db8::2" },
		{ "10.0.0.1",    "198.51.100.1:5000",						   "198.51.100.1"},
		{ "10.0.0.1",    "::ffff:198.51.100.1",					     "198.51.100.1"},
		{ "10.0.0.1",    "10.0.0.2",							"10.0.0.2"    },
		{ "10.0.0.1",    "10.0.0.2, 10.0.0.1",						    "10.0.0.2"    },
		{ "10.0.0.1",    "198.51.100.1, junk",						    "10.0.0.1"    },
		{ "10.0.0.1",    "198.51.100.1, junk, 10.0.0.2",				      "10.0.0.2"	 },
		{ "10.0.0.1",    "198.51.100.1,",						   "10.0.0.1"	  },
		{ "10.0.0.1",    ",",							       "10.0.0.1"    },
		{ "10.0.0.1",    "unknown",							 "10.0.0.1"    },
		{ "10.0.0.1",    "198.51.100.1.5",						  "10.0.0.1"	   },
		{ "10.0.0.1",    "[198.51.100.1",						   "10.0.0.1"	  },
		{ "10.0.0.1",    "[2001:db8::2]x",						  "10.0.0.1"	   },
		{ "10.0.0.1",
		  "0000000000000000000000000000000000000000000000000000000000000000000000000000001", "10.0.0.1"    },
	};
	char out[INET6_ADDRSTRLEN];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(
			forwarded_source(rows[i].peer, rows[i].hops, trusted, COUNT(trusted), out),
			rows[i].source);
	assert_string_equal(forwarded_source("10.0.0.1", "192.0.2.1", NULL, 0, out), "10.0.0.1");
}

static void writes_addresses_in_one_way(void **state)
{
	char out[INET6_ADDRSTRLEN];

	(void)state;
	assert_string_equal(address_canonical("::FFFF:192.0.2.7", out), "192.0.2.7");
	assert_string_equal(address_canonical("2001:0DB8:0:0::1", out), "2001:db8::1");
	assert_string_equal(address_canonical("127.0.0.1", out), "127.0.0.1");
	assert_null(address_canonical("127.1", out));
	assert_null(address_canonical("", out));
	assert_null(address_canonical("localhost", out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(believes_trusted_proxies_only),
		cmocka_unit_test(writes_addresses_in_one_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
