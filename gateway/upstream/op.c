/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one request to an upstream: it waits until the upstream is open, is sent, ends. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

#define MAX_CANCEL_BYTES 4096

void op_free(struct upstream_op *op)
{
	if (op->state == OP_WAITING)
		DL_DELETE(op->peer->waiting, op);
	if (op->state == OP_LINGERING)
		DL_DELETE(op->peer->upstreams->lingering, op);
	timer_stop(&op->timer);
	deferred_cancel(&op->deferred);
	post_cancel(&op->post);
	buf_wipe(&op->body);
	buf_fini(&op->refusal.error);
	peer_release(op->peer);
	tenant_unref(&op->request.tenant);
	arena_free(&op->arena);
	free(op);
}

static void on_linger_timeout(void *ctx)
{
	op_free(ctx);
}

/* The answer is there: the owner is told now, while the stream behind it may end in peace, which
 * keeps its connection usable. */
void op_finish(struct upstream_op *op, const struct upstream_answer *answer, const struct err *err)
{
	struct upstream_events events = op->events;
	struct upstreams *upstreams = op->peer->upstreams;
	void *ctx = op->ctx;
	bool lingers = answer != NULL && op->post != NULL;

	*op->slot = NULL;
	op->slot = NULL;
	if (lingers) {
		op->state = OP_LINGERING;
		DL_APPEND(upstreams->lingering, op);
		timer_start(upstreams->loop, &op->timer, UPSTREAM_LINGER_MS, on_linger_timeout, op);
	}
	events.done(ctx, answer, err);
	if (!lingers)
		op_free(op);
}

void op_fail(struct upstream_op *op, enum err_code code, const char *why)
{
	struct err err;

	err_set(&err, code, "%s", why);
	op_finish(op, NULL, &err);
}

void op_tell_cancelled(struct upstream_op *op, const char *reason)
{
	struct buf text;

	if (op->state != OP_SENT || op->terms.era != MCP_LEGACY)
		return; /* closing the stream says it in the modern era */
	buf_init(&text, MAX_CANCEL_BYTES);
	compose_cancelled(op->id, reason, &text);
	if (!text.overflow)
		note_send(op, buf_span(&text));
	buf_fini(&text);
}

void op_run(struct upstream_op *op)
{
	struct peer *peer = op->peer;

	if (peer->state == PEER_OPEN) {
		op_send(op);
		return;
	}
	if (peer->state == PEER_CLOSED)
		peer_open(peer, op->request.tenant, op->request.connection);
	op->state = OP_WAITING;
	op->round = peer->round;
	DL_APPEND(peer->waiting, op);
}

/* What one of them starts anew waits for the next round, and so behind them. */
void peer_opened(struct peer *peer, const struct err *err)
{
	unsigned round = peer->round;
	struct upstream_op *op;

	peer->n_ops++; /* the last of its operations must not take it away meanwhile */
	while ((op = peer->waiting) != NULL && op->round <= round) {
		DL_DELETE(peer->waiting, op);
		op->state = OP_SENT; /* on no list */
		if (err != NULL)
			op_finish(op, NULL, err);
		else
			op_run(op);
	}
	peer_release(peer);
}
