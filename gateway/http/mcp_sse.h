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

/* 200 with the stream's headers. first is written at once, so that they leave; origin is what
 * mcp_origin said. */
void mcp_sse_start(struct mcp_sse *sse, struct exchange *exchange, struct loop *loop,
		   const char *origin, struct span first);
void mcp_sse_write(struct mcp_sse *sse, struct span message);
/* The exchange must not be touched afterwards. */
void mcp_sse_end(struct mcp_sse *sse);
/* The exchange has gone. Nothing if it was not started. */
void mcp_sse_stop(struct mcp_sse *sse);

#endif
