/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "audit/book.h"
#include "audit/event.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/text.h"

/* Far above what the drain puts in: quoting doubles at most. */
#define COLUMN_MAX_BYTES ((size_t)64 << 20)

enum format {
	FORMAT_TEXT,
	FORMAT_UUID,
	FORMAT_NUMBER,
	FORMAT_MILLISECONDS,
	FORMAT_OUTCOME,
	FORMAT_COUNT, /* a number that is 1 where the record says nothing */
	FORMAT_BYTES,
};

static const struct {
	enum event_field field;
	enum format format;
} fields[BATCH_N_FIELDS] = {
#define X(n, name, type, field, format) [(n)-1] = { FIELD_##field, FORMAT_##format },
	BATCH_COLUMNS(X)
#undef X
};

_Static_assert(BATCH_N_COLUMNS == 39, "the last four parameters are $36 to $39");

const char batch_insert_sql[] = "INSERT INTO audit.call_log ("
#define X(n, name, type, field, format) #name ", "
	BATCH_COLUMNS(X)
#undef X
		"started_at, tenant_id, call_id, damaged, retention_class) SELECT "
#define X(n, name, type, field, format) "t." #name ", "
	BATCH_COLUMNS(X)
#undef X
		"t.started_at, t.tenant_id, t.call_id, t.damaged, 'standard' FROM unnest("
#define X(n, name, type, field, format) "$" #n "::" #type "[], "
	BATCH_COLUMNS(X)
#undef X
		"$36::timestamptz[], $37::uuid[], $38::uuid[], $39::boolean[]) AS t("
#define X(n, name, type, field, format) #name ", "
	BATCH_COLUMNS(X)
#undef X
		"started_at, tenant_id, call_id, damaged) ON CONFLICT DO NOTHING";

const char batch_partitions_sql[] =
	"SELECT audit.ensure_partitions(d.day, d.day) FROM (SELECT DISTINCT"
	" (t.at AT TIME ZONE 'UTC')::date AS day FROM unnest($1::timestamptz[]) AS t(at)) AS d";

void batch_init(struct batch *batch)
{
	batch->n_rows = 0;
	for (size_t i = 0; i < BATCH_N_COLUMNS; i++)
		buf_init(&batch->columns[i], COLUMN_MAX_BYTES);
}

void batch_fini(struct batch *batch)
{
	for (size_t i = 0; i < BATCH_N_COLUMNS; i++)
		buf_fini(&batch->columns[i]);
}

/* An element of an array as PostgreSQL reads it: in quotes, with \ before " and \. */
static void put_quoted(struct buf *out, struct span text)
{
	const char *end = text.p + text.n;
	const char *from = text.p;

	buf_append(out, "\"", 1);
	for (const char *at = from; at < end; at++) {
		if (*at != '"' && *at != '\\')
			continue;
		buf_append(out, from, (size_t)(at - from));
		buf_append(out, "\\", 1);
		from = at;
	}
	buf_append(out, from, (size_t)(end - from));
	buf_append(out, "\"", 1);
}

static void put_uuid(struct buf *out, const void *id)
{
	char digits[2 * EVENT_UUID_BYTES + 1];

	/* PostgreSQL takes it without hyphens. */
	hex_encode(id, EVENT_UUID_BYTES, digits);
	buf_append(out, digits, sizeof(digits) - 1);
}

/* As bytea is written, with its backslash doubled for the array. */
static void put_bytes(struct buf *out, struct span bytes)
{
	char digits[2 * SHA256_BYTES + 1];

	assert(bytes.n <= SHA256_BYTES);
	hex_encode(bytes.p, bytes.n, digits);
	buf_printf(out, "\"\\\\x%s\"", digits);
}

static void put_number(struct buf *out, enum format format, int64_t number)
{
	switch (format) {
	case FORMAT_MILLISECONDS:
		buf_printf(out, "%" PRId64 ".%03" PRId64, number / 1000, number % 1000);
		break;
	case FORMAT_OUTCOME:
		buf_add(out, book_outcome_name((enum book_outcome)number));
		break;
	default:
		buf_printf(out, "%" PRId64, number);
		break;
	}
}

static void put_field(struct buf *out, enum format format, const struct event *event,
		      enum event_field field)
{
	struct span value = event->fields[field];
	int64_t number;

	if (value.p == NULL) {
		buf_add(out, format == FORMAT_COUNT ? "1" : "NULL");
	} else if (format == FORMAT_TEXT) {
		put_quoted(out, value);
	} else if (format == FORMAT_UUID) {
		put_uuid(out, value.p);
	} else if (format == FORMAT_BYTES) {
		put_bytes(out, value);
	} else {
		event_number(event, field, &number);
		put_number(out, format, number);
	}
}

static void decode(struct span payload, struct event *out)
{
	struct err err;
	int rc = event_decode(payload, out, &err);

	assert(rc == 0);
}

/* The row that both make; an INTENT alone ended nobody knows how. */
static void join(struct span opening, struct span closing, struct event *out)
{
	static const char unknown[8] = { [7] = BOOK_UNKNOWN };
	struct event end;

	decode(opening.p != NULL ? opening : closing, out);
	if (opening.p != NULL && closing.p != NULL) {
		decode(closing, &end);
		for (size_t i = 0; i < N_FIELDS; i++) {
			if (out->fields[i].p == NULL)
				out->fields[i] = end.fields[i];
		}
	}
	if (out->fields[FIELD_OUTCOME].p == NULL)
		out->fields[FIELD_OUTCOME] = (struct span){ unknown, sizeof(unknown) };
}

void batch_add(struct batch *batch, struct span opening, struct span closing, enum batch_form form)
{
	struct buf *columns = batch->columns;
	char started[TEXT_TIME_BYTES];
	struct event event;

	join(opening, closing, &event);
	for (size_t i = 0; i < BATCH_N_COLUMNS; i++)
		buf_append(&columns[i], batch->n_rows == 0 ? "{" : ",", 1);
	for (size_t i = 0; i < BATCH_N_FIELDS; i++) {
		if (form == BATCH_REDUCED && fields[i].format == FORMAT_TEXT)
			event.fields[fields[i].field].p = NULL;
		put_field(&columns[i], fields[i].format, &event, fields[i].field);
	}
	text_time(event.started_us, started);
	put_quoted(&columns[BATCH_STARTED_AT], span_of(started));
	put_uuid(&columns[BATCH_TENANT_ID], event.tenant_id);
	put_uuid(&columns[BATCH_CALL_ID], event.call_id);
	buf_add(&columns[BATCH_DAMAGED],
		form == BATCH_REDUCED || opening.p == NULL ? "true" : "false");
	batch->n_rows++;
}

void batch_params(struct batch *batch, struct span params[BATCH_N_COLUMNS])
{
	assert(batch->n_rows > 0);
	for (size_t i = 0; i < BATCH_N_COLUMNS; i++) {
		buf_append(&batch->columns[i], "}", 1);
		assert(!batch->columns[i].overflow);
		params[i] = buf_span(&batch->columns[i]);
	}
}
