/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/http/app.h"
#include "gateway/http/cors.h"
#include "gateway/http/mcp_http.h"
#include "gateway/http/ops.h"
#include "gateway/http/route_match.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PUBLIC	     (1U << LISTENER_PUBLIC)
#define KEY	     (1U << LISTENER_KEY)
#define OPS	     (1U << LISTENER_OPS)

static const struct route *find(const char *method, const char *path)
{
	struct route_params params;

	for (const struct route *at = http_routes; at->method != NULL; at++) {
		if (strcmp(at->method, method) == 0 &&
		    route_match(at->pattern, span_of(path), &params))
			return at;
	}
	return NULL;
}

static void both_client_listeners_have_the_mcp_paths(void **state)
{
	static const char *const paths[] = { "/mcp", "/t/acme/mcp", "/c/crm/mcp",
					     "/t/acme/c/crm/mcp" };

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		assert_ptr_equal(find("POST", paths[i])->handle, mcp_post);
		assert_ptr_equal(find("DELETE", paths[i])->handle, mcp_delete);
		assert_ptr_equal(find("GET", paths[i])->handle, mcp_get);
		assert_ptr_equal(find("OPTIONS", paths[i])->handle, cors_preflight);
		assert_int_equal(find("POST", paths[i])->listeners, PUBLIC | KEY);
		assert_int_equal(find("GET", paths[i])->listeners, PUBLIC | KEY);
	}
}

static void only_the_ops_listener_has_the_ops_paths(void **state)
{
	(void)state;
	assert_int_equal(find("GET", "/livez")->listeners, OPS);
	assert_int_equal(find("GET", "/healthz")->listeners, OPS);
	assert_int_equal(find("GET", "/readyz")->listeners, OPS);
	for (const struct route *at = http_routes; at->method != NULL; at++)
		assert_true(at->listeners == OPS || (at->listeners & OPS) == 0);
}

static void the_key_listener_has_nothing_but_mcp(void **state)
{
	(void)state;
	for (const struct route *at = http_routes; at->method != NULL; at++) {
		size_t n = strlen(at->pattern);

		if ((at->listeners & KEY) != 0)
			assert_string_equal(at->pattern + n - 4, "/mcp");
	}
}

static void nothing_answers_below_mcp_or_for_discovery(void **state)
{
	static const char *const paths[] = {
		"/mcp/",
		"/mcp/x",
		"/mcp/.well-known/oauth-protected-resource",
		"/.well-known/oauth-protected-resource",
		"/.well-known/oauth-protected-resource/mcp",
		"/.well-known/oauth-authorization-server",
		"/sse",
		"/register",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		assert_null(find("GET", paths[i]));
		assert_null(find("POST", paths[i]));
	}
}

static void no_row_hides_another(void **state)
{
	(void)state;
	for (const struct route *at = http_routes; at->method != NULL; at++) {
		assert_int_equal(at->pattern[0], '/');
		assert_non_null(at->handle);
		assert_true(at->listeners != 0);
		for (const struct route *other = http_routes; other < at; other++)
			assert_false(strcmp(at->method, other->method) == 0 &&
				     strcmp(at->pattern, other->pattern) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_client_listeners_have_the_mcp_paths),
		cmocka_unit_test(only_the_ops_listener_has_the_ops_paths),
		cmocka_unit_test(the_key_listener_has_nothing_but_mcp),
		cmocka_unit_test(nothing_answers_below_mcp_or_for_discovery),
		cmocka_unit_test(no_row_hides_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
