/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_UPSTREAM_SSE_H
#define GATEWAY_UPSTREAM_SSE_H

/*
 * Reading text/event-stream (WHATWG HTML, 9.2.6) as it arrives, with a ceiling on one event.
 * Only the data of an event matters to MCP; its type, id and retry are not kept.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct sse_reader {
	struct buf line;
	struct buf data;
	bool has_data;
	bool after_cr; /* a LF that follows belongs to the line end before it */
	bool started;  /* the byte order mark, if any, is behind us */
	void (*event)(void *ctx, struct span data);
	void *ctx;
};

/* event gets the data of each event, borrowed. It must not free the reader. */
void sse_init(struct sse_reader *reader, size_t max_event_bytes,
	      void (*event)(void *ctx, struct span data), void *ctx);
void sse_fini(struct sse_reader *reader);
/* 0, or -1 once a line or an event is over the ceiling: the stream cannot be read on. */
int sse_feed(struct sse_reader *reader, const char *p, size_t n) MUST_CHECK;

#endif
