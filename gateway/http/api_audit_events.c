/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /audit/admin-events and /audit/auth-events: who changed what, and who signed in or connected an
 * account; newest first. For administrators; those of the platform may ask for every tenant's.
 */

#include <string.h>

#include "base/text.h"
#include "gateway/http/api_audit.h"
#include "gateway/http/query.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_FILTERS  7
#define MAX_QUERY    8192
#define NOBODY	     "00000000-0000-0000-0000-000000000000"

/* $1 the tenant, or NULL for all; $2 and $3 the time; $4 and $5 the place; $6 how many; from $7 on
 * a filter each. */
#define N_COMMON 6
#define LIST(table, columns, filters)                                                              \
	"SELECT (extract(epoch FROM e.at) * 1000000)::bigint AS place_us,"                         \
	" e.tenant_id AS place_tenant, e.event_id AS place_call, row_to_json(x)::text AS shown"    \
	" FROM " table " e CROSS JOIN LATERAL (SELECT e.event_id AS id,"                           \
	" to_char(e.at " API_RFC3339 " AS at, " columns ") x"                                      \
	" WHERE ($1::uuid IS NULL OR e.tenant_id = $1::uuid)"                                      \
	" AND e.at >= $2::timestamptz AND e.at < $3::timestamptz"                                  \
	" AND ($4::timestamptz IS NULL OR (e.at, e.event_id) < ($4::timestamptz, $5::uuid))"       \
	" AND " filters " ORDER BY e.at DESC, e.event_id DESC LIMIT $6::bigint"
#define EQUALS(column, param) "($" param "::text IS NULL OR e." column " = $" param ")"

struct listing {
	const char *sql;
	const char *filters[MAX_FILTERS]; /* in the order of the parameters; ends with NULL */
};

static const struct listing admin_events = {
	LIST("audit.admin_event_log",
	     "e.tenant, e.actor, e.role, e.action, e.target_kind, e.target, e.target_id, e.outcome,"
	     " e.before, e.after, e.error_code, e.error_message, e.http_status, e.via, e.client,"
	     " host(e.source_ip) AS source_ip, e.api_key, e.user_id, e.actor_tenant, e.n_events,"
	     " e.cause_id",
	     EQUALS("action", "7") " AND " EQUALS("actor", "8") " AND " EQUALS(
		     "target_kind", "9") " AND " EQUALS("target", "10") " AND " EQUALS("outcome",
										       "11")),
	{"action", "actor", "target_kind", "target", "outcome", NULL},
};
static const struct listing auth_events = {
	LIST("audit.auth_event_log",
	     "e.tenant, e.type, e.connection, e.user_name AS user, e.actor, e.error_code, e.detail,"
	     " e.attempt_id AS attempt, e.api_key, host(e.source_ip) AS source_ip, e.client,"
	     " e.n_events, e.cause_id",
	     EQUALS("type", "7") " AND " EQUALS("actor", "8") " AND " EQUALS(
		     "connection", "9") " AND " EQUALS("user_name",
						       "10") " AND " EQUALS("error_code", "11")),
	{"type", "actor", "connection", "user", "error_code", NULL},
};

/* In request->work. */
struct listed {
	const struct listing *listing;
	struct span filters[MAX_FILTERS];
	struct audit_place place; /* call_id "": from the start */
	size_t limit;
	bool all; /* tenants */
	const char *tenant_id;
};

static int read_filter(struct api_request *request, struct listed *listed, const char *name,
		       const char *value, struct err *err)
{
	for (size_t i = 0; listed->listing->filters[i] != NULL; i++) {
		if (strcmp(listed->listing->filters[i], name) != 0)
			continue;
		if (listed->filters[i].p != NULL)
			return err_set(err, ERR_BAD_REQUEST, "%s is given twice", name);
		listed->filters[i] = span_of(arena_strdup(request->arena, value));
		return 0;
	}
	return err_set(err, ERR_BAD_REQUEST, "there is no parameter %.64s here", name);
}

static int read_tenant(struct api_request *request, struct listed *listed, const char *value,
		       struct err *err)
{
	if (strcmp(value, "*") != 0 && strcmp(value, "-") != 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "tenant is * for all or - for what is nobody's; for one there is "
			       "/tenants/{tenant}/audit/…");
	if (request->principal->role < ROLE_PLATFORM)
		return err_set(err, ERR_FORBIDDEN,
			       "only a key of role platform may ask for tenants");
	listed->all = true;
	listed->tenant_id = value[0] == '-' ? NOBODY : NULL;
	return 0;
}

static int read_limit(struct listed *listed, const char *value, struct err *err)
{
	uint64_t limit;

	if (text_uint(value, 1, API_MAX_PAGE, &limit, err) < 0)
		return err_set(err, ERR_BAD_REQUEST, "limit is a number from 1 to %d",
			       API_MAX_PAGE);
	listed->limit = (size_t)limit;
	return 0;
}

static int read_pair(struct api_request *request, struct listed *listed, const char *name,
		     const char *value, struct err *err)
{
	if (!text_is_utf8(value, strlen(value)) || !text_is_utf8(name, strlen(name)))
		return err_set(err, ERR_BAD_REQUEST, "the query is no UTF-8");
	if (value[0] == '\0')
		return err_set(err, ERR_BAD_REQUEST, "%.64s has no value", name);
	if (strcmp(name, "limit") == 0)
		return read_limit(listed, value, err);
	if (strcmp(name, "from") == 0)
		return audit_read_time(loop_unix_us(), name, value, &listed->place.from_us, err);
	if (strcmp(name, "to") == 0)
		return audit_read_time(loop_unix_us(), name, value, &listed->place.to_us, err);
	if (strcmp(name, "tenant") == 0)
		return read_tenant(request, listed, value, err);
	if (strcmp(name, "cursor") == 0)
		return audit_place_parse(value, &listed->place, err);
	return read_filter(request, listed, name, value, err);
}

static int read_query(struct api_request *request, struct listed *listed, struct err *err)
{
	struct span query = exchange_query(request->exchange);
	const char *name, *value;
	enum query_next next;
	char *room;

	if (query.n > MAX_QUERY)
		return err_set(err, ERR_BAD_REQUEST, "the query is too long");
	room = arena_alloc(request->arena, query.n + 2);
	while ((next = query_next(&query, room, &name, &value)) == QUERY_PAIR) {
		if (read_pair(request, listed, name, value, err) < 0)
			return -1;
	}
	if (next == QUERY_BROKEN)
		return err_set(err, ERR_BAD_REQUEST, "the query holds an escape that is none");
	if (listed->place.from_us >= listed->place.to_us)
		return err_set(err, ERR_BAD_REQUEST, "from has to be before to");
	return 0;
}

static enum api_result ask(struct api_request *request, const struct listed *listed)
{
	const struct db_setting settings[] = {
		{"app.tenant",	request->tenant_id	   },
		{ "app.audit_scope", listed->all ? "platform" : ""},
	};
	bool starts = listed->place.call_id[0] == '\0';
	char from[TEXT_TIME_BYTES], to[TEXT_TIME_BYTES], at[TEXT_TIME_BYTES];
	struct span params[N_COMMON + MAX_FILTERS];
	struct db_statement statement = { listed->listing->sql, params, N_COMMON };

	text_time(listed->place.from_us, from);
	text_time(listed->place.to_us, to);
	text_time(listed->place.started_us, at);
	params[0] = span_of(listed->tenant_id);
	params[1] = span_of(from);
	params[2] = span_of(to);
	params[3] = span_of(starts ? NULL : at);
	params[4] = span_of(starts ? NULL : listed->place.call_id);
	params[5] = audit_number(request, (int64_t)listed->limit + 1);
	for (size_t i = 0; listed->listing->filters[i] != NULL; i++)
		params[statement.n_params++] = listed->filters[i];
	request->failed = audit_failed;
	return api_start(request, request->app->audit_db,
			 &(struct db_tx){ settings, 2, &statement, 1 });
}

static enum api_result begin(struct api_request *request, const struct listing *listing)
{
	struct listed *listed = arena_alloc(request->arena, sizeof(*listed));
	struct err err;

	request->work = listed;
	listed->listing = listing;
	listed->limit = API_DEFAULT_PAGE;
	listed->tenant_id = request->tenant_id;
	listed->place.to_us = loop_unix_us() + 1;
	if (read_query(request, listed, &err) < 0)
		return api_fail(request, err.code, "%s", err.text);
	return ask(request, listed);
}

static enum api_result ask_admin(struct api_request *request)
{
	return begin(request, &admin_events);
}

static enum api_result ask_auth(struct api_request *request)
{
	return begin(request, &auth_events);
}

static enum api_result show(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	struct listed *listed = request->work;
	size_t n = db_rows(rows) < listed->limit ? db_rows(rows) : listed->limit;
	char cursor[AUDIT_CURSOR_BYTES];
	enum api_result result;
	struct buf out;

	buf_init(&out, API_MAX_ANSWER_BYTES);
	buf_add(&out, "{\"items\":[");
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s%s", i > 0 ? "," : "", db_text(rows, i, "shown"));
	if (n < db_rows(rows)) {
		audit_row_place(rows, n - 1, &listed->place);
		audit_place_write(&listed->place, cursor);
		buf_printf(&out, "],\"next\":\"%s\"}", cursor);
	} else {
		buf_add(&out, "],\"next\":null}");
	}
	result = out.overflow ? api_fail(request, ERR_TOO_LARGE,
					 "the answer is too large; ask for fewer with ?limit=")
			      : api_answer_text(request, buf_span(&out));
	buf_fini(&out);
	return result;
}

api_step *const api_audit_admin_events[] = { ask_admin, show, NULL };
api_step *const api_audit_auth_events[] = { ask_auth, show, NULL };
