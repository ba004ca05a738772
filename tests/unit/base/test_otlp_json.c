/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/otlp.h"

#define ID	 "0af7651916cd43dd8448eb211c80319c"
#define SPAN_HEX "b7ad6b7169203331"

static struct trace_context context_of(const char *traceparent)
{
	struct trace_context context;

	assert_true(traceparent_parse(span_of(traceparent), &context));
	return context;
}

static void assert_json(const struct otlp_span *span, const char *expected)
{
	struct buf out;
	struct err err;

	buf_init(&out, 1 << 16);
	otlp_span_json(span, &out);
	assert_string_equal(buf_str(&out), expected);
	assert_int_equal(span_check(buf_span(&out), NULL, &err), 0);
	buf_fini(&out);
}

static void a_span_has_all_it_can_have(void **state)
{
	static const struct otlp_attribute attributes[] = {
		{"mcp.method.name", SPAN("tools/call"), 0  },
		{ "server.port",	 { 0 },		443},
		{ "odd",		 SPAN("\"\\\n\xff"), 0  },
		{ "empty",	   SPAN(""),	     0  },
	};
	static const uint8_t parent[SPAN_ID_BYTES] = { 0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7 };
	const struct otlp_link link = { context_of("00-" SPAN_HEX SPAN_HEX "-" SPAN_HEX "-00"),
					"b=2" };

	(void)state;
	assert_json(
		&(struct otlp_span){
			.context = context_of("00-" ID "-" SPAN_HEX "-01"),
			.tracestate = "a=\"1\"",
			.parent = parent,
			.remote_parent = true,
			.kind = OTLP_SERVER,
			.name = SPAN("tools/call crm__get"),
			.start_us = 1544712660000001,
			.end_us = 1544712661000000,
			.attributes = attributes,
			.n_attributes = 4,
			.link = &link,
			.failed = true,
		},
		"{\"traceId\":\"" ID "\",\"spanId\":\"" SPAN_HEX
		"\",\"traceState\":\"a=\\\"1\\\"\",\"parentSpanId\":\"00f067aa0ba902b7\","
		"\"flags\":769,\"name\":\"tools/call crm__get\",\"kind\":2,"
		"\"startTimeUnixNano\":\"1544712660000001000\","
		"\"endTimeUnixNano\":\"1544712661000000000\",\"attributes\":["
		"{\"key\":\"mcp.method.name\",\"value\":{\"stringValue\":\"tools/call\"}},"
		"{\"key\":\"server.port\",\"value\":{\"intValue\":\"443\"}},"
		"{\"key\":\"odd\",\"value\":{\"stringValue\":\"\\\"\\\\\\n\xef\xbf\xbd\"}},"
		"{\"key\":\"empty\",\"value\":{\"stringValue\":\"\"}}],"
		"\"links\":[{\"traceId\":\"" SPAN_HEX SPAN_HEX "\",\"spanId\":\"" SPAN_HEX
		"\",\"traceState\":\"b=2\",\"flags\":768}],\"status\":{\"code\":2}}");
}

static void a_span_has_as_little_as_it_may(void **state)
{
	(void)state;
	assert_json(&(struct otlp_span){ .context = context_of("00-" ID "-" SPAN_HEX "-03"),
					 .kind = OTLP_CLIENT,
					 .name = SPAN("ping"),
					 .start_us = 1,
					 .end_us = 2 },
		    "{\"traceId\":\"" ID "\",\"spanId\":\"" SPAN_HEX
		    "\",\"flags\":259,\"name\":\"ping\",\"kind\":3,"
		    "\"startTimeUnixNano\":\"1000\",\"endTimeUnixNano\":\"2000\","
		    "\"attributes\":[],\"status\":{}}");
}

static void no_attributes_are_an_empty_list(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	otlp_attributes_json(NULL, 0, &out);
	assert_string_equal(buf_str(&out), "[]");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_span_has_all_it_can_have),
		cmocka_unit_test(a_span_has_as_little_as_it_may),
		cmocka_unit_test(no_attributes_are_an_empty_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
