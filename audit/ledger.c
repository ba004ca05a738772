/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"

/* At least so many segments make up max_bytes. */
#define SEGMENTS	  8
#define SEGMENT_BYTES_MAX ((size_t)64 << 20)
#define SEGMENT_BYTES_MIN ((size_t)64 << 10)
/* An open INTENT so many records or one segment behind is appended again. */
#define LAG_RECORDS 10000
/* At most so many at once. */
#define AGAIN_AT_ONCE 64

/* From which part of max_bytes on, and below how many times min_free_bytes, the room is what it is
 * called; the first line that fits counts. What the hard limit leaves is the reserve. */
static const struct {
	enum book_room room;
	unsigned used_percent;
	unsigned times_min_free;
} limits[] = {
	{BOOK_ROOM_NONE,	  90, 1},
	{ BOOK_ROOM_TIGHT, 50, 2},
};

struct ledger {
	struct loop *loop;
	struct spool *spool;
	size_t max_bytes;
	uint64_t min_free_bytes;
	size_t segment_bytes;
	enum book_room room;
	bool refusal_taken;	  /* since there is no room */
	struct ledger_row *rows;  /* all, ascending by first */
	struct ledger_row *ready; /* in the order of their completion */
	struct ledger_row *open;  /* by call_id */
	size_t n_rows;
	size_t n_ready;
	size_t live_bytes; /* of the payloads of all rows */
	uint64_t written;  /* payload bytes appended so far */
	uint64_t newest;   /* sequence of the last record that we know of */
	uint64_t n_unreadable;
	bool other_version;
};

static const struct log_subject subject = { .component = "book" };

/* Rows. */

static struct ledger_row *row_new(struct ledger *ledger, uint64_t sequence,
				  const uint8_t call_id[EVENT_UUID_BYTES])
{
	struct ledger_row *row = mem_new(sizeof(*row));

	row->ledger = ledger;
	row->first = sequence;
	row->offset = ledger->written;
	memcpy(row->call_id, call_id, EVENT_UUID_BYTES);
	DL_APPEND(ledger->rows, row);
	ledger->n_rows++;
	return row;
}

static struct span keep(struct ledger *ledger, struct span payload)
{
	ledger->live_bytes += payload.n;
	return (struct span){ mem_dup(payload.p, payload.n), payload.n };
}

static void forget(struct ledger *ledger, struct span *payload)
{
	ledger->live_bytes -= payload->n;
	free((char *)payload->p);
	*payload = (struct span){ NULL, 0 };
}

static void row_open(struct ledger *ledger, struct ledger_row *row)
{
	row->state = LEDGER_OPEN;
	HASH_ADD(hh, ledger->open, call_id, EVENT_UUID_BYTES, row);
}

static void row_complete(struct ledger *ledger, struct ledger_row *row, uint64_t sequence)
{
	row->state = LEDGER_READY;
	row->last = sequence;
	row->ready_ms = loop_now_ms(ledger->loop);
	DL_APPEND2(ledger->ready, row, prev_ready, next_ready);
	ledger->n_ready++;
}

static void row_leave_state(struct ledger *ledger, struct ledger_row *row)
{
	if (row->state == LEDGER_OPEN) {
		HASH_DEL(ledger->open, row);
		return;
	}
	DL_DELETE2(ledger->ready, row, prev_ready, next_ready);
	ledger->n_ready--;
}

static void row_free(struct ledger *ledger, struct ledger_row *row)
{
	row_leave_state(ledger, row);
	spool_wait_cancel(&row->again);
	DL_DELETE(ledger->rows, row);
	ledger->n_rows--;
	forget(ledger, &row->opening);
	forget(ledger, &row->closing);
	free(row);
}

/* The record `sequence` says the same as the row's first, which is no longer needed. */
static void row_move(struct ledger *ledger, struct ledger_row *row, uint64_t sequence)
{
	struct ledger_row *before;

	DL_DELETE(ledger->rows, row);
	before = ledger->rows == NULL ? NULL : ledger->rows->prev;
	while (before != NULL && before->first > sequence)
		before = before == ledger->rows ? NULL : before->prev;
	row->first = sequence;
	row->offset = ledger->written;
	DL_APPEND_ELEM(ledger->rows, before, row);
}

/* The payload has a good head. */
static void take(struct ledger *ledger, enum event_type type, uint64_t sequence,
		 struct span payload)
{
	const uint8_t *call_id = event_call_id(payload);
	struct ledger_row *row = NULL;

	ledger->newest = sequence;
	ledger->written += payload.n;
	if (type != EVENT_ENTRY)
		HASH_FIND(hh, ledger->open, call_id, EVENT_UUID_BYTES, row);
	if (type == EVENT_INTENT && row != NULL) {
		row_move(ledger, row, sequence);
		return;
	}
	if (row == NULL)
		row = row_new(ledger, sequence, call_id);
	else
		row_leave_state(ledger, row);
	if (type == EVENT_OUTCOME)
		row->closing = keep(ledger, payload);
	else
		row->opening = keep(ledger, payload);
	if (type == EVENT_INTENT)
		row_open(ledger, row);
	else
		row_complete(ledger, row, sequence);
}

/* Release. */

static void release(struct ledger *ledger)
{
	spool_release(ledger->spool,
		      ledger->rows == NULL ? ledger->newest : ledger->rows->first - 1);
}

/*
 * What the spool could not keep is gone from here too: it gives the numbers of such records out
 * again. Those who wait for them are told by the spool.
 */
static void forget_lost(struct ledger *ledger)
{
	struct spool_stats stats;
	struct ledger_row *row, *next;

	spool_stats(ledger->spool, &stats);
	if (stats.last_sequence >= ledger->newest)
		return;
	ledger->newest = stats.last_sequence;
	DL_FOREACH_SAFE(ledger->rows, row, next)
	{
		if (row->first > ledger->newest) {
			row_free(ledger, row);
		} else if (row->state == LEDGER_READY && row->last > ledger->newest) {
			/* Its OUTCOME is lost; its INTENT is not. */
			row_leave_state(ledger, row);
			forget(ledger, &row->closing);
			row_open(ledger, row);
		}
	}
}

/* Open INTENTs that fell behind. */

static void on_again(void *ctx, const struct err *err)
{
	struct ledger_row *row = ctx;

	if (err != NULL)
		return;
	row_move(row->ledger, row, row->again.sequence);
	release(row->ledger);
}

/* Many open calls would otherwise be appended again and again because of each other. */
static bool lags(const struct ledger *ledger, const struct ledger_row *row)
{
	return ledger->newest - row->first > LAG_RECORDS + 2 * ledger->n_rows ||
	       ledger->written - row->offset > ledger->segment_bytes + 2 * ledger->live_bytes;
}

/* Whether the spool takes it or not: the next append tries again. */
static bool append_again(struct ledger *ledger, struct ledger_row *row)
{
	struct err err;
	uint64_t sequence = spool_append(ledger->spool, EVENT_INTENT, row->opening, &row->again,
					 on_again, row, &err);

	if (sequence == 0)
		return false;
	ledger->newest = sequence;
	ledger->written += row->opening.n;
	return true;
}

static void keep_up(struct ledger *ledger)
{
	struct ledger_row *row = ledger->rows;

	for (int i = 0; i < AGAIN_AT_ONCE && row != NULL; i++, row = row->next) {
		if (row->state != LEDGER_OPEN || !lags(ledger, row))
			return;
		if (row->again.spool == NULL && !append_again(ledger, row))
			return;
	}
}

/* Opening. */

static int record_check(uint8_t type, struct span payload, struct err *err)
{
	struct event event;

	if (type < EVENT_INTENT || type > EVENT_ENTRY)
		return err_set(err, ERR_PARSE, "a record of type %u", type);
	return event_decode(payload, &event, err);
}

static void on_replay(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct ledger *ledger = ctx;
	struct err err;

	if (record_check(type, payload, &err) == 0) {
		take(ledger, (enum event_type)type, sequence, payload);
		return;
	}
	if (err.code == ERR_CONFLICT)
		ledger->other_version = true;
	log_error(&subject, "record %" PRIu64 " in the spool cannot be read: %s", sequence,
		  err.text);
	ledger->n_unreadable++;
}

static size_t segment_bytes_for(size_t max_bytes)
{
	size_t bytes = max_bytes / SEGMENTS;

	if (bytes > SEGMENT_BYTES_MAX)
		return SEGMENT_BYTES_MAX;
	return bytes < SEGMENT_BYTES_MIN ? SEGMENT_BYTES_MIN : bytes;
}

/* Nobody will end what was open when the process before us did. */
static void complete_open(struct ledger *ledger)
{
	struct ledger_row *row, *next;

	HASH_ITER(hh, ledger->open, row, next)
	{
		row_leave_state(ledger, row);
		row_complete(ledger, row, row->first);
	}
}

struct ledger *ledger_open(const struct ledger_params *params, struct err *err)
{
	struct ledger *ledger = mem_new(sizeof(*ledger));
	struct spool_stats stats;

	ledger->loop = params->loop;
	ledger->max_bytes = params->max_bytes;
	ledger->min_free_bytes = params->min_free_bytes;
	ledger->segment_bytes = segment_bytes_for(params->max_bytes);
	ledger->spool = spool_open(params->loop,
				   &(struct spool_params){
					   .dir = params->dir,
					   .segment_bytes = ledger->segment_bytes,
					   .max_bytes = params->max_bytes,
					   .max_record_bytes = EVENT_MAX_BYTES,
					   .watch_disk = params->min_free_bytes > 0,
					   .fsync = params->fsync,
				   },
				   on_replay, ledger, err);
	if (ledger->spool != NULL && ledger->other_version) {
		err_set(err, ERR_CONFLICT, "%s: holds records of another version of Tollgate",
			params->dir);
		spool_close(&ledger->spool);
	}
	if (ledger->spool == NULL) {
		ledger_close(&ledger);
		return NULL;
	}
	spool_stats(ledger->spool, &stats);
	ledger->newest = stats.last_sequence;
	complete_open(ledger);
	release(ledger);
	return ledger;
}

void ledger_close(struct ledger **slot)
{
	struct ledger *ledger = *slot;

	if (ledger == NULL)
		return;
	*slot = NULL;
	spool_close(&ledger->spool);
	while (ledger->rows != NULL)
		row_free(ledger, ledger->rows);
	free(ledger);
}

/* Room. */

static enum book_room room_of(const struct ledger *ledger, const struct spool_stats *stats)
{
	if (stats->failed)
		return BOOK_ROOM_FAILED;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (stats->used_bytes >= ledger->max_bytes / 100 * limits[i].used_percent ||
		    stats->free_bytes / limits[i].times_min_free < ledger->min_free_bytes)
			return limits[i].room;
	}
	return BOOK_ROOM_PLENTY;
}

static void set_room(struct ledger *ledger, enum book_room room, const struct spool_stats *stats)
{
	static const char *const words[] = {
		[BOOK_ROOM_PLENTY] = "has room again",
		[BOOK_ROOM_TIGHT] = "fills up: what can wait is refused",
		[BOOK_ROOM_NONE] = "is full: calls are refused",
		[BOOK_ROOM_FAILED] = "has failed: calls are refused",
	};

	if (room == ledger->room)
		return;
	ledger->room = room;
	ledger->refusal_taken = false;
	log_write(room == BOOK_ROOM_PLENTY ? LOG_INFO : LOG_WARN, &subject,
		  "the spool %s (%zu of %zu MiB used, %" PRIu64 " MiB free on its disk)",
		  words[room], stats->used_bytes >> 20, ledger->max_bytes >> 20,
		  stats->free_bytes >> 20);
}

enum book_room ledger_room(struct ledger *ledger)
{
	struct spool_stats stats;

	spool_stats(ledger->spool, &stats);
	set_room(ledger, room_of(ledger, &stats), &stats);
	return ledger->room;
}

/* So that the book says of itself that calls were refused. */
static bool take_refusal(struct ledger *ledger, enum event_type type, struct span payload)
{
	struct event event;
	struct err ignored;
	int64_t outcome;

	if (type != EVENT_ENTRY || ledger->refusal_taken ||
	    event_decode(payload, &event, &ignored) < 0 ||
	    !event_number(&event, FIELD_OUTCOME, &outcome) || outcome != BOOK_UNAVAILABLE)
		return false;
	ledger->refusal_taken = true;
	return true;
}

static int check_room(struct ledger *ledger, enum event_type type, struct span payload,
		      struct err *err)
{
	enum book_room room = ledger_room(ledger);

	if (type == EVENT_OUTCOME || room < BOOK_ROOM_NONE ||
	    (room == BOOK_ROOM_NONE && take_refusal(ledger, type, payload)))
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "the spool %s",
		       room == BOOK_ROOM_NONE ? "is full" : "has failed");
}

int ledger_append(struct ledger *ledger, enum event_type type, struct span payload,
		  struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		  void *ctx, struct err *err)
{
	uint64_t sequence;

	forget_lost(ledger);
	if (check_room(ledger, type, payload, err) < 0)
		return -1;
	sequence = spool_append(ledger->spool, (uint8_t)type, payload, wait, durable, ctx, err);
	if (sequence == 0)
		return -1;
	take(ledger, type, sequence, payload);
	keep_up(ledger);
	return 0;
}

size_t ledger_n_ready(const struct ledger *ledger)
{
	return ledger->n_ready;
}

void ledger_stats(const struct ledger *ledger, struct ledger_stats *out)
{
	struct spool_stats spool;

	spool_stats(ledger->spool, &spool);
	*out = (struct ledger_stats){
		.bytes_on_disk = spool.bytes_on_disk,
		.used_bytes = spool.used_bytes,
	};
	if (ledger->ready != NULL)
		out->oldest_ms = loop_now_ms(ledger->loop) - ledger->ready->ready_ms;
}

uint64_t ledger_n_unreadable(const struct ledger *ledger)
{
	return ledger->n_unreadable;
}

size_t ledger_peek(struct ledger *ledger, struct ledger_row **rows, size_t max_rows,
		   size_t max_bytes)
{
	struct spool_stats stats;
	struct ledger_row *row;
	size_t bytes = 0;
	size_t n = 0;

	forget_lost(ledger);
	spool_stats(ledger->spool, &stats);
	for (row = ledger->ready; row != NULL && n < max_rows; row = row->next_ready) {
		bytes += row->opening.n + row->closing.n;
		if (row->last > stats.durable_sequence || (n > 0 && bytes > max_bytes))
			break;
		rows[n++] = row;
	}
	return n;
}

void ledger_done(struct ledger *ledger, size_t n)
{
	for (; n > 0; n--) {
		assert(ledger->ready != NULL && ledger->ready->state == LEDGER_READY);
		row_free(ledger, ledger->ready);
	}
	forget_lost(ledger);
	release(ledger);
}
