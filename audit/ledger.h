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
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "audit/event.h"
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
};

enum ledger_state {
	LEDGER_OPEN,  /* an INTENT; waits for its OUTCOME */
	LEDGER_READY, /* complete; waits for PostgreSQL */
};

struct ledger_row {
	struct span opening; /* INTENT or ENTRY; absent if only an OUTCOME was found */
	struct span closing; /* OUTCOME; absent for an ENTRY, and for an INTENT found at start */

	/* The ledger's own. */
	struct ledger *ledger;
	enum ledger_state state;
	uint8_t call_id[EVENT_UUID_BYTES];
	uint64_t first; /* sequence of the record that the spool must keep, with all behind it */
	uint64_t last;	/* sequence of the record that completed it */
	uint64_t offset;
	int64_t ready_ms;	 /* READY: when it became so */
	struct spool_wait again; /* for the INTENT that was appended again */
	struct ledger_row *prev, *next;
	struct ledger_row *prev_ready, *next_ready;
	UT_hash_handle hh;
};

/* Replays what the spool holds; INTENTs without OUTCOME are then complete as they are. */
struct ledger *ledger_open(const struct ledger_params *params, struct err *err) MUST_CHECK;
/* What was appended is durable afterwards. */
void ledger_close(struct ledger **ledger);

/* As book_intent and its kin; payload comes from event_encode. Above the hard limit (ledger.c) only
 * OUTCOMEs are taken, and one ENTRY that tells that calls are refused. */
int ledger_append(struct ledger *ledger, enum event_type type, struct span payload,
		  struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		  void *ctx, struct err *err) MUST_CHECK;

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
