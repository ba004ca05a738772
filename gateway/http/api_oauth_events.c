/* SPDX-License-Identifier: Apache-2.0 */

/* What happened: the events of a connection's grants, and what became of an attempt to connect. */

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/json.h"
#include "base/text.h"
#include "gateway/core/connect_error.h"
#include "gateway/http/api_oauth.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_AT_US    4102444800000000 /* the year 2100 */
#define AT_BYTES     24

/* --- events ---------------------------------------------------------------------------------- */

/* The newest first, so a page goes on before an event: "<microseconds> <id>". */
struct place {
	char at[AT_BYTES];
	const char *id;
};

static int read_place(const struct api_request *request, struct place *place)
{
	const char *text = request->page_after;
	const char *space = strchr(text, ' ');
	uint64_t at;
	struct err ignored;

	*place = (struct place){ .id = NULL };
	if (text[0] == '\0')
		return 0;
	if (space == NULL || (size_t)(space - text) >= sizeof(place->at) || !uuid_valid(space + 1))
		return -1;
	snprintf(place->at, sizeof(place->at), "%.*s", (int)(space - text), text);
	place->id = space + 1;
	return text_uint(place->at, 0, MAX_AT_US, &at, &ignored);
}

static enum api_result find_events(struct api_request *request)
{
	bool admin = request->principal->role >= ROLE_ADMIN;
	struct place place;

	if (read_place(request, &place) < 0)
		return api_fail(request, ERR_BAD_REQUEST,
				"cursor is not one that a list has given as its \"next\"");

	const struct span params[] = {
		span_of(exchange_param(request->exchange, "name")),
		api_page_rows(request),
		place.id != NULL ? span_of(place.at) : (struct span){ 0 },
		place.id != NULL ? span_of(place.id) : (struct span){ 0 },
		api_oauth_caller(request),
		span_of(admin ? "true" : "false"),
	};

	/* The connection has a row in any case, so that one without events is told from none. */
	return api_query(
		request,
		"SELECT e.* FROM tollgate.connections c LEFT JOIN LATERAL ("
		" SELECT (extract(epoch FROM x.at) * 1000000)::bigint || ' ' || x.event_id AS name,"
		"  x.event_id, x.type, u.name AS user_name, x.subject, x.actor, x.attempt_id,"
		"  x.error_code, x.detail::text AS detail, to_char(x.at " API_RFC3339 " AS at"
		"  FROM audit.auth_event_log x LEFT JOIN tollgate.users u"
		"  ON u.tenant_id = x.tenant_id AND x.subject = 'user:' || u.id"
		"  WHERE x.tenant_id = c.tenant_id AND x.connection_id = c.id"
		"  AND ($3::bigint IS NULL OR (x.at, x.event_id) <"
		"   (timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4::uuid))"
		"  AND ($6::boolean OR x.subject = '' OR x.subject = $5)"
		"  ORDER BY x.at DESC, x.event_id DESC LIMIT $2::bigint) e ON true"
		" WHERE c.tenant_id = " TENANT " AND c.name = $1",
		params, COUNT(params));
}

static json_t *show_event(const struct api_request *request, const struct db_result *rows,
			  size_t row)
{
	struct err err;
	json_t *detail = json_parse(span_of(db_text(rows, row, "detail")), &err);

	(void)request;
	return json_pack("{s:s, s:s, s:s, s:b, s:s?, s:s?, s:s?, s:s?, s:o}", "id",
			 db_text(rows, row, "event_id"), "at", db_text(rows, row, "at"), "type",
			 db_text(rows, row, "type"), "shared",
			 db_text(rows, row, "subject")[0] == '\0', "user",
			 db_text(rows, row, "user_name"), "actor", db_text(rows, row, "actor"),
			 "attempt", db_text(rows, row, "attempt_id"), "error_code",
			 db_text(rows, row, "error_code"), "detail",
			 detail != NULL ? detail : json_object());
}

static enum api_result answer_events(struct api_request *request)
{
	const struct db_result *rows = request->results[0];

	if (db_rows(rows) == 0)
		return api_fail(request, ERR_NOT_FOUND, "there is no connection named %.64s",
				exchange_param(request->exchange, "name"));
	if (db_text(rows, 0, "event_id") == NULL)
		return api_answer(request, 200, json_pack("{s:[], s:n}", "items", "next"), NULL);
	return api_answer_rows(request, rows, show_event);
}

api_step *const api_oauth_events[] = { api_read_page, find_events, answer_events, NULL };

/* --- attempts -------------------------------------------------------------------------------- */

/* Whose it is not does not see that it exists. One whose time is over counts as expired before the
 * sweep says so, but not while its answer may still be under way: as in tollgate's own sweep. */
static enum api_result find_attempt(struct api_request *request)
{
	const char *id = exchange_param(request->exchange, "id");
	const struct span params[] = {
		span_of(id),
		span_of(request->principal->subject),
		span_of(request->principal->role >= ROLE_ADMIN ? "true" : "false"),
	};

	if (!uuid_valid(id))
		return api_fail(request, ERR_NOT_FOUND, "there is no such attempt");
	return api_query(request,
			 "SELECT a.id, c.name AS connection, a.user_name, a.error_text, a.account,"
			 " a.tools_count, to_char(a.expires_at " API_RFC3339 " AS expires_at,"
			 " CASE WHEN o.over THEN 'failed' ELSE a.state END AS state,"
			 " CASE WHEN o.over THEN 'expired' ELSE a.error_code END AS error_code"
			 " FROM tollgate.connect_attempts a JOIN tollgate.connections c"
			 " ON c.tenant_id = a.tenant_id AND c.id = a.connection_id"
			 " CROSS JOIN LATERAL (SELECT a.state IN ('open', 'pending')"
			 "  AND a.expires_at < now() - interval '2 minutes' AS over) o"
			 " WHERE a.tenant_id = " TENANT " AND a.id = $1::uuid"
			 " AND ($3::boolean OR a.principal = $2)",
			 params, COUNT(params));
}

static json_t *show_error(const struct db_result *row)
{
	const char *code = db_text(row, 0, "error_code");
	const char *text = db_text(row, 0, "error_text");
	const struct connect_error_row *error = &connect_errors[connect_error_parse(code)];

	if (code == NULL)
		return json_null();
	return json_pack("{s:s, s:s?, s:s?}", "code", code, "detail",
			 text != NULL ? text : error->sentence, "remedy", error->remedy);
}

static enum api_result show_attempt(struct api_request *request)
{
	const struct db_result *row = request->results[0];
	json_t *tools = json_null();

	if (db_rows(row) == 0)
		return api_fail(request, ERR_NOT_FOUND, "there is no such attempt");
	if (db_text(row, 0, "tools_count") != NULL)
		tools = json_integer(db_int(row, 0, "tools_count"));
	return api_answer(
		request, 200,
		json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:s?, s:s}", "attempt",
			  db_text(row, 0, "id"), "connection", db_text(row, 0, "connection"),
			  "user", db_text(row, 0, "user_name"), "state", db_text(row, 0, "state"),
			  "error", show_error(row), "tools", tools, "account",
			  db_text(row, 0, "account"), "expires_at", db_text(row, 0, "expires_at")),
		NULL);
}

api_step *const api_attempt_show[] = { find_attempt, show_attempt, NULL };
