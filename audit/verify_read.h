/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_VERIFY_READ_H
#define AUDIT_VERIFY_READ_H

/* What a verification asks PostgreSQL, and the answers as links, anchors and seals. Nothing that
 * may stand in the tables is trusted. */

#include <stdbool.h>
#include <stdint.h>

#include "audit/partition_seal.h"
#include "audit/verify.h"
#include "base/buf.h"
#include "base/db.h"

/* $1 a partition's name: those behind it, $2 of them at most. */
extern const char verify_seals_sql[];
/* $1 a chain: the first that is not less. */
extern const char verify_chain_sql[];
/* $1 a chain; the last anchor of an epoch that ended before $2, and whose last link is before $3.
 */
extern const char verify_after_sql[];
/* $1 a chain; from epoch $2 on, $3 at most. */
extern const char verify_anchors_sql[];
/* $1 a chain; behind sequence $2, $3 at most. */
extern const char verify_calls_sql[];
/* The same for a role that may not read payloads. */
extern const char verify_bare_calls_sql[];
extern const char verify_event_seals_sql[];
/* payloads: whether it may; anchored_us: of the last anchor, NULL if there is none. */
extern const char verify_rights_sql[];
/* n: how many rows of no chain started before $1. */
extern const char verify_old_sql[];
/* Rows of no chain behind time $1 and call $2, but before time $3, $4 at most. */
extern const char verify_unchained_sql[];
/* Rows that have a chain and no place in it, or neither a chain nor a time, $1 at most. */
extern const char verify_misplaced_sql[];
/* Ranges of events that no seal covers although a later one was made before $1, $2 at most. */
extern const char verify_event_ranges_sql[];
/* Events from before $1 that no seal covers, or none can, $2 at most. */
extern const char verify_events_sql[];
/* Events that say to be older, by more than $1 microseconds, than others that were sealed before
 * them; $2 of each log at most. */
extern const char verify_late_events_sql[];
/* n: how many partitions were dropped. */
extern const char verify_count_seals_sql[];

/* What is found beside the chain. */
struct verify_call {
	bool ended; /* a gateway saw how */
	bool payload_altered, payload_missing;
};
/* A row of verify_calls_sql. scratch is for as many bytes as an event has. */
void verify_read_call(const struct db_result *rows, size_t n, struct buf *scratch,
		      struct verify_link *out, struct verify_call *call);
struct verify_events {
	uint64_t n;
	bool good; /* the events are as they were when the seal was made */
	struct verify_record record;
};
void verify_read_event_seal(const struct db_result *rows, size_t n, struct buf *scratch,
			    struct verify_link *out, struct verify_events *events);
/* False: no gateway writes such an anchor. What could be read stands there. */
bool verify_read_anchor(const struct db_result *rows, size_t n, struct chain_anchor *out);
/* Adds what the seal says to ranges if it is by our key. False: report *record as altered. */
bool verify_read_seal(const struct db_result *rows, size_t n, const uint8_t *public_key,
		      struct ranges *ranges, struct verify_record *record);
/* A row of verify_unchained_sql. False: our key has not signed that it is so without a link. */
bool verify_read_unchained(const struct db_result *rows, size_t n, const uint8_t *public_key,
			   struct verify_record *out);
/* Of the events' statements. */
void verify_read_event_range(const struct db_result *rows, size_t n, struct verify_record *out);
void verify_read_event(const struct db_result *rows, size_t n, struct verify_record *out);

#endif
