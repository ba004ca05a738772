/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/tracing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define META_ID	     "0af7651916cd43dd8448eb211c80319c"
#define META_SPAN    "b7ad6b7169203331"
#define HEAD_ID	     "4bf92f3577b34da6a3ce929d0e0e4736"
#define HEAD_SPAN    "00f067aa0ba902b7"
#define IN_META	     "{\"traceparent\":\"00-" META_ID "-" META_SPAN "-01\"}"
#define IN_HEAD	     "00-" HEAD_ID "-" HEAD_SPAN "-01"

static const char *hex(const uint8_t *id, size_t n)
{
	static char text[2 * TRACE_ID_BYTES + 1];

	hex_encode(id, n, text);
	return text;
}

static const struct {
	const char *meta;
	struct trace_carrier headers;
	/* "": a new trace */
	const char *trace_id, *parent, *tracestate;
	const char *link; /* its trace id, or "" */
	const char *link_state;
	const char *baggage;
} sources[] = {
	{NULL,									  { NULL, NULL, NULL },		      "",	  "",	      NULL,  "",	NULL,  NULL },
	{ IN_META,								      { NULL, NULL, NULL },		 META_ID, META_SPAN, NULL,  "",      NULL,  NULL },
	{ "{\"x\":1}",								  { IN_HEAD, "h=1", NULL },		 HEAD_ID, HEAD_SPAN, "h=1", "",	NULL,  NULL },
	{ IN_META,								      { IN_HEAD, "h=1", NULL },	     META_ID, META_SPAN, NULL,  HEAD_ID, "h=1", NULL },
 /* The same context twice is no link. */
	{ IN_META,
	  { "00-" META_ID "-" META_SPAN "-01", "h=1", NULL },
	  META_ID,														      META_SPAN,
	  NULL,																	   "",
	  NULL,																			   NULL },
 /* What cannot be read is as good as absent. */
	{ "{\"traceparent\":\"00-1-2-01\",\"tracestate\":\"m=1\"}",
	  { IN_HEAD, NULL, NULL },
	  HEAD_ID,														      HEAD_SPAN,
	  NULL,																	   "",
	  NULL,																			   NULL },
	{ "{\"traceparent\":7}",							{ "00-1-2-01", "h=1", NULL },	       "",	   "",	       NULL,  "",	 NULL,  NULL },
	{ "{\"traceparent\":null,\"tracestate\":\"m=1\"}",
	  { NULL, "h=1", NULL },
	  "",															   "",
	  NULL,																	   "",
	  NULL,																			   NULL },
	{ IN_META,								      { IN_HEAD ", " IN_HEAD, NULL, NULL }, META_ID, META_SPAN, NULL,  "",      NULL,  NULL },
 /* With escapes, and with a state that is none. */
	{ "{\"traceparent\":\"\\u00300-" META_ID "-" META_SPAN
	  "-01\",\"tracestate\":\"a=1,\\u0062=2\"}",			   { NULL, NULL, NULL },
	  META_ID,														      META_SPAN,
	  "a=1,b=2",																      "",
	  NULL,																			   NULL },
	{ "{\"traceparent\":\"00-" META_ID "-" META_SPAN "-01\",\"tracestate\":\"A\"}",
	  { NULL, NULL, NULL },
	  META_ID,														      META_SPAN,
	  NULL,																	   "",
	  NULL,																			   NULL },
 /* Baggage belongs to no trace in particular. */
	{ "{\"baggage\":\"k=v\"}",						      { NULL, NULL, "h=v" },		  "",      "",	  NULL,	"",	    NULL,  "k=v"},
	{ NULL,									 { NULL, NULL, "h=v" },		       "",	   "",	       NULL,  "",	 NULL,  "h=v"},
	{ "{\"baggage\":\"k\"}",							{ NULL, NULL, "h=v" },		"",	    "",	NULL,  "",	  NULL,	NULL },
	{ "{\"baggage\":[]}",							   { NULL, NULL, NULL },		    "",	"",	    NULL,  "",      NULL,  NULL },
};

static void each_source_has_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(sources); i++) {
		struct arena *arena = arena_new();
		struct call_trace trace;

		call_trace_begin(NULL, span_of(sources[i].meta), &sources[i].headers, arena,
				 &trace);
		assert_int_equal(trace.has_parent, sources[i].parent[0] != '\0');
		if (trace.has_parent) {
			assert_string_equal(trace.trace_id_hex, sources[i].trace_id);
			assert_string_equal(hex(trace.parent, SPAN_ID_BYTES), sources[i].parent);
		}
		assert_int_equal(trace.has_link, sources[i].link[0] != '\0');
		if (trace.has_link)
			assert_string_equal(hex(trace.link.context.trace_id, TRACE_ID_BYTES),
					    sources[i].link);
		if ((trace.tracestate == NULL) != (sources[i].tracestate == NULL))
			fail_msg("row %zu", i);
		if (trace.tracestate != NULL)
			assert_string_equal(trace.tracestate, sources[i].tracestate);
		if (trace.has_link && sources[i].link_state != NULL)
			assert_string_equal(trace.link.tracestate, sources[i].link_state);
		if ((trace.baggage == NULL) != (sources[i].baggage == NULL))
			fail_msg("row %zu", i);
		if (trace.baggage != NULL)
			assert_string_equal(trace.baggage, sources[i].baggage);
		assert_int_equal(trace.server.flags & TRACE_SAMPLED, 1);
		arena_free(&arena);
	}
}

static void spans_are_new_and_traces_too(void **state)
{
	static const struct trace_carrier none = { NULL };
	struct arena *arena = arena_new();
	struct call_trace a, b;

	(void)state;
	call_trace_begin(NULL, (struct span){ 0 }, &none, arena, &a);
	call_trace_begin(NULL, (struct span){ 0 }, &none, arena, &b);
	assert_string_not_equal(a.trace_id_hex, b.trace_id_hex);
	assert_string_not_equal(a.span_id_hex, b.span_id_hex);
	assert_memory_not_equal(a.server.span_id, a.client_span_id, SPAN_ID_BYTES);
	assert_int_equal(a.server.flags, TRACE_SAMPLED | TRACE_RANDOM);
	assert_string_equal(a.span_id_hex, hex(a.server.span_id, SPAN_ID_BYTES));
	arena_free(&arena);
}

static void the_upstream_is_sent_the_client_span(void **state)
{
	static const struct trace_carrier none = { NULL };
	struct arena *arena = arena_new();
	struct call_trace trace;
	struct trace_carrier carrier;
	struct trace_context sent;

	(void)state;
	call_trace_begin(NULL,
			 SPAN("{\"traceparent\":\"00-" META_ID "-" META_SPAN
			      "-00\",\"tracestate\":\"a=1\",\"baggage\":\"k=v\"}"),
			 &none, arena, &trace);
	call_trace_carry(&trace, false, arena, &carrier);
	assert_true(traceparent_parse(span_of(carrier.traceparent), &sent));
	assert_memory_equal(sent.trace_id, trace.server.trace_id, TRACE_ID_BYTES);
	assert_memory_equal(sent.span_id, trace.client_span_id, SPAN_ID_BYTES);
	assert_int_equal(sent.flags, 0);
	assert_string_equal(carrier.tracestate, "a=1");
	assert_null(carrier.baggage);
	call_trace_carry(&trace, true, arena, &carrier);
	assert_string_equal(carrier.baggage, "k=v");
	arena_free(&arena);
}

/* The parents: none, sampled, not sampled. The id of the last two is over three quarters. */
static void samplers_decide_as_the_sdks_do(void **state)
{
	static const struct {
		const char *word, *ratio;
		int none, sampled, unsampled; /* -1: by chance */
	} rows[] = {
		{"always_on",		       "",	   1,  1, 1},
		{ "always_off",		"",	    0,  0, 0},
		{ "traceidratio",		  "0",    0,  0, 0},
		{ "traceidratio",		  "1",    1,  1, 1},
		{ "traceidratio",		  "",     1,	 1, 1},
		{ "traceidratio",		  "0.03", -1, 0, 0},
		{ "traceidratio",		  "0.04", -1, 1, 1},
		{ "parentbased_always_on",	   "",     1,  1, 0},
		{ "parentbased_always_off",   "",	0,  1, 0},
		{ "parentbased_traceidratio", "0",	   0,  1, 0},
		{ "parentbased_traceidratio", "1",	   1,  1, 0},
	};
	/* The last 16 digits are 0x08…: 1/32 of all. */
	static const char *const parents[] = {
		NULL, "00-ffffffffffffffff0800000000000000-" META_SPAN "-01",
		"00-ffffffffffffffff0800000000000000-" META_SPAN "-00"
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const int wanted[] = { rows[i].none, rows[i].sampled, rows[i].unsampled };
		struct tracing tracing = { .otlp = NULL };
		struct err err;

		assert_int_equal(tracing_sampler_parse(rows[i].word, rows[i].ratio, &tracing, &err),
				 0);
		for (size_t k = 0; k < COUNT(parents); k++) {
			const struct trace_carrier headers = { .traceparent = parents[k] };
			struct arena *arena = arena_new();
			struct call_trace trace;

			call_trace_begin(&tracing, (struct span){ 0 }, &headers, arena, &trace);
			if (wanted[k] >= 0 && (trace.server.flags & TRACE_SAMPLED) != wanted[k])
				fail_msg("%s %s, parent %zu", rows[i].word, rows[i].ratio, k);
			arena_free(&arena);
		}
	}
}

static void without_settings_the_parent_decides(void **state)
{
	const struct trace_carrier headers = { .traceparent = "00-" HEAD_ID "-" HEAD_SPAN "-00" };
	struct arena *arena = arena_new();
	struct call_trace trace;

	(void)state;
	call_trace_begin(NULL, (struct span){ 0 }, &headers, arena, &trace);
	assert_int_equal(trace.server.flags, 0);
	arena_free(&arena);
}

static void other_words_are_refused(void **state)
{
	static const struct {
		const char *word, *ratio;
	} rows[] = {
		{"",			  ""	 },
		{ "jaeger_remote",		   ""    },
		{ "ALWAYS_ON",		       ""	  },
		{ "traceidratio",		  "1.1" },
		{ "traceidratio",		  "-0.1"},
		{ "parentbased_traceidratio", "x"	  },
		{ "traceidratio",		  "0.5x"},
		{ "traceidratio",		  "nan" },
	};
	struct tracing tracing;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(tracing_sampler_parse(rows[i].word, rows[i].ratio, &tracing, &err),
				 -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_source_has_its_place),
		cmocka_unit_test(spans_are_new_and_traces_too),
		cmocka_unit_test(the_upstream_is_sent_the_client_span),
		cmocka_unit_test(samplers_decide_as_the_sdks_do),
		cmocka_unit_test(without_settings_the_parent_decides),
		cmocka_unit_test(other_words_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
