/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_LEDGER_PRIV_H
#define AUDIT_LEDGER_PRIV_H

/*
 * What the files of the ledger share.
 *
 *   ledger.c         its life: opening, appending, handing out, release
 *   ledger_rows.c    rows in memory: pairing, states, what was lost
 *   ledger_room.c    limits
 *   ledger_chain.c   links, anchors, and the calls that a process before us left open
 */

#include "audit/ledger.h"
#include "audit/links.h"
#include "base/buf.h"

struct ledger {
	struct ledger_params params;
	struct spool *spool;
	size_t segment_bytes;
	struct ledger_row *rows;  /* all, ascending by first */
	struct ledger_row *ready; /* in the order of their completion */
	struct ledger_row *open;  /* by call_id */
	size_t n_rows;
	size_t n_ready;
	size_t n_orphans;  /* of those that are open */
	size_t live_bytes; /* of the payloads of all rows */
	uint64_t written;  /* payload bytes appended so far */
	uint64_t newest;   /* sequence of the last record that we know of */
	uint64_t n_unreadable;
	bool other_version;
	bool has_abandoned; /* calls of which some are open still */

	enum book_room room;
	bool refusal_taken; /* since there is no room */

	struct links links;
	bool state_owed;	 /* before the next link */
	uint64_t state_sequence; /* of the last record of the state; 0: none since opening */
	uint64_t state_offset;
	struct buf canonical;
	struct buf record;
	struct deferred tell;
};

extern const struct log_subject ledger_subject;

/* ledger_rows.c */

/* A record that was appended or replayed; the payload is good. */
struct ledger_row *ledger_take(struct ledger *ledger, enum event_type type, uint64_t sequence,
			       struct span payload);
/* One that is complete by itself: made before its record is appended, added once that was. */
struct ledger_row *ledger_row_new(const struct kind *kind);
void ledger_row_add(struct ledger *ledger, struct ledger_row *row, uint64_t sequence,
		    struct span record);
/* An open one that nobody will end, and whose end cannot be appended. */
void ledger_row_give_up(struct ledger *ledger, struct ledger_row *row);
/* The record `sequence` says the same as the row's first, which is no longer needed. */
void ledger_row_move(struct ledger *ledger, struct ledger_row *row, uint64_t sequence);
void ledger_row_free(struct ledger *ledger, struct ledger_row *row);
/* The record that completed it. */
struct span ledger_row_record(const struct ledger_row *row);
/* What the spool could not keep is gone from here too: it gives the numbers of such records out
 * again. Those who wait for them are told by the spool. */
void ledger_forget_lost(struct ledger *ledger);

/* ledger_room.c */
/* For spool_params. */
uint64_t ledger_low_bytes(const struct ledger *ledger);

/* Whether a record of that type may be appended now. */
int ledger_check_room(struct ledger *ledger, enum event_type type, struct span payload,
		      struct err *err) MUST_CHECK;

/* ledger_chain.c */

struct ledger_waiter {
	struct spool_wait *wait;
	void (*durable)(void *ctx, const struct err *err);
	void *ctx;
};
/* Appends a record that completes a row of a chained kind, of which opening is the INTENT if there
 * is one. Returns its sequence, or 0; ledger->record is then what was appended. */
uint64_t ledger_append_linked(struct ledger *ledger, enum event_type type, struct span opening,
			      struct span payload, const struct ledger_waiter *waiter,
			      struct err *err) MUST_CHECK;
/* Records were lost, and the rows that they completed: the chain goes on before them. */
void ledger_chain_lost(struct ledger *ledger);
/* Ends the calls that a process before us left open, as far as there is room. */
void ledger_end_orphans(struct ledger *ledger);
/* The same for those that were abandoned. */
void ledger_end_abandoned(struct ledger *ledger);
/* They go without a link, if nothing that waits for PostgreSQL, or was released, makes room. */
void ledger_give_up_orphans(struct ledger *ledger);
/* The anchor is durable: whoever keeps them elsewhere is told, once. */
void ledger_tell(struct ledger *ledger, struct ledger_row *row);

#endif
