/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening: the GET stream of the legacy session that all share, or subscriptions/listen. A legacy
 * stream that ends and can be resumed is; whatever else ends is told to the owner, who lists the
 * tools anew and starts again, for nobody knows what was missed.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

#define LISTEN_PARAMS	 "{\"notifications\":{\"toolsListChanged\":true}}"
#define ANSWER_WINDOW_MS 60000 /* UPSTREAM_MAX_ANSWERS in each */

enum listen_state {
	LISTEN_WAITING,	  /* for the peer to open */
	LISTEN_ASKED,	  /* for the stream */
	LISTEN_CHECKING,  /* was the session refused, or the stream? */
	LISTEN_LISTENING, /* opened */
	LISTEN_RESTING,	  /* its stream has ended: it is gone on with in a while */
	LISTEN_RESUMED,	  /* asked for it */
};

struct upstream_watch {
	struct upstream_watch **slot;
	enum listen_state state;
	struct upstreams *upstreams;
	struct tenant *tenant;
	const struct connection *connection;
	char subject[UPSTREAM_SUBJECT_BYTES];
	struct peer *peer;
	struct peer_waiter waiter;
	unsigned round;
	struct peer_terms terms;
	struct post *post;
	struct buf body;
	int64_t id;  /* modern: of the request, and so of the subscription */
	int refusal; /* modern: the code of its JSON-RPC error; 0: none */
	bool checked;
	struct upstream_op *check;
	struct sse_cursor cursor;
	struct timer retry;
	struct deferred deferred; /* a failure that was known at the start */
	unsigned n_answers;	  /* to requests of the upstream, since */
	int64_t answers_since_ms;
	struct upstream_watch_events events;
	void *ctx;
};

static void watch_free(struct upstream_watch *watch)
{
	if (watch->state == LISTEN_WAITING)
		peer_stop_waiting(watch->peer, &watch->waiter);
	timer_stop(&watch->retry);
	deferred_cancel(&watch->deferred);
	upstream_cancel(&watch->check, "nobody listens any more");
	post_cancel(&watch->post);
	buf_fini(&watch->body);
	peer_release(watch->peer);
	tenant_unref(&watch->tenant);
	free(watch);
}

void upstream_watch_cancel(struct upstream_watch **slot)
{
	struct upstream_watch *watch = *slot;

	if (watch == NULL)
		return;
	*slot = NULL;
	watch_free(watch);
}

static void finish(struct upstream_watch *watch, const struct err *err)
{
	struct upstream_watch_events events = watch->events;
	void *ctx = watch->ctx;
	struct err problem = *err; /* may lie in what is freed now */

	*watch->slot = NULL;
	watch_free(watch);
	events.ended(ctx, &problem);
}

static void fail(struct upstream_watch *watch, enum err_code code, const char *why)
{
	struct err err;

	err_set(&err, code, "%s", why);
	finish(watch, &err);
}

static void open_stream(struct upstream_watch *watch)
{
	watch->state = LISTEN_LISTENING;
	watch->events.opened(watch->ctx);
}

/* --- what comes ------------------------------------------------------------------------------- */

/* A server may ping for days; but not make us work. */
static void answer(struct upstream_watch *watch, const struct envelope *request)
{
	int64_t now_ms = loop_now_ms(watch->upstreams->loop);

	if (now_ms - watch->answers_since_ms > ANSWER_WINDOW_MS) {
		watch->answers_since_ms = now_ms;
		watch->n_answers = 0;
	}
	if (watch->n_answers == UPSTREAM_MAX_ANSWERS)
		return;
	watch->n_answers++;
	note_answer(&(struct note_to){ watch->upstreams, watch->tenant, watch->connection,
				       watch->subject, &watch->terms },
		    request);
}

/* The subset that the server honours. */
static void take_acknowledged(struct upstream_watch *watch, struct span params)
{
	if (watch->state != LISTEN_ASKED)
		return;
	if (span_true(span_get(span_get(params, "notifications"), "toolsListChanged")))
		open_stream(watch);
	else
		fail(watch, ERR_NOT_FOUND, "it does not tell of changes of its tools");
}

static void take_notification(struct upstream_watch *watch, const struct envelope *message)
{
	bool modern = watch->terms.era == MCP_MODERN;

	if (strcmp(message->method, "notifications/tools/list_changed") == 0) {
		if (watch->state == LISTEN_LISTENING)
			watch->events.changed(watch->ctx);
	} else if (modern &&
		   strcmp(message->method, "notifications/subscriptions/acknowledged") == 0) {
		take_acknowledged(watch, message->params);
	} else if (modern && strcmp(message->method, "notifications/cancelled") == 0 &&
		   is_id(span_get(message->params, "requestId"), watch->id)) {
		fail(watch, ERR_UPSTREAM, "it cancelled the subscription");
	}
}

static void take_response(struct upstream_watch *watch, const struct envelope *message)
{
	int64_t code = 0;

	if (watch->terms.era != MCP_MODERN || !is_id(message->id, watch->id))
		return;
	if (message->result.p != NULL) {
		fail(watch, ERR_UPSTREAM, "it ended the subscription");
	} else if (span_int64(span_get(message->error, "code"), &code) == 0 &&
		   code == RPC_METHOD_NOT_FOUND) {
		fail(watch, ERR_NOT_FOUND, "it offers no subscriptions");
	} else {
		fail(watch, ERR_UPSTREAM, "it refused the subscription");
	}
}

/* --- the legacy stream ------------------------------------------------------------------------ */

static void ask(struct upstream_watch *watch);
static void run(struct upstream_watch *watch);

static void on_head(void *ctx, const struct post_end *head)
{
	struct upstream_watch *watch = ctx;

	if (watch->terms.era != MCP_LEGACY || !head->streams)
		return;
	if (watch->state == LISTEN_RESUMED)
		watch->state = LISTEN_LISTENING;
	else
		open_stream(watch);
}

static void on_retry(void *ctx)
{
	struct upstream_watch *watch = ctx;

	watch->state = LISTEN_RESUMED;
	ask(watch);
}

static bool resume(struct upstream_watch *watch)
{
	int64_t delay_ms = watch->cursor.retry_ms;

	if (watch->terms.era != MCP_LEGACY || watch->cursor.id[0] == '\0')
		return false;
	/* Unlike a call it has no deadline that would end a quick round. */
	if (delay_ms < UPSTREAM_RETRY_MS)
		delay_ms = UPSTREAM_RETRY_MS;
	watch->state = LISTEN_RESTING;
	timer_start(watch->upstreams->loop, &watch->retry, delay_ms, on_retry, watch);
	return true;
}

static void on_check_message(void *ctx, const char *method, struct span params)
{
	(void)ctx;
	(void)method;
	(void)params;
}

/* The session was lost if it is another one now; otherwise it was the stream that is refused. */
static void on_checked(void *ctx, const struct upstream_answer *pong, const struct err *err)
{
	struct upstream_watch *watch = ctx;

	(void)pong; /* an error of the server is an answer too */
	if (err != NULL)
		finish(watch, err);
	else if (watch->peer->state == PEER_OPEN && watch->peer->round == watch->round)
		fail(watch, ERR_NOT_FOUND, "it offers no stream");
	else
		run(watch);
}

/* A server that has no such path answers 404 like one that has lost the session, and a session
 * that others use must not be struck off for that: a ping tells. */
static void check_session(struct upstream_watch *watch)
{
	static const struct upstream_events events = { .message = on_check_message,
						       .done = on_checked };
	const struct upstream_request ping = {
		.tenant = watch->tenant,
		.connection = watch->connection,
		.method = "ping",
		.subject = watch->subject,
		.timeout_ms = UPSTREAM_OPEN_TIMEOUT_MS,
	};

	watch->state = LISTEN_CHECKING;
	watch->checked = true;
	upstream_start(watch->upstreams, &watch->check, &ping, &events, watch);
}

static void take_refusal(struct upstream_watch *watch, int status)
{
	struct err err;

	if (status == 401 || status == 403) {
		err_set(&err, ERR_UNAUTHENTICATED, "it refuses the credential with HTTP %d",
			status);
	} else if (watch->state == LISTEN_RESUMED) {
		err_set(&err, ERR_UPSTREAM, "its stream cannot be resumed (HTTP %d)", status);
	} else if ((status == 404 || status == 400) && watch->terms.session_id[0] != '\0' &&
		   watch->terms.era == MCP_LEGACY && !watch->checked) {
		check_session(watch);
		return;
	} else if (watch->terms.era == MCP_LEGACY ? status == 409 || status == 429 || status == 408
						  : status != 404 && status != 405) {
		err_set(&err, ERR_UPSTREAM, "it answered HTTP %d", status);
	} else {
		err_set(&err, ERR_NOT_FOUND, "it offers no stream (HTTP %d)", status);
	}
	finish(watch, &err);
}

/* --- the end of a stream ---------------------------------------------------------------------- */

static void on_message(void *ctx, const struct post_end *head, const struct envelope *message)
{
	struct upstream_watch *watch = ctx;

	if (message->kind == ENVELOPE_NOTIFICATION)
		take_notification(watch, message);
	else if (message->kind == ENVELOPE_REQUEST)
		answer(watch, message);
	else if (message->kind == ENVELOPE_RESPONSE && head->status < 300)
		take_response(watch, message);
	else if (message->kind == ENVELOPE_RESPONSE && is_id(message->id, watch->id)) {
		int64_t code = 0;

		if (span_int64(span_get(message->error, "code"), &code) == 0)
			watch->refusal = code == RPC_METHOD_NOT_FOUND ? RPC_METHOD_NOT_FOUND : 0;
	}
}

static bool broke(const struct err *err)
{
	return err == NULL || (err->code != ERR_TOO_LARGE && err->code != ERR_FORBIDDEN &&
			       strcmp(err->tag, POST_TAG_INVALID) != 0);
}

static void on_done(void *ctx, const struct post_end *end, const struct err *err)
{
	struct upstream_watch *watch = ctx;
	bool was_listening = watch->state == LISTEN_LISTENING;

	if (was_listening && broke(err) && resume(watch))
		return;
	if (err != NULL)
		finish(watch, err);
	else if (was_listening)
		fail(watch, ERR_UPSTREAM, "its stream has ended");
	else if (watch->refusal == RPC_METHOD_NOT_FOUND)
		fail(watch, ERR_NOT_FOUND, "it offers no subscriptions");
	else if (end->status >= 500 && end->status != 501)
		fail(watch, ERR_UPSTREAM, "it has trouble of its own");
	else
		take_refusal(watch, end->status);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static size_t compose(struct upstream_watch *watch, struct arena *arena,
		      struct http_header *headers)
{
	const struct compose_params params = {
		.era = watch->terms.era,
		.version = watch->terms.version,
		.session_id = watch->terms.session_id[0] != '\0' ? watch->terms.session_id : NULL,
		.id = watch->id,
		.method = "subscriptions/listen",
		.params = SPAN(LISTEN_PARAMS),
	};
	size_t n = compose_headers(&params, arena, headers);

	buf_clear(&watch->body);
	if (watch->terms.era == MCP_MODERN) {
		if (compose_body(&params, &watch->body) < 0)
			abort(); /* nothing of it comes from outside */
	} else if (watch->cursor.id[0] != '\0') {
		headers[n++] = (struct http_header){ "last-event-id", watch->cursor.id };
	}
	return n;
}

static void on_no_token(void *ctx)
{
	fail(ctx, ERR_UNAUTHENTICATED, UPSTREAM_NO_TOKEN);
}

static void ask(struct upstream_watch *watch)
{
	static const struct post_events events = { on_head, on_message, on_done };
	struct http_header headers[COMPOSE_MAX_HEADERS + 1];
	bool modern = watch->terms.era == MCP_MODERN;
	struct span body = { 0 };
	struct upstream_token token;
	struct arena *arena;
	size_t n;

	if (!peer_find_token(watch->peer, watch->connection, &token)) {
		loop_defer(watch->upstreams->loop, &watch->deferred, on_no_token, watch);
		return;
	}
	arena = arena_new();
	n = compose(watch, arena, headers);
	if (modern)
		body = buf_span(&watch->body);
	post_start(&watch->post,
		   &(struct post_params){
			   .client = watch->upstreams->client,
			   .tenant = watch->tenant,
			   .connection = watch->connection,
			   .method = modern ? NULL : "GET",
			   .body = body,
			   .headers = headers,
			   .n_headers = n,
			   .authorization = token.authorization,
			   .cursor = &watch->cursor,
			   .idle_timeout_ms = UPSTREAM_LISTEN_IDLE_MS,
		   },
		   &events, watch);
	arena_free(&arena);
}

static void on_opened(void *ctx, const struct err *err, const struct upstream_refusal *refusal)
{
	struct upstream_watch *watch = ctx;

	(void)refusal;		     /* the owner lists the tools anew, and hears it then */
	watch->state = LISTEN_ASKED; /* it waits no more */
	if (err != NULL)
		finish(watch, err);
	else
		run(watch);
}

static void run(struct upstream_watch *watch)
{
	struct peer *peer = watch->peer;

	if (peer->state != PEER_OPEN) {
		watch->state = LISTEN_WAITING;
		watch->waiter.opened = on_opened;
		watch->waiter.ctx = watch;
		peer_wait(peer, &watch->waiter, watch->tenant, watch->connection);
		return;
	}
	watch->state = LISTEN_ASKED;
	watch->round = peer->round;
	watch->terms = peer->terms;
	watch->id = watch->upstreams->next_id++;
	sse_cursor_init(&watch->cursor);
	ask(watch);
}

void upstream_watch_start(struct upstreams *upstreams, struct upstream_watch **slot,
			  const struct upstream_watch_request *request,
			  const struct upstream_watch_events *events, void *ctx)
{
	struct upstream_watch *watch = mem_new(sizeof(*watch));

	assert(*slot == NULL);
	*watch = (struct upstream_watch){
		.slot = slot,
		.upstreams = upstreams,
		.tenant = tenant_ref(request->tenant),
		.connection = request->connection,
		.peer = peer_hold(upstreams, request->tenant, request->connection, NULL,
				  request->subject),
		.answers_since_ms = loop_now_ms(upstreams->loop),
		.events = *events,
		.ctx = ctx,
	};
	snprintf(watch->subject, sizeof(watch->subject), "%s",
		 request->subject != NULL ? request->subject : "");
	buf_init(&watch->body, COMPOSE_MAX_BYTES);
	*slot = watch;
	run(watch);
}
