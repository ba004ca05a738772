/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_VERIFY_RUN_PRIV_H
#define AUDIT_VERIFY_RUN_PRIV_H

/*
 * What the files of a run share.
 *
 *   verify_run.c         its steps, and chains
 *   verify_unchained.c   what is in no chain
 */

#include "audit/row.h"
#include "audit/verify_feed.h"
#include "audit/verify_run.h"

/* Each asks something and takes the answer. */
enum step {
	STEP_RIGHTS,
	STEP_SEALS, /* of partitions */
	STEP_CHAIN, /* the next one */
	STEP_AFTER, /* the anchor that it is verified from */
	STEP_ANCHORS,
	STEP_CALLS,
	STEP_EVENT_SEALS,
	STEP_OLD, /* rows from before there were chains */
	STEP_UNCHAINED,
	STEP_MISPLACED,
	STEP_EVENT_RANGES,
	STEP_EVENTS,
	STEP_LATE_EVENTS,
	STEP_COUNT, /* of seals of partitions, again */
	STEP_END,
};

#define MAX_PARAMS 4

struct verify_run {
	struct verify_run_params params;
	struct verify_run **slot;
	struct db_op *op;
	enum step step;
	struct verify_totals totals;
	struct ranges ranges;
	struct verify_feed *feed;
	uint8_t next_chain[CHAIN_ID_BYTES];
	bool chains_over;
	char last_seal[PARTITION_NAME_BYTES];
	int64_t first_linked_us; /* rows of no chain that are older are from before there was one */
	int64_t last_anchored_us;
	struct {
		int64_t us;
		uint8_t call_id[EVENT_UUID_BYTES];
		size_t n_found;
	} unchained;				 /* behind which row the next page begins */
	char texts[MAX_PARAMS][UUID_TEXT_BYTES]; /* of the parameters */
	struct span values[MAX_PARAMS];
};

/* Whether only a part of the book is verified. */
bool run_is_period(const struct verify_run *run);
void run_report(struct verify_run *run, enum verify_problem problem,
		const struct verify_record *record);
/* Parameter i of the statement. */
void run_put_number(struct verify_run *run, size_t i, int64_t number);
void run_put_time(struct verify_run *run, size_t i, int64_t unix_us);
void run_put_uuid(struct verify_run *run, size_t i, const uint8_t *id);
void run_put_page(struct verify_run *run, size_t i);

/* verify_unchained.c */

void run_ask_old(struct verify_run *run);
enum step run_take_old(struct verify_run *run, const struct db_result *rows);
void run_ask_unchained(struct verify_run *run);
enum step run_take_unchained(struct verify_run *run, const struct db_result *rows);
void run_ask_misplaced(struct verify_run *run);
enum step run_take_misplaced(struct verify_run *run, const struct db_result *rows);
void run_ask_events(struct verify_run *run);
enum step run_take_event_ranges(struct verify_run *run, const struct db_result *rows);
enum step run_take_events(struct verify_run *run, const struct db_result *rows);
void run_ask_late_events(struct verify_run *run);
enum step run_take_late_events(struct verify_run *run, const struct db_result *rows);

#endif
