/* SPDX-License-Identifier: Apache-2.0 */
/* The upstreams of a worker, and the two ends of gateway/core/upstream.h: start and cancel. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

#define NODE_BITS    20
#define COUNTER_BITS 32

struct upstreams *upstreams_new(struct loop *loop, struct db *db,
				const struct upstream_credentials *credentials)
{
	struct upstreams *upstreams = mem_new(sizeof(*upstreams));
	uint32_t node;

	crypto_random(&node, sizeof(node));
	*upstreams = (struct upstreams){
		.loop = loop,
		.db = db,
		.client = http_client_new(loop),
		.next_id = ((int64_t)(node & ((1u << NODE_BITS) - 1)) << COUNTER_BITS) + 1,
	};
	if (credentials != NULL)
		upstreams->credentials = *credentials;
	return upstreams;
}

bool upstream_find_token(const struct upstreams *upstreams, const char *tenant_id,
			 const struct connection *connection, const char *subject,
			 struct upstream_token *token)
{
	const struct upstream_credentials *credentials = &upstreams->credentials;

	*token = (struct upstream_token){ 0 };
	if (connection->auth_mode != AUTH_OAUTH)
		return true;
	return credentials->find != NULL &&
	       credentials->find(credentials->ctx, tenant_id, connection->id, subject, token);
}

void upstreams_free(struct upstreams **upstreams)
{
	struct upstreams *was = *upstreams;

	*upstreams = NULL;
	if (was == NULL)
		return;
	while (was->lingering != NULL)
		op_free(was->lingering);
	while (was->notes != NULL)
		note_free(was->notes);
	sweep_free(&was->sweep);
	peers_free(was);
	while (was->releases != NULL)
		release_free(was->releases);
	http_client_free(&was->client);
	free(was);
}

static void copy_text(struct arena *arena, const char **text)
{
	if (*text != NULL)
		*text = arena_strdup(arena, *text);
}

static void copy_request(struct upstream_op *op, const struct upstream_request *request)
{
	struct arena *arena = op->arena;

	op->request = *request;
	op->request.tenant = tenant_ref(request->tenant);
	op->request.method = arena_strdup(arena, request->method);
	if (request->params.p != NULL)
		op->request.params.p = arena_dup(arena, request->params.p, request->params.n);
	if (request->name != NULL)
		op->request.name = arena_strdup(arena, request->name);
	if (request->log_level != NULL)
		op->request.log_level = arena_strdup(arena, request->log_level);
	copy_text(arena, &op->request.trace.traceparent);
	copy_text(arena, &op->request.trace.tracestate);
	copy_text(arena, &op->request.trace.baggage);
	op->request.subject = arena_strdup(arena, request->subject != NULL ? request->subject : "");
}

static void on_timeout(void *ctx)
{
	struct upstream_op *op = ctx;
	struct err err;

	op_give_up(op, "the gateway's deadline has passed");
	post_cancel(&op->post);
	err_set(&err, ERR_TIMEOUT, "no answer within %lld ms", (long long)op->request.timeout_ms);
	op_finish(op, NULL, &err);
}

void upstream_start(struct upstreams *upstreams, struct upstream_op **slot,
		    const struct upstream_request *request, const struct upstream_events *events,
		    void *ctx)
{
	struct upstream_op *op = mem_new(sizeof(*op));

	assert(*slot == NULL);
	assert(request->timeout_ms > 0);
	op->slot = slot;
	op->arena = arena_new();
	op->peer = peer_hold(upstreams, request->tenant, request->connection, request->scope,
			     request->subject);
	op->id = upstreams->next_id++;
	op->events = *events;
	op->ctx = ctx;
	buf_init(&op->body, COMPOSE_MAX_BYTES);
	buf_init(&op->refusal.error, POST_MAX_ERROR_BYTES);
	copy_request(op, request);
	*slot = op;
	timer_start(upstreams->loop, &op->timer, request->timeout_ms, on_timeout, op);
	op_run(op);
}

void upstream_cancel(struct upstream_op **slot, const char *reason)
{
	struct upstream_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	op_give_up(op, reason);
	op_free(op);
}
