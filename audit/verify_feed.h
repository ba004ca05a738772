/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_VERIFY_FEED_H
#define AUDIT_VERIFY_FEED_H

/*
 * One chain on its way from answers of PostgreSQL to audit/verify.h: anchors, calls and seals of
 * events come in pages of their own and are fed in the order of the chain. Asks nothing itself.
 */

#include <stdbool.h>
#include <stdint.h>

#include "audit/anchor_file.h"
#include "audit/verify.h"
#include "base/buf.h"
#include "base/db.h"

struct verify_feed;
struct verify_totals;

/* What it can do nothing without. */
enum feed_want { FEED_ANCHORS, FEED_CALLS, FEED_EVENT_SEALS, FEED_NOTHING };

struct verify_feed_params {
	const struct anchor_files *files; /* or NULL */
	size_t page_rows;
	int64_t now_us;
	/* The last epoch is the first one that ends at or behind both; by_seq: no link behind
	 * last_seq is looked at that no anchor holds. */
	int64_t to_us;
	uint64_t last_seq;
	bool by_seq;
	int64_t late_before_us, late_after_us; /* as audit/verify.h has it */
	verify_report *report;
	void (*judged)(void *ctx, const struct verify_link *link, const uint8_t *before);
	void *ctx;
	struct verify_totals *totals;
};
struct verify_feed *verify_feed_new(const struct verify_feed_params *params);
void verify_feed_free(struct verify_feed **feed);

/* ranges are those of the chain. */
void verify_feed_open(struct verify_feed *feed, const uint8_t id[CHAIN_ID_BYTES],
		      const uint8_t *public_key, const struct verify_range *ranges,
		      size_t n_ranges);
/* Right after it was opened: what comes before that anchor's end is not looked at. */
void verify_feed_skip(struct verify_feed *feed, const struct chain_anchor *after);

/* Goes on as far as it can. FEED_NOTHING: the chain has ended. */
enum feed_want verify_feed_run(struct verify_feed *feed);
/* The answers, of at most page_rows rows; behind: from where on they are wanted. */
int64_t verify_feed_behind(const struct verify_feed *feed, enum feed_want want);
void verify_feed_anchors(struct verify_feed *feed, const struct db_result *rows);
void verify_feed_calls(struct verify_feed *feed, const struct db_result *rows);
void verify_feed_event_seals(struct verify_feed *feed, const struct db_result *rows);

/* Of the chain, now that it has ended. */
const struct verify_chain *verify_feed_chain(const struct verify_feed *feed);
int64_t verify_feed_anchored_us(const struct verify_feed *feed); /* 0: never */
/* When the chain was there already, by its first anchor that is ours and the first call of which
 * we know how it ended; INT64_MAX: it is not known. */
int64_t verify_feed_oldest_us(const struct verify_feed *feed);

#endif
