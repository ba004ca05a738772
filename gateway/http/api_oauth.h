/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_OAUTH_H
#define GATEWAY_HTTP_API_OAUTH_H

/*
 * What the routes about OAuth connections share: how a grant stands, in SQL and as JSON.
 *
 * c is a row of tollgate.connections, g the grant in question or nothing.
 */

#include "gateway/http/api.h"

/* connected, refresh_failing (it is good, but could not be renewed lately), needs_reauth or
 * not_connected. */
#define API_OAUTH_STATE                                                                            \
	"CASE WHEN g.state = 'active' AND g.last_error IS NULL THEN 'connected'"                   \
	" WHEN g.state = 'active' THEN 'refresh_failing'"                                          \
	" WHEN g.state = 'needs_reauth' THEN 'needs_reauth' ELSE 'not_connected' END"
/* The grant that `who` ("user:<uuid>", an SQL expression) uses on the connection. */
#define API_OAUTH_JOIN(who)                                                                        \
	" LEFT JOIN tollgate.grants g ON c.auth_mode = 'oauth' AND g.tenant_id = c.tenant_id"      \
	" AND g.connection_id = c.id AND g.subject = CASE WHEN c.oauth->>'per' = 'user' THEN " who \
	" ELSE '' END"
/* Why a grant is as it is, from the record: e. */
#define API_OAUTH_LAST_EVENT(types)                                                                \
	" LEFT JOIN LATERAL (SELECT x.type, x.error_code, x.at FROM audit.auth_event_log x"        \
	"  WHERE g.state <> 'active' AND x.tenant_id = g.tenant_id"                                \
	"  AND x.connection_id = g.connection_id AND x.subject = g.subject"                        \
	"  AND x.type IN (" types ") ORDER BY x.at DESC LIMIT 1) e ON true"
#define API_OAUTH_ENDS                                                                             \
	"'refresh_failed_revoked', 'refresh_lost', 'settings_changed', 'disconnected'"

/* How many grants of the connection are in which state, for administrators: jsonb. */
#define API_OAUTH_COUNTS                                                                           \
	"(SELECT json_build_object('connected', count(*) FILTER (WHERE g.state = 'active'"         \
	" AND g.last_error IS NULL), 'refresh_failing', count(*) FILTER (WHERE g.state = 'active'" \
	" AND g.last_error IS NOT NULL), 'needs_reauth',"                                          \
	" count(*) FILTER (WHERE g.state = 'needs_reauth'))::text"                                 \
	" FROM tollgate.grants g WHERE g.tenant_id = c.tenant_id AND g.connection_id = c.id)"

/* Columns of api_oauth_show, of c, g and e. */
#define API_OAUTH_COLUMNS                                                                          \
	"c.auth_mode = 'oauth' AS is_oauth, c.oauth->>'grant' AS oauth_grant,"                     \
	" c.oauth->>'per' AS oauth_per, " API_OAUTH_STATE " AS oauth_state,"                       \
	" coalesce(g.token_url, c.oauth->>'token_url') AS token_url,"                              \
	" coalesce(g.scope, nullif(c.oauth->>'scope', '')) AS scope,"                              \
	" coalesce(g.state = 'active' AND g.access_token IS NOT NULL, false) AS token_acquired,"   \
	" coalesce(g.refresh_token IS NOT NULL, false) AS has_refresh_token,"                      \
	" coalesce(g.state = 'needs_reauth', false) AS needs_reauth,"                              \
	" g.account, g.authenticated_by, g.last_error AS oauth_error, g.last_revocation,"          \
	" to_char(g.expires_at " API_RFC3339 " AS expires_at,"                                     \
	" to_char(g.refresh_expires_at " API_RFC3339 " AS refresh_expires_at,"                     \
	" to_char(g.last_refreshed_at " API_RFC3339 " AS last_refreshed_at,"                       \
	" to_char(g.authenticated_at " API_RFC3339 " AS authenticated_at,"                         \
	" coalesce(e.error_code, e.type) AS end_reason, to_char(e.at " API_RFC3339 " AS end_at,"   \
	" substring(g.token_url FROM '//([^/?#]+)') AS end_host, " API_OAUTH_COUNTS " AS counts"

/* null for a connection of another mode. Returns a new reference. */
json_t *api_oauth_show(const struct api_request *request, const struct db_result *rows, size_t row);
/* "user:<uuid>" of the caller, for API_OAUTH_JOIN; absent: a service key, which has no grant. */
struct span api_oauth_caller(const struct api_request *request);
/* The tally for administrators, null for others. */
json_t *api_oauth_counts(const struct api_request *request, const struct db_result *rows,
			 size_t row);

#endif
