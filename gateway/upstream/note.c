/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

#define MAX_NOTE_BYTES 65536

void note_free(struct note *note)
{
	DL_DELETE(note->upstreams->notes, note);
	post_cancel(&note->post);
	buf_fini(&note->body);
	tenant_unref(&note->tenant);
	free(note);
}

static void on_message(void *ctx, const struct post_end *head, const struct envelope *message)
{
	(void)ctx;
	(void)head;
	(void)message;
}

static void on_done(void *ctx, const struct post_end *end, const struct err *err)
{
	(void)end;
	(void)err; /* whoever waits for what it was about has a deadline of its own */
	note_free(ctx);
}

void note_send(struct upstream_op *op, struct span text)
{
	static const struct post_events events = { on_message, on_done };
	const struct peer_terms *terms = &op->terms;
	const struct compose_params params = {
		.era = terms->era,
		.version = terms->version,
		.session_id = terms->session_id[0] != '\0' ? terms->session_id : NULL,
		.method = "",
	};
	struct http_header headers[COMPOSE_MAX_HEADERS];
	struct note *note = mem_new(sizeof(*note));

	note->upstreams = op->peer->upstreams;
	note->tenant = tenant_ref(op->request.tenant);
	buf_init(&note->body, MAX_NOTE_BYTES);
	buf_add_span(&note->body, text);
	DL_APPEND(note->upstreams->notes, note);
	post_start(&note->post,
		   &(struct post_params){
			   .client = note->upstreams->client,
			   .tenant = note->tenant,
			   .connection = op->request.connection,
			   .body = buf_span(&note->body),
			   .headers = headers,
			   .n_headers = compose_headers(&params, op->arena, headers),
			   .timeout_ms = UPSTREAM_NOTE_TIMEOUT_MS,
		   },
		   &events, note);
}

/* The modern era has no such requests, and forbids to post an answer. */
void note_answer(struct upstream_op *op, const struct envelope *request)
{
	struct buf text;

	if (op->terms.era != MCP_LEGACY || op->n_answers == UPSTREAM_MAX_ANSWERS)
		return;
	op->n_answers++;
	buf_init(&text, MAX_NOTE_BYTES);
	if (strcmp(request->method, "ping") == 0)
		envelope_result(&text, request->id, SPAN("{}"));
	else
		envelope_error(&text, request->id, RPC_METHOD_NOT_FOUND,
			       "the gateway does not offer this", (struct span){ 0 });
	if (!text.overflow)
		note_send(op, buf_span(&text));
	buf_fini(&text);
}
