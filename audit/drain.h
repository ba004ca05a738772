/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_DRAIN_H
#define AUDIT_DRAIN_H

/*
 * Takes complete rows from the ledger to PostgreSQL, one transaction at a time with one statement
 * for each kind of rows. While there is nothing to do it holds no timer.
 */

#include <stdint.h>

#include "audit/ledger.h"
#include "base/db.h"
#include "base/loop.h"

struct drain;

/* empty runs from the loop whenever no complete row is left; it may not free the drain. */
struct drain_params {
	struct loop *loop;
	struct db *db;
	struct ledger *ledger;
	loop_cb *empty;
	void *ctx;
};
struct drain *drain_new(const struct drain_params *params);
void drain_free(struct drain **drain);

/* ED25519_SEED_BYTES, borrowed, to sign what is stored reduced; NULL: nobody can. */
void drain_set_signer(struct drain *drain, const uint8_t *seed);

/* The ledger may have got a complete row. */
void drain_poke(struct drain *drain);
/* Waits for nothing that it need not, until no complete row is left. */
void drain_hurry(struct drain *drain);
/* Rows of calls. */
uint64_t drain_n_written(const struct drain *drain);
/* Rows that PostgreSQL refused even reduced. */
uint64_t drain_n_lost(const struct drain *drain);

#endif
