/* SPDX-License-Identifier: Apache-2.0 */

/* The ledger's chain. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "audit/ledger_priv.h"
#include "base/log.h"
#include "base/mem.h"

/* The state goes into the spool again after so much of a segment, so that each but the shortest
 * tells it even if what was before is lost. */
#define STATE_PER_SEGMENT 4

static void digest_of(struct ledger *ledger, const struct kind *kind, struct span opening,
		      struct span closing, uint8_t out[SHA256_BYTES])
{
	struct buf *canonical = &ledger->canonical;

	buf_clear(canonical);
	kind->canonical(opening, closing, canonical);
	assert(!canonical->overflow);
	crypto_sha256(canonical->data, canonical->len, out);
}

static int append_state(struct ledger *ledger, struct err *err)
{
	uint8_t state[ANCHOR_STATE_BYTES];
	uint64_t sequence;

	anchor_state_encode(&ledger->links.last, state);
	sequence = spool_append(ledger->spool, EVENT_STATE,
				(struct span){ (const char *)state, sizeof(state) }, NULL, NULL,
				NULL, err);
	mem_wipe(state, sizeof(state));
	if (sequence == 0)
		return -1;
	ledger->newest = ledger->state_sequence = sequence;
	ledger->written += sizeof(state);
	ledger->state_offset = ledger->written;
	ledger->state_owed = false;
	return 0;
}

/* Without it nobody could go on from the first link; later it is a help. */
static int keep_state(struct ledger *ledger, struct err *err)
{
	struct err ignored;

	if (ledger->state_owed)
		return append_state(ledger, err);
	if (ledger->written - ledger->state_offset > ledger->segment_bytes / STATE_PER_SEGMENT)
		(void)!append_state(ledger, &ignored);
	return 0;
}

uint64_t ledger_append_linked(struct ledger *ledger, enum event_type type, struct span opening,
			      struct span payload, const struct ledger_waiter *waiter,
			      struct err *err)
{
	const struct kind *kind = kind_find((uint8_t)type);
	uint8_t digest[SHA256_BYTES];
	struct chain_link link;
	struct chain next;
	uint64_t sequence;

	if (keep_state(ledger, err) < 0)
		return 0;
	digest_of(ledger, kind, opening, payload, digest);
	link = links_next(&ledger->links, digest, &next);
	buf_clear(&ledger->record);
	buf_add_span(&ledger->record, payload);
	kind->add_link(&ledger->record, &link);
	sequence = spool_append(ledger->spool, (uint8_t)type, buf_span(&ledger->record),
				waiter->wait, waiter->durable, waiter->ctx, err);
	if (sequence != 0)
		ledger->links.last = next;
	return sequence;
}

void ledger_chain_lost(struct ledger *ledger)
{
	struct ledger_row *row;

	links_roll_back(&ledger->links);
	DL_FOREACH2(ledger->ready, row, next_ready)
	links_follow(&ledger->links, row->kind, ledger_row_record(row));
	if (ledger->state_sequence > ledger->newest)
		ledger->state_owed = true;
}

/* Orphans. */

static bool end_orphan(struct ledger *ledger, struct ledger_row *row)
{
	const struct ledger_waiter nobody = { NULL, NULL, NULL };
	char bytes[EVENT_UNKNOWN_BYTES];
	struct span record = { bytes, sizeof(bytes) };
	uint64_t sequence;
	struct err err;

	event_encode_unknown(row->opening, bytes);
	sequence = ledger_append_linked(ledger, EVENT_OUTCOME, row->opening, record, &nobody, &err);
	if (sequence == 0)
		return false;
	ledger_take(ledger, EVENT_OUTCOME, sequence, buf_span(&ledger->record));
	return true;
}

void ledger_end_orphans(struct ledger *ledger)
{
	struct ledger_row *row, *next;

	if (ledger->n_orphans == 0)
		return;
	DL_FOREACH_SAFE(ledger->rows, row, next)
	{
		if (row->state == LEDGER_OPEN && row->orphan && !end_orphan(ledger, row))
			break;
	}
	ledger_give_up_orphans(ledger);
}

void ledger_end_abandoned(struct ledger *ledger)
{
	struct ledger_row *row, *next;

	if (!ledger->has_abandoned)
		return;
	DL_FOREACH_SAFE(ledger->rows, row, next)
	{
		if (row->state == LEDGER_OPEN && row->abandoned && !end_orphan(ledger, row))
			return;
	}
	ledger->has_abandoned = false;
}

void ledger_abandon(struct ledger *ledger, struct span payload)
{
	struct ledger_row *row;

	ledger_forget_lost(ledger);
	HASH_FIND(hh, ledger->open, event_call_id(payload), EVENT_UUID_BYTES, row);
	if (row == NULL)
		return;
	row->abandoned = true;
	ledger->has_abandoned = true;
}

/* What was released makes room only when the spool's thread comes to it. */
static bool waits_for_room(const struct ledger *ledger)
{
	struct spool_stats stats;

	spool_stats(ledger->spool, &stats);
	return ledger->n_ready > 0 || stats.freed_sequence < stats.released_sequence;
}

void ledger_give_up_orphans(struct ledger *ledger)
{
	struct ledger_row *row, *next;

	if (ledger->n_orphans == 0 || waits_for_room(ledger))
		return;
	log_error(&ledger_subject,
		  "%zu calls that were open when a process ended have no room for their end:"
		  " they become rows outside of the chain",
		  ledger->n_orphans);
	DL_FOREACH_SAFE(ledger->rows, row, next)
	{
		if (row->state == LEDGER_OPEN && row->orphan)
			ledger_row_give_up(ledger, row);
	}
}

/* Anchors. */

void ledger_tell(struct ledger *ledger, struct ledger_row *row)
{
	struct chain_anchor anchor;
	struct err err;
	int rc;

	if (row->told)
		return;
	row->told = true;
	rc = anchor_decode(row->opening, &anchor, NULL, &err);
	assert(rc == 0);
	if (ledger->params.anchored != NULL)
		ledger->params.anchored(ledger->params.ctx, &anchor);
}

static void on_anchor_durable(void *ctx, const struct err *err)
{
	struct ledger_row *row = ctx;

	if (err == NULL)
		ledger_tell(row->ledger, row);
}

uint64_t ledger_epoch_links(const struct ledger *ledger)
{
	const struct chain *chain = &ledger->links.last;

	return chain->seq + 1 - chain->epoch_first;
}

static int append_anchor(struct ledger *ledger, const struct chain_anchor *anchor,
			 const struct chain *next, struct err *err)
{
	struct ledger_row *row = ledger_row_new(&kind_anchors);
	struct span record;
	uint64_t sequence;

	buf_clear(&ledger->record);
	anchor_encode(anchor, next, &ledger->record);
	record = buf_span(&ledger->record);
	sequence = spool_append(ledger->spool, EVENT_ANCHOR, record, &row->wait, on_anchor_durable,
				row, err);
	if (sequence == 0) {
		free(row);
		return -1;
	}
	ledger_row_add(ledger, row, sequence, record);
	return 0;
}

int ledger_anchor(struct ledger *ledger, const uint8_t *seed, struct err *err)
{
	struct chain_anchor anchor;
	struct chain next;
	int ret;

	ledger_forget_lost(ledger);
	if (ledger_epoch_links(ledger) == 0)
		return 0;
	next = ledger->links.last;
	chain_anchor(&next, loop_unix_us(), seed, &anchor);
	ret = append_anchor(ledger, &anchor, &next, err);
	if (ret == 0)
		ledger->links.last = next;
	mem_wipe(&next, sizeof(next));
	return ret;
}
