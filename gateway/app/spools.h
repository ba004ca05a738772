/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SPOOLS_H
#define GATEWAY_APP_SPOOLS_H

/*
 * The books of one worker: its own, and those that nobody else will bring to Postgres.
 *
 * A slot's spools are `spool-<slot>`, `spool-<slot>.1`, …: a worker takes the first that it can
 * lock, so one whose predecessor still drains has a directory of its own. A directory with
 * records and no owner is adopted: of the own slot by each worker, of slots that there are no
 * more by the worker of slot 0. Nothing is appended to it; once all is in Postgres it is let go.
 */

#include "audit/book.h"
#include "audit/chain.h"
#include "base/db.h"
#include "base/loop.h"

struct spools;

/* It looks for directories without an owner at the start and after spools_look, then later and
 * later: an owner may have been about to end. */
#define SPOOLS_LOOK_MIN_MS 500
#define SPOOLS_LOOK_MAX_MS 60000

struct spools_params {
	struct loop *loop;
	struct db *db; /* connected as tollgate_audit_writer */
	const char *data_dir;
	const char *node_id;
	unsigned slot;
	unsigned n_slots;
	size_t max_bytes; /* of each */
	uint64_t min_free_bytes;
	bool fsync;
	/* As book_params has it, for all of them. */
	void (*anchored)(void *ctx, const struct chain_anchor *anchor);
	void *ctx;
};
struct spools *spools_open(const struct spools_params *params, struct err *err) MUST_CHECK;
void spools_close(struct spools **spools);
/* For all of them, those that will be adopted too: see book_set_signer. */
void spools_set_signer(struct spools *spools, const uint8_t *seed);
/* A worker has ended: somebody's directory may have lost its owner. */
void spools_look(struct spools *spools);
/* The worker's own. */
struct book *spools_book(const struct spools *spools);
/* All of them together; room is the own one's. */
void spools_stats(const struct spools *spools, struct book_stats *out);

#endif
