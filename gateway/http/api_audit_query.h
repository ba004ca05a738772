/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_AUDIT_QUERY_H
#define GATEWAY_HTTP_API_AUDIT_QUERY_H

/*
 * What the query string of an audit route asks for: filters, a span of time, a page. Nothing is
 * ignored: a parameter that the route does not have, one given twice, an empty or malformed value
 * is an error that says what would be right. Pure; knows no SQL but the text form of its
 * parameters.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"
#include "base/text.h"

#define AUDIT_MAX_TEXT	   512 /* bytes of a value */
#define AUDIT_MAX_SEARCH   128
#define AUDIT_MAX_OUTCOMES 512 /* bytes of all their names */
#define AUDIT_DEFAULT_US                                                                           \
	((int64_t)24 * 3600 * 1000000) /* before `to`, where there is no `from`                    \
					*/
#define AUDIT_MAX_PAGE	     200
#define AUDIT_DEFAULT_PAGE   100
#define AUDIT_MAX_GROUPS     100
#define AUDIT_DEFAULT_GROUPS 10
#define AUDIT_MAX_BUCKETS    1500
#define AUDIT_MAX_KEY_BYTES  1024 /* of a cursor, decoded */

/* The filters of every route, in the order of the SQL parameters that they become
 * (api_audit_sql.h). */
enum audit_filter {
	AUDIT_USER,
	AUDIT_TOOL,
	AUDIT_CONNECTION,
	AUDIT_METHOD,
	AUDIT_OUTCOME, /* an array of PostgreSQL */
	AUDIT_ERROR,
	AUDIT_SESSION,
	AUDIT_CLIENT,
	AUDIT_PERSONA,
	AUDIT_API_KEY,
	AUDIT_SOURCE_IP, /* an address or a network */
	AUDIT_TRACE_ID,
	AUDIT_MIN_DURATION, /* milliseconds */
	AUDIT_SEARCH,	    /* a pattern of LIKE, escaped */
	AUDIT_N_FILTERS,
};

enum audit_bucket { AUDIT_BUCKET_AUTO, AUDIT_MINUTE, AUDIT_HOUR, AUDIT_DAY };
enum audit_format { AUDIT_JSONL, AUDIT_CSV };

/* What a route takes beside filters and `tenant`: a set of these. */
#define AUDIT_TAKES_TIME   1u /* from, to */
#define AUDIT_TAKES_PAGE   2u /* limit, order; with AUDIT_TAKES_CURSOR */
#define AUDIT_TAKES_CURSOR 4u
#define AUDIT_TAKES_BUCKET 8u
#define AUDIT_TAKES_GROUPS 16u /* by, limit */
#define AUDIT_TAKES_FORMAT 32u

struct audit_query {
	struct span filters[AUDIT_N_FILTERS]; /* absent: any */
	const char *tenant;		      /* NULL: the route's; "*": all; "-": none; a name */
	int64_t from_us, to_us;		      /* Unix microseconds: from <= started_at < to */
	size_t limit;
	bool ascending;
	const char *cursor; /* as given; NULL: from the start */
	enum audit_bucket bucket;
	const char *by; /* one of audit_groups */
	enum audit_format format;
};

/* What `by` may be; ends with NULL. */
extern const char *const audit_groups[];

/* A time, how long ago, or "now". -1: err says what would be one. */
int audit_read_time(int64_t now_us, const char *name, const char *value, int64_t *out,
		    struct err *err) MUST_CHECK;

struct audit_query_params {
	struct span query; /* raw */
	unsigned takes;
	int64_t now_us;
	struct arena *arena; /* holds what *out points to */
};
int audit_query_parse(const struct audit_query_params *params, struct audit_query *out,
		      struct err *err) MUST_CHECK;

/* Where a list goes on: behind a row, within the span of time that its first page had, since "15m"
 * means another one on each. The tenant matters only where the order is by tenant first. */
struct audit_place {
	int64_t from_us, to_us;
	int64_t started_us;
	char tenant_id[UUID_TEXT_BYTES];
	char call_id[UUID_TEXT_BYTES];
};
#define AUDIT_CURSOR_BYTES 256
void audit_place_write(const struct audit_place *place, char out[AUDIT_CURSOR_BYTES]);
int audit_place_parse(const char *cursor, struct audit_place *out, struct err *err) MUST_CHECK;

/*
 * Where a tail goes on. A row is new if the snapshot `before` did not see the transaction that
 * stored it, and `until` does; within that it is behind (stored_in, call_id). until "": the whole
 * of `before` has been shown, and the next snapshot is to be taken.
 */
#define AUDIT_SNAPSHOT_BYTES 260
struct audit_mark {
	char before[AUDIT_SNAPSHOT_BYTES];
	char until[AUDIT_SNAPSHOT_BYTES];
	char stored_in[24];
	char call_id[UUID_TEXT_BYTES];
};
#define AUDIT_MARK_BYTES 900
void audit_mark_write(const struct audit_mark *mark, char out[AUDIT_MARK_BYTES]);
int audit_mark_parse(const char *text, struct audit_mark *out, struct err *err) MUST_CHECK;

/* Unix milliseconds of a UUIDv7; -1: it is none. */
int64_t audit_call_id_ms(const char *call_id);

/* Seconds of a bucket. auto: such that there are not too many of them. ERR_BAD_REQUEST: there are
 * too many of the one that was asked for. */
int audit_bucket_seconds(const struct audit_query *query, int64_t *out, struct err *err) MUST_CHECK;
const char *audit_bucket_name(int64_t seconds);

#endif
