/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "audit/ledger_priv.h"
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

const struct log_subject ledger_subject = { .component = "book" };

/* Release. */

static void release(struct ledger *ledger)
{
	uint8_t note[ANCHOR_STATE_BYTES];

	anchor_state_encode(&ledger->links.settled, note);
	spool_release_noting(ledger->spool,
			     ledger->rows == NULL ? ledger->newest : ledger->rows->first - 1,
			     (struct span){ (const char *)note, sizeof(note) });
	mem_wipe(note, sizeof(note));
}

/* Open INTENTs that fell behind. */

static void on_again(void *ctx, const struct err *err)
{
	struct ledger_row *row = ctx;

	if (err != NULL)
		return;
	ledger_row_move(row->ledger, row, row->wait.sequence);
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
	uint64_t sequence = spool_append(ledger->spool, EVENT_INTENT, row->opening, &row->wait,
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
		if (row->wait.spool == NULL && !append_again(ledger, row))
			return;
	}
}

/* Opening. */

static int record_check(uint8_t type, struct span payload, struct err *err)
{
	const struct kind *kind = kind_find(type);

	if (kind == NULL)
		return err_set(err, ERR_PARSE, "a record of type %u", type);
	if (payload.n > kind->max_bytes)
		return err_set(err, ERR_PARSE, "a record of %zu bytes for %s", payload.n,
			       kind->name);
	return kind->check(payload, err);
}

static void on_replay(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct ledger *ledger = ctx;
	struct ledger_row *row;
	struct err err;

	if (type == EVENT_STATE) {
		links_state(&ledger->links, payload);
		ledger->newest = sequence;
		return;
	}
	if (record_check(type, payload, &err) == 0) {
		row = ledger_take(ledger, (enum event_type)type, sequence, payload);
		if (row->state == LEDGER_READY)
			links_follow(&ledger->links, row->kind, ledger_row_record(row));
		return;
	}
	if (err.code == ERR_CONFLICT)
		ledger->other_version = true;
	log_error(&ledger_subject, "record %" PRIu64 " in the spool cannot be read: %s", sequence,
		  err.text);
	ledger->n_unreadable++;
}

static size_t record_bytes_for(size_t segment_bytes)
{
	return segment_bytes / 2 < KIND_MAX_BYTES ? segment_bytes / 2 : KIND_MAX_BYTES;
}

static size_t segment_bytes_for(size_t max_bytes)
{
	size_t bytes = max_bytes / SEGMENTS;

	if (bytes > SEGMENT_BYTES_MAX)
		return SEGMENT_BYTES_MAX;
	return bytes < SEGMENT_BYTES_MIN ? SEGMENT_BYTES_MIN : bytes;
}

static void on_note(void *ctx, struct span note)
{
	struct ledger *ledger = ctx;

	links_state(&ledger->links, note);
}

/* There may be room for what had none. */
static void on_freed(void *ctx)
{
	struct ledger *ledger = ctx;
	size_t n_ready;

	ledger_forget_lost(ledger);
	n_ready = ledger->n_ready;
	ledger_end_orphans(ledger);
	ledger_end_abandoned(ledger);
	if (ledger->n_ready > n_ready && ledger->params.grown != NULL)
		ledger->params.grown(ledger->params.ctx);
}

static void tell_replayed(void *ctx)
{
	struct ledger *ledger = ctx;
	struct ledger_row *row;

	DL_FOREACH2(ledger->ready, row, next_ready)
	{
		if (row->kind == &kind_anchors && row->wait.spool == NULL)
			ledger_tell(ledger, row);
	}
}

static struct spool *open_spool(struct ledger *ledger, struct err *err)
{
	return spool_open(ledger->params.loop,
			  &(struct spool_params){
				  .dir = ledger->params.dir,
				  .segment_bytes = ledger->segment_bytes,
				  .max_bytes = ledger->params.max_bytes,
				  .max_record_bytes = record_bytes_for(ledger->segment_bytes),
				  .fsync = ledger->params.fsync,
				  .low_bytes = ledger_low_bytes(ledger),
				  .noted = on_note,
				  .freed = on_freed,
			  },
			  on_replay, ledger, err);
}

/* All was replayed; nobody will end what was open when the process before us did. */
static void begin(struct ledger *ledger)
{
	struct spool_stats stats;
	struct ledger_row *row;

	spool_stats(ledger->spool, &stats);
	ledger->newest = stats.last_sequence;
	if (!links_ready(&ledger->links) && ledger->newest > 0)
		log_warn(&ledger_subject,
			 "%s: the spool does not tell where its chain stood, a new one begins",
			 ledger->params.dir);
	DL_FOREACH(ledger->rows, row)
	{
		row->orphan = row->state == LEDGER_OPEN;
		ledger->n_orphans += row->orphan;
	}
	release(ledger);
	ledger_end_orphans(ledger);
	loop_defer(ledger->params.loop, &ledger->tell, tell_replayed, ledger);
}

struct ledger *ledger_open(const struct ledger_params *params, struct err *err)
{
	struct ledger *ledger = mem_new(sizeof(*ledger));

	ledger->params = *params;
	ledger->segment_bytes = segment_bytes_for(params->max_bytes);
	ledger->state_owed = true;
	buf_init(&ledger->canonical, KIND_MAX_BYTES);
	buf_init(&ledger->record, KIND_MAX_BYTES);
	ledger->spool = open_spool(ledger, err);
	if (ledger->spool != NULL && ledger->other_version) {
		err_set(err, ERR_CONFLICT, "%s: holds records of another version of Tollgate",
			params->dir);
		spool_close(&ledger->spool);
	}
	if (ledger->spool == NULL) {
		ledger_close(&ledger);
		return NULL;
	}
	begin(ledger);
	return ledger;
}

void ledger_close(struct ledger **slot)
{
	struct ledger *ledger = *slot;

	if (ledger == NULL)
		return;
	*slot = NULL;
	deferred_cancel(&ledger->tell);
	spool_close(&ledger->spool);
	while (ledger->rows != NULL)
		ledger_row_free(ledger, ledger->rows);
	links_wipe(&ledger->links);
	buf_wipe(&ledger->canonical);
	buf_wipe(&ledger->record);
	free(ledger);
}

static struct span opening_of(struct ledger *ledger, enum event_type type, struct span payload)
{
	struct ledger_row *row = NULL;

	if (type == EVENT_OUTCOME)
		HASH_FIND(hh, ledger->open, event_call_id(payload), EVENT_UUID_BYTES, row);
	return row != NULL ? row->opening : (struct span){ NULL, 0 };
}

int ledger_append(struct ledger *ledger, enum event_type type, struct span payload,
		  struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		  void *ctx, struct err *err)
{
	bool linked = type != EVENT_INTENT && kind_find((uint8_t)type)->canonical != NULL;
	uint64_t sequence;

	ledger_forget_lost(ledger);
	if (ledger_check_room(ledger, type, payload, err) < 0)
		return -1;
	if (linked)
		sequence = ledger_append_linked(ledger, type, opening_of(ledger, type, payload),
						payload,
						&(struct ledger_waiter){ wait, durable, ctx }, err);
	else
		sequence = spool_append(ledger->spool, (uint8_t)type, payload, wait, durable, ctx,
					err);
	if (sequence == 0)
		return -1;
	ledger_take(ledger, type, sequence, linked ? buf_span(&ledger->record) : payload);
	keep_up(ledger);
	ledger_end_abandoned(ledger);
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
		out->oldest_ms = loop_now_ms(ledger->params.loop) - ledger->ready->ready_ms;
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

	ledger_forget_lost(ledger);
	ledger_give_up_orphans(ledger);
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
		struct ledger_row *row = ledger->ready;

		assert(row != NULL && row->state == LEDGER_READY);
		links_settle(&ledger->links, row->kind, ledger_row_record(row));
		if (row->kind == &kind_anchors)
			ledger_tell(ledger, row);
		ledger_row_free(ledger, row);
	}
	ledger_forget_lost(ledger);
	release(ledger);
	ledger_end_orphans(ledger);
	ledger_end_abandoned(ledger);
}
