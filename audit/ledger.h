/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_LEDGER_H
#define AUDIT_LEDGER_H

/*
 * What the spool holds and PostgreSQL does not: pairs INTENT and OUTCOME into rows and releases
 * the spool behind the rows that are done.
 *
 * A row keeps its payloads in memory until it is done, so that nothing is read back from the disk:
 * as many bytes as the spool has room for, and some 300 more for each row.
 *
 * Open INTENTs do not pin the disk: one that has fallen behind is appended again, and its old
 * record is given up when the new one is durable.
 *
 * Each complete row becomes a link of the spool's chain (audit/chain.h) when the record that
 * completes it is appended, and the record holds the link; so the same row comes back when the
 * spool is replayed. INTENTs found at start get an OUTCOME `unknown`, in the order in which they
 * came. Should the disk have no room even for that, they wait as long as other rows can make some,
 * and until what was released of these is gone from the disk; then they become rows without a link.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "audit/event.h"
#include "audit/kind.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "base/spool.h"

struct ledger;

struct ledger_params {
	struct loop *loop;
	const char *dir;
	size_t max_bytes;
	uint64_t min_free_bytes; /* of its filesystem; 0: whatever it has */
	bool fsync;
	/* Runs from the loop, or from ledger_done, for each anchor once it is durable; again,
	 * should a process end before it is done. May be NULL. */
	void (*anchored)(void *ctx, const struct chain_anchor *anchor);
	/* Runs from the loop when rows have become complete that nobody appended. May be NULL. */
	void (*grown)(void *ctx);
	void *ctx;
};

enum ledger_state {
	LEDGER_OPEN,  /* an INTENT; waits for its OUTCOME */
	LEDGER_READY, /* complete; waits for PostgreSQL */
};

struct ledger_row {
	const struct kind *kind;
	struct span opening; /* absent if only an OUTCOME was found */
	struct span closing; /* OUTCOME; absent for what is complete by itself, and for an INTENT
			      * that could not be ended */

	/* The ledger's own. */
	struct ledger *ledger;
	enum ledger_state state;
	bool abandoned;			   /* OPEN: nobody will append its OUTCOME */
	uint8_t call_id[EVENT_UUID_BYTES]; /* of a call */
	uint64_t first; /* sequence of the record that the spool must keep, with all behind it */
	uint64_t last;	/* sequence of the record that completed it */
	uint64_t offset;
	int64_t ready_ms;	/* READY: when it became so */
	bool orphan;		/* OPEN: nobody will end it */
	bool told;		/* of an anchor */
	struct spool_wait wait; /* for the INTENT that was appended again, or an anchor */
	struct ledger_row *prev, *next;
	struct ledger_row *prev_ready, *next_ready;
	UT_hash_handle hh;
};

/* Replays what the spool holds. */
struct ledger *ledger_open(const struct ledger_params *params, struct err *err) MUST_CHECK;
/* What was appended is durable afterwards. */
void ledger_close(struct ledger **ledger);

/* As book_intent and its kin; payload comes from event_encode, or is what audit/kind.h says of the
 * type. Above the hard limit (ledger_room.c) only OUTCOMEs and anchors are taken, and one ENTRY
 * that tells that calls are refused. */
int ledger_append(struct ledger *ledger, enum event_type type, struct span payload,
		  struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		  void *ctx, struct err *err) MUST_CHECK;

/* How many links the epoch has. */
uint64_t ledger_epoch_links(const struct ledger *ledger);
/* Ends the epoch with an anchor, signed with the seed (ED25519_SEED_BYTES), unless it has no links.
 */
int ledger_anchor(struct ledger *ledger, const uint8_t *seed, struct err *err) MUST_CHECK;

/* The OUTCOME of the call that this record names could not be appended, and nobody will try again:
 * it becomes unknown as soon as there is room for that. Nothing if it is not open. */
void ledger_abandon(struct ledger *ledger, struct span payload);

size_t ledger_n_ready(const struct ledger *ledger);

struct ledger_stats {
	int64_t oldest_ms; /* how long the oldest complete row has waited; 0: there is none */
	size_t bytes_on_disk;
	size_t used_bytes; /* of records, in that */
};
void ledger_stats(const struct ledger *ledger, struct ledger_stats *out);
/* As things are now; a change is logged. */
enum book_room ledger_room(struct ledger *ledger);
/* The oldest complete rows that are durable; borrowed until ledger_done. Returns how many. */
size_t ledger_peek(struct ledger *ledger, struct ledger_row **rows, size_t max_rows,
		   size_t max_bytes);
/* The oldest n complete rows are in PostgreSQL. */
void ledger_done(struct ledger *ledger, size_t n);
/* Records that were found in the spool and could not be read. */
uint64_t ledger_n_unreadable(const struct ledger *ledger);

#endif
