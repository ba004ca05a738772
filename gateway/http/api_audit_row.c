/* SPDX-License-Identifier: Apache-2.0 */

/* A row of the record as JSON and as CSV. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/api_audit.h"

#define N_PLACE_COLUMNS 3

enum kind { TEXT, NUMBER, BOOL, JSON };

struct column {
	const char *name;
	enum kind kind;
};
#define COLUMN(name, kind, sql) { #name, kind },
static const struct column brief[] = { AUDIT_COLUMNS_FIRST(COLUMN) AUDIT_COLUMNS_LAST(COLUMN) };
static const struct column whole[] = { AUDIT_COLUMNS_FIRST(COLUMN) AUDIT_COLUMNS_ARGUMENTS(COLUMN)
					       AUDIT_COLUMNS_LAST(COLUMN) };
#define N_BRIEF (sizeof(brief) / sizeof(brief[0]))
#define N_WHOLE (sizeof(whole) / sizeof(whole[0]))

/* Line ends stand between tokens only, and mean nothing there. */
static void add_json(struct buf *out, struct span json)
{
	while (json.n > 0) {
		size_t n = 0;

		while (n < json.n && json.p[n] != '\n' && json.p[n] != '\r')
			n++;
		buf_append(out, json.p, n);
		n += n < json.n ? 1 : 0;
		json.p += n;
		json.n -= n;
	}
}

/* PostgreSQL knows numbers that JSON does not. */
static bool is_number(struct span text)
{
	return text.n > 0 && isdigit((unsigned char)text.p[text.p[0] == '-' && text.n > 1]);
}

static void add_value(struct buf *out, enum kind kind, struct span value)
{
	if (value.p == NULL || (kind == NUMBER && !is_number(value)))
		buf_add(out, "null");
	else if (kind == TEXT)
		buf_add_json_string(out, value.p, value.n);
	else if (kind == BOOL)
		buf_add(out, value.p[0] == 't' ? "true" : "false");
	else
		add_json(out, value);
}

void audit_row_json(const struct db_result *rows, size_t row, enum audit_detail detail,
		    struct buf *out)
{
	const struct column *columns = detail == AUDIT_WHOLE ? whole : brief;
	size_t n = detail == AUDIT_WHOLE ? N_WHOLE : N_BRIEF;

	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "%s\"%s\":", i == 0 ? "{" : ",", columns[i].name);
		add_value(out, columns[i].kind, db_span_at(rows, row, N_PLACE_COLUMNS + i));
	}
	buf_add(out, "}");
}

static bool wants_quotes(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (strchr("\",\r\n", text.p[i]) != NULL)
			return true;
	}
	return text.n == 0 || text.p[0] == ' ' || text.p[text.n - 1] == ' ';
}

static void add_cell(struct span text, bool marked, struct buf *out)
{
	bool quoted = wants_quotes(text);

	if (quoted)
		buf_add(out, "\"");
	if (marked)
		buf_add(out, "'");
	for (size_t i = 0; quoted && i < text.n; i++)
		buf_printf(out, "%s%c", text.p[i] == '"' ? "\"" : "", text.p[i]);
	if (!quoted)
		buf_add_span(out, text);
	else
		buf_add(out, "\"");
}

/* -32602 is what it looks like, also to a spreadsheet. */
static bool is_plain_number(struct span text)
{
	size_t at = text.p[0] == '-';

	while (at < text.n && isdigit((unsigned char)text.p[at]))
		at++;
	return at == text.n;
}

void audit_csv_text(struct span text, struct buf *out)
{
	bool marked = text.n > 0 && text.p[0] != 0 && strchr("=+-@\t\r'", text.p[0]) != NULL;

	add_cell(text, marked && !is_plain_number(text), out);
}

void audit_csv_head(struct buf *out)
{
	for (size_t i = 0; i < N_WHOLE; i++)
		buf_printf(out, "%s%s", i > 0 ? "," : "", whole[i].name);
	buf_add(out, "\r\n");
}

/* NULL is an empty cell, and an empty text "". */
void audit_row_csv(const struct db_result *rows, size_t row, struct buf *out)
{
	for (size_t i = 0; i < N_WHOLE; i++) {
		struct span value = db_span_at(rows, row, N_PLACE_COLUMNS + i);

		if (i > 0)
			buf_add(out, ",");
		if (value.p == NULL)
			continue;
		if (whole[i].kind == TEXT)
			audit_csv_text(value, out);
		else if (whole[i].kind == BOOL)
			buf_add(out, value.p[0] == 't' ? "true" : "false");
		else
			add_cell(value, false, out);
	}
	buf_add(out, "\r\n");
}

void audit_row_place(const struct db_result *rows, size_t row, struct audit_place *place)
{
	place->started_us = (int64_t)strtoll(db_span_at(rows, row, 0).p, NULL, 10);
	snprintf(place->tenant_id, sizeof(place->tenant_id), "%s", db_span_at(rows, row, 1).p);
	snprintf(place->call_id, sizeof(place->call_id), "%s", db_span_at(rows, row, 2).p);
}
