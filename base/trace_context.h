/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TRACE_CONTEXT_H
#define BASE_TRACE_CONTEXT_H

/*
 * W3C Trace Context and Baggage as text: read strictly, written anew, whatever carries it. What is
 * malformed is as good as absent: a trace begins anew then, and nobody is refused for it.
 * Pure. Knows no transport and no span.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/span.h"

#define TRACE_ID_BYTES	  16
#define SPAN_ID_BYTES	  8
#define TRACEPARENT_BYTES 56 /* of version 00, with its NUL */
/* What vendors are promised to be passed on (section 3.3.1.5), and no more than that. */
#define TRACESTATE_MAX_BYTES   512
#define TRACESTATE_MAX_MEMBERS 32
#define BAGGAGE_MAX_BYTES      8192
#define BAGGAGE_MAX_MEMBERS    180

#define TRACE_SAMPLED 0x01
#define TRACE_RANDOM  0x02 /* the trace id is random (level 2) */

struct trace_context {
	uint8_t trace_id[TRACE_ID_BYTES];
	uint8_t span_id[SPAN_ID_BYTES];
	uint8_t flags; /* those that we know */
};

/* As texts, in HTTP headers or in params._meta, in or out. Members may be NULL: none. */
struct trace_carrier {
	const char *traceparent;
	const char *tracestate;
	const char *baggage;
};

/* Of any version that can be read as one that we know (section 3.2.4). False: *out is untouched. */
bool traceparent_parse(struct span text, struct trace_context *out);
void traceparent_write(const struct trace_context *context, char out[TRACEPARENT_BYTES]);

/* The list without its empty members and spaces, in the arena; NULL if it is empty or malformed. Of
 * one that is too long, members over 128 bytes go first, then those at the end. */
char *tracestate_read(struct span text, struct arena *arena);
/* As it came; NULL if it is empty, malformed or over its limits. */
char *baggage_read(struct span text, struct arena *arena);

#endif
