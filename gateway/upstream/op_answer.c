/* SPDX-License-Identifier: Apache-2.0 */
/* What comes back from an upstream for one request. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/upstream/upstream_priv.h"

#define MAX_REASON_BYTES ((size_t)128)

/* The upstream gives up on what it was asked: no answer will come. */
static void take_cancelled(struct upstream_op *op, struct span params)
{
	char text[sizeof(((struct err *)0)->text)];
	struct buf reason;
	int ret;

	if (!is_id(span_get(params, "requestId"), op->id))
		return;
	buf_init(&reason, MAX_REASON_BYTES);
	ret = span_string(span_get(params, "reason"), &reason);
	snprintf(text, sizeof(text), "it cancelled the request%s%s",
		 ret == 0 && reason.len > 0 ? ": " : "", ret == 0 ? buf_str(&reason) : "");
	buf_fini(&reason);
	op_fail(op, ERR_UPSTREAM, text);
}

/* Progress of another request, or log messages without a home, may be somebody else's: the
 * session is shared. A log message on this stream is this request's. */
static void take_notification(struct upstream_op *op, const struct envelope *message)
{
	if (strcmp(message->method, "notifications/cancelled") == 0) {
		take_cancelled(op, message->params);
		return;
	}
	if (strcmp(message->method, "notifications/message") == 0) {
		if (message->params.p != NULL)
			op->events.message(op->ctx, message->method, message->params);
		return;
	}
	if (strcmp(message->method, "notifications/progress") != 0 || !op->request.progress)
		return;
	if (is_id(span_get(message->params, "progressToken"), op->id))
		op->events.message(op->ctx, message->method, message->params);
}

/* What it means is known when the whole HTTP answer is. */
static void keep_refusal(struct upstream_op *op, const struct envelope *message, bool ours)
{
	int64_t code = 0;

	if (span_int64(span_get(message->error, "code"), &code) < 0 || code < INT32_MIN ||
	    code > INT32_MAX)
		code = 0;
	op->refusal.code = (int)code;
	op->refusal.is_ours = ours;
	buf_clear(&op->refusal.error);
	buf_add_span(&op->refusal.error, message->error);
}

static void take_response(struct upstream_op *op, int status, const struct envelope *message)
{
	bool ours = is_id(message->id, op->id);

	if (status >= 400)
		keep_refusal(op, message, ours);
	else if (ours)
		op_finish(op,
			  &(struct upstream_answer){ .era = op->terms.era,
						     .status = status,
						     .result = message->result,
						     .error = message->error },
			  NULL);
}

static void take_request(struct upstream_op *op, const struct envelope *message)
{
	if (op->n_answers == UPSTREAM_MAX_ANSWERS)
		return;
	op->n_answers++;
	note_answer(&(struct note_to){ op->peer->upstreams, op->request.tenant,
				       op->request.connection, op->request.subject, &op->terms },
		    message);
}

static void on_message(void *ctx, const struct post_end *head, const struct envelope *message)
{
	struct upstream_op *op = ctx;

	if (op->state != OP_SENT)
		return;
	switch (message->kind) {
	case ENVELOPE_NOTIFICATION:
		take_notification(op, message);
		break;
	case ENVELOPE_REQUEST:
		take_request(op, message);
		break;
	case ENVELOPE_RESPONSE:
		take_response(op, head->status, message);
		break;
	case ENVELOPE_BATCH:
		break; /* no revision that we agree to has them */
	}
}

static bool speaks_of_session(const struct upstream_op *op)
{
	struct span message = span_get(buf_span(&op->refusal.error), "message");
	char *text = message.p != NULL ? mem_strndup(message.p, message.n) : NULL;
	bool does = text != NULL && strcasestr(text, "session") != NULL;

	free(text);
	return does;
}

/* The session we sent is not known to it: 404 by the specification, 400 by servers that check the
 * header before they read the body. With the request's id it may as well be the answer of a tool
 * that ran: only a code of the server's own, and at 400 a word of sessions, tells otherwise. */
static bool refuses_session(const struct upstream_op *op, int status)
{
	int code = op->refusal.code;
	bool own = code <= RPC_SERVER_ERROR && code > RPC_HEADER_MISMATCH;

	if (op->terms.era != MCP_LEGACY || op->terms.session_id[0] == '\0' ||
	    (status != 404 && status != 400))
		return false;
	if (!op->refusal.is_ours)
		return true;
	return speaks_of_session(op) ? own || code == RPC_INVALID_REQUEST : own && status == 404;
}

/* It speaks another era than we thought. A modern server refuses a request without its envelope
 * with 400; a legacy one does not know ours. */
static bool refuses_era(const struct upstream_op *op, int status)
{
	if (op->request.connection->era != ERA_AUTO)
		return false;
	if (op->refusal.code == RPC_UNSUPPORTED_VERSION)
		return true;
	if (op->terms.era == MCP_LEGACY)
		return status == 400 && op->refusal.is_ours &&
		       (op->refusal.code == RPC_INVALID_PARAMS ||
			op->refusal.code == RPC_HEADER_MISMATCH);
	return !op->refusal.is_ours && (status == 400 || status == 404 || status == 405);
}

/* It was refused before it ran, so it may be sent again: once, and once more if the session that it
 * was sent on then came from another worker, for that may have been lost as well. */
static bool try_again(struct upstream_op *op, int status)
{
	struct peer *peer = op->peer;
	bool session = refuses_session(op, status);
	bool era = refuses_era(op, status);

	if (op->resumes > 0 || (!era && !session))
		return false;
	peer->doubtful = peer->doubtful || (era && peer->round == op->round);
	peer_refused(peer, op->round, session ? op->terms.session_id : "");
	if (op->attempts == UPSTREAM_MAX_SENDS || (op->attempts > 1 && !(session && op->adopted)))
		return false;
	op_run(op);
	return true;
}

static void take_http_error(struct upstream_op *op, const struct post_end *end)
{
	int status = end->status;
	struct err err;

	/* A stream that may not be gone on with is no refusal: the request runs over there. */
	if ((status == 401 || status == 403) && op->resumes == 0) {
		op_tell_refusal(op, &(struct upstream_refusal){ status, end->challenge,
								op->token_version });
		err_set(&err, ERR_UNAUTHENTICATED, "it refuses the credential with HTTP %d",
			status);
	} else if (try_again(op, status)) {
		return;
	} else if (op->resumes > 0) {
		err_set(&err, ERR_UPSTREAM,
			"its stream broke before the answer and cannot be resumed (HTTP %d)",
			status);
	} else if (refuses_session(op, status)) {
		err_set(&err, ERR_UPSTREAM, "it refuses one session after the other (HTTP %d)",
			status);
	} else if (op->refusal.is_ours && op->refusal.error.len > 0) {
		op_finish(op,
			  &(struct upstream_answer){ .era = op->terms.era,
						     .status = status,
						     .error = buf_span(&op->refusal.error) },
			  NULL);
		return;
	} else {
		err_set(&err, ERR_UPSTREAM, "it answered HTTP %d", status);
		snprintf(err.tag, sizeof(err.tag), "%d", status);
	}
	op_finish(op, NULL, &err);
}

static void on_sent_done(struct upstream_op *op, const struct post_end *end, const struct err *err)
{
	if ((err != NULL || end->status < 300) && op_resume(op, err))
		return;
	if (err != NULL)
		op_finish(op, NULL, err);
	else if (end->status >= 400)
		take_http_error(op, end);
	else if (end->status >= 300)
		op_fail(op, ERR_UPSTREAM, "it answered with a redirect");
	else
		op_fail(op, ERR_UPSTREAM, "its answer ended without a result");
}

static void on_done(void *ctx, const struct post_end *end, const struct err *err)
{
	struct upstream_op *op = ctx;

	switch (op->state) {
	case OP_LEVEL:
		op_send_request(op); /* an upstream without logging refuses: no matter */
		break;
	case OP_SENT:
		on_sent_done(op, end, err);
		break;
	case OP_LINGERING:
		op_free(op);
		break;
	case OP_WAITING:
	case OP_RESUMING:
		abort(); /* who waits has no post */
	}
}

const struct post_events op_events = { .message = on_message, .done = on_done };
