/* SPDX-License-Identifier: Apache-2.0 */

/* What a call pays for being measured and traced: CPU time of reading its context, of its numbers,
 * and, with every call sampled, of its two spans. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crypto.h"
#include "gateway/core/call_priv.h"
#include "gateway/core/meters.h"
#include "gateway/core/tool_labels.h"

#define N_CALLS		   200000
#define N_TENANTS	   50
#define N_TOOLS		   40
#define METRICS_CEILING_NS 1000
#define CONTEXT_CEILING_NS 5000
#define SPANS_CEILING_NS   20000

struct bench {
	struct gate gate;
	struct tracing tracing;
	struct tenant tenant;
	struct connection connection;
	struct tool tool;
	struct principal principal;
	struct session session;
	struct method method;
	struct call call;
};

static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool report(const char *what, int64_t ns, int64_t ceiling_ns)
{
	printf("%s %s: %" PRId64 ".%03" PRId64 " us of CPU, ceiling %" PRId64 " us\n",
	       ns <= ceiling_ns ? "ok" : "not ok", what, ns / 1000, ns % 1000, ceiling_ns / 1000);
	return ns <= ceiling_ns;
}

static int64_t measure_context(void)
{
	static const struct trace_carrier headers = {
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "congo=t61rcWkgMzE", NULL
	};
	static const char meta[] =
		"{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\","
		"\"tracestate\":\"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\",\"baggage\":\"k=v\"}";
	int64_t began_ns = cpu_ns();

	for (int i = 0; i < N_CALLS; i++) {
		struct arena *arena = arena_new();
		struct trace_carrier out;
		struct call_trace trace;

		call_trace_begin(NULL, SPAN(meta), &headers, arena, &trace);
		call_trace_carry(&trace, true, arena, &out);
		arena_free(&arena);
	}
	return (cpu_ns() - began_ns) / N_CALLS;
}

static int64_t measure_metrics(void)
{
	struct metrics *metrics = metrics_new(gate_metrics, N_GATE_METRICS, 1);
	struct meter *meter = meter_new(metrics, 0);
	struct tool_labels *labels = tool_labels_new();
	char tenants[N_TENANTS][32];
	char tools[N_TOOLS][64];
	int64_t began_ns;

	for (int i = 0; i < N_TENANTS; i++)
		snprintf(tenants[i], sizeof(tenants[i]), "tenant-number-%d", i);
	for (int i = 0; i < N_TOOLS; i++)
		snprintf(tools[i], sizeof(tools[i]), "crm__search_the_records_%d", i);
	began_ns = cpu_ns();
	for (unsigned i = 0; i < N_CALLS; i++) {
		const char *tenant = tenants[i % N_TENANTS];

		meter_call(meter, &(struct meter_call){
					  .tenant = tenant,
					  .connection = "crm",
					  .method = "tools/call",
					  .tool = tool_label(labels, tenant, tools[i % N_TOOLS]),
					  .is_tool_call = true,
					  .outcome = BOOK_OK,
					  .duration_us = i % 100000,
					  .upstream_us = i % 50000,
				  });
	}
	began_ns = cpu_ns() - began_ns;
	tool_labels_free(&labels);
	meter_free(&meter);
	metrics_free(&metrics);
	return began_ns / N_CALLS;
}

static void make_call(struct bench *bench)
{
	static char tenant_name[] = "acme";
	struct call *call = &bench->call;
	struct err err;

	if (tracing_sampler_parse("always_on", "", &bench->tracing, &err) < 0)
		exit(2);
	bench->gate.tracing = &bench->tracing;
	bench->tool = (struct tool){ .name = "search", .exposed = "crm__search" };
	bench->connection = (struct connection){ .name = "crm",
						 .url = "https://mcp.example.com/mcp",
						 .listed = true,
						 .tools = &bench->tool,
						 .n_tools = 1 };
	bench->principal.tenant = tenant_name;
	bench->method.name = "tools/call";
	memcpy(bench->session.id_digest, "0123456789abcdef", 17);
	memcpy(bench->session.protocol_version, "2025-11-25", 11);
	call->gate = &bench->gate;
	call->principal = &bench->principal;
	call->session = &bench->session;
	call->connection = &bench->connection;
	call->method = &bench->method;
	call->tool = "search";
	call->tool_sent = "crm__search";
	call->tool_sent_bytes = strlen(call->tool_sent);
	call->params.request.method = "tools/call";
	call->params.request.id = SPAN("17");
	call->record.started_us = loop_unix_us();
	uuid_v7(call->record.started_us / 1000, call->record.id);
}

/* As many as there is room for, and then anew, so that none is dropped. */
static int64_t measure_spans(struct bench *bench)
{
	static const struct otlp_attribute resource[] = {
		{"service.name", SPAN("tollgate"), 0}
	};
	const struct book_result result = { .outcome = BOOK_OK,
					    .duration_us = 1500,
					    .upstream_us = 900 };
	const size_t batch = (size_t)OTLP_MAX_BATCHES * OTLP_BATCH_SPANS / 2;
	struct loop *loop = loop_new();
	struct arena *arena = arena_new();
	struct trace_carrier none = { NULL };
	int64_t took_ns = 0;
	size_t n = 0;

	call_trace_begin(&bench->tracing, (struct span){ 0 }, &none, arena, &bench->call.trace);
	while (n < N_CALLS) {
		struct otlp_stats stats;
		struct err err;
		int64_t began_ns;

		bench->tracing.otlp = otlp_new(&(struct otlp_params){ .loop = loop,
								      .url = "http://127.0.0.1:1/",
								      .resource = resource,
								      .n_resource = 1,
								      .scope_name = "tollgate",
								      .scope_version = "1" },
					       &err);
		began_ns = cpu_ns();
		for (size_t i = 0; i < batch; i++)
			call_trace_export(&bench->call, &result);
		took_ns += cpu_ns() - began_ns;
		n += batch;
		otlp_stats(bench->tracing.otlp, &stats);
		if (stats.dropped != 0)
			exit(2);
		otlp_free(&bench->tracing.otlp);
	}
	arena_free(&arena);
	loop_free(&loop);
	return took_ns / (int64_t)n;
}

int main(void)
{
	static struct bench bench;
	bool good;

	make_call(&bench);
	good = report("call_metrics", measure_metrics(), METRICS_CEILING_NS);
	good = report("call_trace_context", measure_context(), CONTEXT_CEILING_NS) && good;
	good = report("call_trace_spans", measure_spans(&bench), SPANS_CEILING_NS) && good;
	return good ? 0 : 1;
}
