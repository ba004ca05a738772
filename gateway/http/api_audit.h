/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_AUDIT_H
#define GATEWAY_HTTP_API_AUDIT_H

/*
 * What the routes below /audit share: how a query becomes the parameters of a static statement, on
 * the pool that is only for them, and what a row looks like as JSON and as CSV.
 *
 * A user sees the calls of that user, an administrator those of the tenant, a platform
 * administrator any tenant's. That stands in every statement, and behind it in the policies of
 * migration 0021.
 */

#include "gateway/http/api.h"
#include "gateway/http/api_audit_query.h"

#define AUDIT_MAX_PARAMS  28
#define AUDIT_ID_SLACK_US INT64_C(5000000) /* around the time that a call id says */

/* --- the statement's parameters: $1 to $19 of every one, then a route's own --- */

#define AUDIT_N_COMMON 19
/* Whose, when, and which. With values the planner sees what is NULL and leaves it out, so these are
 * the clauses of one index range in few partitions: tests/e2e/audit_api.test.mjs looks at the
 * plans. */
#define AUDIT_WHERE                                                                                \
	"($1::uuid IS NULL OR c.tenant_id = $1::uuid)"                                             \
	" AND c.started_at >= $2::timestamptz AND c.started_at < $3::timestamptz"                  \
	" AND ($4::uuid IS NULL OR c.user_id = $4::uuid)"                                          \
	" AND ($5::text IS NULL OR c.tenant = $5)"                                                 \
	" AND ($6::text IS NULL OR c.user_name = $6)"                                              \
	" AND ($7::text IS NULL OR c.tool = $7)"                                                   \
	" AND ($8::text IS NULL OR c.connection = $8)"                                             \
	" AND ($9::text IS NULL OR c.method = $9)"                                                 \
	" AND ($10::text[] IS NULL OR c.outcome = ANY ($10::text[]))"                              \
	" AND ($11::boolean IS NULL OR c.is_error = $11::boolean)"                                 \
	" AND ($12::text IS NULL OR c.session_id = $12)"                                           \
	" AND ($13::text IS NULL OR c.client = $13 OR starts_with(c.client, $13 || '/'))"          \
	" AND ($14::text IS NULL OR c.persona = $14)"                                              \
	" AND ($15::text IS NULL OR c.api_key = $15)"                                              \
	" AND ($16::inet IS NULL OR c.source_ip <<= $16::inet)"                                    \
	" AND ($17::text IS NULL OR c.trace_id = $17)"                                             \
	" AND ($18::float8 IS NULL OR c.duration_ms >= $18::float8)"                               \
	" AND ($19::text IS NULL OR c.user_name ILIKE $19 OR c.tool ILIKE $19"                     \
	"  OR c.connection ILIKE $19 OR c.error_message ILIKE $19 OR c.persona ILIKE $19"          \
	"  OR c.purpose ILIKE $19)"

/* --- rows (api_audit_row.c) --- */

/* Columns of audit.calls, in its order: name, kind, SQL. */
#define AUDIT_COLUMNS_FIRST(X)                                                                     \
	X(started_at, TEXT, "to_char(c.started_at " API_RFC3339)                                   \
	X(tenant, TEXT, "c.tenant")                                                                \
	X(user_name, TEXT, "c.user_name")                                                          \
	X(client, TEXT, "c.client")                                                                \
	X(connection, TEXT, "c.connection")                                                        \
	X(tool, TEXT, "c.tool")                                                                    \
	X(method, TEXT, "c.method")                                                                \
	X(outcome, TEXT, "c.outcome")                                                              \
	X(duration_ms, NUMBER, "c.duration_ms")                                                    \
	X(upstream_ms, NUMBER, "c.upstream_ms")                                                    \
	X(error_type, TEXT, "c.error_type")                                                        \
	X(error_message, TEXT, "c.error_message")                                                  \
	X(persona, TEXT, "c.persona")                                                              \
	X(account, TEXT, "c.account")                                                              \
	X(purpose, TEXT, "c.purpose")
#define AUDIT_COLUMNS_ARGUMENTS(X) X(arguments, JSON, "c.arguments")
#define AUDIT_COLUMNS_LAST(X)                                                                      \
	X(request_bytes, NUMBER, "c.request_bytes")                                                \
	X(response_bytes, NUMBER, "c.response_bytes")                                              \
	X(protocol_version, TEXT, "c.protocol_version")                                            \
	X(session_id, TEXT, "c.session_id")                                                        \
	X(request_id, TEXT, "c.request_id")                                                        \
	X(source_ip, TEXT, "host(c.source_ip)")                                                    \
	X(api_key, TEXT, "c.api_key")                                                              \
	X(trace_id, TEXT, "c.trace_id")                                                            \
	X(span_id, TEXT, "c.span_id")                                                              \
	X(call_id, TEXT, "c.call_id")                                                              \
	X(is_error, BOOL, "c.is_error")                                                            \
	X(http_status, NUMBER, "c.http_status")                                                    \
	X(damaged, BOOL, "c.damaged")                                                              \
	X(tenant_id, TEXT, "c.tenant_id")                                                          \
	X(user_id, TEXT, "c.user_id")                                                              \
	X(connection_id, TEXT, "c.connection_id")                                                  \
	X(node_id, TEXT, "c.node_id")                                                              \
	X(n_calls, NUMBER, "c.n_calls")                                                            \
	X(audit_level, TEXT, "c.audit_level")                                                      \
	X(upstream_status, NUMBER, "c.upstream_status")                                            \
	X(chain_id, TEXT, "c.chain_id")                                                            \
	X(chain_seq, NUMBER, "c.chain_seq")                                                        \
	X(has_payload, BOOL, "c.payload_digest IS NOT NULL")

/* What a place needs of a row, before the columns that are shown. */
#define AUDIT_PLACE_COLUMNS                                                                        \
	"(extract(epoch FROM c.started_at) * 1000000)::bigint AS place_us,"                        \
	" c.tenant_id AS place_tenant, c.call_id AS place_call"
#define AUDIT_SELECT_COLUMN(name, kind, sql) ", " sql " AS " #name
#define AUDIT_SELECT_BRIEF                                                                         \
	AUDIT_PLACE_COLUMNS AUDIT_COLUMNS_FIRST(AUDIT_SELECT_COLUMN)                               \
		AUDIT_COLUMNS_LAST(AUDIT_SELECT_COLUMN)
#define AUDIT_SELECT_WHOLE                                                                         \
	AUDIT_PLACE_COLUMNS AUDIT_COLUMNS_FIRST(AUDIT_SELECT_COLUMN)                               \
		AUDIT_COLUMNS_ARGUMENTS(AUDIT_SELECT_COLUMN)                                       \
			AUDIT_COLUMNS_LAST(AUDIT_SELECT_COLUMN)

/* What a row takes at most, as JSON or CSV: its limits are those of the book (audit/event.h), and a
 * character at most six bytes of JSON. */
#define AUDIT_MAX_ROW_BYTES ((size_t)256 * 1024)

enum audit_detail { AUDIT_BRIEF, AUDIT_WHOLE }; /* without or with the arguments */
/* One object without a line end in it. Appends to out. */
void audit_row_json(const struct db_result *rows, size_t row, enum audit_detail detail,
		    struct buf *out);
/* RFC 4180, AUDIT_WHOLE. A cell of text that a spreadsheet would take for a formula (= + - @, tab,
 * CR), or that begins with ', gets a ' before it: so a ' at its start is always ours. */
void audit_csv_head(struct buf *out);
void audit_row_csv(const struct db_result *rows, size_t row, struct buf *out);
void audit_csv_text(struct span text, struct buf *out);
/* Into place, whose span of time stays. */
void audit_row_place(const struct db_result *rows, size_t row, struct audit_place *place);

/* --- the frame (api_audit.c) --- */

/* In request->work from audit_begin on. Routes with more of their own put it first. */
struct audit_request {
	struct audit_query query;
	const char *tenant_id;	 /* $1; NULL: all, or those of a name that no tenant has any more */
	const char *tenant_name; /* $5 */
	bool platform;		 /* the statement may see every tenant */
};
struct audit_request *audit_request_of(const struct api_request *request);

/* First step of each route, after which audit_scope follows. bytes: of what the route keeps. */
enum api_result audit_begin(struct api_request *request, unsigned takes, size_t bytes);
enum api_result audit_scope(struct api_request *request);

/* What a route's own `failed` does first, as api_request.failed. */
bool audit_failed(struct api_request *request, const struct err *err);
/* For routes that stream: their answer has no end that HEAD could tell. */
enum api_result audit_refuse_head(struct api_request *request);

/* Runs the statement with the common parameters and n more. The span of time is the query's. */
enum api_result audit_ask(struct api_request *request, const char *sql, const struct span *more,
			  size_t n);
/* In the arena. */
struct span audit_number(struct api_request *request, int64_t value);

/* {"from":…,"to":… without the brace at the end. */
void audit_add_window(const struct audit_query *query, struct buf *out);
/* "name":value of a column, null if it is NULL. */
void audit_add_number(struct buf *out, const char *name, const struct db_result *rows, size_t row,
		      const char *column);

#endif
