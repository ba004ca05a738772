/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/upstream/compose.h"
#include "version.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MODERN_META                                                                                \
	"\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                              \
	"\"io.modelcontextprotocol/clientInfo\":{\"name\":\"tollgate\",\"title\":\"Tollgate\","    \
	"\"version\":\"" TOLLGATE_VERSION "\"},"                                                   \
	"\"io.modelcontextprotocol/clientCapabilities\":{}"

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void assert_body(const struct compose_params *params, const char *expected)
{
	struct buf out;

	buf_init(&out, COMPOSE_MAX_BYTES);
	assert_int_equal(compose_body(params, &out), 0);
	assert_string_equal(buf_str(&out), expected);
	buf_fini(&out);
}

static void legacy_params_keep_their_bytes(void **state)
{
	(void)state;
	assert_body(&(struct compose_params){ .era = MCP_LEGACY, .id = 5, .method = "tools/list" },
		    "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"}");
	assert_body(
		&(struct compose_params){ .era = MCP_LEGACY,
					  .id = 5,
					  .method = "tools/call",
					  .name = "get",
					  .params = SPAN("{ \"name\" : \"crm__get\",\"x\":1e400,"
							 "\"arguments\":{\"b\":1,\"a\":-0}}") },
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":"
		"{ \"name\" : \"get\",\"x\":1e400,\"arguments\":{\"b\":1,\"a\":-0}}}");
}

static void the_clients_own_dialogue_is_taken_out_of_meta(void **state)
{
	(void)state;
	assert_body(
		&(struct compose_params){
			.era = MCP_LEGACY,
			.id = 6,
			.method = "tools/call",
			.name = "t",
			.progress = true,
			.trace = {.traceparent = TRACEPARENT, .tracestate = "a=\"1\""},
			.params = SPAN(
				"{\"name\":\"c__t\",\"_meta\":{\"progressToken\":\"p\","
				"\"traceparent\":\"00-1\",\"baggage\":\"k=v\",\"tracestate\":\"x\","
				"\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
				"\"mine\":{\"deep\":[1.0]}}}")
	       },
		"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":"
		"{\"name\":\"t\",\"_meta\":{\"mine\":{\"deep\":[1.0]},\"traceparent\":"
		"\"" TRACEPARENT "\",\"tracestate\":\"a=\\\"1\\\"\",\"progressToken\":6}}}");
	assert_body(
		&(struct compose_params){
			.era = MCP_LEGACY,
			.id = 6,
			.method = "tools/call",
			.name = "t",
			.params = SPAN("{\"name\":\"c__t\",\"_meta\":{\"progressToken\":0},"
				       "\"z\":1}") },
		"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":"
		"{\"name\":\"t\",\"z\":1}}");
}

static void modern_requests_say_who_speaks(void **state)
{
	(void)state;
	assert_body(&(struct compose_params){ .era = MCP_MODERN, .id = 7, .method = "tools/list" },
		    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/list\",\"params\":"
		    "{\"_meta\":{" MODERN_META "}}}");
	assert_body(
		&(struct compose_params){
			.era = MCP_MODERN,
			.id = 8,
			.method = "tools/call",
			.name = "t",
			.progress = true,
			.log_level = "info",
			.params = SPAN("{\"name\":\"c__t\",\"_meta\":{\"a\":1,"
				       "\"io.modelcontextprotocol/logLevel\":\"debug\"}}") },
		"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":"
		"{\"name\":\"t\",\"_meta\":{\"a\":1," MODERN_META
		",\"io.modelcontextprotocol/logLevel\":\"info\",\"progressToken\":8}}}");
}

static void headers_are_those_of_the_era(void **state)
{
	static const struct {
		enum mcp_era era;
		const char *session;
		const char *name;
		const char *expected; /* name=value lines */
	} rows[] = {
		{MCP_LEGACY,  NULL, "t",		 "mcp-protocol-version=v\n"			    },
		{ MCP_LEGACY, "s1", "t",		 "mcp-protocol-version=v\nmcp-session-id=s1\n"       },
		{ MCP_MODERN, "s1", "t",		 "mcp-protocol-version=v\nmcp-method=m\nmcp-name=t\n"},
		{ MCP_MODERN, NULL, NULL,		  "mcp-protocol-version=v\nmcp-method=m\n"		   },
		{ MCP_MODERN, NULL, "\xc3\xa4",
		  "mcp-protocol-version=v\nmcp-method=m\nmcp-name==?base64?w6Q=?=\n"		     },
		{ MCP_MODERN, NULL, " t",
		  "mcp-protocol-version=v\nmcp-method=m\nmcp-name==?base64?IHQ=?=\n"		     },
		{ MCP_MODERN, NULL, "a\r\nb",
		  "mcp-protocol-version=v\nmcp-method=m\nmcp-name==?base64?YQ0KYg==?=\n"		 },
		{ MCP_MODERN, NULL, "=?base64?x?=",
		  "mcp-protocol-version=v\nmcp-method=m\nmcp-name==?base64?PT9iYXNlNjQ/eD89?=\n"	 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct compose_params params = { .era = rows[i].era,
						       .version = "v",
						       .session_id = rows[i].session,
						       .method = "m",
						       .name = rows[i].name };
		struct http_header headers[COMPOSE_MAX_HEADERS];
		struct arena *arena = arena_new();
		struct buf lines;
		size_t n = compose_headers(&params, arena, headers);

		buf_init(&lines, 1024);
		for (size_t j = 0; j < n; j++)
			buf_printf(&lines, "%s=%s\n", headers[j].name, headers[j].value);
		assert_string_equal(buf_str(&lines), rows[i].expected);
		buf_fini(&lines);
		arena_free(&arena);
	}
}

static void annotated_arguments_travel_as_headers_to_modern_upstreams(void **state)
{
	static const enum mcp_era eras[] = { MCP_LEGACY, MCP_MODERN };
	static const char *const expected[] = {
		"mcp-protocol-version=v\n",
		"mcp-protocol-version=v\nmcp-method=tools/call\nmcp-name=t\nMcp-Param-Region=eu\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(eras); i++) {
		const struct compose_params params = {
			.era = eras[i],
			.version = "v",
			.method = "tools/call",
			.name = "t",
			.params = SPAN("{\"name\":\"c__t\",\"arguments\":{\"r\":\"eu\"}}"),
			.tool = SPAN("{\"inputSchema\":{\"properties\":{\"r\":{\"type\":\"string\","
				     "\"x-mcp-header\":\"Region\"}}}}"),
		};
		struct http_header headers[COMPOSE_MAX_HEADERS];
		struct arena *arena = arena_new();
		struct buf lines;
		size_t n = compose_headers(&params, arena, headers);

		buf_init(&lines, 1024);
		for (size_t j = 0; j < n; j++)
			buf_printf(&lines, "%s=%s\n", headers[j].name, headers[j].value);
		assert_string_equal(buf_str(&lines), expected[i]);
		buf_fini(&lines);
		arena_free(&arena);
	}
}

static void the_trace_travels_as_headers_too(void **state)
{
	static const enum mcp_era eras[] = { MCP_LEGACY, MCP_MODERN };

	(void)state;
	for (size_t i = 0; i < COUNT(eras); i++) {
		const struct compose_params params = {
			.era = eras[i],
			.method = "tools/call",
			.trace = {TRACEPARENT, "a=1", "k=v"},
		};
		struct http_header headers[COMPOSE_MAX_HEADERS];
		struct arena *arena = arena_new();
		size_t n = compose_headers(&params, arena, headers);

		assert_int_equal(n, eras[i] == MCP_MODERN ? 4 : 3);
		assert_string_equal(headers[0].name, "traceparent");
		assert_string_equal(headers[0].value, TRACEPARENT);
		assert_string_equal(headers[1].name, "tracestate");
		assert_string_equal(headers[1].value, "a=1");
		assert_string_equal(headers[2].name, "baggage");
		assert_string_equal(headers[2].value, "k=v");
		arena_free(&arena);
	}
}

static void a_cancel_names_the_request(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	compose_cancelled(9, "why \"now\"", &out);
	assert_string_equal(
		buf_str(&out),
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":9,\"reason\":\"why \\\"now\\\"\"}}");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legacy_params_keep_their_bytes),
		cmocka_unit_test(the_clients_own_dialogue_is_taken_out_of_meta),
		cmocka_unit_test(modern_requests_say_who_speaks),
		cmocka_unit_test(headers_are_those_of_the_era),
		cmocka_unit_test(annotated_arguments_travel_as_headers_to_modern_upstreams),
		cmocka_unit_test(the_trace_travels_as_headers_too),
		cmocka_unit_test(a_cancel_names_the_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
