/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/anchor.h"

#include <assert.h>
#include <string.h>

#include "base/be64.h"
#include "base/mem.h"

#define VERSION 1

/* version u8 | the anchor | the next ratchet */
#define RECORD_BYTES                                                                               \
	(1 + CHAIN_ID_BYTES + 3 * 8 + CHAIN_MAC_BYTES + SHA256_BYTES + 8 + CHAIN_SIGNATURE_BYTES + \
	 SHA256_BYTES)

enum {
	COLUMN_CHAIN_ID,
	COLUMN_EPOCH,
	COLUMN_FIRST_SEQ,
	COLUMN_LAST_SEQ,
	COLUMN_LAST_MAC,
	COLUMN_MAC_KEY,
	COLUMN_ANCHORED_AT,
	COLUMN_SIGNATURE,
	N_COLUMNS
};

/* What is read, piece by piece; that there is enough was checked. */
static void get(struct span *from, void *out, size_t n)
{
	assert(from->n >= n);
	memcpy(out, from->p, n);
	from->p += n;
	from->n -= n;
}

static uint64_t get64(struct span *from)
{
	uint8_t bytes[8];

	get(from, bytes, sizeof(bytes));
	return be64_get(bytes);
}

static int head_check(struct span bytes, size_t n, const char *what, struct err *err)
{
	if (bytes.n > 0 && bytes.p[0] != VERSION)
		return err_set(err, ERR_CONFLICT, "%s of version %d, this program knows %d", what,
			       bytes.p[0], VERSION);
	if (bytes.n != n)
		return err_set(err, ERR_PARSE, "%s of %zu bytes", what, bytes.n);
	return 0;
}

void anchor_encode(const struct chain_anchor *anchor, const struct chain *next, struct buf *out)
{
	size_t start = out->len;

	assert(next->epoch == anchor->epoch + 1 && next->epoch_first == anchor->last_seq + 1);
	buf_append(out, (const char[]){ VERSION }, 1);
	buf_append(out, anchor->id, sizeof(anchor->id));
	be64_put(out, anchor->epoch);
	be64_put(out, anchor->first_seq);
	be64_put(out, anchor->last_seq);
	buf_append(out, anchor->last_mac, sizeof(anchor->last_mac));
	buf_append(out, anchor->mac_key, sizeof(anchor->mac_key));
	be64_put(out, (uint64_t)anchor->anchored_us);
	buf_append(out, anchor->signature, sizeof(anchor->signature));
	buf_append(out, next->ratchet, sizeof(next->ratchet));
	assert(out->len - start == RECORD_BYTES);
}

static void next_chain(const struct chain_anchor *anchor, struct span ratchet, struct chain *out)
{
	*out = (struct chain){ .epoch = anchor->epoch + 1,
			       .epoch_first = anchor->last_seq + 1,
			       .seq = anchor->last_seq };
	memcpy(out->id, anchor->id, sizeof(out->id));
	memcpy(out->mac, anchor->last_mac, sizeof(out->mac));
	memcpy(out->ratchet, ratchet.p, sizeof(out->ratchet));
	chain_resume(out);
}

int anchor_decode(struct span record, struct chain_anchor *out, struct chain *next, struct err *err)
{
	if (head_check(record, RECORD_BYTES, "an anchor", err) < 0)
		return -1;
	record.p++;
	record.n--;
	get(&record, out->id, sizeof(out->id));
	out->epoch = get64(&record);
	out->first_seq = get64(&record);
	out->last_seq = get64(&record);
	get(&record, out->last_mac, sizeof(out->last_mac));
	get(&record, out->mac_key, sizeof(out->mac_key));
	out->anchored_us = (int64_t)get64(&record);
	get(&record, out->signature, sizeof(out->signature));
	/* PostgreSQL has no larger ones, and none of ours come near. */
	if (out->epoch >= INT64_MAX || out->first_seq == 0 || out->last_seq >= INT64_MAX ||
	    out->first_seq > out->last_seq + 1)
		return err_set(err, ERR_PARSE, "an anchor of epoch %llu that cannot be",
			       (unsigned long long)out->epoch);
	if (next != NULL)
		next_chain(out, record, next);
	return 0;
}

void anchor_state_encode(const struct chain *chain, uint8_t out[ANCHOR_STATE_BYTES])
{
	struct buf bytes;

	buf_init(&bytes, ANCHOR_STATE_BYTES);
	buf_append(&bytes, (const char[]){ VERSION }, 1);
	buf_append(&bytes, chain->id, sizeof(chain->id));
	be64_put(&bytes, chain->epoch);
	be64_put(&bytes, chain->epoch_first);
	buf_append(&bytes, chain->ratchet, sizeof(chain->ratchet));
	be64_put(&bytes, chain->seq);
	buf_append(&bytes, chain->mac, sizeof(chain->mac));
	assert(bytes.len == ANCHOR_STATE_BYTES && !bytes.overflow);
	memcpy(out, bytes.data, ANCHOR_STATE_BYTES);
	buf_wipe(&bytes);
}

int anchor_state_decode(struct span bytes, struct chain *out, struct err *err)
{
	if (head_check(bytes, ANCHOR_STATE_BYTES, "a chain", err) < 0)
		return -1;
	bytes.p++;
	bytes.n--;
	get(&bytes, out->id, sizeof(out->id));
	out->epoch = get64(&bytes);
	out->epoch_first = get64(&bytes);
	get(&bytes, out->ratchet, sizeof(out->ratchet));
	out->seq = get64(&bytes);
	get(&bytes, out->mac, sizeof(out->mac));
	if (out->epoch >= INT64_MAX || out->seq >= INT64_MAX || out->epoch_first == 0 ||
	    out->epoch_first > out->seq + 1)
		return err_set(err, ERR_PARSE, "a chain of epoch %llu that cannot be",
			       (unsigned long long)out->epoch);
	chain_resume(out);
	return 0;
}

/* The kind. */

static int check(struct span record, struct err *err)
{
	struct chain_anchor anchor;

	return anchor_decode(record, &anchor, NULL, err);
}

static struct span bytes_of(const uint8_t *p, size_t n)
{
	return (struct span){ (const char *)p, n };
}

static void put(struct buf *columns, const struct batch_row *row)
{
	struct chain_anchor anchor;
	struct err err;
	int rc = anchor_decode(row->opening, &anchor, NULL, &err);

	assert(rc == 0);
	batch_put_uuid(&columns[COLUMN_CHAIN_ID], anchor.id);
	batch_put_number(&columns[COLUMN_EPOCH], (int64_t)anchor.epoch);
	batch_put_number(&columns[COLUMN_FIRST_SEQ], (int64_t)anchor.first_seq);
	batch_put_number(&columns[COLUMN_LAST_SEQ], (int64_t)anchor.last_seq);
	batch_put_bytes(&columns[COLUMN_LAST_MAC],
			bytes_of(anchor.last_mac, sizeof(anchor.last_mac)));
	batch_put_bytes(&columns[COLUMN_MAC_KEY], bytes_of(anchor.mac_key, sizeof(anchor.mac_key)));
	batch_put_time(&columns[COLUMN_ANCHORED_AT], anchor.anchored_us);
	batch_put_bytes(&columns[COLUMN_SIGNATURE],
			bytes_of(anchor.signature, sizeof(anchor.signature)));
}

const struct kind kind_anchors = {
	.name = "anchors",
	.max_bytes = RECORD_BYTES,
	.check = check,
	.insert_sql = "INSERT INTO audit.anchors (chain_id, epoch, first_seq, last_seq, last_mac, "
		      "mac_key,"
		      " anchored_at, signature) SELECT * FROM unnest($1::uuid[], $2::bigint[],"
		      " $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::timestamptz[],"
		      " $8::bytea[]) ON CONFLICT DO NOTHING",
	.n_columns = N_COLUMNS,
	.put = put,
};
