/* SPDX-License-Identifier: Apache-2.0 */

/* /connections: the upstreams of a tenant. */

#include "gateway/core/tenant.h"
#include "gateway/http/api.h"
#include "gateway/http/api_connection_body.h"
#include "gateway/http/api_connection_row.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SELECT_CONNECTIONS                                                                         \
	"SELECT id, name, description, enabled, transport, url, era, auth_mode, auth_header,"      \
	" credential, credential IS NOT NULL AS has_credential, headers, oauth::text,"             \
	" oauth_secret, oauth_secret IS NOT NULL AS has_oauth_secret,"                             \
	" to_json(header_names)::text AS header_names, connect_timeout_ms, call_timeout_ms,"       \
	" session_scope, trust_level, to_json(tools_allow)::text AS tools_allow,"                  \
	" to_json(tools_deny)::text AS tools_deny, audit_level,"                                   \
	" to_json(audit_redact)::text AS audit_redact, version,"                                   \
	" to_char(created_at " API_RFC3339 " AS created_at,"                                       \
	" to_char(updated_at " API_RFC3339 " AS updated_at"                                        \
	" FROM tollgate.connections WHERE tenant_id = " TENANT

static json_t *show_view(const struct db_result *rows, size_t row, bool secrets)
{
	const struct connection_view view = {
		.id = db_text(rows, row, "id"),
		.name = db_text(rows, row, "name"),
		.description = db_text(rows, row, "description"),
		.enabled = db_bool(rows, row, "enabled"),
		.transport = db_text(rows, row, "transport"),
		.url = db_text(rows, row, "url"),
		.era = db_text(rows, row, "era"),
		.auth_mode = db_text(rows, row, "auth_mode"),
		.auth_header = db_text(rows, row, "auth_header"),
		.has_credential = db_bool(rows, row, "has_credential"),
		.oauth = db_text(rows, row, "oauth"),
		.has_oauth_secret = db_bool(rows, row, "has_oauth_secret"),
		.header_names = db_text(rows, row, "header_names"),
		.connect_timeout_ms = db_int(rows, row, "connect_timeout_ms"),
		.call_timeout_ms = db_int(rows, row, "call_timeout_ms"),
		.session_scope = db_text(rows, row, "session_scope"),
		.trust_level = db_text(rows, row, "trust_level"),
		.tools_allow = db_text(rows, row, "tools_allow"),
		.tools_deny = db_text(rows, row, "tools_deny"),
		.audit_level = db_text(rows, row, "audit_level"),
		.audit_redact = db_text(rows, row, "audit_redact"),
		.version = db_int(rows, row, "version"),
		.created_at = db_text(rows, row, "created_at"),
		.updated_at = db_text(rows, row, "updated_at"),
	};

	return connection_body_show(&view, secrets);
}

/* Users see what they may call, not how the gateway shows who it is. */
static json_t *show_connection(const struct api_request *request, const struct db_result *rows,
			       size_t row)
{
	return show_view(rows, row, request->principal->role >= ROLE_ADMIN);
}

static enum api_result answer_connection(struct api_request *request, int status,
					 const struct db_result *row)
{
	char etag[API_ETAG_BYTES];

	api_etag(db_int(row, 0, "version"), etag);
	return api_answer(request, status, show_connection(request, row, 0), etag);
}

static enum api_result fail_missing(struct api_request *request)
{
	return api_fail(request, ERR_NOT_FOUND, "there is no connection named %.64s",
			exchange_param(request->exchange, "name"));
}

static enum api_result find_page(struct api_request *request)
{
	const struct span params[] = { api_page_after(request), api_page_rows(request) };

	return api_query(request,
			 SELECT_CONNECTIONS " AND name COLLATE \"C\" > $1"
					    " ORDER BY name COLLATE \"C\" LIMIT $2::bigint",
			 params, COUNT(params));
}

static enum api_result show_page(struct api_request *request)
{
	return api_answer_rows(request, request->results[0], show_connection);
}

api_step *const api_connection_list[] = { api_read_page, find_page, show_page, NULL };

static enum api_result find_row(struct api_request *request)
{
	const struct span name = span_of(exchange_param(request->exchange, "name"));

	return api_query(request, SELECT_CONNECTIONS " AND name = $1", &name, 1);
}

static enum api_result show_found(struct api_request *request)
{
	if (db_rows(request->results[0]) == 0)
		return fail_missing(request);
	return answer_connection(request, 200, request->results[0]);
}

api_step *const api_connection_show[] = { find_row, show_found, NULL };

/* Writes and reads back what stands there then. */
static enum api_result write_row(struct api_request *request, const struct db_result *row,
				 const json_t *body)
{
	const struct seal_key *key = tenant_seal_key(request->tenant);
	struct connection_row out;
	struct provision provision;
	struct api_fault fault;
	struct span id;

	if (connection_row_fill(request, row, body, &out, &fault) < 0)
		return api_fail_body(request, &fault);
	provision_init(&provision, request->arena, request->tenant_id);
	if (row == NULL)
		provision_connection(&provision, &out, key, request->app->deployment);
	else
		provision_connection_change(&provision, &out, key, request->app->deployment);
	id = span_of(out.id);
	provision_add(&provision, SELECT_CONNECTIONS " AND id = $1::uuid", &id, 1);
	request->conflict =
		arena_printf(request->arena, "there is a connection named %s already", out.name);
	return api_run(request, &provision);
}

static enum api_result insert_row(struct api_request *request)
{
	return write_row(request, NULL, request->body);
}

static enum api_result show_made(struct api_request *request)
{
	return answer_connection(request, 201, api_last_result(request));
}

/* The tenant is loaded, not found: an egress exception may have been made a moment ago. */
api_step *const api_connection_create[] = {
	api_read_text, api_read_body, api_load_tenant, insert_row, show_made, NULL,
};

/* False if the request has been answered. */
static bool is_current(struct api_request *request, const struct db_result *row)
{
	char etag[API_ETAG_BYTES];

	if (db_rows(row) == 0) {
		fail_missing(request);
		return false;
	}
	api_etag(db_int(row, 0, "version"), etag);
	if (api_matches(request, etag))
		return true;
	api_fail_stale(request);
	return false;
}

static enum api_result replace_row(struct api_request *request)
{
	if (!is_current(request, request->results[0]))
		return API_DONE;
	return write_row(request, request->results[0], request->body);
}

static enum api_result patch_row(struct api_request *request)
{
	const struct db_result *row = request->results[0];
	json_t *shown;
	json_t *merged;

	if (!is_current(request, row))
		return API_DONE;
	shown = show_view(row, 0, true);
	merged = connection_body_merge(shown, request->body);
	json_decref(shown);
	api_keep(request, merged);
	return write_row(request, row, merged);
}

static enum api_result show_changed(struct api_request *request)
{
	if (db_affected(request->results[0]) == 0)
		return api_fail_stale(request);
	return answer_connection(request, 200, api_last_result(request));
}

api_step *const api_connection_replace[] = {
	api_need_match, api_read_text, api_read_body, api_load_tenant,
	find_row,	replace_row,   show_changed,  NULL,
};
api_step *const api_connection_change[] = {
	api_need_match, api_read_text, api_read_body, api_load_tenant,
	find_row,	patch_row,     show_changed,  NULL,
};

static enum api_result remove_row(struct api_request *request)
{
	const struct db_result *row = request->results[0];

	if (!is_current(request, row))
		return API_DONE;

	const struct span params[] = { span_of(db_text(row, 0, "id")),
				       span_of(db_text(row, 0, "version")) };

	return api_query(request,
			 "DELETE FROM tollgate.connections WHERE tenant_id = " TENANT
			 " AND id = $1::uuid AND version = $2::bigint",
			 params, COUNT(params));
}

static enum api_result show_gone(struct api_request *request)
{
	if (db_affected(request->results[0]) == 0)
		return api_fail_stale(request);
	return api_answer_nothing(request);
}

api_step *const api_connection_remove[] = { api_need_match, find_row, remove_row, show_gone, NULL };
