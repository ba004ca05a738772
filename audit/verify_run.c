/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/verify_run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify_read.h"
#include "audit/verify_run_priv.h"
#include "base/mem.h"
#include "base/text.h"

static void ask(struct verify_run *run);

bool run_is_period(const struct verify_run *run)
{
	return run->params.from_us != INT64_MIN || run->params.to_us != INT64_MAX;
}

void run_report(struct verify_run *run, enum verify_problem problem,
		const struct verify_record *record)
{
	run->params.report(run->params.ctx, problem, record);
}

/* --- parameters ------------------------------------------------------------------------------ */

void run_put_number(struct verify_run *run, size_t i, int64_t number)
{
	snprintf(run->texts[i], sizeof(run->texts[i]), "%" PRId64, number);
	run->values[i] = span_of(run->texts[i]);
}

void run_put_time(struct verify_run *run, size_t i, int64_t unix_us)
{
	_Static_assert(TEXT_TIME_BYTES <= UUID_TEXT_BYTES, "a time fits where an id does");
	if (unix_us == INT64_MAX || unix_us == INT64_MIN)
		snprintf(run->texts[i], sizeof(run->texts[i]), "%sinfinity",
			 unix_us > 0 ? "" : "-");
	else
		text_time(unix_us, run->texts[i]);
	run->values[i] = span_of(run->texts[i]);
}

void run_put_uuid(struct verify_run *run, size_t i, const uint8_t *id)
{
	uuid_text(id, run->texts[i]);
	run->values[i] = span_of(run->texts[i]);
}

void run_put_page(struct verify_run *run, size_t i)
{
	run_put_number(run, i, (int64_t)run->params.page_rows);
}

/* --- seals of partitions --------------------------------------------------------------------- */

static void ask_seals(struct verify_run *run)
{
	run->values[0] = span_of(run->last_seal);
	run_put_page(run, 1);
}

static enum step take_seals(struct verify_run *run, const struct db_result *rows)
{
	size_t n = db_rows(rows);

	for (size_t i = 0; i < n; i++) {
		struct verify_record record;

		run->totals.partitions++;
		if (!verify_read_seal(rows, i, run->params.public_key, &run->ranges, &record))
			run_report(run, VERIFY_SEAL_ALTERED, &record);
		snprintf(run->last_seal, sizeof(run->last_seal), "%s", record.label);
	}
	if (n == run->params.page_rows)
		return STEP_SEALS;
	ranges_sort(&run->ranges);
	return STEP_CHAIN;
}

static void ask_plainly(struct verify_run *run)
{
	(void)run;
}

/* anchored: when anything was last anchored; what ended long before that is late. A partition is
 * not kept for ever because a gateway was lost that had links of it to anchor. */
static void open_feed(struct verify_run *run, const char *anchored)
{
	const struct verify_run_params *params = &run->params;
	bool by_seq = params->chain != NULL;
	int64_t anchored_us;
	bool has_anchor = row_parse_int(anchored, &anchored_us);

	run->feed = verify_feed_new(&(struct verify_feed_params){
		.files = params->files,
		.page_rows = params->page_rows,
		.now_us = params->now_us,
		.to_us = by_seq ? INT64_MIN : params->to_us,
		.last_seq = by_seq ? params->last_seq : 0,
		.by_seq = by_seq,
		.late_before_us =
			by_seq || !has_anchor ? INT64_MIN : anchored_us - VERIFY_CHAIN_GRACE_US,
		.late_after_us = by_seq ? INT64_MAX : params->now_us + VERIFY_CHAIN_GRACE_US,
		.report = params->report,
		.judged = params->judged,
		.ctx = params->ctx,
		.totals = &run->totals,
	});
}

static enum step take_rights(struct verify_run *run, const struct db_result *rows)
{
	run->totals.payloads = db_bool(rows, 0, "payloads");
	open_feed(run, db_text(rows, 0, "anchored_us"));
	return STEP_SEALS;
}

/* Partitions that go while we read may be what is missing. */

static enum step take_count(struct verify_run *run, const struct db_result *rows)
{
	run->totals.partitions_dropped = (uint64_t)db_int(rows, 0, "n") != run->totals.partitions;
	return STEP_END;
}

/* --- chains ---------------------------------------------------------------------------------- */

static void ask_chain(struct verify_run *run)
{
	run_put_uuid(run, 0, run->next_chain);
}

/* False: there is none greater. */
static bool increment(uint8_t id[CHAIN_ID_BYTES])
{
	for (size_t i = CHAIN_ID_BYTES; i-- > 0;) {
		if (++id[i] != 0)
			return true;
	}
	return false;
}

static void choose_least(uint8_t chosen[CHAIN_ID_BYTES], bool *has, const uint8_t *id)
{
	if (!*has || memcmp(id, chosen, CHAIN_ID_BYTES) < 0)
		memcpy(chosen, id, CHAIN_ID_BYTES);
	*has = true;
}

/* In the tables, in the second sink, or only in what was dropped. */
static bool choose_chain(const struct verify_run *run, const struct db_result *rows,
			 uint8_t chosen[CHAIN_ID_BYTES])
{
	uint8_t id[CHAIN_ID_BYTES];
	bool has = false;

	if (db_rows(rows) > 0 && uuid_parse(db_text(rows, 0, "chain_id"), id))
		choose_least(chosen, &has, id);
	if (run->params.files != NULL && anchor_files_chain(run->params.files, run->next_chain, id))
		choose_least(chosen, &has, id);
	if (ranges_chain(&run->ranges, run->next_chain, id))
		choose_least(chosen, &has, id);
	return has;
}

static void end_chain(struct verify_run *run)
{
	const struct verify_chain *chain = verify_feed_chain(run->feed);
	const struct verify_counts *counts = &chain->counts;
	struct verify_chain_end end = { .counts = *counts,
					.anchored_us = verify_feed_anchored_us(run->feed) };
	int64_t oldest_us = verify_feed_oldest_us(run->feed);

	memcpy(end.id, chain->id, sizeof(end.id));
	run->totals.chains++;
	run->totals.counts.links += counts->links;
	run->totals.counts.dropped += counts->dropped;
	run->totals.counts.not_anchored += counts->not_anchored;
	run->totals.counts.anchors += counts->anchors;
	if (oldest_us < run->first_linked_us)
		run->first_linked_us = oldest_us;
	if (end.anchored_us > run->last_anchored_us)
		run->last_anchored_us = end.anchored_us;
	if (end.anchored_us == 0 && counts->links > 0 && !chain->told_late &&
	    chain->latest.started_us < run->params.now_us - VERIFY_CHAIN_GRACE_US)
		run_report(run, VERIFY_UNANCHORED, &chain->latest);
	if (run->params.chain_done != NULL)
		run->params.chain_done(run->params.ctx, &end);
}

/* As far as the feed comes with what it has. */
static enum step feed(struct verify_run *run)
{
	switch (verify_feed_run(run->feed)) {
	case FEED_ANCHORS:
		return STEP_ANCHORS;
	case FEED_CALLS:
		return STEP_CALLS;
	case FEED_EVENT_SEALS:
		return STEP_EVENT_SEALS;
	default:
		end_chain(run);
		if (run->params.chain != NULL)
			return STEP_COUNT;
		return run->chains_over ? STEP_OLD : STEP_CHAIN;
	}
}

static enum step take_chain(struct verify_run *run, const struct db_result *rows)
{
	const struct verify_range *ranges;
	uint8_t id[CHAIN_ID_BYTES];
	size_t n_ranges;

	if (run->params.chain != NULL)
		memcpy(id, run->params.chain, sizeof(id));
	else if (!choose_chain(run, rows, id))
		return STEP_OLD;
	memcpy(run->next_chain, id, sizeof(id));
	run->chains_over = !increment(run->next_chain);
	ranges = ranges_find(&run->ranges, id, &n_ranges);
	verify_feed_open(run->feed, id, run->params.public_key, ranges, n_ranges);
	return run->params.chain != NULL || run->params.from_us != INT64_MIN ? STEP_AFTER
									     : feed(run);
}

static void ask_after(struct verify_run *run)
{
	run_put_uuid(run, 0, verify_feed_chain(run->feed)->id);
	run_put_time(run, 1, run->params.chain != NULL ? INT64_MAX : run->params.from_us);
	run_put_number(run, 2,
		       run->params.chain != NULL ? (int64_t)run->params.first_seq : INT64_MAX);
}

static enum step take_after(struct verify_run *run, const struct db_result *rows)
{
	struct chain_anchor anchor;

	if (db_rows(rows) > 0 && verify_read_anchor(rows, 0, &anchor))
		verify_feed_skip(run->feed, &anchor);
	return feed(run);
}

static void ask_page(struct verify_run *run)
{
	static const enum feed_want wants[] = { [STEP_ANCHORS] = FEED_ANCHORS,
						[STEP_CALLS] = FEED_CALLS,
						[STEP_EVENT_SEALS] = FEED_EVENT_SEALS };

	run_put_uuid(run, 0, verify_feed_chain(run->feed)->id);
	run_put_number(run, 1, verify_feed_behind(run->feed, wants[run->step]));
	run_put_page(run, 2);
}

static enum step take_anchors(struct verify_run *run, const struct db_result *rows)
{
	verify_feed_anchors(run->feed, rows);
	return feed(run);
}

static enum step take_calls(struct verify_run *run, const struct db_result *rows)
{
	verify_feed_calls(run->feed, rows);
	return feed(run);
}

static enum step take_event_seals(struct verify_run *run, const struct db_result *rows)
{
	verify_feed_event_seals(run->feed, rows);
	return feed(run);
}

/* --- the run --------------------------------------------------------------------------------- */

static const struct {
	const char *sql;
	size_t n_params;
	void (*ask)(struct verify_run *run);
	enum step (*take)(struct verify_run *run, const struct db_result *rows);
} steps[] = {
	[STEP_RIGHTS] = {verify_rights_sql,	     0, ask_plainly,	     take_rights		 },
	[STEP_SEALS] = { verify_seals_sql,	   2, ask_seals,		 take_seals	    },
	[STEP_CHAIN] = { verify_chain_sql,	   1, ask_chain,		 take_chain	    },
	[STEP_AFTER] = { verify_after_sql,	   3, ask_after,		 take_after	    },
	[STEP_ANCHORS] = { verify_anchors_sql,      3, ask_page,	    take_anchors	 },
	[STEP_CALLS] = { verify_calls_sql,	   3, ask_page,		take_calls	   },
	[STEP_EVENT_SEALS] = { verify_event_seals_sql,  3, ask_page,	    take_event_seals     },
	[STEP_OLD] = { verify_old_sql,	       1, run_ask_old,	       run_take_old	    },
	[STEP_UNCHAINED] = { verify_unchained_sql,	   4, run_ask_unchained,	 run_take_unchained   },
	[STEP_MISPLACED] = { verify_misplaced_sql,	   1, run_ask_misplaced,	 run_take_misplaced   },
	[STEP_EVENT_RANGES] = { verify_event_ranges_sql, 2, run_ask_events,	    run_take_event_ranges},
	[STEP_EVENTS] = { verify_events_sql,	     2, run_ask_events,	run_take_events	},
	[STEP_LATE_EVENTS] = { verify_late_events_sql,  2, run_ask_late_events,
			       run_take_late_events						    },
	[STEP_COUNT] = { verify_count_seals_sql,	 0, ask_plainly,	 take_count	    },
};

static void finish(struct verify_run *run, const struct err *err)
{
	const struct verify_run_params params = run->params;
	const struct verify_totals totals = run->totals;

	verify_run_cancel(run->slot);
	params.done(params.ctx, &totals, err);
}

static void on_answer(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct verify_run *run = ctx;

	if (err != NULL) {
		finish(run, err);
		return;
	}
	assert(n == 1);
	run->step = steps[run->step].take(run, results[0]);
	if (run->step == STEP_END)
		finish(run, NULL);
	else
		ask(run);
}

static void ask(struct verify_run *run)
{
	const char *sql = steps[run->step].sql;

	if (run->step == STEP_CALLS && !run->totals.payloads)
		sql = verify_bare_calls_sql;
	steps[run->step].ask(run);
	db_query(run->params.db, &run->op, run->params.setting, sql, run->values,
		 steps[run->step].n_params, on_answer, run);
}

void verify_run_start(struct verify_run **slot, const struct verify_run_params *params)
{
	struct verify_run *run = mem_new(sizeof(*run));

	assert(*slot == NULL && params->page_rows > 1);
	*slot = run;
	run->params = *params;
	run->slot = slot;
	run->first_linked_us = INT64_MAX;
	ask(run);
}

void verify_run_cancel(struct verify_run **slot)
{
	struct verify_run *run = *slot;

	if (run == NULL)
		return;
	*slot = NULL;
	db_cancel(&run->op);
	verify_feed_free(&run->feed);
	ranges_fini(&run->ranges);
	free(run);
}
