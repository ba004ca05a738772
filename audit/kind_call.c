/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/kind_call.h"

#include <inttypes.h>
#include <string.h>

#include "audit/book.h"
#include "base/crypto.h"

static const struct {
	enum event_field field;
	enum call_format format;
} fields[CALL_N_FIELDS] = {
#define X(n, name, type, field, format) [(n)-1] = { FIELD_##field, CALL_FORMAT_##format },
	CALL_COLUMNS(X)
#undef X
};

_Static_assert(CALL_N_COLUMNS == 40, "the last five parameters are $36 to $40");

static const char insert_sql[] = "INSERT INTO audit.call_log ("
#define X(n, name, type, field, format) #name ", "
	CALL_COLUMNS(X)
#undef X
		"started_at, tenant_id, call_id, damaged, reduction, retention_class) SELECT "
#define X(n, name, type, field, format) "t." #name ", "
	CALL_COLUMNS(X)
#undef X
		"t.started_at, t.tenant_id, t.call_id, t.damaged, t.reduction, 'standard'"
		" FROM unnest("
#define X(n, name, type, field, format) "$" #n "::" #type "[], "
	CALL_COLUMNS(X)
#undef X
		"$36::timestamptz[], $37::uuid[], $38::uuid[], $39::boolean[], $40::bytea[]) AS t("
#define X(n, name, type, field, format) #name ", "
	CALL_COLUMNS(X)
#undef X
		"started_at, tenant_id, call_id, damaged, reduction) ON CONFLICT DO NOTHING";

static const char partitions_sql[] =
	"SELECT audit.ensure_partitions(d.day, d.day) FROM (SELECT DISTINCT"
	" (t.at AT TIME ZONE 'UTC')::date AS day FROM unnest($1::timestamptz[]) AS t(at)) AS d";

static void put_number(struct buf *out, enum call_format format, int64_t number)
{
	switch (format) {
	case CALL_FORMAT_MILLISECONDS:
		buf_printf(out, "%" PRId64 ".%03" PRId64, number / 1000, number % 1000);
		break;
	case CALL_FORMAT_OUTCOME:
		buf_add(out, book_outcome_name((enum book_outcome)number));
		break;
	default:
		batch_put_number(out, number);
		break;
	}
}

static void put_field(struct buf *out, enum call_format format, const struct event *event,
		      enum event_field field)
{
	struct span value = event->fields[field];
	int64_t number;

	if (value.p == NULL) {
		if (format == CALL_FORMAT_COUNT)
			batch_put_number(out, 1);
		else
			batch_put_null(out);
	} else if (format == CALL_FORMAT_TEXT) {
		batch_put_text(out, value);
	} else if (format == CALL_FORMAT_UUID) {
		batch_put_uuid(out, value.p);
	} else if (format == CALL_FORMAT_BYTES) {
		batch_put_bytes(out, value);
	} else {
		event_number(event, field, &number);
		put_number(out, format, number);
	}
}

/* Of a row that is stored otherwise than it was linked, or has no link: then its place is all zero.
 */
static void put_reduction(struct buf *out, const struct event *event, bool damaged,
			  const uint8_t *seed)
{
	struct chain_link link = { .seq = 0 };
	uint8_t signature[CHAIN_SIGNATURE_BYTES];
	uint8_t digest[SHA256_BYTES];
	struct buf canonical;

	if (seed == NULL || (event_link(event, &link) && !damaged)) {
		batch_put_null(out);
		return;
	}
	buf_init(&canonical, EVENT_MAX_BYTES);
	event_canonical(event, &canonical);
	crypto_sha256(canonical.data, canonical.len, digest);
	buf_fini(&canonical);
	chain_reduction_sign(seed, link.id, link.seq, link.mac, digest, signature);
	batch_put_bytes(out, (struct span){ (const char *)signature, sizeof(signature) });
}

static void put(struct buf *columns, const struct batch_row *row)
{
	bool damaged = row->form == BATCH_REDUCED || row->opening.p == NULL;
	struct event event;

	event_join(row->opening, row->closing, &event);
	for (size_t i = 0; i < CALL_N_FIELDS; i++) {
		if (row->form == BATCH_REDUCED && fields[i].format == CALL_FORMAT_TEXT)
			event.fields[fields[i].field].p = NULL;
		put_field(&columns[i], fields[i].format, &event, fields[i].field);
	}
	batch_put_time(&columns[CALL_STARTED_AT], event.started_us);
	batch_put_uuid(&columns[CALL_TENANT_ID], event.tenant_id);
	batch_put_uuid(&columns[CALL_CALL_ID], event.call_id);
	batch_put_bool(&columns[CALL_DAMAGED], damaged);
	put_reduction(&columns[CALL_REDUCTION], &event, damaged, row->seed);
}

static int check(struct span record, struct err *err)
{
	struct event event;

	return event_decode(record, &event, err);
}

static void canonical(struct span opening, struct span closing, struct buf *out)
{
	struct event event;

	event_join(opening, closing, &event);
	event_canonical(&event, out);
}

static bool find_link(struct span record, struct chain_link *out)
{
	struct event event;
	struct err ignored;

	return event_decode(record, &event, &ignored) == 0 && event_link(&event, out);
}

const struct kind kind_calls = {
	.name = "calls",
	.max_bytes = EVENT_MAX_BYTES,
	.check = check,
	.insert_sql = insert_sql,
	.n_columns = CALL_N_COLUMNS,
	.put = put,
	.reducible = true,
	.partitions_sql = partitions_sql,
	.partitions_column = CALL_STARTED_AT,
	.canonical = canonical,
	.add_link = event_add_link,
	.find_link = find_link,
};
