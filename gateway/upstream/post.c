/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upstream/post.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define N_OWN_HEADERS 4

/* What the answer's head says of its body. */
enum body_kind {
	BODY_NONE,  /* not needed */
	BODY_JSON,  /* one message */
	BODY_SSE,   /* one message an event */
	BODY_EMPTY, /* a success of no type we know: good as long as nothing comes */
	BODY_OTHER, /* no MCP: kept out */
};

enum post_state {
	POST_RUNNING,
	POST_DELIVERING, /* the receiver is being told: not to be freed now */
	POST_CANCELLED,	 /* while it was told */
};

struct post {
	struct post **slot;
	enum post_state state;
	struct http_request *request;
	struct post_end end;
	enum body_kind kind;
	struct buf body; /* BODY_JSON */
	struct sse_reader sse;
	struct sse_cursor own_cursor; /* if nobody else wants it */
	bool broken;		      /* what came is no JSON-RPC */
	struct err problem;
	struct post_events events;
	void *ctx;
};

static void post_free(struct post *post)
{
	sse_fini(&post->sse);
	buf_wipe(&post->body);
	free(post);
}

void post_cancel(struct post **slot)
{
	struct post *post = *slot;

	if (post == NULL)
		return;
	*slot = NULL;
	http_cancel(&post->request);
	if (post->state == POST_DELIVERING) {
		post->state = POST_CANCELLED;
		post->sse.cursor = &post->own_cursor; /* theirs may go now */
	} else {
		post_free(post);
	}
}

static void finish(struct post *post, const struct err *err)
{
	struct post_events events = post->events;
	struct post_end end = post->end;
	void *ctx = post->ctx;

	*post->slot = NULL;
	post_free(post);
	events.done(ctx, err == NULL ? &end : NULL, err);
}

/* Servers that refuse a request before they have read it answer with the id null, which is no
 * JSON-RPC message that we take elsewhere. */
static bool refusal_without_id(struct span text, struct envelope *out)
{
	struct span error;
	struct err ignored;

	if (span_check(text, NULL, &ignored) < 0)
		return false;
	error = span_trim(span_get(text, "error"));
	if (span_type(error) != SPAN_OBJECT || span_type(span_get(error, "code")) != SPAN_NUMBER ||
	    span_type(span_get(error, "message")) != SPAN_STRING)
		return false;
	*out = (struct envelope){ .kind = ENVELOPE_RESPONSE, .text = text, .error = error };
	return true;
}

static void deliver(struct post *post, struct span text)
{
	struct arena *arena = arena_new();
	struct envelope message;
	struct err err;

	if (envelope_parse(text, arena, &message, &err) == 0 ||
	    (post->end.status >= 400 && refusal_without_id(text, &message))) {
		post->events.message(post->ctx, &post->end, &message);
	} else {
		post->broken = true;
		err_set(&post->problem, ERR_UPSTREAM, "its answer is no JSON-RPC: %s", err.text);
	}
	arena_free(&arena);
}

/* Events that follow one at which the receiver cancelled are dropped. An event without data primes
 * a stream (MCP 2025-11-25, transports) and is no message. */
static void on_event(void *ctx, struct span data)
{
	struct post *post = ctx;

	if (post->state == POST_DELIVERING && data.n > 0)
		deliver(post, data);
}

/* False if the receiver cancelled the post meanwhile: then it is gone. */
static bool delivered(struct post *post)
{
	bool alive = post->state == POST_DELIVERING;

	post->state = POST_RUNNING;
	if (!alive)
		post_free(post);
	return alive;
}

static enum body_kind kind_of(int status, const char *content_type)
{
	size_t n = content_type != NULL ? strcspn(content_type, "; \t") : 0;

	if (status == 202 || status == 204)
		return BODY_NONE;
	if (n == 16 && strncasecmp(content_type, "application/json", n) == 0)
		return BODY_JSON;
	if (n == 17 && strncasecmp(content_type, "text/event-stream", n) == 0)
		return BODY_SSE;
	return status >= 200 && status < 300 ? BODY_EMPTY : BODY_NONE;
}

static void tell_head(struct post *post)
{
	if (post->events.head == NULL)
		return;
	post->state = POST_DELIVERING;
	post->events.head(post->ctx, &post->end);
	delivered(post);
}

/* RFC 9110 5.3: lines of one header are one list. */
static void take_challenge(struct post *post, const struct http_head *head)
{
	char *out = post->end.challenge;
	size_t n = 0;

	for (size_t i = 0; i < head->n_headers; i++) {
		const struct http_header *header = &head->headers[i];
		const char *comma = n > 0 ? ", " : "";

		if (strcmp(header->name, "www-authenticate") != 0 || header->value[0] == '\0')
			continue;
		if (n + strlen(comma) + strlen(header->value) >= sizeof(post->end.challenge))
			continue;
		n += (size_t)snprintf(out + n, sizeof(post->end.challenge) - n, "%s%s", comma,
				      header->value);
	}
}

static void on_head(void *ctx, const struct http_head *head)
{
	struct post *post = ctx;
	const char *session = http_head_find(head, "mcp-session-id");

	post->end.status = head->status;
	post->kind = kind_of(head->status, http_head_find(head, "content-type"));
	take_challenge(post, head);
	if (session != NULL && strlen(session) < sizeof(post->end.session_id))
		snprintf(post->end.session_id, sizeof(post->end.session_id), "%s", session);
	post->end.streams = post->kind == BODY_SSE && head->status < 300;
	tell_head(post);
}

static void stop_reading(struct post *post, const char *why)
{
	struct err err;

	http_cancel(&post->request);
	err_set(&err, ERR_TOO_LARGE, "%s", why);
	finish(post, &err);
}

static int take_json(struct post *post, const char *p, size_t n)
{
	if (post->end.status < 400 || post->body.len + n <= POST_MAX_ERROR_BYTES)
		return buf_append(&post->body, p, n);
	post->kind = BODY_NONE; /* the status says enough */
	return 0;
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct post *post = ctx;
	int ret = 0;

	switch (post->kind) {
	case BODY_JSON:
		ret = take_json(post, p, n);
		break;
	case BODY_SSE:
		post->state = POST_DELIVERING;
		ret = sse_feed(&post->sse, p, n);
		if (!delivered(post))
			return;
		break;
	case BODY_EMPTY:
		post->kind = BODY_OTHER;
		break;
	case BODY_NONE:
	case BODY_OTHER:
		break;
	}
	if (ret < 0)
		stop_reading(post, "its answer is too large");
}

static void finish_invalid(struct post *post, struct err *problem)
{
	snprintf(problem->tag, sizeof(problem->tag), "%s", POST_TAG_INVALID);
	finish(post, problem);
}

static void on_done(void *ctx, const struct err *err)
{
	struct post *post = ctx;
	struct err problem;

	if (err != NULL) {
		finish(post, err);
		return;
	}
	if (post->kind == BODY_JSON && post->body.len > 0) {
		post->state = POST_DELIVERING;
		deliver(post, buf_span(&post->body));
		if (!delivered(post))
			return;
	}
	if (post->kind == BODY_OTHER) {
		err_set(&problem, ERR_UPSTREAM, "its answer is neither JSON nor an event stream");
		finish_invalid(post, &problem);
	} else if (post->broken && post->end.status < 400) {
		problem = post->problem;
		finish_invalid(post, &problem);
	} else {
		finish(post, NULL);
	}
}

/* What every request carries, its credential, and the headers of the connection. */
static size_t own_headers(const struct post_params *params, const char *authorization,
			  struct http_header *out)
{
	const struct connection *connection = params->connection;
	size_t n = 0;

	bool gets = params->method != NULL && strcmp(params->method, "GET") == 0;

	if (params->method == NULL)
		out[n++] = (struct http_header){ "content-type", "application/json" };
	out[n++] = (struct http_header){ "accept", gets ? "text/event-stream"
							: "application/json, text/event-stream" };
	if (authorization != NULL)
		out[n++] = (struct http_header){ "authorization", authorization };
	if (connection->auth_mode == AUTH_API_KEY)
		out[n++] = (struct http_header){ connection->auth_header,
						 connection->credential.reveal };
	assert(connection->n_headers <= CONNECTION_MAX_HEADERS);
	for (size_t i = 0; i < connection->n_headers; i++)
		out[n++] = connection->headers[i];
	return n;
}

static void start_http(struct post *post, const struct post_params *params,
		       const struct http_header *headers, size_t n_headers)
{
	static const struct http_events http_events = { on_head, on_data, on_done };
	const struct connection *connection = params->connection;
	int64_t idle_ms =
		params->idle_timeout_ms > 0 ? params->idle_timeout_ms : params->timeout_ms;
	char pool_key[128];

	/* A connection's sockets serve it alone, and only as it is configured now. */
	snprintf(pool_key, sizeof(pool_key), "%s/%s/%lld", params->tenant->id, connection->id,
		 (long long)connection->settings_version);
	http_start(params->client, &post->request,
		   &(struct http_params){
			   .method = params->method != NULL ? params->method : "POST",
			   .url = connection->url,
			   .headers = headers,
			   .n_headers = n_headers,
			   .body = params->body,
			   .pool_key = pool_key,
			   .egress = params->tenant->egress,
			   .connect_timeout_ms = connection->connect_timeout_ms,
			   .first_byte_timeout_ms = idle_ms,
			   .idle_timeout_ms = idle_ms,
			   .total_timeout_ms = params->timeout_ms,
			   .max_body_bytes = POST_MAX_STREAM_BYTES,
		   },
		   &http_events, post);
}

void post_start(struct post **slot, const struct post_params *params,
		const struct post_events *events, void *ctx)
{
	const struct connection *connection = params->connection;
	struct http_header headers[N_OWN_HEADERS + CONNECTION_MAX_HEADERS + POST_MAX_HEADERS];
	struct post *post = mem_new(sizeof(*post));
	char *bearer = NULL;
	size_t n;

	assert(*slot == NULL && params->n_headers <= POST_MAX_HEADERS);
	*post = (struct post){ .slot = slot, .events = *events, .ctx = ctx };
	*slot = post;
	buf_init(&post->body, POST_MAX_MESSAGE_BYTES);
	sse_cursor_init(&post->own_cursor);
	sse_init(&post->sse, POST_MAX_MESSAGE_BYTES,
		 params->cursor != NULL ? params->cursor : &post->own_cursor, on_event, post);
	if (connection->auth_mode == AUTH_BEARER)
		bearer = mem_printf("Bearer %s", connection->credential.reveal);
	n = own_headers(params, bearer != NULL ? bearer : params->authorization, headers);
	for (size_t i = 0; i < params->n_headers; i++)
		headers[n++] = params->headers[i];
	start_http(post, params, headers, n);
	if (bearer != NULL)
		mem_wipe(bearer, strlen(bearer));
	free(bearer);
}
