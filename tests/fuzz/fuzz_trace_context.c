/* SPDX-License-Identifier: Apache-2.0 */

/*
 * base/trace_context.h and gateway/core/tracing.h on any bytes, in a header and in _meta: what is
 * read can be written and is read the same, keeps its limits and has no byte that would end a
 * header line; and a call always belongs to a trace.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "gateway/core/tracing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_printable(const char *text, size_t max_bytes)
{
	size_t n = strlen(text);

	assert(n > 0 && n <= max_bytes);
	for (size_t i = 0; i < n; i++)
		assert((text[i] >= ' ' && text[i] <= '~') || text[i] == '\t');
}

static void try_texts(struct span text, struct arena *arena)
{
	struct trace_context context, again;
	char written[TRACEPARENT_BYTES];
	const char *state = tracestate_read(text, arena);
	const char *baggage = baggage_read(text, arena);

	if (traceparent_parse(text, &context)) {
		traceparent_write(&context, written);
		assert(traceparent_parse(span_of(written), &again));
		assert(memcmp(&context, &again, sizeof(context)) == 0);
	}
	if (state != NULL) {
		assert_printable(state, TRACESTATE_MAX_BYTES);
		assert(strcmp(tracestate_read(span_of(state), arena), state) == 0);
	}
	if (baggage != NULL) {
		assert_printable(baggage, BAGGAGE_MAX_BYTES);
		assert(strcmp(baggage_read(span_of(baggage), arena), baggage) == 0);
	}
}

static void try_call(struct span meta, const char *text, struct arena *arena)
{
	const struct trace_carrier headers = { text, text, text };
	struct trace_carrier out;
	struct trace_context sent;
	struct call_trace trace;

	call_trace_begin(NULL, meta, &headers, arena, &trace);
	call_trace_carry(&trace, true, arena, &out);
	assert(traceparent_parse(span_of(out.traceparent), &sent));
	assert(memcmp(sent.trace_id, trace.server.trace_id, TRACE_ID_BYTES) == 0);
	assert(!trace.has_link || trace.has_parent);
	if (out.tracestate != NULL)
		assert_printable(out.tracestate, TRACESTATE_MAX_BYTES);
	if (out.baggage != NULL)
		assert_printable(out.baggage, BAGGAGE_MAX_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new();
	const char *text = arena_dup(arena, data, size);
	struct span meta = { text, size };
	struct err err;

	try_texts(meta, arena);
	if (span_check(meta, NULL, &err) < 0)
		meta = (struct span){ 0 };
	try_call(meta, text, arena);
	arena_free(&arena);
	return 0;
}
