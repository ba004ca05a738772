/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_TRACING_H
#define GATEWAY_CORE_TRACING_H

/*
 * Which trace a call belongs to: the context that its client sent, the gateway's two spans in it
 * (SERVER: the call; CLIENT: what is asked of the upstream), and what the upstream is sent.
 *
 * params._meta is the parent, for it travels with the message over every transport; an HTTP header
 * beside it becomes a link, and is the parent if _meta has none (SEP-414 and the semantic
 * conventions of MCP). What cannot be read is as good as absent.
 */

#include "base/otlp.h"
#include "base/trace_context.h"

enum tracing_sampler { TRACING_ALWAYS_ON, TRACING_ALWAYS_OFF, TRACING_RATIO };

struct tracing {
	enum tracing_sampler sampler; /* of traces that begin here */
	bool by_parent;		      /* others are sampled if their parent is */
	double ratio;		      /* TRACING_RATIO: of all trace ids, 0 to 1 */
	struct otlp *otlp;	      /* where spans go; NULL: nowhere */
};

/* The words of OTEL_TRACES_SAMPLER. -1: it is none of them, or ratio is no number from 0 to 1. */
int tracing_sampler_parse(const char *word, const char *ratio, struct tracing *out,
			  struct err *err) MUST_CHECK;
#define TRACING_SAMPLERS                                                                           \
	"always_on|always_off|traceidratio|parentbased_always_on|parentbased_always_off|"          \
	"parentbased_traceidratio"

/* Strings lie in the arena. */
struct call_trace {
	struct trace_context server; /* of the SERVER span */
	bool has_parent;
	uint8_t parent[SPAN_ID_BYTES];
	const char *tracestate; /* NULL: none */
	const char *baggage;
	bool has_link;
	struct otlp_link link;
	uint8_t client_span_id[SPAN_ID_BYTES];
	/* For the book. */
	char trace_id_hex[2 * TRACE_ID_BYTES + 1];
	char span_id_hex[2 * SPAN_ID_BYTES + 1];
};

/* meta is params._meta, or absent; headers are borrowed. tracing NULL: by its parent, and sampled
 * if it has none. */
void call_trace_begin(const struct tracing *tracing, struct span meta,
		      const struct trace_carrier *headers, struct arena *arena,
		      struct call_trace *out);
/* What goes to the upstream: the CLIENT span as parent. Baggage is what the client's side says for
 * others to read, so it leaves only toward upstreams that are trusted. */
void call_trace_carry(const struct call_trace *trace, bool trusted, struct arena *arena,
		      struct trace_carrier *out);

#endif
