/* SPDX-License-Identifier: Apache-2.0 */

/* /audit/calls: a page of the record, and one row. */

#include <string.h>

#include "gateway/http/api_audit.h"

/* --- list ------------------------------------------------------------------------------------ */

struct list {
	struct audit_request frame; /* first */
	struct audit_place place;   /* call_id "": from the start */
};

static enum api_result begin_list(struct api_request *request)
{
	enum api_result result =
		audit_begin(request, AUDIT_TAKES_TIME | AUDIT_TAKES_PAGE | AUDIT_TAKES_CURSOR,
			    sizeof(struct list));
	struct list *list = request->work;
	struct err err;

	if (result == API_DONE || list->frame.query.cursor == NULL)
		return result;
	if (audit_place_parse(list->frame.query.cursor, &list->place, &err) < 0) {
		db_cancel(&request->query);
		return api_fail(request, err.code, "%s", err.text);
	}
	list->frame.query.from_us = list->place.from_us;
	list->frame.query.to_us = list->place.to_us;
	return result;
}

/* $20 limit, $21 and $22 the place; the first of the two comparisons of time finds partitions, of
 * which PostgreSQL says nothing for a pair. */
#define LIST(order, than)                                                                          \
	"SELECT " AUDIT_SELECT_BRIEF " FROM audit.call_log c WHERE " AUDIT_WHERE                   \
	" AND ($21::timestamptz IS NULL OR c.started_at " than "= $21::timestamptz)"               \
	" AND ($21::timestamptz IS NULL OR (c.started_at, c.call_id) " than                        \
	" ($21::timestamptz, $22::uuid))"                                                          \
	" ORDER BY c.started_at " order ", c.call_id " order " LIMIT $20::bigint"

static enum api_result ask_list(struct api_request *request)
{
	const struct list *list = request->work;
	const struct audit_query *query = &list->frame.query;
	bool goes_on = list->place.call_id[0] != '\0';
	char at[TEXT_TIME_BYTES];

	text_time(list->place.started_us, at);

	const struct span more[] = {
		audit_number(request, (int64_t)query->limit + 1),
		goes_on ? span_of(at) : (struct span){ 0 },
		goes_on ? span_of(list->place.call_id) : (struct span){ 0 },
	};

	return audit_ask(request, query->ascending ? LIST("ASC", ">") : LIST("DESC", "<"), more, 3);
}

static enum api_result show_list(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	struct list *list = request->work;
	size_t limit = list->frame.query.limit;
	size_t n = db_rows(rows) < limit ? db_rows(rows) : limit;
	char cursor[AUDIT_CURSOR_BYTES];
	enum api_result result;
	struct buf out;

	buf_init(&out, API_MAX_ANSWER_BYTES);
	buf_add(&out, "{\"items\":[");
	for (size_t i = 0; i < n; i++) {
		buf_add(&out, i > 0 ? "," : "");
		audit_row_json(rows, i, AUDIT_BRIEF, &out);
	}
	if (n < db_rows(rows)) {
		list->place.from_us = list->frame.query.from_us;
		list->place.to_us = list->frame.query.to_us;
		audit_row_place(rows, n - 1, &list->place);
		audit_place_write(&list->place, cursor);
		buf_printf(&out, "],\"next\":\"%s\"}", cursor);
	} else {
		buf_add(&out, "],\"next\":null}");
	}
	result = api_answer_text(request, buf_span(&out));
	buf_fini(&out);
	return result;
}

api_step *const api_audit_calls[] = { begin_list, audit_scope, ask_list, show_list, NULL };

/* --- one ------------------------------------------------------------------------------------- */

static enum api_result not_there(struct api_request *request)
{
	return api_fail(request, ERR_NOT_FOUND, "there is no such call");
}

/* The id says when the call began, and so in which partition it lies. */
static enum api_result begin_one(struct api_request *request)
{
	enum api_result result = audit_begin(request, 0, sizeof(struct audit_request));
	int64_t ms = audit_call_id_ms(exchange_param(request->exchange, "id"));
	struct audit_request *work = request->work;

	if (result == API_DONE)
		return result;
	if (ms < 0) {
		db_cancel(&request->query);
		return not_there(request);
	}
	work->query.from_us = ms * 1000 - AUDIT_ID_SLACK_US;
	work->query.to_us = ms * 1000 + AUDIT_ID_SLACK_US;
	return result;
}

static enum api_result ask_one(struct api_request *request)
{
	const struct span id = span_of(exchange_param(request->exchange, "id"));

	return audit_ask(request,
			 "SELECT " AUDIT_SELECT_WHOLE " FROM audit.call_log c WHERE " AUDIT_WHERE
			 " AND c.call_id = $20::uuid",
			 &id, 1);
}

static enum api_result show_one(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	enum api_result result;
	struct buf out;

	if (db_rows(rows) == 0)
		return not_there(request);
	buf_init(&out, AUDIT_MAX_ROW_BYTES);
	audit_row_json(rows, 0, AUDIT_WHOLE, &out);
	result = api_answer_text(request, buf_span(&out));
	buf_fini(&out);
	return result;
}

api_step *const api_audit_call[] = { begin_one, audit_scope, ask_one, show_one, NULL };
