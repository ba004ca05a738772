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
		peer_stop_waiting(op->peer, &op->waiter);
	if (op->state == OP_LINGERING)
		DL_DELETE(op->peer->upstreams->lingering, op);
	timer_stop(&op->timer);
	timer_stop(&op->retry);
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

void op_give_up(struct upstream_op *op, const char *reason)
{
	struct upstream_token token;
	struct buf text;

	bool runs = op->state == OP_SENT || op->state == OP_RESUMING;

	/* Nobody knows whether the level was set. */
	if (op->state == OP_LEVEL && op->round == op->peer->round)
		op->peer->log_level = -1;
	if (!runs || op->terms.era != MCP_LEGACY ||
	    !peer_find_token(op->peer, op->request.connection, &token))
		return; /* closing the stream says it in the modern era */
	buf_init(&text, MAX_CANCEL_BYTES);
	compose_cancelled(op->id, reason, &text);
	if (!text.overflow)
		note_send(&(struct note_to){ op->peer->upstreams, op->request.tenant,
					     op->request.connection, op->request.subject,
					     &op->terms },
			  buf_span(&text));
	buf_fini(&text);
}

void op_tell_refusal(struct upstream_op *op, const struct upstream_refusal *refusal)
{
	if (op->events.refused != NULL)
		op->events.refused(op->ctx, refusal);
}

/* Another account may have been connected while it waited. */
static void hold_again(struct upstream_op *op)
{
	op->peer = peer_hold_again(op->peer, op->request.tenant, op->request.connection);
}

static void on_opened(void *ctx, const struct err *err, const struct upstream_refusal *refusal)
{
	struct upstream_op *op = ctx;
	struct peer *former = op->peer;

	op->state = OP_SENT; /* it waits no more */
	hold_again(op);
	if (err == NULL || op->peer != former) {
		op_run(op);
		return;
	}
	if (refusal != NULL)
		op_tell_refusal(op, refusal);
	op_finish(op, NULL, err);
}

void op_run(struct upstream_op *op)
{
	struct peer *peer;

	hold_again(op);
	peer = op->peer;
	if (peer->state == PEER_OPEN) {
		op_send(op);
		return;
	}
	op->state = OP_WAITING;
	op->waiter.opened = on_opened;
	op->waiter.ctx = op;
	peer_wait(peer, &op->waiter, op->request.tenant, op->request.connection);
}
