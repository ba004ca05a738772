/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/event.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "audit/event_priv.h"
#include "base/be64.h"
#include "base/text.h"

#define OLDEST_VERSION 1 /* the same with fewer fields */

const struct event_field_rule event_fields[N_FIELDS] = {
#define X(name, kind, max) [FIELD_##name] = { KIND_##kind, (max) },
	EVENT_FIELDS(X)
#undef X
};

static const char *const outcomes[] = {
#define X(name, text) [BOOK_##name] = (text),
	BOOK_OUTCOMES(X)
#undef X
};
#define N_OUTCOMES (sizeof(outcomes) / sizeof(outcomes[0]))

const char *book_outcome_name(enum book_outcome outcome)
{
	assert((size_t)outcome < N_OUTCOMES);
	return outcomes[outcome];
}

size_t event_field_begin(struct buf *out, enum event_field field)
{
	buf_append(out, (const char[EVENT_FIELD_HEAD_BYTES]){ (char)field },
		   EVENT_FIELD_HEAD_BYTES);
	return out->len;
}

void event_field_end(struct buf *out, size_t start)
{
	uint16_t n = htobe16((uint16_t)(out->len - start));

	assert(out->len - start <= UINT16_MAX && !out->overflow);
	memcpy(out->data + start - sizeof(n), &n, sizeof(n));
}

bool event_text_is_clean(struct span text)
{
	return text_is_utf8(text.p, text.n) && memchr(text.p, '\0', text.n) == NULL;
}

/* Reading. */

static bool field_holds(enum event_field field, struct span value)
{
	switch (event_fields[field].kind) {
	case KIND_UUID:
	case KIND_DIGEST:
		return value.n == event_fields[field].max_bytes;
	case KIND_TEXT:
		return value.n <= event_fields[field].max_bytes && event_text_is_clean(value);
	case KIND_NUMBER:
		return value.n == EVENT_NUMBER_BYTES && (int64_t)be64_get(value.p) >= 0 &&
		       (field != FIELD_OUTCOME || (int64_t)be64_get(value.p) < (int64_t)N_OUTCOMES);
	}
	return false;
}

/* The field at *at, behind one with the id `last`; *at goes behind it. Returns its id, or -1. */
static int read_field(const char **at, const char *end, int last, struct event *out)
{
	struct span value;
	uint16_t n;
	int field;

	if (end - *at < EVENT_FIELD_HEAD_BYTES)
		return -1;
	field = (unsigned char)(*at)[0];
	memcpy(&n, *at + 1, sizeof(n));
	value = (struct span){ *at + EVENT_FIELD_HEAD_BYTES, be16toh(n) };
	if (field <= last || field >= N_FIELDS || value.n > (size_t)(end - value.p) ||
	    !field_holds((enum event_field)field, value))
		return -1;
	out->fields[field] = value;
	*at = value.p + value.n;
	return field;
}

int event_decode(struct span payload, struct event *out, struct err *err)
{
	const char *at = payload.p;
	const char *end = at + payload.n;
	int last = -1;

	*out = (struct event){ 0 };
	if (payload.n < EVENT_HEAD_BYTES)
		return err_set(err, ERR_PARSE, "a record of %zu bytes", payload.n);
	if (at[AT_VERSION] < OLDEST_VERSION || at[AT_VERSION] > EVENT_VERSION)
		return err_set(err, ERR_CONFLICT, "a record of version %d, this program knows %d",
			       at[AT_VERSION], EVENT_VERSION);
	out->call_id = (const uint8_t *)at + AT_CALL_ID;
	out->started_us = (int64_t)be64_get(at + AT_STARTED);
	out->tenant_id = (const uint8_t *)at + AT_TENANT_ID;
	for (at += EVENT_HEAD_BYTES; at < end;) {
		int field = read_field(&at, end, last, out);

		if (field < 0)
			return err_set(err, ERR_PARSE, "a record with a bad field behind %d", last);
		last = field;
	}
	return 0;
}

void event_canonical(const struct event *event, struct buf *out)
{
	buf_append(out, event->call_id, EVENT_UUID_BYTES);
	be64_put(out, (uint64_t)event->started_us);
	buf_append(out, event->tenant_id, EVENT_UUID_BYTES);
	for (int field = 0; field < N_FIELDS; field++) {
		size_t start;

		if (event->fields[field].p == NULL || field == FIELD_CHAIN_ID ||
		    field == FIELD_CHAIN_SEQ || field == FIELD_CHAIN_MAC)
			continue;
		start = event_field_begin(out, (enum event_field)field);
		buf_add_span(out, event->fields[field]);
		event_field_end(out, start);
	}
}

const uint8_t *event_call_id(struct span payload)
{
	assert(payload.n >= EVENT_HEAD_BYTES);
	return (const uint8_t *)payload.p + AT_CALL_ID;
}

bool event_number(const struct event *event, enum event_field field, int64_t *out)
{
	assert(event_fields[field].kind == KIND_NUMBER);
	if (event->fields[field].p == NULL)
		return false;
	*out = (int64_t)be64_get(event->fields[field].p);
	return true;
}
