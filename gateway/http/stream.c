/* SPDX-License-Identifier: Apache-2.0 */

/* Streamed answers. h2o takes one h2o_send at a time and keeps its bytes until it asks for more:
 * meanwhile what is written gathers in a second buffer, and the two are swapped. */

#include <assert.h>
#include <string.h>

#include "gateway/http/http_priv.h"

/* A buffer that had to grow beyond this is given back once its bytes are out. */
#define KEEP_BYTES ((size_t)64 * 1024)

static void forget_sent(struct exchange *exchange)
{
	if (exchange->sending.cap > KEEP_BYTES) {
		buf_fini(&exchange->sending);
		buf_init(&exchange->sending, EXCHANGE_MAX_QUEUED);
	} else {
		buf_clear(&exchange->sending);
	}
}

/* FINAL may free the request before it returns. */
static void send_queued(struct exchange *exchange)
{
	struct buf empty = exchange->sending;
	bool final = exchange->state == EXCHANGE_SENDING;
	h2o_iovec_t bytes;

	assert(!exchange->writing && empty.len == 0);
	exchange->sending = exchange->queued;
	exchange->queued = empty;
	exchange->writing = true;
	bytes = h2o_iovec_init(exchange->sending.data, exchange->sending.len);
	h2o_send(exchange->request, &bytes, bytes.len > 0 ? 1 : 0,
		 final ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void tell_room(void *ctx)
{
	struct exchange *exchange = ctx;
	void (*room)(void *ctx) = exchange->room;

	exchange->room = NULL;
	if (room != NULL)
		room(exchange->room_ctx);
}

/* Without the chunk that would be the last. May free the request before it returns. */
static void cut(struct exchange *exchange)
{
	exchange->request->http1_is_persistent = 0;
	h2o_send(exchange->request, NULL, 0, H2O_SEND_STATE_ERROR);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *request)
{
	struct exchange *exchange = (struct exchange *)generator;
	bool queued = exchange->queued.len > 0;

	(void)request;
	exchange->writing = false;
	forget_sent(exchange);
	if (exchange->state == EXCHANGE_LOST || (exchange->state == EXCHANGE_CUTTING && !queued))
		cut(exchange);
	else if (exchange->state == EXCHANGE_SENDING ||
		 (exchange->state != EXCHANGE_DROPPING && queued))
		send_queued(exchange);
	else if (exchange->state == EXCHANGE_STREAMING)
		tell_room(exchange);
}

void exchange_stream_start(struct exchange *exchange, const struct exchange_answer *head)
{
	assert(exchange->state == EXCHANGE_HANDLING);
	assert(head->status == 200); /* h2o chunks no other */
	exchange->state = EXCHANGE_STREAMING;
	exchange_set_head(exchange, head);
	/* Without chunks only the end of the connection tells the end of the body. */
	if (exchange->request->version < 0x101)
		exchange->request->http1_is_persistent = 0;
	exchange->generator.proceed = on_proceed;
	h2o_start_response(exchange->request, &exchange->generator);
	exchange_stream_write(exchange, head->body);
}

static void on_dropped(void *ctx)
{
	exchange_lose(ctx);
}

/* Not at once: the handler that writes too much is in the middle of something. */
static void drop(struct exchange *exchange)
{
	exchange->state = EXCHANGE_DROPPING;
	loop_defer(exchange->server->params.loop, &exchange->dropped, on_dropped, exchange);
}

void exchange_stream_write(struct exchange *exchange, struct span bytes)
{
	if (exchange->state == EXCHANGE_DROPPING || bytes.n == 0)
		return;
	assert(exchange->state == EXCHANGE_STREAMING);
	if (bytes.n > EXCHANGE_MAX_QUEUED - exchange->sending.len - exchange->queued.len) {
		drop(exchange);
		return;
	}
	buf_add_span(&exchange->queued, bytes);
	if (!exchange->writing)
		send_queued(exchange);
}

void exchange_stream_on_room(struct exchange *exchange, void (*room)(void *ctx), void *ctx)
{
	if (exchange->state == EXCHANGE_DROPPING)
		return;
	assert(exchange->state == EXCHANGE_STREAMING && exchange->room == NULL);
	exchange->room = room;
	exchange->room_ctx = ctx;
	if (!exchange->writing)
		loop_defer(exchange->server->params.loop, &exchange->roomy, tell_room, exchange);
}

void exchange_stream_cut(struct exchange *exchange)
{
	if (exchange->state == EXCHANGE_DROPPING) {
		exchange->gone = NULL;
		return;
	}
	assert(exchange->state == EXCHANGE_STREAMING);
	exchange_leave_handler(exchange, EXCHANGE_CUTTING);
	if (exchange->writing)
		return;
	if (exchange->queued.len > 0)
		send_queued(exchange);
	else
		cut(exchange);
}

void exchange_stream_end(struct exchange *exchange)
{
	if (exchange->state == EXCHANGE_DROPPING) {
		exchange->gone = NULL;
		return;
	}
	assert(exchange->state == EXCHANGE_STREAMING);
	exchange_leave_handler(exchange, EXCHANGE_SENDING);
	if (!exchange->writing)
		send_queued(exchange);
}
