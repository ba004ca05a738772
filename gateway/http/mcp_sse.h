/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_MCP_SSE_H
#define GATEWAY_HTTP_MCP_SSE_H

/* The event streams of the MCP paths: one message an event, and a comment when there is none. */

#include "base/loop.h"
#include "base/span.h"
#include "gateway/http/exchange.h"

/* Embedded in its owner; zero-initialise. */
struct mcp_sse {
	struct exchange *exchange;
	struct loop *loop;
	struct timer keep_alive;
};

struct mcp_sse_head {
	const char *origin;  /* as mcp_origin said */
	const char *call_id; /* NULL: it is no call's */
	struct span first;   /* written at once, so that the headers leave */
};
/* 200 with the stream's headers. */
void mcp_sse_start(struct mcp_sse *sse, struct exchange *exchange, struct loop *loop,
		   const struct mcp_sse_head *head);
void mcp_sse_write(struct mcp_sse *sse, struct span message);
/* The exchange must not be touched afterwards. */
void mcp_sse_end(struct mcp_sse *sse);
/* The exchange has gone. Nothing if it was not started. */
void mcp_sse_stop(struct mcp_sse *sse);

#endif
