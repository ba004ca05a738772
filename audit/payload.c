/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/payload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/kind.h"
#include "base/be64.h"

#define VERSION 1

enum {
	AT_VERSION = 0,
	AT_PART = 1,
	AT_TRUNCATED = 2,
	AT_CALL_ID = 3,
	AT_STARTED = AT_CALL_ID + EVENT_UUID_BYTES,
	AT_TENANT_ID = AT_STARTED + 8,
	AT_BYTES = AT_TENANT_ID + EVENT_UUID_BYTES,
	AT_SEALED = AT_BYTES + 8,
};
_Static_assert(AT_SEALED == PAYLOAD_HEAD_BYTES, "the head is as long as it is said to be");
_Static_assert(PAYLOAD_MAX_RECORD_BYTES <= KIND_MAX_BYTES, "a record fits into the spool");

enum {
	COLUMN_STARTED_AT,
	COLUMN_TENANT_ID,
	COLUMN_CALL_ID,
	COLUMN_PART,
	COLUMN_BYTES,
	COLUMN_TRUNCATED,
	COLUMN_SEALED,
	N_COLUMNS
};

const char *payload_part_name(enum payload_part part)
{
	assert(part == PAYLOAD_ARGUMENTS || part == PAYLOAD_RESULT);
	return part == PAYLOAD_ARGUMENTS ? "arguments" : "result";
}

/* --- the record --- */

void payload_encode(const struct payload *payload, struct buf *out)
{
	buf_append(out, (const char[]){ VERSION, (char)payload->part, payload->truncated ? 1 : 0 },
		   AT_CALL_ID);
	buf_append(out, payload->call_id, EVENT_UUID_BYTES);
	be64_put(out, (uint64_t)payload->started_us);
	buf_append(out, payload->tenant_id, EVENT_UUID_BYTES);
	be64_put(out, (uint64_t)payload->bytes);
	buf_add_span(out, payload->sealed);
	assert(!out->overflow);
}

int payload_decode(struct span record, struct payload *out, struct err *err)
{
	const char *at = record.p;

	*out = (struct payload){ .truncated = false };
	if (record.n <= PAYLOAD_HEAD_BYTES || record.n > PAYLOAD_MAX_RECORD_BYTES)
		return err_set(err, ERR_PARSE, "a payload of %zu bytes", record.n);
	if (at[AT_VERSION] != VERSION)
		return err_set(err, ERR_CONFLICT, "a payload of version %d, this program knows %d",
			       at[AT_VERSION], VERSION);
	*out = (struct payload){
		.part = (enum payload_part)at[AT_PART],
		.truncated = at[AT_TRUNCATED] != 0,
		.call_id = (const uint8_t *)at + AT_CALL_ID,
		.started_us = (int64_t)be64_get(at + AT_STARTED),
		.tenant_id = (const uint8_t *)at + AT_TENANT_ID,
		.bytes = (int64_t)be64_get(at + AT_BYTES),
		.sealed = {at + AT_SEALED, record.n - AT_SEALED},
	};
	if ((out->part != PAYLOAD_ARGUMENTS && out->part != PAYLOAD_RESULT) || out->bytes < 0 ||
	    (at[AT_TRUNCATED] & ~1) != 0)
		return err_set(err, ERR_PARSE, "a payload with a bad head");
	return 0;
}

size_t payload_kept(struct span plain)
{
	size_t n = PAYLOAD_MAX_BYTES;

	if (plain.n <= n)
		return plain.n;
	while (n > 0 && (plain.p[n] & 0xc0) == 0x80)
		n--; /* not inside a character */
	return n;
}

void payload_place(const char *call_id, const char *part, int64_t bytes,
		   char out[PAYLOAD_PLACE_BYTES])
{
	snprintf(out, PAYLOAD_PLACE_BYTES, "%s %s %" PRId64, call_id, part, bytes);
}

/* --- the kind --- */

static int check(struct span record, struct err *err)
{
	struct payload payload;

	return payload_decode(record, &payload, err);
}

static void put(struct buf *columns, const struct batch_row *row)
{
	struct payload payload;
	struct err err;
	int rc = payload_decode(row->opening, &payload, &err);

	assert(rc == 0);
	batch_put_time(&columns[COLUMN_STARTED_AT], payload.started_us);
	batch_put_uuid(&columns[COLUMN_TENANT_ID], payload.tenant_id);
	batch_put_uuid(&columns[COLUMN_CALL_ID], payload.call_id);
	batch_put_text(&columns[COLUMN_PART], span_of(payload_part_name(payload.part)));
	batch_put_number(&columns[COLUMN_BYTES], payload.bytes);
	batch_put_bool(&columns[COLUMN_TRUNCATED], payload.truncated);
	batch_put_bytes(&columns[COLUMN_SEALED], payload.sealed);
}

const struct kind kind_payloads = {
	.name = "payloads",
	.max_bytes = PAYLOAD_MAX_RECORD_BYTES,
	.check = check,
	.insert_sql =
		"INSERT INTO audit.call_payloads (started_at, tenant_id, call_id, part, bytes,"
		" truncated, sealed) SELECT * FROM unnest($1::timestamptz[], $2::uuid[], "
		"$3::uuid[],"
		" $4::text[], $5::bigint[], $6::boolean[], $7::bytea[]) ON CONFLICT DO NOTHING",
	.n_columns = N_COLUMNS,
	.put = put,
	.partitions_sql =
		"SELECT audit.ensure_payload_partitions(d.day, d.day) FROM (SELECT DISTINCT"
		" (t.at AT TIME ZONE 'UTC')::date AS day FROM unnest($1::timestamptz[]) AS t(at)) "
		"AS"
		" d",
	.partitions_column = COLUMN_STARTED_AT,
};
