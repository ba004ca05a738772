/* SPDX-License-Identifier: Apache-2.0 */

/* /audit/stats, timeseries, breakdown and percentiles: what many rows come to. A row counts as many
 * calls as it stands for; times are of rows, and exact: audit.histogram_quantile is for those who
 * merge what was counted before. */

#include <inttypes.h>
#include <string.h>

#include "gateway/http/api_audit.h"

/* Sums of bigints are numeric: as text they stay whole. */
#define COUNTS                                                                                     \
	"coalesce(sum(c.n_calls), 0) AS total,"                                                    \
	" coalesce(sum(c.n_calls) FILTER (WHERE c.outcome = 'ok'), 0) AS ok,"                      \
	" coalesce(sum(c.n_calls) FILTER (WHERE c.is_error), 0) AS errors,"                        \
	" avg(c.duration_ms) AS avg_ms,"                                                           \
	" percentile_cont(0.95) WITHIN GROUP (ORDER BY c.duration_ms) AS p95_ms"

static void add_counts(struct buf *out, const struct db_result *rows, size_t row)
{
	static const char *const names[] = { "total", "ok", "errors", "avg_ms", "p95_ms" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		buf_add(out, i > 0 ? "," : "");
		audit_add_number(out, names[i], rows, row, names[i]);
	}
}

static enum api_result answer(struct api_request *request, struct buf *out)
{
	enum api_result result = api_answer_text(request, buf_span(out));

	buf_fini(out);
	return result;
}

static void begin_answer(struct api_request *request, struct buf *out)
{
	buf_init(out, API_MAX_ANSWER_BYTES);
	audit_add_window(&audit_request_of(request)->query, out);
}

static enum api_result begin_time(struct api_request *request)
{
	return audit_begin(request, AUDIT_TAKES_TIME, sizeof(struct audit_request));
}

/* --- stats ----------------------------------------------------------------------------------- */

/* The whole, and each outcome, from one reading. */
static enum api_result ask_stats(struct api_request *request)
{
	return audit_ask(request,
			 "SELECT c.outcome, grouping(c.outcome) = 1 AS whole, " COUNTS ","
			 " count(DISTINCT c.user_name) AS users, count(DISTINCT c.tool) AS tools"
			 " FROM audit.call_log c WHERE " AUDIT_WHERE
			 " GROUP BY GROUPING SETS ((), (c.outcome))"
			 " ORDER BY whole DESC, total DESC, c.outcome",
			 NULL, 0);
}

static enum api_result show_stats(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	struct buf out;

	begin_answer(request, &out);
	buf_add(&out, ",");
	add_counts(&out, rows, 0);
	buf_add(&out, ",");
	audit_add_number(&out, "unique_users", rows, 0, "users");
	buf_add(&out, ",");
	audit_add_number(&out, "unique_tools", rows, 0, "tools");
	buf_add(&out, ",\"outcomes\":{");
	for (size_t i = 1; i < db_rows(rows); i++) {
		buf_add(&out, i > 1 ? "," : "");
		audit_add_number(&out, db_text(rows, i, "outcome"), rows, i, "total");
	}
	buf_add(&out, "}}");
	return answer(request, &out);
}

api_step *const api_audit_stats[] = { begin_time, audit_scope, ask_stats, show_stats, NULL };

/* --- time series ----------------------------------------------------------------------------- */

struct series {
	struct audit_request frame; /* first */
	int64_t seconds;
};

static enum api_result begin_series(struct api_request *request)
{
	enum api_result result =
		audit_begin(request, AUDIT_TAKES_TIME | AUDIT_TAKES_BUCKET, sizeof(struct series));
	struct series *series = request->work;
	struct err err;

	if (result == API_DONE)
		return result;
	if (audit_bucket_seconds(&series->frame.query, &series->seconds, &err) < 0) {
		db_cancel(&request->query);
		return api_fail(request, err.code, "%s", err.text);
	}
	return result;
}

/* $20: a bucket. Those without a call are there too. */
static enum api_result ask_series(struct api_request *request)
{
	const struct series *series = request->work;
	const struct span seconds = audit_number(request, series->seconds);

	return audit_ask(
		request,
		"WITH hits AS (SELECT date_bin(make_interval(secs => $20::bigint), c.started_at,"
		"  timestamptz 'epoch') AS at, " COUNTS " FROM audit.call_log c WHERE " AUDIT_WHERE
		"  GROUP BY 1)"
		" SELECT to_char(b.at " API_RFC3339 " AS bucket, coalesce(h.total, 0) AS total,"
		"  coalesce(h.ok, 0) AS ok, coalesce(h.errors, 0) AS errors, h.avg_ms, h.p95_ms"
		" FROM generate_series(date_bin(make_interval(secs => $20::bigint),"
		"  $2::timestamptz, timestamptz 'epoch'), $3::timestamptz - interval '1 "
		"microsecond',"
		"  make_interval(secs => $20::bigint)) b (at) LEFT JOIN hits h ON h.at = b.at"
		" ORDER BY b.at",
		&seconds, 1);
}

static enum api_result show_series(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	const struct series *series = request->work;
	struct buf out;

	begin_answer(request, &out);
	buf_printf(&out, ",\"bucket\":\"%s\",\"items\":[", audit_bucket_name(series->seconds));
	for (size_t i = 0; i < db_rows(rows); i++) {
		buf_printf(&out, "%s{\"at\":\"%s\",", i > 0 ? "," : "", db_text(rows, i, "bucket"));
		add_counts(&out, rows, i);
		buf_add(&out, "}");
	}
	buf_add(&out, "]}");
	return answer(request, &out);
}

api_step *const api_audit_timeseries[] = { begin_series, audit_scope, ask_series, show_series,
					   NULL };

/* --- breakdown ------------------------------------------------------------------------------- */

static enum api_result begin_groups(struct api_request *request)
{
	return audit_begin(request, AUDIT_TAKES_TIME | AUDIT_TAKES_GROUPS,
			   sizeof(struct audit_request));
}

/* $20 the word, $21 how many. With a value for $20 the planner knows which column it is. */
static enum api_result ask_groups(struct api_request *request)
{
	const struct audit_query *query = &audit_request_of(request)->query;
	const struct span more[] = {
		span_of(query->by),
		audit_number(request, (int64_t)query->limit + 1),
	};

	return audit_ask(
		request,
		"SELECT CASE $20::text WHEN 'tool' THEN c.tool WHEN 'user' THEN c.user_name"
		"  WHEN 'connection' THEN c.connection WHEN 'persona' THEN c.persona"
		"  WHEN 'outcome' THEN c.outcome WHEN 'client' THEN c.client"
		"  WHEN 'method' THEN c.method WHEN 'api_key' THEN c.api_key"
		"  WHEN 'tenant' THEN c.tenant END AS value, " COUNTS
		" FROM audit.call_log c WHERE " AUDIT_WHERE
		" GROUP BY 1 ORDER BY total DESC, value LIMIT $21::bigint",
		more, 2);
}

static enum api_result show_groups(struct api_request *request)
{
	const struct audit_query *query = &audit_request_of(request)->query;
	const struct db_result *rows = request->results[0];
	size_t n = db_rows(rows) < query->limit ? db_rows(rows) : query->limit;
	struct buf out;

	begin_answer(request, &out);
	buf_printf(&out, ",\"by\":\"%s\",\"more\":%s,\"items\":[", query->by,
		   n < db_rows(rows) ? "true" : "false");
	for (size_t i = 0; i < n; i++) {
		const char *value = db_text(rows, i, "value");

		buf_add(&out, i > 0 ? ",{\"value\":" : "{\"value\":");
		if (value != NULL)
			buf_add_json_string(&out, value, strlen(value));
		else
			buf_add(&out, "null");
		buf_add(&out, ",");
		add_counts(&out, rows, i);
		buf_add(&out, "}");
	}
	buf_add(&out, "]}");
	return answer(request, &out);
}

api_step *const api_audit_breakdown[] = { begin_groups, audit_scope, ask_groups, show_groups,
					  NULL };

/* --- percentiles ----------------------------------------------------------------------------- */

/* Of each what is known of it: a call that was refused asked no upstream. */
#define MEASURE(column)                                                                            \
	"SELECT '" #column "' AS name, count(" #column ") AS n, avg(" #column ") AS avg,"          \
	" max(" #column ") AS max,"                                                                \
	" percentile_cont(0.5) WITHIN GROUP (ORDER BY " #column ") AS p50,"                        \
	" percentile_cont(0.9) WITHIN GROUP (ORDER BY " #column ") AS p90,"                        \
	" percentile_cont(0.95) WITHIN GROUP (ORDER BY " #column ") AS p95,"                       \
	" percentile_cont(0.99) WITHIN GROUP (ORDER BY " #column ") AS p99 FROM found"

static enum api_result ask_percentiles(struct api_request *request)
{
	static const char sql[] =
		"WITH found AS MATERIALIZED (SELECT c.duration_ms, c.upstream_ms,"
		"  c.request_bytes::float8, c.response_bytes::float8"
		"  FROM audit.call_log c WHERE " AUDIT_WHERE
		") " MEASURE(duration_ms) " UNION ALL " MEASURE(upstream_ms) " UNION ALL " MEASURE(
			request_bytes) " UNION ALL " MEASURE(response_bytes);

	return audit_ask(request, sql, NULL, 0);
}

static enum api_result show_percentiles(struct api_request *request)
{
	static const char *const names[] = { "avg", "max", "p50", "p90", "p95", "p99" };
	const struct db_result *rows = request->results[0];
	struct buf out;

	begin_answer(request, &out);
	for (size_t i = 0; i < db_rows(rows); i++) {
		buf_printf(&out, ",\"%s\":{", db_text(rows, i, "name"));
		audit_add_number(&out, "n", rows, i, "n");
		for (size_t at = 0; at < sizeof(names) / sizeof(names[0]); at++) {
			buf_add(&out, ",");
			audit_add_number(&out, names[at], rows, i, names[at]);
		}
		buf_add(&out, "}");
	}
	buf_add(&out, "}");
	return answer(request, &out);
}

api_step *const api_audit_percentiles[] = { begin_time, audit_scope, ask_percentiles,
					    show_percentiles, NULL };
