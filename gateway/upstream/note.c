/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

#define MAX_NOTE_BYTES 65536

void note_free(struct note *note)
{
	DL_DELETE(note->upstreams->notes, note);
	timer_stop(&note->timer);
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

static struct note *note_new(const struct note_to *to)
{
	struct note *note = mem_new(sizeof(*note));

	note->upstreams = to->upstreams;
	note->tenant = tenant_ref(to->tenant);
	note->connection = to->connection;
	snprintf(note->subject, sizeof(note->subject), "%s", to->subject);
	note->terms = *to->terms;
	buf_init(&note->body, MAX_NOTE_BYTES);
	DL_APPEND(note->upstreams->notes, note);
	return note;
}

static void send_now(void *ctx)
{
	static const struct post_events events = { .message = on_message, .done = on_done };
	struct note *note = ctx;
	const struct peer_terms *terms = &note->terms;
	const struct compose_params params = {
		.era = terms->era,
		.version = terms->version,
		.session_id = terms->session_id[0] != '\0' ? terms->session_id : NULL,
		.method = "",
	};
	struct http_header headers[COMPOSE_MAX_HEADERS];
	struct upstream_token token;
	struct arena *arena;
	bool ends = note->body.len == 0;

	if (!upstream_find_token(note->upstreams, note->tenant->id, note->connection, note->subject,
				 &token)) {
		note_free(note);
		return;
	}
	arena = arena_new();

	post_start(&note->post,
		   &(struct post_params){
			   .client = note->upstreams->client,
			   .tenant = note->tenant,
			   .connection = note->connection,
			   .method = ends ? "DELETE" : NULL,
			   .body = buf_span(&note->body),
			   .headers = headers,
			   .n_headers = compose_headers(&params, arena, headers),
			   .authorization = token.authorization,
			   .timeout_ms = UPSTREAM_NOTE_TIMEOUT_MS,
		   },
		   &events, note);
	arena_free(&arena);
}

void note_send(const struct note_to *to, struct span text)
{
	struct note *note = note_new(to);

	buf_add_span(&note->body, text);
	send_now(note);
}

void note_end_session(const struct note_to *to, int64_t delay_ms)
{
	struct note *note;

	if (to->terms->era != MCP_LEGACY || to->terms->session_id[0] == '\0')
		return;
	note = note_new(to);
	timer_start(note->upstreams->loop, &note->timer, delay_ms, send_now, note);
}

/* The modern era has no such requests, and forbids to post an answer. */
void note_answer(const struct note_to *to, const struct envelope *request)
{
	struct buf text;

	if (to->terms->era != MCP_LEGACY)
		return;
	buf_init(&text, MAX_NOTE_BYTES);
	if (strcmp(request->method, "ping") == 0)
		envelope_result(&text, request->id, SPAN("{}"));
	else
		envelope_error(&text, request->id, RPC_METHOD_NOT_FOUND,
			       "the gateway does not offer this", (struct span){ 0 });
	if (!text.overflow)
		note_send(to, buf_span(&text));
	buf_fini(&text);
}
