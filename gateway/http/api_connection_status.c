/* SPDX-License-Identifier: Apache-2.0 */

/* /connections/{name}/status: what was found out about an upstream since its last edit. */

#include <string.h>

#include "gateway/http/api.h"

#define TENANT "current_setting('app.tenant')::uuid"

/* What was found out before the last edit says nothing about what stands there now. */
static const char select_status[] =
	"SELECT c.name, c.auth_mode, c.trust_level, s.era, s.tools_count, s.last_error,"
	" CASE WHEN NOT c.enabled THEN 'disabled'"
	"  WHEN s.state IS NULL OR s.updated_at < c.updated_at OR s.state = 'disabled' THEN "
	"'unknown'"
	"  ELSE s.state END AS state,"
	" to_char(s.last_success " API_RFC3339 " AS last_success,"
	" to_char(s.last_error_at " API_RFC3339 " AS last_error_at,"
	" to_char(s.next_retry_at " API_RFC3339 " AS next_retry_at"
	" FROM tollgate.connections c LEFT JOIN tollgate.connection_status s"
	" ON s.tenant_id = c.tenant_id AND s.connection_id = c.id"
	" WHERE c.tenant_id = " TENANT " AND c.name = $1";

static enum api_result find_status(struct api_request *request)
{
	const struct span name = span_of(exchange_param(request->exchange, "name"));

	return api_query(request, select_status, &name, 1);
}

static enum api_result show_status(struct api_request *request)
{
	const struct db_result *row = request->results[0];
	const char *state;
	json_t *tools;

	if (db_rows(row) == 0)
		return api_fail(request, ERR_NOT_FOUND, "there is no connection named %.64s",
				exchange_param(request->exchange, "name"));
	state = db_text(row, 0, "state");
	tools = db_text(row, 0, "tools_count") != NULL ? json_integer(db_int(row, 0, "tools_count"))
						       : json_null();
	return api_answer(request, 200,
			  json_pack("{s:s, s:s, s:b, s:s?, s:o, s:s?, s:s?, s:s?, s:s?, s:s, s:s}",
				    "name", db_text(row, 0, "name"), "state", state, "healthy",
				    strcmp(state, "ok") == 0, "era", db_text(row, 0, "era"),
				    "tools", tools, "last_success", db_text(row, 0, "last_success"),
				    "last_error", db_text(row, 0, "last_error"), "last_error_at",
				    db_text(row, 0, "last_error_at"), "next_retry_at",
				    db_text(row, 0, "next_retry_at"), "auth_mode",
				    db_text(row, 0, "auth_mode"), "trust_level",
				    db_text(row, 0, "trust_level")),
			  NULL);
}

api_step *const api_connection_status[] = { find_status, show_status, NULL };
