/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GET	     "GET / HTTP/1.1\r\n"

static void accepts_what_can_be_read_in_one_way(void **state)
{
	static const struct {
		const char *head;
		int minor_version;
	} rows[] = {
		{GET "Host: a\r\n\r\n",					 1},
		{ "\r\n" GET "Host: a\r\n\r\n",					1},
		{ GET "hOsT: a\r\nContent-Length: 3\r\n\r\nabc",		 1},
		{ GET "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1},
		{ GET "Host: a\r\nX-Host: b\r\nHosts: c\r\n\r\n",		  1},
 /* What follows the head is not looked at. */
		{ GET "Host: a\r\n\r\nHost: b\n folded\r\n",		     1},
		{ "GET / HTTP/1.0\r\n\r\n",					    0},
		{ "GET / HTTP/1.0\r\nHost: a\r\n\r\n",			       0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err err;

		if (framing_check(span_of(rows[i].head), rows[i].minor_version, &err) < 0)
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void refuses_what_two_readers_could_read_differently(void **state)
{
	static const struct {
		const char *head;
		int minor_version;
		const char *why;
	} rows[] = {
		{GET "\r\n",									 1, "the host header is missing"	      },
		{ GET "Host: a\r\nHost: a\r\n\r\n",						    1, "more than one host header"		   },
		{ GET "Host: a\r\nhost: b\r\n\r\n",						    1, "more than one host header"		   },
		{ "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",					  0, "more than one host header"		 },
		{ GET "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",		   1,
		  "more than one content-length header"											  },
		{ GET "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		  1,										     "more than one transfer-encoding header"},
		{ GET "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",	    1,
		  "content-length and transfer-encoding exclude each other"									    },
		{ GET "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",	    1,
		  "content-length and transfer-encoding exclude each other"									    },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",				  0,
		  "HTTP/1.0 has no transfer-encoding"											    },
		{ GET "Host: a\r\nX: 1\r\n b\r\n\r\n",					       1, "a header must not be folded"		},
		{ GET "Host: a\r\nX: 1\r\n\tb\r\n\r\n",						1, "a header must not be folded"		 },
		{ GET "Host: a\n\r\n",							       1, "a line must end with CRLF"	      },
		{ "GET / HTTP/1.1\nHost: a\r\n\r\n",						     1, "a line must end with CRLF"		    },
		{ GET "Host: a\r\n\n",							       1, "a line must end with CRLF"	      },
		{ "\n" GET "Host: a\r\n\r\n",							1, "a line must end with CRLF"	     },
		{ "",										1, "a line must end with CRLF"	     },
		{ GET "Host: a",								     1, "a line must end with CRLF"		},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err err = { 0 };
		int result = framing_check(span_of(rows[i].head), rows[i].minor_version, &err);

		assert_int_equal(result, -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_string_equal(err.text, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_what_can_be_read_in_one_way),
		cmocka_unit_test(refuses_what_two_readers_could_read_differently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
