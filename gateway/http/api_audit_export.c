/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /audit/export: any number of rows in constant memory. Behind it are pages; the next is asked for
 * when the one before has left, so a slow client holds one page and no connection to PostgreSQL.
 *
 * In the order of tenants and then of time, which the primary key has. An answer that cannot be
 * completed ends with a line that says so, and without the end of an HTTP answer.
 */

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "gateway/http/api_audit.h"
#include "gateway/http/api_audit_streams.h"

#define PAGE_ROWS      250
#define PAGE_ROWS_TEXT "250"
#define MAX_PAGE_BYTES ((size_t)PAGE_ROWS * AUDIT_MAX_ROW_BYTES)
#define STEP_ASK       3

struct export
{
	struct audit_request frame; /* first */
	struct audit_stream stream;
	struct audit_place place; /* behind the last row that was written; call_id "": none */
	uint64_t n_rows;
	bool started; /* the head is out */
};

static const struct {
	const char *content_type;
	const char *disposition;
} formats[] = {
	[AUDIT_JSONL] = {"application/x-ndjson",	  "attachment; filename=\"audit.jsonl\""},
	[AUDIT_CSV] = { "text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""	},
};

/* --- the end of one that cannot be completed ------------------------------------------------- */

static void add_cut_json(const struct export *export, const char *why, const char *cursor,
			 struct buf *out)
{
	buf_add(out, "{\"error\":{\"code\":\"cut\",\"detail\":");
	buf_add_json_string(out, why, strlen(why));
	buf_printf(out, ",\"rows\":%" PRIu64 ",\"cursor\":", export->n_rows);
	buf_printf(out, cursor[0] != '\0' ? "\"%s\"}}\n" : "null}}%s\n", cursor);
}

static void add_cut_csv(const struct export *export, const char *why, const char *cursor,
			struct buf *out)
{
	buf_printf(out, "#cut: %s after %" PRIu64 " rows; cursor=%s\r\n", why, export->n_rows,
		   cursor);
}

static void cut(struct api_request *request, const char *why)
{
	struct export *export = request->work;
	char cursor[AUDIT_CURSOR_BYTES] = "";
	struct buf out;

	buf_init(&out, AUDIT_MAX_ROW_BYTES);
	if (export->place.call_id[0] != '\0')
		audit_place_write(&export->place, cursor);
	if (export->frame.query.format == AUDIT_CSV)
		add_cut_csv(export, why, cursor, &out);
	else
		add_cut_json(export, why, cursor, &out);
	exchange_stream_write(request->exchange, buf_span(&out));
	buf_fini(&out);
	exchange_stream_cut(request->exchange);
	api_finish(request);
}

static bool on_failed(struct api_request *request, const struct err *err)
{
	const struct export *export = request->work;

	if (!export->started)
		return audit_failed(request, err);
	log_warn(&(struct log_subject){ .component = "api", .tenant = request->tenant_name },
		 "an export ends after %" PRIu64 " rows: %s", export->n_rows, err->text);
	cut(request, "the database does not answer");
	return true;
}

/* The worker stops. */
static void on_end(void *ctx)
{
	struct api_request *request = ctx;
	const struct export *export = request->work;

	if (export->started) {
		cut(request, "the gateway stops");
		return;
	}
	api_fail(request, ERR_UNAVAILABLE, "the gateway stops: try again");
	api_finish(request);
}

/* --- its steps ------------------------------------------------------------------------------- */

static void leave(void *p)
{
	audit_streams_leave(p);
}

static enum api_result enter(struct api_request *request)
{
	struct export *export = request->work;
	struct err err;

	export->stream = (struct audit_stream){
		.kind = AUDIT_EXPORT,
		.tenant_id = request->tenant_id,
		.end = on_end,
		.ctx = request,
	};
	if (audit_streams_enter(request->app->audit_streams, &export->stream, &err) < 0)
		return api_fail(request, err.code, "%s", err.text);
	arena_attach(request->arena, &export->stream, leave);
	return API_NEXT;
}

static enum api_result begin_export(struct api_request *request)
{
	enum api_result result =
		audit_begin(request, AUDIT_TAKES_TIME | AUDIT_TAKES_CURSOR | AUDIT_TAKES_FORMAT,
			    sizeof(struct export));
	struct export *export = request->work;
	struct audit_query *query = &export->frame.query;
	struct err err;

	if (result == API_DONE)
		return result;
	if (query->cursor != NULL && audit_place_parse(query->cursor, &export->place, &err) < 0) {
		db_cancel(&request->query);
		return api_fail(request, err.code, "%s", err.text);
	}
	if (query->cursor != NULL) {
		query->from_us = export->place.from_us;
		query->to_us = export->place.to_us;
	}
	export->place.from_us = query->from_us;
	export->place.to_us = query->to_us;
	return result;
}

static enum api_result open_export(struct api_request *request)
{
	enum api_result result = audit_scope(request);

	if (result == API_NEXT)
		result = enter(request);
	request->failed = on_failed;
	return result;
}

/* $20 limit, $21 to $23 the place. Of one tenant the time alone finds the partitions that are left.
 */
static enum api_result ask_export(struct api_request *request)
{
	const struct export *export = request->work;
	const struct audit_place *place = &export->place;
	bool goes_on = place->call_id[0] != '\0';
	char at[TEXT_TIME_BYTES];

	text_time(place->started_us, at);

	const struct span more[] = {
		SPAN(PAGE_ROWS_TEXT),
		goes_on ? span_of(place->tenant_id) : (struct span){ 0 },
		goes_on ? span_of(at) : (struct span){ 0 },
		goes_on ? span_of(place->call_id) : (struct span){ 0 },
	};

	return audit_ask(request,
			 "SELECT " AUDIT_SELECT_WHOLE " FROM audit.call_log c WHERE " AUDIT_WHERE
			 " AND ($21::uuid IS NULL OR (c.tenant_id, c.started_at, c.call_id) >"
			 "  ($21::uuid, $22::timestamptz, $23::uuid))"
			 " AND ($21::uuid IS NULL OR $1::uuid IS NULL OR c.started_at >="
			 "  $22::timestamptz)"
			 " ORDER BY c.tenant_id, c.started_at, c.call_id LIMIT $20::bigint",
			 more, 4);
}

static void start(struct api_request *request)
{
	struct export *export = request->work;
	enum audit_format format = export->frame.query.format;
	const struct http_header headers[] = {
		{"Content-Disposition", formats[format].disposition},
		{ "X-Accel-Buffering",  "no"			    },
	};
	struct buf head;

	buf_init(&head, AUDIT_MAX_ROW_BYTES);
	if (format == AUDIT_CSV && export->frame.query.cursor == NULL)
		audit_csv_head(&head);
	export->started = true;
	exchange_stream_start(request->exchange,
			      &(struct exchange_answer){
				      .status = 200,
				      .content_type = formats[format].content_type,
				      .headers = headers,
				      .n_headers = 2,
				      .body = buf_span(&head),
			      });
	buf_fini(&head);
}

static void write_rows(struct api_request *request, const struct db_result *rows)
{
	struct export *export = request->work;
	struct buf out;

	buf_init(&out, MAX_PAGE_BYTES);
	for (size_t i = 0; i < db_rows(rows); i++) {
		if (export->frame.query.format == AUDIT_CSV) {
			audit_row_csv(rows, i, &out);
		} else {
			audit_row_json(rows, i, AUDIT_WHOLE, &out);
			buf_add(&out, "\n");
		}
	}
	export->n_rows += db_rows(rows);
	if (db_rows(rows) > 0)
		audit_row_place(rows, db_rows(rows) - 1, &export->place);
	exchange_stream_write(request->exchange, buf_span(&out));
	buf_fini(&out);
}

static void on_room(void *ctx)
{
	struct api_request *request = ctx;

	request->next = &api_audit_export[STEP_ASK];
	api_resume(request);
}

static enum api_result write_export(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	struct export *export = request->work;

	if (!export->started)
		start(request);
	write_rows(request, rows);
	if (db_rows(rows) < PAGE_ROWS) {
		exchange_stream_end(request->exchange);
		return API_DONE;
	}
	exchange_stream_on_room(request->exchange, on_room, request);
	return API_WAIT;
}

api_step *const api_audit_export[] = { audit_refuse_head, begin_export, open_export,
				       ask_export,	  write_export, NULL };
