/* SPDX-License-Identifier: Apache-2.0 */

/* The spans of a call: how many, what they are called, whose children they are, what they say. */

#include "gateway/core/tracing.h"
#include "tests/unit/gateway/core/call_world.h"

#define ID	     "0af7651916cd43dd8448eb211c80319c"
#define PARENT	     "b7ad6b7169203331"
#define MAX_SPANS    4
#define TRACE(flags) "\"_meta\":{\"traceparent\":\"00-" ID "-" PARENT "-" flags "\"}"

/* What leaves, in place of base/otlp.c. */
struct otlp {
	size_t n;
	struct buf json[MAX_SPANS];
};
static struct otlp exporter;

void otlp_add(struct otlp *otlp, const struct otlp_span *span)
{
	assert_ptr_equal(otlp, &exporter);
	assert_true(otlp->n < MAX_SPANS);
	buf_clear(&otlp->json[otlp->n]);
	otlp_span_json(span, &otlp->json[otlp->n++]);
}

static struct tracing tracing;

static int start(void **state)
{
	struct world *world;

	start_world(state);
	world = *state;
	exporter.n = 0;
	for (size_t i = 0; i < MAX_SPANS; i++)
		buf_init(&exporter.json[i], 1 << 16);
	tracing = (struct tracing){ TRACING_ALWAYS_ON, true, 1, &exporter };
	world->gate.tracing = &tracing;
	world->tenant->connections[0].url = "https://mcp.example.com:8443/mcp";
	return 0;
}

static int stop(void **state)
{
	for (size_t i = 0; i < MAX_SPANS; i++)
		buf_fini(&exporter.json[i]);
	return end_world(state);
}

static struct span member(size_t n, const char *key)
{
	return span_get(buf_span(&exporter.json[n]), key);
}

/* The attribute's value as text, "" if there is none. */
static const char *attribute(size_t n, const char *key)
{
	static char text[512];
	struct span_iter iter;
	struct span ignored, one;
	struct buf out;

	text[0] = '\0';
	buf_init(&out, sizeof(text));
	span_iter_init(&iter, member(n, "attributes"));
	while (span_next(&iter, &ignored, &one)) {
		struct span value = span_get(one, "value");

		if (!span_string_is(span_get(one, "key"), key))
			continue;
		assert_int_equal(out.len, 0); /* each once */
		if (span_string(span_get(value, "stringValue"), &out) < 0)
			assert_int_equal(span_string(span_get(value, "intValue"), &out), 0);
	}
	snprintf(text, sizeof(text), "%s", buf_str(&out));
	buf_fini(&out);
	return text;
}

static void assert_attributes(size_t n, const char *const (*rows)[2], size_t n_rows)
{
	struct span_iter iter;
	struct span key, value;
	size_t n_values = 0;

	for (size_t i = 0; i < n_rows; i++) {
		if (strcmp(attribute(n, rows[i][0]), rows[i][1]) != 0)
			fail_msg("span %zu: %s is %s", n, rows[i][0], attribute(n, rows[i][0]));
	}
	span_iter_init(&iter, member(n, "attributes"));
	while (span_next(&iter, &key, &value))
		n_values++;
	assert_int_equal(n_values, n_rows);
}

static struct asks traced(const char *params)
{
	struct asks asks = legacy_call();

	asks.params = params;
	return asks;
}

#define CALL(flags)                                                                                \
	"{\"name\":\"crm__get\",\"arguments\":{\"password\":\"hunter2\"}," TRACE(flags) "}"

static void a_call_is_two_spans_in_the_clients_trace(void **state)
{
	struct world *world = *state;
	struct asks asks = traced(CALL("01"));
	char client[64];

	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	{
		const char *const server[][2] = {
			{"mcp.method.name",	     "tools/call"		  },
			{ "gen_ai.operation.name", "execute_tool"	  },
			{ "gen_ai.tool.name",      "crm__get"		 },
			{ "network.transport",     "tcp"		     },
			{ "network.protocol.name", "http"		  },
			{ "tollgate.tenant",	     "acme"		    },
			{ "tollgate.connection",	 "crm"		       },
			{ "tollgate.outcome",      "ok"		   },
			{ "tollgate.call.id",      world->recorded.call_id},
			{ "mcp.session.id",	    "0123456789abcdef"     },
			{ "mcp.protocol.version",  "2025-11-25"	       },
			{ "jsonrpc.request.id",	"7"		    },
		};
		const char *const call[][2] = {
			{"mcp.method.name",	     "tools/call"		  },
			{ "gen_ai.operation.name",	   "execute_tool"	  },
			{ "gen_ai.tool.name",	      "get"		    },
			{ "network.transport",	       "tcp"		     },
			{ "network.protocol.name",	   "http"		  },
			{ "tollgate.tenant",	     "acme"		    },
			{ "tollgate.connection",	 "crm"		       },
			{ "tollgate.call.id",	      world->recorded.call_id},
			{ "server.address",	    "mcp.example.com"      },
			{ "server.port",		 "8443"			},
			{ "http.response.status_code", "200"		     },
		};

		assert_int_equal(exporter.n, 2);
		assert_attributes(0, server, sizeof(server) / sizeof(server[0]));
		assert_attributes(1, call, sizeof(call) / sizeof(call[0]));
	}
	for (size_t i = 0; i < 2; i++) {
		assert_true(span_string_is(member(i, "traceId"), ID));
		assert_true(span_eq(span_trim(member(i, "status")), SPAN("{}")));
		assert_null(strstr(buf_str(&exporter.json[i]), "hunter2"));
	}
	assert_true(span_string_is(member(0, "name"), "tools/call crm__get"));
	assert_true(span_string_is(member(1, "name"), "tools/call get"));
	assert_true(span_string_is(member(0, "parentSpanId"), PARENT));
	assert_true(span_eq(member(0, "spanId"), member(1, "parentSpanId")));
	assert_int_equal(world->recorded.span_id.n, 16);
	assert_memory_equal(world->recorded.span_id.p, member(0, "spanId").p + 1, 16);
	assert_memory_equal(world->recorded.trace_id.p, ID, 32);
	/* What the upstream was sent is the second. */
	snprintf(client, sizeof(client), "00-" ID "-%.16s-01", member(1, "spanId").p + 1);
	assert_string_equal(world->sent_trace, client);
	expect_end(world, 200);
}

static void what_is_not_sampled_stays(void **state)
{
	struct world *world = *state;
	struct asks asks = traced(CALL("00"));

	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
	assert_int_equal(exporter.n, 0);
	assert_memory_equal(world->sent_trace, "00-" ID "-", 36);
	assert_string_equal(world->sent_trace + strlen(world->sent_trace) - 3, "-00");
}

static void nothing_leaves_without_an_exporter(void **state)
{
	struct world *world = *state;
	struct asks asks = traced(CALL("01"));

	tracing.otlp = NULL;
	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
	world->gate.tracing = NULL;
	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
	assert_int_equal(exporter.n, 0);
	assert_memory_equal(world->sent_trace, "00-" ID "-", 36);
}

static void failures_say_of_what_kind_they_are(void **state)
{
	static const struct {
		const char *result, *error;
		const char *type, *code;
	} rows[] = {
		{"{\"isError\":true}", NULL,						      "tool_error", ""},
		{ NULL,		"{\"code\":-32602,\"message\":\"the secret is hunter2\"}", "-32602",
		  "-32602"											 },
	};
	struct world *world = *state;

	for (size_t i = 0; i < 2; i++) {
		struct asks asks = legacy_call();

		exporter.n = 0;
		send_call(world, &asks);
		upstream_answers(world, MCP_LEGACY, rows[i].result, rows[i].error);
		expect_end(world, 200);
		assert_int_equal(exporter.n, 2);
		for (size_t k = 0; k < 2; k++) {
			assert_string_equal(attribute(k, "error.type"), rows[i].type);
			assert_string_equal(attribute(k, "rpc.response.status_code"), rows[i].code);
			assert_true(span_eq(span_trim(member(k, "status")), SPAN("{\"code\":2}")));
			assert_null(strstr(buf_str(&exporter.json[k]), "hunter2"));
		}
		assert_null(member(0, "parentSpanId").p);
	}
}

static void what_is_refused_is_one_span_without_unknown_names(void **state)
{
	static const struct {
		const char *method, *params, *name, *tool;
	} rows[] = {
		{"tools/call", "{\"name\":\"crm__nothing\"}", "tools/call", "crm__nothing"},
		{ "no/such",   NULL,			   "_OTHER",     ""		},
		{ "ping",	  NULL,				"ping",	""		   },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct asks asks = { .id = "\"a\\\"b\"",
					   .method = rows[i].method,
					   .params = rows[i].params };

		exporter.n = 0;
		run_call(world, &asks);
		expect_end(world, 200);
		assert_int_equal(exporter.n, 1);
		assert_true(span_string_is(member(0, "name"), rows[i].name));
		assert_string_equal(attribute(0, "gen_ai.tool.name"), rows[i].tool);
		assert_string_equal(attribute(0, "mcp.method.name"), rows[i].method);
	}
}

static void notifications_are_no_spans(void **state)
{
	struct world *world = *state;
	const struct asks asks = { .method = "notifications/initialized" };

	run_call(world, &asks);
	assert_int_equal(world->status, 202);
	buf_clear(&world->journal);
	assert_int_equal(exporter.n, 0);
}

static void baggage_leaves_toward_trusted_upstreams(void **state)
{
	struct world *world = *state;
	struct asks asks = traced("{\"name\":\"crm__get\",\"_meta\":{\"baggage\":\"who=ana\"}}");

	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
	assert_string_equal(world->sent_baggage, "");
	world->tenant->connections[0].trusted = true;
	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
	assert_string_equal(world->sent_baggage, "who=ana");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_is_two_spans_in_the_clients_trace),
		TEST(what_is_not_sampled_stays),
		TEST(nothing_leaves_without_an_exporter),
		TEST(failures_say_of_what_kind_they_are),
		TEST(what_is_refused_is_one_span_without_unknown_names),
		TEST(notifications_are_no_spans),
		TEST(baggage_leaves_toward_trusted_upstreams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
