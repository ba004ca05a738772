/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/event_seal.h"
#include "base/be64.h"

#include <assert.h>
#include <string.h>

#define VERSION 1
#define TITLE	"tollgate audit event seal 1"

const char event_seal_digest_sql[] =
	"SELECT " EVENT_SEAL_DIGEST " AS digest FROM (SELECT $1::text AS source, $2::bigint AS "
	"first_n, $3::bigint AS last_n) s";

/* version u8 | first u64 | last u64 | sealed i64 | digest | source, and nothing behind, or a link
 */
enum {
	AT_VERSION = 0,
	AT_FIRST = 1,
	AT_LAST = AT_FIRST + 8,
	AT_SEALED = AT_LAST + 8,
	AT_DIGEST = AT_SEALED + 8,
	AT_SOURCE = AT_DIGEST + SHA256_BYTES,
	RECORD_BYTES = AT_SOURCE + EVENT_SEAL_SOURCE_BYTES,
};

_Static_assert(RECORD_BYTES == EVENT_SEAL_RECORD_BYTES, "as the header says");
_Static_assert(sizeof(TITLE) + RECORD_BYTES - AT_FIRST <= EVENT_SEAL_CANONICAL_BYTES,
	       "the title, its NUL and the record fit");

static void put_seal(const struct event_seal *seal, struct buf *out)
{
	char source[EVENT_SEAL_SOURCE_BYTES] = "";

	assert(strlen(seal->source) < sizeof(source));
	memcpy(source, seal->source, strlen(seal->source));
	be64_put(out, seal->first_n);
	be64_put(out, seal->last_n);
	be64_put(out, (uint64_t)seal->sealed_us);
	buf_append(out, seal->digest, sizeof(seal->digest));
	buf_append(out, source, sizeof(source));
	assert(!out->overflow);
}

void event_seal_encode(const struct event_seal *seal, struct buf *out)
{
	buf_append(out, (const char[]){ VERSION }, 1);
	put_seal(seal, out);
}

void event_seal_canonical(const struct event_seal *seal, struct buf *out)
{
	buf_append(out, TITLE, sizeof(TITLE));
	put_seal(seal, out);
}

static bool source_is_good(const char *source)
{
	size_t n = strnlen(source, EVENT_SEAL_SOURCE_BYTES);

	if (n == 0 || n == EVENT_SEAL_SOURCE_BYTES)
		return false;
	for (size_t i = 0; i < EVENT_SEAL_SOURCE_BYTES; i++) {
		if (i < n ? source[i] < 'a' || source[i] > 'z' : source[i] != '\0')
			return false;
	}
	return true;
}

int event_seal_decode(struct span record, struct event_seal *out, struct err *err)
{
	*out = (struct event_seal){ .first_n = 0 };
	if (record.n > 0 && record.p[AT_VERSION] != VERSION)
		return err_set(err, ERR_CONFLICT,
			       "a seal of events of version %d, this program knows %d",
			       record.p[AT_VERSION], VERSION);
	if (record.n != RECORD_BYTES && record.n != RECORD_BYTES + CHAIN_LINK_BYTES)
		return err_set(err, ERR_PARSE, "a seal of events of %zu bytes", record.n);
	*out = (struct event_seal){
		.first_n = be64_get(record.p + AT_FIRST),
		.last_n = be64_get(record.p + AT_LAST),
		.sealed_us = (int64_t)be64_get(record.p + AT_SEALED),
	};
	memcpy(out->digest, record.p + AT_DIGEST, sizeof(out->digest));
	memcpy(out->source, record.p + AT_SOURCE, sizeof(out->source));
	if (!source_is_good(out->source) || out->first_n == 0 || out->last_n < out->first_n ||
	    out->last_n > INT64_MAX)
		return err_set(err, ERR_PARSE, "a seal of events that cannot be");
	return 0;
}

/* The kind. */

enum {
	COLUMN_CHAIN_ID,
	COLUMN_CHAIN_SEQ,
	COLUMN_CHAIN_MAC,
	COLUMN_SOURCE,
	COLUMN_FIRST_N,
	COLUMN_LAST_N,
	COLUMN_DIGEST,
	COLUMN_SEALED_AT,
	N_COLUMNS
};

static int check(struct span record, struct err *err)
{
	struct event_seal seal;

	return event_seal_decode(record, &seal, err);
}

static void decode(struct span record, struct event_seal *out)
{
	struct err err;
	int rc = event_seal_decode(record, out, &err);

	assert(rc == 0);
}

static void canonical(struct span opening, struct span closing, struct buf *out)
{
	struct event_seal seal = { .first_n = 0 };

	decode(opening.p != NULL ? opening : closing, &seal);
	event_seal_canonical(&seal, out);
}

static bool find_link(struct span record, struct chain_link *out)
{
	return record.n == RECORD_BYTES + CHAIN_LINK_BYTES && kind_find_link_behind(record, out);
}

static void put(struct buf *columns, const struct batch_row *row)
{
	struct span record = row->opening.p != NULL ? row->opening : row->closing;
	struct chain_link link = { .seq = 0 };
	struct event_seal seal = { .first_n = 0 };

	decode(record, &seal);
	if (!find_link(record, &link)) {
		/* The table takes links only: the row is refused, and that is logged. */
		batch_put_null(&columns[COLUMN_CHAIN_ID]);
	} else {
		batch_put_uuid(&columns[COLUMN_CHAIN_ID], link.id);
	}
	batch_put_number(&columns[COLUMN_CHAIN_SEQ], (int64_t)link.seq);
	batch_put_bytes(&columns[COLUMN_CHAIN_MAC],
			(struct span){ (const char *)link.mac, sizeof(link.mac) });
	batch_put_text(&columns[COLUMN_SOURCE], span_of(seal.source));
	batch_put_number(&columns[COLUMN_FIRST_N], (int64_t)seal.first_n);
	batch_put_number(&columns[COLUMN_LAST_N], (int64_t)seal.last_n);
	batch_put_bytes(&columns[COLUMN_DIGEST],
			(struct span){ (const char *)seal.digest, sizeof(seal.digest) });
	batch_put_time(&columns[COLUMN_SEALED_AT], seal.sealed_us);
}

const struct kind kind_event_seals = {
	.name = "seals of events",
	.max_bytes = RECORD_BYTES + CHAIN_LINK_BYTES,
	.check = check,
	.insert_sql = "INSERT INTO audit.event_seals (chain_id, chain_seq, chain_mac, source,"
		      " first_n, last_n, digest, sealed_at) SELECT * FROM unnest($1::uuid[],"
		      " $2::bigint[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[],"
		      " $7::bytea[], $8::timestamptz[]) ON CONFLICT DO NOTHING",
	.n_columns = N_COLUMNS,
	.put = put,
	.canonical = canonical,
	.add_link = kind_add_link_behind,
	.find_link = find_link,
};
