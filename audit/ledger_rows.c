/* SPDX-License-Identifier: Apache-2.0 */

/* The rows of the ledger in memory. */

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "audit/ledger_priv.h"
#include "base/mem.h"

struct ledger_row *ledger_row_new(const struct kind *kind)
{
	struct ledger_row *row = mem_new(sizeof(*row));

	row->kind = kind;
	return row;
}

static void row_list(struct ledger *ledger, struct ledger_row *row, uint64_t sequence)
{
	row->ledger = ledger;
	row->first = sequence;
	row->offset = ledger->written;
	DL_APPEND(ledger->rows, row);
	ledger->n_rows++;
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
	ledger->n_orphans += row->orphan;
	HASH_ADD(hh, ledger->open, call_id, EVENT_UUID_BYTES, row);
}

static void row_complete(struct ledger *ledger, struct ledger_row *row, uint64_t sequence)
{
	row->state = LEDGER_READY;
	row->last = sequence;
	row->ready_ms = loop_now_ms(ledger->params.loop);
	DL_APPEND2(ledger->ready, row, prev_ready, next_ready);
	ledger->n_ready++;
}

static void row_leave_state(struct ledger *ledger, struct ledger_row *row)
{
	if (row->state == LEDGER_OPEN) {
		HASH_DEL(ledger->open, row);
		ledger->n_orphans -= row->orphan;
		return;
	}
	DL_DELETE2(ledger->ready, row, prev_ready, next_ready);
	ledger->n_ready--;
}

void ledger_row_free(struct ledger *ledger, struct ledger_row *row)
{
	row_leave_state(ledger, row);
	spool_wait_cancel(&row->wait);
	DL_DELETE(ledger->rows, row);
	ledger->n_rows--;
	forget(ledger, &row->opening);
	forget(ledger, &row->closing);
	free(row);
}

void ledger_row_move(struct ledger *ledger, struct ledger_row *row, uint64_t sequence)
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

static struct ledger_row *row_begin(struct ledger *ledger, const struct kind *kind,
				    uint64_t sequence, const uint8_t *call_id)
{
	struct ledger_row *row = ledger_row_new(kind);

	if (call_id != NULL)
		memcpy(row->call_id, call_id, EVENT_UUID_BYTES);
	row_list(ledger, row, sequence);
	return row;
}

void ledger_row_add(struct ledger *ledger, struct ledger_row *row, uint64_t sequence,
		    struct span record)
{
	ledger->newest = sequence;
	ledger->written += record.n;
	row_list(ledger, row, sequence);
	row->opening = keep(ledger, record);
	row_complete(ledger, row, sequence);
}

void ledger_row_give_up(struct ledger *ledger, struct ledger_row *row)
{
	row_leave_state(ledger, row);
	row_complete(ledger, row, row->first);
}

struct span ledger_row_record(const struct ledger_row *row)
{
	return row->closing.p != NULL ? row->closing : row->opening;
}

struct ledger_row *ledger_take(struct ledger *ledger, enum event_type type, uint64_t sequence,
			       struct span payload)
{
	const struct kind *kind = kind_find((uint8_t)type);
	const uint8_t *call_id = kind == &kind_calls ? event_call_id(payload) : NULL;
	struct ledger_row *row = NULL;

	ledger->newest = sequence;
	ledger->written += payload.n;
	if (type == EVENT_INTENT || type == EVENT_OUTCOME)
		HASH_FIND(hh, ledger->open, call_id, EVENT_UUID_BYTES, row);
	if (type == EVENT_INTENT && row != NULL) {
		ledger_row_move(ledger, row, sequence);
		return row;
	}
	if (row == NULL)
		row = row_begin(ledger, kind, sequence, call_id);
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
	return row;
}

void ledger_forget_lost(struct ledger *ledger)
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
			ledger_row_free(ledger, row);
		} else if (row->state == LEDGER_READY && row->last > ledger->newest) {
			/* Its OUTCOME is lost; its INTENT is not. */
			row_leave_state(ledger, row);
			forget(ledger, &row->closing);
			row_open(ledger, row);
			ledger->has_abandoned |= row->abandoned;
		}
	}
	ledger_chain_lost(ledger);
}
