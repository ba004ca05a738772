/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gateway/http/server_fixture.h"

/* Half of the client's socket is closed before the answer: these handlers answer at once. */
static void routes_exactly(void **state)
{
	static const struct {
		const char *line;
		const char *answer;
	} rows[] = {
		{"GET /show",		       "GET /show ?"    },
		{ "GET /show?x=1",		   "GET /show ?x=1 "},
		{ "GET /show/",		"HTTP/1.1 404 "	},
		{ "GET /show/x",		 "HTTP/1.1 404 "	 },
		{ "GET /show/x/y",		   "GET /show/x/y " },
		{ "GET /show/x/y/z",	     "HTTP/1.1 404 "  },
		{ "GET /show/x/",		  "HTTP/1.1 404 "  },
		{ "GET /show//y",		  "HTTP/1.1 404 "  },
		{ "GET /Show",		       "HTTP/1.1 404 "  },
		{ "GET //show",		"HTTP/1.1 404 "	},
		{ "GET /",			   "HTTP/1.1 404 "  },
		{ "GET /s%68ow",		 "GET /show ?"    },
		{ "GET /show/%41/b%20c?q=1+2", "a=A b=b c|q=1 2"},
		{ "GET /show/../show",	       "GET /show ?"    },
		{ "GET /a/../../show",	       "GET /show ?"    },
		{ "GET /show/./x/y",	     "a=x b=y"	       },
		{ "GET /show/%2e%2e/show",	   "GET /show ?"	 },
		{ "GET /show%00",		  "HTTP/1.1 400 "  },
		{ "GET /show%2fx%2fy",	       "a=x b=y"	 },
		{ "GET http://test/show",	  "HTTP/1.1 404 "  },
		{ "GET show",		      "GET /show ?"    },
		{ "OPTIONS *",		       "HTTP/1.1 404 "  },
		{ "get /show",		       "HTTP/1.1 405 "  },
		{ "POST /show",		"HTTP/1.1 405 "	},
		{ "TRACE /show",		 "HTTP/1.1 405 "	 },
		{ "CONNECT /show",		   "HTTP/1.1 405 "  },
		{ "BREW /nothing",		   "HTTP/1.1 404 "  },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		char request[256];
		char *answer;

		snprintf(request, sizeof(request), "%s HTTP/1.1\r\n" HOST "\r\n", rows[i].line);
		answer = ask(fixture, LISTENER_PUBLIC, request);
		if (strstr(answer, rows[i].answer) == NULL)
			fail_msg("%s:\n%s", rows[i].line, answer);
		free(answer);
	}
}

static void a_listener_has_its_own_routes(void **state)
{
	struct fixture *fixture = *state;
	char *answer = ask(fixture, LISTENER_OPS, "GET /show HTTP/1.1\r\n" HOST "\r\n");

	assert_contains(answer, "HTTP/1.1 404 Not Found\r\n");
	free(answer);
	answer = ask(fixture, LISTENER_PUBLIC, "GET /livez HTTP/1.1\r\n" HOST "\r\n");
	assert_contains(answer, "HTTP/1.1 404 Not Found\r\n");
	free(answer);
	answer = ask(fixture, LISTENER_OPS, "GET /livez HTTP/1.1\r\n" HOST "\r\n");
	assert_contains(answer, "\r\n\r\nhello");
	free(answer);
	answer = ask(fixture, LISTENER_KEY, "GET /show HTTP/1.1\r\n" HOST "\r\n");
	assert_contains(answer, "from 127.0.0.1 on 1|");
	free(answer);
}

static void says_which_methods_a_path_has(void **state)
{
	struct fixture *fixture = *state;
	char *answer = ask(fixture, LISTENER_PUBLIC, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n");

	assert_contains(answer, "HTTP/1.1 405 Method Not Allowed\r\n");
	assert_contains(answer, "Allow: POST, PUT\r\n");
	assert_contains(answer, "Content-Type: application/problem+json\r\n");
	assert_contains(answer,
			"{\"type\":\"about:blank\",\"title\":\"Method Not Allowed\","
			"\"status\":405,\"code\":\"unrouted\",\"detail\":\"nothing here\"}");
	free(answer);
}

static void head_is_get_without_a_body(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	const char *answer;

	wire_send(wire, "HEAD /hello HTTP/1.1\r\n" HOST "\r\nHEAD /own-head HTTP/1.1\r\n" HOST
			"\r\nHEAD /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	answer = wire_await_close(wire);
	assert_contains(answer, "HTTP/1.1 200 OK\r\n");
	assert_contains(answer, "Content-Length: 5\r\n");
	assert_contains(answer, "HTTP/1.1 405 Method Not Allowed\r\n");
	assert_lacks(answer, "hello");
	assert_lacks(answer, "about:blank");
	wire_close(&wire);
}

static void refuses_what_can_be_read_in_two_ways(void **state)
{
	static const char *const requests[] = {
		"GET /hello HTTP/1.1\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" HOST HOST "\r\n",
		"POST /echo HTTP/1.1\r\n" HOST HOST "Content-Length: 1\r\n\r\nx",
		"POST /echo HTTP/1.1\r\n" HOST
		"Content-Length: 1\r\nContent-Length: 5\r\n\r\nxxxxx",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 40\r\n\r\n"
		"GET /hello HTTP/1.1\r\n" HOST "\r\n",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
		"\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n",
		"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n"
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" HOST "X-A: 1\r\n folded\r\n\r\n",
		"GET /hello HTTP/1.1\n" HOST "\r\n",
		"GET /hello HTTP/1.1\r\nHost: test\n\r\n",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < COUNT(requests); i++) {
		struct wire *wire = connect_public(fixture);
		const char *answer;

		wire_send(wire, requests[i]);
		answer = wire_await_close(wire);
		if (strncmp(answer, "HTTP/1.1 400 ", 13) != 0 ||
		    strstr(answer + 1, "HTTP/1.1") != NULL)
			fail_msg("%s:\n%s", requests[i], answer);
		assert_contains(answer, "\"code\":\"bad_request\"");
		assert_contains(answer, COMMON_HEADERS);
		wire_close(&wire);
	}
	assert_int_equal(fixture->n_handled, 0);
}

static void speaks_http_1_only(void **state)
{
	static const char *const requests[] = {
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
		"\x16\x03\x01\x02",
		"GET /hello HTTP/3.0\r\n" HOST "\r\n",
		"GET /hello HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
	};
	struct fixture *fixture = *state;
	char *answer;

	for (size_t i = 0; i < COUNT(requests); i++) {
		answer = ask(fixture, LISTENER_PUBLIC, requests[i]);
		if (i != 1)
			assert_contains(answer, "HTTP/1.1 400 ");
		free(answer);
	}
	assert_int_equal(fixture->n_handled, 0);
	answer = ask(fixture, LISTENER_PUBLIC,
		     "GET /hello HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\n"
		     "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n");
	assert_contains(answer, "HTTP/1.1 200 OK\r\n");
	assert_contains(answer, "\r\n\r\nhello");
	free(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(routes_exactly),
		PLAIN(a_listener_has_its_own_routes),
		PLAIN(says_which_methods_a_path_has),
		PLAIN(head_is_get_without_a_body),
		PLAIN(refuses_what_can_be_read_in_two_ways),
		PLAIN(speaks_http_1_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
