/* SPDX-License-Identifier: Apache-2.0 */

/* How the grants of a tenant stand: of one connection, of all, account by account. */

#include "base/json.h"
#include "gateway/http/api_oauth.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct span api_oauth_caller(const struct api_request *request)
{
	const struct principal *principal = request->principal;

	return principal->user_id[0] != '\0' ? span_of(principal->subject) : (struct span){ 0 };
}

static bool is_admin(const struct api_request *request)
{
	return request->principal->role >= ROLE_ADMIN;
}

json_t *api_oauth_counts(const struct api_request *request, const struct db_result *rows,
			 size_t row)
{
	struct err err;
	json_t *counts =
		is_admin(request) ? json_parse(span_of(db_text(rows, row, "counts")), &err) : NULL;

	return counts != NULL ? counts : json_null();
}

/* When and why there is no good token any more. */
static json_t *show_end(const struct db_result *rows, size_t row)
{
	if (db_text(rows, row, "end_at") == NULL)
		return json_null();
	return json_pack("{s:s, s:s?, s:s?, s:s?}", "occurred_at", db_text(rows, row, "end_at"),
			 "reason", db_text(rows, row, "end_reason"), "idp_host",
			 db_text(rows, row, "end_host"), "result",
			 db_text(rows, row, "last_revocation"));
}

json_t *api_oauth_show(const struct api_request *request, const struct db_result *rows, size_t row)
{
	if (!db_bool(rows, row, "is_oauth"))
		return json_null();
	return json_pack(
		"{s:b, s:s, s:s, s:s, s:b, s:s?, s:s?, s:s?, s:b, s:b, s:s?, s:s?, s:s?, s:s?, "
		"s:s?, s:s?, s:o, s:o}",
		"configured", true, "grant", db_text(rows, row, "oauth_grant"), "per",
		db_text(rows, row, "oauth_per"), "state", db_text(rows, row, "oauth_state"),
		"token_acquired", db_bool(rows, row, "token_acquired"), "expires_at",
		db_text(rows, row, "expires_at"), "refresh_expires_at",
		db_text(rows, row, "refresh_expires_at"), "last_refreshed_at",
		db_text(rows, row, "last_refreshed_at"), "has_refresh_token",
		db_bool(rows, row, "has_refresh_token"), "needs_reauth",
		db_bool(rows, row, "needs_reauth"), "last_error", db_text(rows, row, "oauth_error"),
		"token_url", db_text(rows, row, "token_url"), "scope", db_text(rows, row, "scope"),
		"account", db_text(rows, row, "account"), "authenticated_by",
		db_text(rows, row, "authenticated_by"), "authenticated_at",
		db_text(rows, row, "authenticated_at"), "last_revocation", show_end(rows, row),
		"accounts", api_oauth_counts(request, rows, row));
}

/* --- of all ---------------------------------------------------------------------------------- */

#define FAILURES                                                                                   \
	"'refresh_failed_transient', 'refresh_failed_client', 'refresh_failed_revoked',"           \
	" 'refresh_lost', 'settings_changed'"

static enum api_result find_health(struct api_request *request)
{
	const struct span params[] = { api_page_after(request), api_page_rows(request),
				       api_oauth_caller(request) };

	return api_query(
		request,
		"SELECT c.name, c.enabled, c.oauth->>'per' AS per, " API_OAUTH_STATE
		" AS state, coalesce(e.error_code, e.type) AS code, g.last_error,"
		" to_char(coalesce(CASE WHEN g.state = 'active' AND g.last_error IS NULL"
		"  THEN coalesce(g.last_refreshed_at, g.authenticated_at) END,"
		"  e.at, g.last_error_at) " API_RFC3339 " AS since, " API_OAUTH_COUNTS
		" AS counts FROM tollgate.connections c" API_OAUTH_JOIN(
			"$3") " LEFT JOIN LATERAL (SELECT x.type, x.error_code, x.at"
			      "  FROM audit.auth_event_log x WHERE (g.state = 'needs_reauth' OR"
			      "  g.state = 'active' AND g.last_error IS NOT NULL)"
			      "  AND x.tenant_id = g.tenant_id AND x.connection_id = "
			      "g.connection_id"
			      "  AND x.subject = g.subject AND x.type IN (" FAILURES ")"
			      "  ORDER BY x.at DESC LIMIT 1) e ON true"
			      " WHERE c.tenant_id = " TENANT " AND c.auth_mode = 'oauth'"
			      " AND c.name COLLATE \"C\" > $1"
			      " ORDER BY c.name COLLATE \"C\" LIMIT $2::bigint",
		params, COUNT(params));
}

static json_t *show_health(const struct api_request *request, const struct db_result *rows,
			   size_t row)
{
	return json_pack("{s:s, s:b, s:s, s:s, s:s?, s:s?, s:s?, s:o}", "connection",
			 db_text(rows, row, "name"), "enabled", db_bool(rows, row, "enabled"),
			 "per", db_text(rows, row, "per"), "state", db_text(rows, row, "state"),
			 "code", db_text(rows, row, "code"), "last_error",
			 db_text(rows, row, "last_error"), "since", db_text(rows, row, "since"),
			 "accounts", api_oauth_counts(request, rows, row));
}

static enum api_result answer_health(struct api_request *request)
{
	return api_answer_rows(request, request->results[0], show_health);
}

api_step *const api_oauth_health[] = { api_read_page, find_health, answer_health, NULL };

/* --- account by account ---------------------------------------------------------------------- */

/* Users see what they use: their own, and what all share. */
static enum api_result find_accounts(struct api_request *request)
{
	const struct span params[] = { api_page_after(request), api_page_rows(request),
				       api_oauth_caller(request),
				       span_of(is_admin(request) ? "true" : "false") };

	return api_query(
		request,
		"SELECT * FROM (SELECT c.name || coalesce(' ' || u.name, '') AS name,"
		" c.name AS connection, u.name AS user_name, g.kind, " API_OAUTH_COLUMNS
		" FROM tollgate.connections c JOIN tollgate.grants g"
		" ON g.tenant_id = c.tenant_id AND g.connection_id = c.id"
		" AND g.state <> 'disconnected' LEFT JOIN tollgate.users u"
		" ON u.tenant_id = g.tenant_id AND u.id = g.user_id" API_OAUTH_LAST_EVENT(
			API_OAUTH_ENDS) " WHERE c.tenant_id = " TENANT
					" AND ($4::boolean OR g.subject = '' OR g.subject = $3)) a"
					" WHERE a.name COLLATE \"C\" > $1"
					" ORDER BY a.name COLLATE \"C\" LIMIT $2::bigint",
		params, COUNT(params));
}

static json_t *show_account(const struct api_request *request, const struct db_result *rows,
			    size_t row)
{
	(void)request;
	return json_pack(
		"{s:s, s:s?, s:s?, s:s, s:s, s:s?, s:s?, s:s?, s:b, s:s?, s:s?, s:s?, s:s?}",
		"connection", db_text(rows, row, "connection"), "user",
		db_text(rows, row, "user_name"), "account", db_text(rows, row, "account"), "state",
		db_text(rows, row, "oauth_state"), "kind", db_text(rows, row, "kind"), "scope",
		db_text(rows, row, "scope"), "expires_at", db_text(rows, row, "expires_at"),
		"refresh_expires_at", db_text(rows, row, "refresh_expires_at"), "has_refresh_token",
		db_bool(rows, row, "has_refresh_token"), "last_refreshed_at",
		db_text(rows, row, "last_refreshed_at"), "last_error",
		db_text(rows, row, "oauth_error"), "authenticated_by",
		db_text(rows, row, "authenticated_by"), "authenticated_at",
		db_text(rows, row, "authenticated_at"));
}

static enum api_result answer_accounts(struct api_request *request)
{
	return api_answer_rows(request, request->results[0], show_account);
}

api_step *const api_account_list[] = { api_read_page, find_accounts, answer_accounts, NULL };
