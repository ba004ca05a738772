/* SPDX-License-Identifier: Apache-2.0 */
/* Sending one request to an upstream that is open. */

#include <string.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

/* Never before upstream_start has returned. */
static void on_too_large(void *ctx)
{
	op_fail(ctx, ERR_TOO_LARGE, "the request is too large for it");
}

static void on_no_token(void *ctx)
{
	op_fail(ctx, ERR_UNAUTHENTICATED, UPSTREAM_NO_TOKEN);
}

static void post(struct upstream_op *op, const struct compose_params *params)
{
	struct http_header headers[COMPOSE_MAX_HEADERS];
	struct upstream_token token;
	size_t n_headers;

	if (!peer_find_token(op->peer, op->request.connection, &token)) {
		loop_defer(op->peer->upstreams->loop, &op->deferred, on_no_token, op);
		return;
	}
	op->token_version = token.version;
	buf_clear(&op->body);
	if (compose_body(params, &op->body) < 0) {
		loop_defer(op->peer->upstreams->loop, &op->deferred, on_too_large, op);
		return;
	}
	n_headers = compose_headers(params, op->arena, headers);
	post_start(
		&op->post,
		&(struct post_params){
			.client = op->peer->upstreams->client,
			.tenant = op->request.tenant,
			.connection = op->request.connection,
			.body = buf_span(&op->body),
			.headers = headers,
			.n_headers = n_headers,
			.authorization = token.authorization,
			.cursor = op->state == OP_SENT ? &op->cursor : NULL,
			/* The request's own timer is the one to end it, and tells the upstream. */
			.timeout_ms = op->request.timeout_ms + UPSTREAM_LINGER_MS,
		},
		&op_events, op);
}

static const char *session_of(const struct upstream_op *op)
{
	return op->terms.session_id[0] != '\0' ? op->terms.session_id : NULL;
}

/* The tool's text, if arguments of it travel as headers too. */
static struct span annotated_tool(const struct upstream_op *op)
{
	const struct upstream_request *request = &op->request;
	const struct tool *tool = NULL;

	if (op->terms.era == MCP_MODERN && request->name != NULL)
		tool = connection_find_tool(request->connection, request->name);
	return tool != NULL && tool->param_headers ? tool->text : (struct span){ 0 };
}

void op_send_request(struct upstream_op *op)
{
	const struct upstream_request *request = &op->request;
	const struct compose_params params = {
		.era = op->terms.era,
		.version = op->terms.version,
		.session_id = session_of(op),
		.id = op->id,
		.method = request->method,
		.params = request->params,
		.name = request->name,
		.tool = annotated_tool(op),
		.progress = request->progress,
		.log_level =
			request->log_level != NULL ? request->log_level : request->unsaid_log_level,
		.trace = request->trace,
	};

	op->state = OP_SENT;
	op->attempts++;
	sse_cursor_init(&op->cursor);
	op->refusal.code = 0;
	op->refusal.is_ours = false;
	buf_clear(&op->refusal.error);
	post(op, &params);
}

/* A legacy upstream sends log messages by the level of its session. Where clients share one, the
 * least severe that any of them wants is asked for, and each is sent what it wants. */
static bool needs_level(const struct upstream_op *op)
{
	int wanted = mcp_log_level(op->request.log_level != NULL ? op->request.log_level : "");
	int asked = op->peer->log_level;
	size_t n = strlen(UPSTREAM_SCOPE_CLIENT);
	bool alone = strncmp(op->peer->key.scope, UPSTREAM_SCOPE_CLIENT, n) == 0;

	if (op->terms.era != MCP_LEGACY || wanted < 0)
		return false;
	return asked < 0 || (alone ? wanted != asked : wanted < asked);
}

static void send_level(struct upstream_op *op)
{
	const struct compose_params params = {
		.era = MCP_LEGACY,
		.version = op->terms.version,
		.session_id = session_of(op),
		.id = op->peer->upstreams->next_id++,
		.method = "logging/setLevel",
		.params = span_of(
			arena_printf(op->arena, "{\"level\":\"%s\"}", op->request.log_level)),
	};

	op->state = OP_LEVEL;
	op->peer->log_level = mcp_log_level(op->request.log_level);
	peer_touch(op->peer);
	post(op, &params);
}

void op_send(struct upstream_op *op)
{
	struct peer *peer = op->peer;

	op->round = peer->round;
	op->adopted = peer->adopted;
	op->terms = peer->terms;
	if (loop_now_ms(peer->upstreams->loop) - peer->touched_ms > UPSTREAM_TOUCH_MS)
		peer_touch(peer);
	if (needs_level(op))
		send_level(op);
	else
		op_send_request(op);
}
