/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_UPSTREAM_SSE_H
#define GATEWAY_UPSTREAM_SSE_H

/*
 * Reading text/event-stream (WHATWG HTML, 9.2.6) as it arrives, with a ceiling on one event. MCP
 * gives no meaning to the type of an event; its id and the time to reconnect after are kept for
 * whoever resumes the stream.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SSE_ID_BYTES	 1024
#define SSE_MAX_RETRY_MS 3600000 /* whatever a server asks for */

/* Where a stream can be resumed; outlives the reader. */
struct sse_cursor {
	char id[SSE_ID_BYTES]; /* Last-Event-ID; "": it cannot be */
	int64_t retry_ms;      /* wait so long before; -1: the server did not say */
	unsigned events;       /* so far, those without data included */
};

struct sse_reader {
	struct buf line;
	struct buf data;
	struct buf id; /* of the events from here on */
	struct sse_cursor *cursor;
	bool has_data;
	bool after_cr; /* a LF that follows belongs to the line end before it */
	bool started;  /* the byte order mark, if any, is behind us */
	void (*event)(void *ctx, struct span data);
	void *ctx;
};

/* cursor is borrowed, read and written: a stream that goes on where another ended takes its. event
 * gets the data of each event, borrowed. It must not free the reader. */
void sse_cursor_init(struct sse_cursor *cursor);
void sse_init(struct sse_reader *reader, size_t max_event_bytes, struct sse_cursor *cursor,
	      void (*event)(void *ctx, struct span data), void *ctx);
void sse_fini(struct sse_reader *reader);
/* 0, or -1 once a line or an event is over the ceiling: the stream cannot be read on. */
int sse_feed(struct sse_reader *reader, const char *p, size_t n) MUST_CHECK;

#endif
