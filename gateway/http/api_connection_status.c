/* SPDX-License-Identifier: Apache-2.0 */

/* /connections/{name}/status and refresh: what was found out about an upstream since its last edit,
 * and finding it out anew. */

#include <string.h>

#include "gateway/http/api_oauth.h"

#define TENANT "current_setting('app.tenant')::uuid"

#define REFRESH_LOOK_MS 50    /* from one look to the next whether it has been listed */
#define REFRESH_WAIT_MS 15000 /* then the answer is 202 */

/* What was found out of other settings says nothing about those that serve now. */
#define SELECT_STATUS                                                                              \
	"SELECT c.name, c.auth_mode, c.trust_level, c.enabled, s.era, s.tools_count, "             \
	"s.last_error,"                                                                            \
	" CASE WHEN NOT c.enabled THEN 'disabled'"                                                 \
	"  WHEN s.settings_version IS DISTINCT FROM coalesce(p.settings_version,"                  \
	"   c.settings_version) OR s.state = 'disabled' THEN 'unknown'"                            \
	"  ELSE s.state END AS state,"                                                             \
	" to_char(s.last_success " API_RFC3339 " AS last_success,"                                 \
	" to_char(s.last_error_at " API_RFC3339 " AS last_error_at,"                               \
	" to_char(s.next_retry_at " API_RFC3339 " AS next_retry_at,"                               \
	" s.refresh_wanted, s.refresh_done,"                                                       \
	" p.connection_id IS NOT NULL AS pending, p.trial_error,"                                  \
	" to_char(p.since " API_RFC3339 " AS since,"                                               \
	" to_char(p.trial_error_at " API_RFC3339 " AS trial_error_at,"                             \
	" to_char(p.trial_retry_at " API_RFC3339 " AS trial_retry_at,"                             \
	" n.id AS node, n.host, n.slot, " API_OAUTH_COLUMNS                                        \
	" FROM tollgate.connections c LEFT JOIN tollgate.connection_status s"                      \
	" ON s.tenant_id = c.tenant_id AND s.connection_id = c.id"                                 \
	" LEFT JOIN tollgate.serving_connections p"                                                \
	" ON p.tenant_id = c.tenant_id AND p.connection_id = c.id"                                 \
	" LEFT JOIN tollgate.nodes n ON n.id = s.lease_node AND n.lease_until > "                  \
	"now()" API_OAUTH_JOIN("$2")                                                               \
		API_OAUTH_LAST_EVENT(API_OAUTH_ENDS) " WHERE c.tenant_id = " TENANT                \
						     " AND c.name = $1"

static enum api_result fail_missing(struct api_request *request)
{
	return api_fail(request, ERR_NOT_FOUND, "there is no connection named %.64s",
			exchange_param(request->exchange, "name"));
}

static enum api_result find_status(struct api_request *request)
{
	const struct span params[] = { span_of(exchange_param(request->exchange, "name")),
				       api_oauth_caller(request) };

	return api_query(request, SELECT_STATUS, params, 2);
}

/* New settings that are tried out while the old ones serve. */
static json_t *show_pending(const struct db_result *row)
{
	if (!db_bool(row, 0, "pending"))
		return json_null();
	return json_pack("{s:s, s:s?, s:s?, s:s?}", "since", db_text(row, 0, "since"), "last_error",
			 db_text(row, 0, "trial_error"), "last_error_at",
			 db_text(row, 0, "trial_error_at"), "next_retry_at",
			 db_text(row, 0, "trial_retry_at"));
}

/* Machines are nothing that users have to know. */
static json_t *show_watcher(const struct api_request *request, const struct db_result *row)
{
	if (request->principal->role < ROLE_ADMIN || db_text(row, 0, "node") == NULL)
		return json_null();
	return json_pack("{s:s, s:s, s:I}", "node", db_text(row, 0, "node"), "host",
			 db_text(row, 0, "host"), "slot", (json_int_t)db_int(row, 0, "slot"));
}

static enum api_result answer_status(struct api_request *request, int status)
{
	const struct db_result *row = request->results[0];
	const char *state = db_text(row, 0, "state");
	json_t *tools = db_text(row, 0, "tools_count") != NULL
				? json_integer(db_int(row, 0, "tools_count"))
				: json_null();

	return api_answer(request, status,
			  json_pack("{s:s, s:s, s:b, s:s?, s:o, s:s?, s:s?, s:s?, s:s?, s:s, s:s,"
				    " s:o, s:o, s:o}",
				    "name", db_text(row, 0, "name"), "state", state, "healthy",
				    strcmp(state, "ok") == 0, "era", db_text(row, 0, "era"),
				    "tools", tools, "last_success", db_text(row, 0, "last_success"),
				    "last_error", db_text(row, 0, "last_error"), "last_error_at",
				    db_text(row, 0, "last_error_at"), "next_retry_at",
				    db_text(row, 0, "next_retry_at"), "auth_mode",
				    db_text(row, 0, "auth_mode"), "trust_level",
				    db_text(row, 0, "trust_level"), "pending", show_pending(row),
				    "watcher", show_watcher(request, row), "oauth",
				    api_oauth_show(request, row, 0)),
			  NULL);
}

static enum api_result show_status(struct api_request *request)
{
	return db_rows(request->results[0]) == 0 ? fail_missing(request)
						 : answer_status(request, 200);
}

api_step *const api_connection_status[] = { find_status, show_status, NULL };

/* --- refresh --------------------------------------------------------------------------------- */

/* Which refresh it waits for, and until when. */
struct refresh {
	int64_t number;
	int64_t give_up_ms;
};

static enum api_result ask_refresh(struct api_request *request)
{
	const struct span name = span_of(exchange_param(request->exchange, "name"));

	/* The trigger tells the node that watches it. */
	return api_query(request,
			 "UPDATE tollgate.connection_status SET refresh_wanted = refresh_wanted + 1"
			 " WHERE tenant_id = " TENANT " AND connection_id = (SELECT id"
			 " FROM tollgate.connections WHERE tenant_id = " TENANT " AND name = $1)"
			 " RETURNING refresh_wanted",
			 &name, 1);
}

static enum api_result note_refresh(struct api_request *request)
{
	const struct db_result *row = request->results[0];
	struct refresh *refresh = arena_alloc(request->arena, sizeof(*refresh));

	if (db_rows(row) == 0)
		return fail_missing(request);
	refresh->number = db_int(row, 0, "refresh_wanted");
	refresh->give_up_ms = loop_now_ms(request->app->gate->loop) + REFRESH_WAIT_MS;
	request->work = refresh;
	return API_NEXT;
}

static void on_look(void *ctx)
{
	api_resume(ctx);
}

static api_step *const look_again[];

/* Until it has been listed: the last two steps of the list are run over and over. */
static enum api_result show_refreshed(struct api_request *request)
{
	const struct refresh *refresh = request->work;
	const struct db_result *row = request->results[0];
	struct loop *loop = request->app->gate->loop;

	if (db_rows(row) == 0)
		return fail_missing(request);
	if (db_int(row, 0, "refresh_done") >= refresh->number || !db_bool(row, 0, "enabled"))
		return answer_status(request, 200);
	if (loop_now_ms(loop) >= refresh->give_up_ms)
		return answer_status(request, 202);
	request->next = look_again;
	timer_start(loop, &request->timer, REFRESH_LOOK_MS, on_look, request);
	return API_WAIT;
}

static api_step *const look_again[] = { find_status, show_refreshed, NULL };
api_step *const api_connection_refresh[] = { ask_refresh, note_refresh, find_status, show_refreshed,
					     NULL };
