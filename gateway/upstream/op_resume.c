/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on with a stream that ended before the answer (MCP 2025-11-25, transports, resumability; a
 * server may end it on purpose, SEP-1699): GET with the id of the last event, never another POST,
 * for the request runs over there.
 */

#include <string.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

static void on_due(void *ctx)
{
	struct upstream_op *op = ctx;
	const struct compose_params params = {
		.era = MCP_LEGACY,
		.version = op->terms.version,
		.session_id = op->terms.session_id[0] != '\0' ? op->terms.session_id : NULL,
	};
	struct http_header headers[COMPOSE_MAX_HEADERS + 1];
	size_t n = compose_headers(&params, op->arena, headers);
	struct upstream_token token;

	/* Not as a refusal: the request runs over there, and must not be sent again. */
	if (!peer_find_token(op->peer, op->request.connection, &token)) {
		op_fail(op, ERR_UPSTREAM,
			"its stream broke before the answer, and " UPSTREAM_NO_TOKEN);
		return;
	}

	headers[n++] = (struct http_header){ "last-event-id", op->cursor.id };
	op->state = OP_SENT;
	op->heard = op->cursor.events;
	post_start(&op->post,
		   &(struct post_params){
			   .client = op->peer->upstreams->client,
			   .tenant = op->request.tenant,
			   .connection = op->request.connection,
			   .method = "GET",
			   .headers = headers,
			   .n_headers = n,
			   .authorization = token.authorization,
			   .cursor = &op->cursor,
			   .timeout_ms = op->request.timeout_ms + UPSTREAM_LINGER_MS,
		   },
		   &op_events, op);
}

static bool may_resume(struct upstream_op *op, const struct err *err)
{
	if (op->terms.era != MCP_LEGACY || op->cursor.id[0] == '\0' ||
	    op->resumes == UPSTREAM_MAX_RESUMES)
		return false;
	if (err != NULL && (err->code != ERR_UPSTREAM || strcmp(err->tag, POST_TAG_INVALID) == 0))
		return false;
	if (op->resumes > 0 && op->cursor.events == op->heard)
		return ++op->failed_resumes < UPSTREAM_MAX_FAILED_RESUMES;
	op->failed_resumes = 0;
	return true;
}

bool op_resume(struct upstream_op *op, const struct err *err)
{
	int64_t delay_ms = op->cursor.retry_ms >= 0 ? op->cursor.retry_ms : UPSTREAM_RETRY_MS;

	if (!may_resume(op, err))
		return false;
	if (delay_ms < UPSTREAM_RETRY_MIN_MS)
		delay_ms = UPSTREAM_RETRY_MIN_MS;
	op->state = OP_RESUMING;
	op->resumes++;
	timer_start(op->peer->upstreams->loop, &op->retry, delay_ms, on_due, op);
	return true;
}
