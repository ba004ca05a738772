/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /audit/tail: rows as they reach PostgreSQL, whichever node wrote them, as server-sent events.
 *
 * A row is shown by the first question whose snapshot sees the transaction that stored it
 * (migration 0021), so late rows are not missed and none comes twice, also for a client that comes
 * back with Last-Event-ID. Only while somebody listens is anything asked, once a second, and of an
 * index that holds nothing but what is new. Before each question the key is looked at again.
 */

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/core/identity.h"
#include "gateway/http/api_audit.h"
#include "gateway/http/api_audit_streams.h"
#include "gateway/http/credential.h"

#define POLL_MS		1000
#define KEEP_ALIVE_MS	15000 /* proxies cut a stream that is silent for 30 s */
#define PAGE_ROWS	250
#define PAGE_ROWS_TEXT	"250"
#define MAX_EVENT_BYTES (AUDIT_MAX_ROW_BYTES + AUDIT_MARK_BYTES)
#define STEP_ASK	3
/* A row that reaches PostgreSQL later than so long after its call began is not shown: only the
 * partitions of that time are looked at. */
#define LATE_US	 ((int64_t)24 * 3600 * 1000000)
#define AHEAD_US ((int64_t)3600 * 1000000) /* clocks of other nodes */

/* The snapshot of this moment. One that would make a long cursor is told as if all from its xmin on
 * were still running: what that leaves out comes with the next. */
#define SNAPSHOT                                                                                   \
	"CASE WHEN length(pg_current_snapshot()::text) < 250 THEN pg_current_snapshot()"           \
	" ELSE (pg_snapshot_xmin(pg_current_snapshot()) || ':' ||"                                 \
	" pg_snapshot_xmin(pg_current_snapshot()) || ':')::pg_snapshot END"

struct tail {
	struct audit_request frame; /* first */
	struct audit_stream stream;
	struct audit_mark mark; /* before "": to begin now */
	const char *credential; /* in the arena, which is wiped */
	bool started;		/* the head is out */
	bool more;		/* the page was full */
	int64_t written_ms;
};

/* --- what is sent ---------------------------------------------------------------------------- */

static void send_text(struct api_request *request, struct span text)
{
	struct tail *tail = request->work;

	tail->written_ms = loop_now_ms(request->app->loop);
	exchange_stream_write(request->exchange, text);
}

/* Where to go on, alone: no event for who listens. */
static void send_mark(struct api_request *request)
{
	const struct tail *tail = request->work;
	char mark[AUDIT_MARK_BYTES], text[AUDIT_MARK_BYTES + 16];

	audit_mark_write(&tail->mark, mark);
	snprintf(text, sizeof(text), ":\nid: %s\n\n", mark);
	send_text(request, span_of(text));
}

static void send_row(struct api_request *request, const struct db_result *rows, size_t row,
		     struct buf *out)
{
	struct tail *tail = request->work;
	char mark[AUDIT_MARK_BYTES];

	snprintf(tail->mark.stored_in, sizeof(tail->mark.stored_in), "%s",
		 db_text(rows, row, "stored_in"));
	snprintf(tail->mark.call_id, sizeof(tail->mark.call_id), "%s",
		 db_text(rows, row, "place_call"));
	audit_mark_write(&tail->mark, mark);
	buf_clear(out);
	buf_printf(out, "event: call\nid: %s\ndata: ", mark);
	audit_row_json(rows, row, AUDIT_BRIEF, out);
	buf_add(out, "\n\n");
	send_text(request, buf_span(out));
}

static void end_tail(struct api_request *request, const char *code, const char *detail)
{
	const struct tail *tail = request->work;
	struct buf out;

	if (!tail->started) {
		api_fail(request, ERR_UNAVAILABLE, "%s", detail);
		api_finish(request);
		return;
	}
	buf_init(&out, MAX_EVENT_BYTES);
	buf_printf(&out, "event: end\ndata: {\"code\":\"%s\",\"detail\":", code);
	buf_add_json_string(&out, detail, strlen(detail));
	buf_add(&out, "}\n\n");
	send_text(request, buf_span(&out));
	buf_fini(&out);
	exchange_stream_end(request->exchange);
	api_finish(request);
}

/* The worker stops; others go on. */
static void on_end(void *ctx)
{
	end_tail(ctx, "unavailable", "this worker stops: come again with Last-Event-ID");
}

/* --- from one question to the next ----------------------------------------------------------- */

static void on_timer(void *ctx);

static void wait_for_next(struct api_request *request)
{
	const struct tail *tail = request->work;

	timer_start(request->app->loop, &request->timer, tail->more ? 0 : POLL_MS, on_timer,
		    request);
}

static void on_room(void *ctx)
{
	wait_for_next(ctx);
}

static void keep_alive(struct api_request *request)
{
	const struct tail *tail = request->work;

	if (loop_now_ms(request->app->loop) - tail->written_ms >= KEEP_ALIVE_MS)
		send_mark(request);
}

/* Keys of a role that was lowered, or of somebody else, are another key. */
static bool is_same(const struct api_request *request, const struct principal *now)
{
	const struct principal *before = request->principal;

	return now->role >= before->role && strcmp(now->api_key_id, before->api_key_id) == 0;
}

static void go_on(struct api_request *request, const struct principal *now)
{
	if (!is_same(request, now)) {
		end_tail(request, "forbidden", "the key may no longer do this");
		return;
	}
	request->next = &api_audit_tail[STEP_ASK];
	api_resume(request);
}

static void on_identity(void *ctx, struct principal *principal, const struct err *err)
{
	struct api_request *request = ctx;
	struct tail *tail = request->work;

	if (err == NULL) {
		go_on(request, principal);
	} else if (err->code == ERR_UNAUTHENTICATED) {
		end_tail(request, "unauthenticated", err->text);
	} else {
		tail->more = false;
		keep_alive(request);
		wait_for_next(request);
	}
}

static void on_timer(void *ctx)
{
	struct api_request *request = ctx;
	const struct tail *tail = request->work;
	struct identity *identity = request->app->gate->identity;
	struct principal *now;
	struct err err;

	switch (identity_find(identity, tail->credential, &now, &err)) {
	case IDENTITY_KNOWN:
		go_on(request, now); /* `now` lives on: the cache has it too */
		principal_unref(&now);
		break;
	case IDENTITY_REFUSED:
		end_tail(request, "unauthenticated", err.text);
		break;
	case IDENTITY_UNKNOWN:
		identity_start(identity, &request->identity, tail->credential, on_identity,
			       request);
		break;
	}
}

/* A tail outlives a database that is away. */
static bool on_failed(struct api_request *request, const struct err *err)
{
	struct tail *tail = request->work;

	if (!tail->started)
		return audit_failed(request, err);
	log_debug(&(struct log_subject){ .component = "api", .tenant = request->tenant_name },
		  "a tail asks again: %s", err->text);
	tail->more = false;
	keep_alive(request);
	wait_for_next(request);
	return true;
}

/* --- its steps ------------------------------------------------------------------------------- */

static void leave(void *p)
{
	audit_streams_leave(p);
}

static enum api_result enter(struct api_request *request)
{
	struct tail *tail = request->work;
	struct err err;

	tail->stream = (struct audit_stream){
		.kind = AUDIT_TAIL,
		.tenant_id = request->tenant_id,
		.end = on_end,
		.ctx = request,
	};
	if (audit_streams_enter(request->app->audit_streams, &tail->stream, &err) < 0)
		return api_fail(request, err.code, "%s", err.text);
	arena_attach(request->arena, &tail->stream, leave);
	return API_NEXT;
}

static const char *copy_credential(struct api_request *request)
{
	const char *credential = NULL;
	struct err ignored;

	if (credential_read(exchange_header(request->exchange, "authorization"),
			    exchange_header(request->exchange, "x-api-key"), &credential,
			    &ignored) < 0 ||
	    credential == NULL)
		return NULL;
	return arena_strdup(request->arena, credential);
}

static enum api_result begin_tail(struct api_request *request)
{
	enum api_result result = audit_begin(request, 0, sizeof(struct tail));
	const char *last = exchange_header(request->exchange, "last-event-id");
	struct tail *tail = request->work;
	struct err err;

	if (result == API_DONE)
		return result;
	tail->credential = copy_credential(request);
	if (last != NULL && last[0] != '\0' && audit_mark_parse(last, &tail->mark, &err) < 0) {
		db_cancel(&request->query);
		return api_fail(request, err.code, "%s", err.text);
	}
	return result;
}

static enum api_result open_tail(struct api_request *request)
{
	enum api_result result = audit_scope(request);

	if (result == API_NEXT)
		result = enter(request);
	request->failed = on_failed;
	return result;
}

/* $20 before, $21 until, $22 and $23 the row, $24 limit. Always one row at least, for `until`: the
 * only one if there is no `before`. */
static const char rows_sql[] =
	"SELECT r.*, s.until::text AS until FROM (SELECT CASE WHEN $21::pg_snapshot IS NOT NULL"
	" THEN $21::pg_snapshot ELSE " SNAPSHOT " END AS until) s LEFT JOIN LATERAL"
	" (SELECT " AUDIT_SELECT_BRIEF ", c.stored_in FROM audit.call_log c WHERE " AUDIT_WHERE
	" AND c.stored_in >= pg_snapshot_xmin($20::pg_snapshot)"
	" AND NOT pg_visible_in_snapshot(c.stored_in, $20::pg_snapshot)"
	" AND pg_visible_in_snapshot(c.stored_in, s.until)"
	" AND ($22::xid8 IS NULL OR (c.stored_in, c.call_id) > ($22::xid8, $23::uuid))"
	" ORDER BY c.stored_in, c.call_id LIMIT $24::bigint) r ON true"
	" ORDER BY r.stored_in, r.place_call";

static enum api_result ask_tail(struct api_request *request)
{
	struct tail *tail = request->work;
	const struct audit_mark *mark = &tail->mark;
	bool inside = mark->until[0] != '\0';
	const struct span more[] = {
		mark->before[0] != '\0' ? span_of(mark->before) : (struct span){ 0 },
		inside ? span_of(mark->until) : (struct span){ 0 },
		inside ? span_of(mark->stored_in) : (struct span){ 0 },
		inside ? span_of(mark->call_id) : (struct span){ 0 },
		SPAN(PAGE_ROWS_TEXT),
	};

	tail->frame.query.from_us = loop_unix_us() - LATE_US;
	tail->frame.query.to_us = loop_unix_us() + AHEAD_US;
	return audit_ask(request, rows_sql, more, 5);
}

static void start(struct api_request *request)
{
	static const struct http_header headers[] = {
		{"Cache-Control",	   "no-store, no-transform"},
		{ "X-Accel-Buffering", "no"		    },
	};
	struct tail *tail = request->work;

	tail->started = true;
	tail->written_ms = loop_now_ms(request->app->loop);
	exchange_stream_start(request->exchange, &(struct exchange_answer){
							 .status = 200,
							 .content_type = "text/event-stream",
							 .headers = headers,
							 .n_headers = 2,
							 .body = SPAN("retry: 1000\n\n"),
						 });
}

/* Returns how many there were. */
static size_t send_rows(struct api_request *request, const struct db_result *rows)
{
	struct tail *tail = request->work;
	size_t n = db_text(rows, 0, "place_call") != NULL ? db_rows(rows) : 0;
	struct buf out;

	buf_init(&out, MAX_EVENT_BYTES);
	for (size_t i = 0; i < n; i++)
		send_row(request, rows, i, &out);
	buf_fini(&out);
	tail->more = n == PAGE_ROWS;
	return n;
}

static enum api_result show_tail(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	struct tail *tail = request->work;
	bool first = !tail->started;
	size_t n;

	if (first)
		start(request);
	snprintf(tail->mark.until, sizeof(tail->mark.until), "%s", db_text(rows, 0, "until"));
	n = send_rows(request, rows);
	if (!tail->more) {
		memcpy(tail->mark.before, tail->mark.until, sizeof(tail->mark.before));
		tail->mark.until[0] = '\0';
	}
	if (first || (n > 0 && !tail->more))
		send_mark(request);
	else
		keep_alive(request);
	exchange_stream_on_room(request->exchange, on_room, request);
	return API_WAIT;
}

api_step *const api_audit_tail[] = { audit_refuse_head, begin_tail, open_tail,
				     ask_tail,		show_tail,  NULL };
