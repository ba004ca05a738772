/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_VERIFY_RUN_H
#define AUDIT_VERIFY_RUN_H

/*
 * Reads the book, page by page, and has it verified (audit/verify.h): chain after chain, then what
 * is in none. Asynchronous, so that a gateway can verify what it is about to drop while it serves.
 * Memory is that of a page, of the runs of links that were dropped, and of the index of the second
 * sink.
 *
 * As a role that sees the whole book: tollgate_owner, a platform reader, or tollgate_app with
 * app.audit_scope = 'seals'.
 */

#include <stdbool.h>
#include <stdint.h>

#include "audit/anchor_file.h"
#include "audit/partition_seal.h"
#include "audit/verify.h"
#include "base/db.h"
#include "base/loop.h"

struct verify_run;

/* An anchor may be on its way from the second sink to the table for so long, a chain be without its
 * first one, and an event without its seal. */
#define VERIFY_ANCHOR_GRACE_US INT64_C(60000000)
#define VERIFY_CHAIN_GRACE_US  INT64_C(3600000000)
#define VERIFY_EVENT_GRACE_US  INT64_C(900000000)
/* Findings of one kind that are looked for where each needs a row of an answer. */
#define VERIFY_MAX_ROWS 100

struct verify_totals {
	struct verify_counts counts;
	uint64_t chains;
	uint64_t partitions;	  /* that were dropped */
	uint64_t unchained;	  /* rows from before the chain */
	uint64_t pending_anchors; /* in the second sink, and not yet in the table */
	uint64_t not_in_files;	  /* anchors that the second sink does not have */
	uint64_t event_seals;	  /* among the links */
	uint64_t events;	  /* that they cover */
	bool payloads;		  /* were compared: the role may read them */
	bool partitions_dropped;  /* meanwhile: what is missing may have gone with them */
};

/* What was found out about a chain. */
struct verify_chain_end {
	uint8_t id[CHAIN_ID_BYTES];
	struct verify_counts counts;
	int64_t anchored_us; /* when it was last anchored; 0: never */
};

struct verify_run_params {
	struct loop *loop;
	struct db *db;
	const struct db_setting *setting; /* of each transaction, or NULL */
	const uint8_t *public_key;	  /* ED25519_PUBLIC_BYTES */
	const struct anchor_files *files; /* NULL: the second sink is not looked at */
	int64_t now_us;
	size_t page_rows;
	/* Epochs that ended in this time, and the one that ends next; INT64_MIN and INT64_MAX: all,
	 * and what no anchor holds. */
	int64_t from_us, to_us;
	/* One chain only, and of it the epochs that these links are in; NULL: all. */
	const uint8_t *chain;
	uint64_t first_seq, last_seq;
	/* For each finding, link and chain; the last two may be NULL. before: the MAC that the link
	 * follows; NULL: not known. */
	verify_report *report;
	void (*judged)(void *ctx, const struct verify_link *link, const uint8_t *before);
	void (*chain_done)(void *ctx, const struct verify_chain_end *end);
	void (*done)(void *ctx, const struct verify_totals *totals, const struct err *err);
	void *ctx;
};
/* Copies the parameters, borrows what they point to. */
void verify_run_start(struct verify_run **slot, const struct verify_run_params *params);
void verify_run_cancel(struct verify_run **slot);

#endif
