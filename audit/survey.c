/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/survey.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "audit/event.h"
#include "base/mem.h"

struct open_call {
	uint8_t call_id[EVENT_UUID_BYTES];
	UT_hash_handle hh;
};

struct reading {
	struct survey *out;
	struct open_call *open;
};

static struct open_call *find(struct reading *reading, const uint8_t *call_id)
{
	struct open_call *call;

	HASH_FIND(hh, reading->open, call_id, EVENT_UUID_BYTES, call);
	return call;
}

static void begin(struct reading *reading, const uint8_t *call_id)
{
	struct open_call *call;

	if (find(reading, call_id) != NULL)
		return; /* it was appended again */
	call = mem_new(sizeof(*call));
	memcpy(call->call_id, call_id, EVENT_UUID_BYTES);
	HASH_ADD(hh, reading->open, call_id, EVENT_UUID_BYTES, call);
}

static void forget(struct reading *reading, struct open_call *call)
{
	if (call == NULL)
		return;
	HASH_DEL(reading->open, call);
	free(call);
}

static void note_time(struct survey *out, int64_t started_us)
{
	if (out->oldest_us == 0 || started_us < out->oldest_us)
		out->oldest_us = started_us;
	if (started_us > out->newest_us)
		out->newest_us = started_us;
}

static void on_record(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct reading *reading = ctx;
	struct event event;
	struct err ignored;

	(void)sequence;
	reading->out->n_records++;
	if (type < EVENT_INTENT || type > EVENT_ENTRY)
		return; /* of the book, not of a call */
	if (event_decode(payload, &event, &ignored) < 0) {
		reading->out->n_unreadable++;
		return;
	}
	note_time(reading->out, event.started_us);
	if (type == EVENT_INTENT) {
		begin(reading, event.call_id);
		return;
	}
	if (type == EVENT_OUTCOME)
		forget(reading, find(reading, event.call_id));
	reading->out->n_rows++;
}

int survey_read(const char *dir, struct survey *out, struct err *err)
{
	struct reading reading = { .out = out };
	struct open_call *call, *next;
	int ret;

	*out = (struct survey){ 0 };
	ret = spool_read(dir, on_record, &reading, &out->spool, err);
	out->n_open = HASH_COUNT(reading.open);
	HASH_ITER(hh, reading.open, call, next)
	{
		forget(&reading, call);
	}
	return ret;
}
