/* SPDX-License-Identifier: Apache-2.0 */

/* The row that two records make, and its place in the chain. */

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "audit/event_priv.h"

_Static_assert(FIELD_CHAIN_SEQ == FIELD_CHAIN_ID + 1 && FIELD_CHAIN_MAC == FIELD_CHAIN_ID + 2,
	       "a link is three fields in a row");

static void decode(struct span payload, struct event *out)
{
	struct err err;
	int rc = event_decode(payload, out, &err);

	assert(rc == 0);
}

void event_join(struct span opening, struct span closing, struct event *out)
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

static size_t put_field(char *at, enum event_field field, const void *p, size_t n)
{
	uint16_t length = htobe16((uint16_t)n);

	at[0] = (char)field;
	memcpy(at + 1, &length, sizeof(length));
	memcpy(at + EVENT_FIELD_HEAD_BYTES, p, n);
	return EVENT_FIELD_HEAD_BYTES + n;
}

/* Where the first field behind those of a link begins. */
static size_t offset_behind(const struct buf *record)
{
	size_t at = EVENT_HEAD_BYTES;

	while (at < record->len && (unsigned char)record->data[at] < FIELD_CHAIN_ID) {
		uint16_t n;

		memcpy(&n, record->data + at + 1, sizeof(n));
		at += EVENT_FIELD_HEAD_BYTES + be16toh(n);
	}
	assert(at <= record->len);
	return at;
}

void event_add_link(struct buf *record, const struct chain_link *link)
{
	char fields[3 * EVENT_FIELD_HEAD_BYTES + CHAIN_LINK_BYTES];
	uint64_t seq = htobe64(link->seq);
	size_t at = offset_behind(record);
	size_t rest = record->len - at;
	size_t n = 0;

	n += put_field(fields + n, FIELD_CHAIN_ID, link->id, sizeof(link->id));
	n += put_field(fields + n, FIELD_CHAIN_SEQ, &seq, sizeof(seq));
	n += put_field(fields + n, FIELD_CHAIN_MAC, link->mac, sizeof(link->mac));
	assert(n == sizeof(fields));
	buf_append(record, fields, n);
	assert(!record->overflow);
	memmove(record->data + at + n, record->data + at, rest);
	memcpy(record->data + at, fields, n);
}

bool event_link(const struct event *event, struct chain_link *out)
{
	const struct span *fields = event->fields;
	int64_t seq;

	if (fields[FIELD_CHAIN_ID].p == NULL || fields[FIELD_CHAIN_MAC].p == NULL ||
	    !event_number(event, FIELD_CHAIN_SEQ, &seq) || seq == 0)
		return false;
	memcpy(out->id, fields[FIELD_CHAIN_ID].p, sizeof(out->id));
	out->seq = (uint64_t)seq;
	memcpy(out->mac, fields[FIELD_CHAIN_MAC].p, sizeof(out->mac));
	return true;
}
