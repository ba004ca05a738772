/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/mcp_sse.h"

#include "base/buf.h"
#include "gateway/core/mcp.h"
#include "gateway/http/cors.h"

/* Proxies cut a stream that is silent for 30 or 60 seconds. */
#define KEEP_ALIVE_MS 15000
#define EVENT_START   "event: message\ndata: "
#define EVENT_END     "\n\n"
#define MAX_HEADERS   (CORS_MAX_HEADERS + 3)

static void on_keep_alive(void *ctx)
{
	struct mcp_sse *sse = ctx;

	timer_start(sse->loop, &sse->keep_alive, KEEP_ALIVE_MS, on_keep_alive, sse);
	exchange_stream_write(sse->exchange, SPAN(":\n\n"));
}

void mcp_sse_start(struct mcp_sse *sse, struct exchange *exchange, struct loop *loop,
		   const struct mcp_sse_head *head)
{
	struct http_header headers[MAX_HEADERS];
	size_t n = cors_headers(head->origin, headers);

	headers[n++] = (struct http_header){ "Cache-Control", "no-store, no-cache, no-transform" };
	headers[n++] = (struct http_header){ "X-Accel-Buffering", "no" };
	if (head->call_id != NULL)
		headers[n++] = (struct http_header){ GATEWAY_CALL_ID_HEADER, head->call_id };
	sse->exchange = exchange;
	sse->loop = loop;
	exchange_stream_start(exchange, &(struct exchange_answer){
						.status = 200,
						.content_type = "text/event-stream",
						.headers = headers,
						.n_headers = n,
						.body = head->first,
					});
	timer_start(loop, &sse->keep_alive, KEEP_ALIVE_MS, on_keep_alive, sse);
}

/* SSE ends a line at CR and LF. In JSON they stand between tokens only and mean nothing. */
void mcp_sse_write(struct mcp_sse *sse, struct span message)
{
	struct buf event;

	buf_init(&event, message.n + sizeof(EVENT_START) + sizeof(EVENT_END));
	buf_add(&event, EVENT_START);
	while (message.n > 0) {
		size_t n = 0;

		while (n < message.n && message.p[n] != '\n' && message.p[n] != '\r')
			n++;
		buf_append(&event, message.p, n);
		n += n < message.n ? 1 : 0;
		message.p += n;
		message.n -= n;
	}
	buf_add(&event, EVENT_END);
	exchange_stream_write(sse->exchange, buf_span(&event));
	buf_fini(&event);
}

void mcp_sse_end(struct mcp_sse *sse)
{
	mcp_sse_stop(sse);
	exchange_stream_end(sse->exchange);
}

void mcp_sse_stop(struct mcp_sse *sse)
{
	timer_stop(&sse->keep_alive);
}
