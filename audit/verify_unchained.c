/* SPDX-License-Identifier: Apache-2.0 */

/* What is in no chain: rows from before there was one, rows that had no room for a link, and events
 * that no seal covers. */

#include <string.h>

#include "audit/verify_read.h"
#include "audit/verify_run_priv.h"

/* --- rows ------------------------------------------------------------------------------------ */

void run_ask_old(struct verify_run *run)
{
	int64_t from_us = run->first_linked_us;

	if (from_us < run->params.from_us)
		from_us = run->params.from_us;
	run->unchained.us = from_us;
	run_put_time(run, 0, from_us);
}

enum step run_take_old(struct verify_run *run, const struct db_result *rows)
{
	run->totals.unchained = (uint64_t)db_int(rows, 0, "n");
	return STEP_UNCHAINED;
}

void run_ask_unchained(struct verify_run *run)
{
	run_put_time(run, 0, run->unchained.us);
	run_put_uuid(run, 1, run->unchained.call_id);
	run_put_time(run, 2, run->params.to_us);
	run_put_page(run, 3);
}

/* False: nothing is behind it, for a time that we cannot ask for gives the same page again. */
static bool go_behind(struct verify_run *run, const struct verify_record *last)
{
	if (last->started_us < run->unchained.us ||
	    (last->started_us == run->unchained.us &&
	     memcmp(last->call_id, run->unchained.call_id, sizeof(last->call_id)) <= 0))
		return false;
	run->unchained.us = last->started_us;
	memcpy(run->unchained.call_id, last->call_id, sizeof(last->call_id));
	return true;
}

enum step run_take_unchained(struct verify_run *run, const struct db_result *rows)
{
	size_t *n_found = &run->unchained.n_found;
	struct verify_record record = { .started_us = INT64_MIN };

	for (size_t i = 0; i < db_rows(rows) && *n_found < VERIFY_MAX_ROWS; i++) {
		if (verify_read_unchained(rows, i, run->params.public_key, &record))
			continue;
		run_report(run, VERIFY_UNCHAINED, &record);
		++*n_found;
	}
	if (db_rows(rows) == run->params.page_rows && *n_found < VERIFY_MAX_ROWS &&
	    go_behind(run, &record))
		return STEP_UNCHAINED;
	return STEP_MISPLACED;
}

void run_ask_misplaced(struct verify_run *run)
{
	run_put_number(run, 0, VERIFY_MAX_ROWS);
}

enum step run_take_misplaced(struct verify_run *run, const struct db_result *rows)
{
	for (size_t i = 0; i < db_rows(rows); i++) {
		struct verify_record record;

		(void)verify_read_unchained(rows, i, run->params.public_key, &record);
		run_report(run, VERIFY_UNCHAINED, &record);
	}
	return run_is_period(run) ? STEP_COUNT : STEP_EVENT_RANGES;
}

/* --- events ---------------------------------------------------------------------------------- */

/* Of a gateway that lived so long afterwards, nothing is late any more. */
void run_ask_events(struct verify_run *run)
{
	run_put_time(run, 0,
		     run->last_anchored_us > 0 ? run->last_anchored_us - VERIFY_EVENT_GRACE_US
					       : INT64_MIN);
	run_put_number(run, 1, VERIFY_MAX_ROWS);
}

enum step run_take_event_ranges(struct verify_run *run, const struct db_result *rows)
{
	for (size_t i = 0; i < db_rows(rows); i++) {
		struct verify_record record;

		verify_read_event_range(rows, i, &record);
		run_report(run, VERIFY_EVENTS_MISSING, &record);
	}
	return STEP_EVENTS;
}

enum step run_take_events(struct verify_run *run, const struct db_result *rows)
{
	for (size_t i = 0; i < db_rows(rows); i++) {
		struct verify_record record;

		verify_read_event(rows, i, &record);
		run_report(run, VERIFY_EVENT_UNSEALED, &record);
	}
	return STEP_LATE_EVENTS;
}

void run_ask_late_events(struct verify_run *run)
{
	run_put_number(run, 0, VERIFY_CHAIN_GRACE_US);
	run_put_number(run, 1, VERIFY_MAX_ROWS);
}

enum step run_take_late_events(struct verify_run *run, const struct db_result *rows)
{
	for (size_t i = 0; i < db_rows(rows); i++) {
		struct verify_record record;

		verify_read_event(rows, i, &record);
		run_report(run, VERIFY_EVENT_LATE, &record);
	}
	return STEP_COUNT;
}
