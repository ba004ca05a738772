/* SPDX-License-Identifier: Apache-2.0 */

/* What is done to the grants of a connection: connect, ingest, reacquire, disconnect. */

#include <string.h>

#include "base/json.h"
#include "base/loop.h"
#include "base/text.h"
#include "gateway/core/acquire.h"
#include "gateway/core/connect.h"
#include "gateway/core/tenant.h"
#include "gateway/http/api_oauth.h"
#include "gateway/http/api_oauth_action.h"
#include "gateway/http/api_oauth_token.h"
#include "gateway/http/api_record.h"
#include "oauth/access.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define US_PER_S     1000000

static const struct err *keep_err(struct api_request *request, const struct err *err)
{
	return err != NULL ? arena_dup(request->arena, err, sizeof(*err)) : NULL;
}

/* --- connect --------------------------------------------------------------------------------- */

static void on_link(void *ctx, const struct connect_link *link, const struct err *err)
{
	struct api_request *request = ctx;
	struct oauth_action *action = oauth_action_of(request);

	action->err = keep_err(request, err);
	if (err == NULL) {
		action->attempt_id = arena_strdup(request->arena, link->attempt_id);
		action->url = arena_strdup(request->arena, link->url);
		action->expires_at = link->expires_at;
	}
	api_resume(request);
}

static enum api_result start_connect(struct api_request *request)
{
	const struct connect_request asked = {
		.tenant = request->tenant,
		.connection = oauth_action_of(request)->connection,
		.principal = request->principal,
	};

	connect_request(request->app->connects, &request->connecting, &asked, on_link, request);
	return API_WAIT;
}

static enum api_result show_link(struct api_request *request)
{
	const struct oauth_action *action = oauth_action_of(request);
	char expires_at[TEXT_TIME_BYTES];

	if (action->err != NULL)
		return oauth_action_fail(request, action->err);
	text_time(action->expires_at * US_PER_S, expires_at);
	return api_answer(request, 201,
			  json_pack("{s:s, s:s, s:s}", "attempt", action->attempt_id, "url",
				    action->url, "expires_at", expires_at),
			  NULL);
}

/* The tenant is loaded, not found: what was added a moment ago is what is connected. */
api_step *const api_oauth_connect[] = {
	api_load_tenant, oauth_action_begin, start_connect, show_link, NULL,
};

/* --- after a change -------------------------------------------------------------------------- */

/* The trigger tells the node that watches the connection. */
static enum api_result want_refresh(struct api_request *request)
{
	const struct span id = span_of(oauth_action_of(request)->connection->id);

	return api_query(request,
			 "UPDATE tollgate.connection_status SET refresh_wanted = refresh_wanted + 1"
			 " WHERE tenant_id = " TENANT " AND connection_id = $1::uuid",
			 &id, 1);
}

static enum api_result find_grant(struct api_request *request)
{
	const struct grant_key *key = &oauth_action_of(request)->key;
	const struct span params[] = { span_of(key->connection_id), span_of(key->subject) };

	return api_query(request,
			 "SELECT " API_OAUTH_COLUMNS
			 " FROM tollgate.connections c" API_OAUTH_JOIN("$2")
				 API_OAUTH_LAST_EVENT(API_OAUTH_ENDS) " WHERE c.tenant_id = " TENANT
								      " AND c.id = $1::uuid",
			 params, COUNT(params));
}

static enum api_result show_grant(struct api_request *request)
{
	const struct db_result *row = request->results[0];

	if (db_rows(row) == 0)
		return api_fail(request, ERR_NOT_FOUND, "the connection has just been deleted");
	return api_answer(request, 200, api_oauth_show(request, row, 0), NULL);
}

/* --- ingest ---------------------------------------------------------------------------------- */

static void on_put(void *ctx, const struct err *err)
{
	struct api_request *request = ctx;

	oauth_action_of(request)->err = keep_err(request, err);
	api_resume(request);
}

static enum api_result start_put(struct api_request *request)
{
	const struct principal *principal = request->principal;
	struct oauth_action *action = oauth_action_of(request);
	const struct oauth_token_params params = {
		.body = request->body,
		.connection = action->connection,
		.egress = request->tenant->egress,
		.now_s = loop_unix_us() / US_PER_S,
	};
	struct access_put put = { .event = "token_ingested",
				  .actor = action->actor,
				  .context = api_record_context(request) };
	struct api_fault fault;
	struct grant grant;

	if (action->connection->oauth->grant == OAUTH_GRANT_CLIENT_CREDENTIALS)
		return api_fail(request, ERR_CONFLICT,
				"the connection gets its tokens itself, with client_credentials");
	if (oauth_token_parse(&params, &grant, &fault) < 0)
		return api_fail_body(request, &fault);
	grant.key = action->key;
	grant.authenticated_at = params.now_s;
	grant.authenticated_by = principal_name(principal);
	put.grant = &grant;
	put.settings_version = action->connection->settings_version;
	access_put(request->app->access, &request->accessing, &put, on_put, request);
	return API_WAIT;
}

static enum api_result after_put(struct api_request *request)
{
	const struct err *err = oauth_action_of(request)->err;

	return err != NULL ? oauth_action_fail(request, err) : want_refresh(request);
}

api_step *const api_oauth_ingest[] = {
	api_read_text, api_read_body, api_load_tenant, oauth_action_begin, oauth_action_own,
	start_put,     after_put,     find_grant,      show_grant,	   NULL,
};

/* --- reacquire ------------------------------------------------------------------------------- */

static void on_renewed(void *ctx, enum access_state state, const struct access_token *token,
		       const char *why, const struct err *err)
{
	struct api_request *request = ctx;
	struct oauth_action *action = oauth_action_of(request);

	(void)token;
	action->err = keep_err(request, err);
	action->none = err == NULL && state != ACCESS_READY;
	action->why = why != NULL ? arena_strdup(request->arena, why) : NULL;
	api_resume(request);
}

static void on_acquired(void *ctx, const struct err *err)
{
	struct api_request *request = ctx;

	oauth_action_of(request)->err = keep_err(request, err);
	api_resume(request);
}

static enum api_result start_renewal(struct api_request *request)
{
	struct oauth_action *action = oauth_action_of(request);
	const struct acquire_request asked = {
		.tenant = request->tenant,
		.connection = action->connection,
		.actor = action->actor,
		.now = true,
	};

	if (action->connection->oauth->grant == OAUTH_GRANT_CLIENT_CREDENTIALS)
		acquire_start(request->app->acquires, &request->acquiring, &asked, on_acquired,
			      request);
	else
		access_renew(request->app->access, &request->accessing, &action->key, action->actor,
			     on_renewed, request);
	return API_WAIT;
}

static enum api_result fail_at_server(struct api_request *request, const char *text)
{
	return api_fail(request, ERR_UPSTREAM, "the authorization server has not renewed it: %s",
			text);
}

/* A token that is still good is kept if it cannot be renewed, and the row says why it could not
 * be. Without a row that can be read the failure is our own. */
static enum api_result judge_renewal(struct api_request *request)
{
	const struct oauth_action *action = oauth_action_of(request);
	const struct db_result *row = request->results[0];
	const char *text = db_rows(row) > 0 ? db_text(row, 0, "oauth_error") : NULL;

	if (action->none)
		return api_fail(request, ERR_CONFLICT, "somebody has to connect it again: %s",
				action->why != NULL ? action->why : "nobody has connected yet");
	if (action->err != NULL && action->err->code == ERR_UNAUTHENTICATED)
		return fail_at_server(request, action->err->text);
	if (text != NULL)
		return fail_at_server(request, text);
	if (action->err != NULL)
		return oauth_action_fail(request, action->err);
	return show_grant(request);
}

static enum api_result after_renewal(struct api_request *request)
{
	const struct oauth_action *action = oauth_action_of(request);

	return action->err == NULL && !action->none ? want_refresh(request) : API_NEXT;
}

api_step *const api_oauth_reacquire[] = {
	oauth_action_read_user, api_load_tenant,
	oauth_action_begin,	oauth_action_find_user,
	oauth_action_choose,	start_renewal,
	after_renewal,		find_grant,
	judge_renewal,		NULL,
};

/* --- disconnect ------------------------------------------------------------------------------ */

static void on_disconnected(void *ctx, const char *revocation, const struct err *err)
{
	struct api_request *request = ctx;
	struct oauth_action *action = oauth_action_of(request);

	action->err = keep_err(request, err);
	action->revocation = revocation != NULL ? arena_strdup(request->arena, revocation) : NULL;
	api_resume(request);
}

static enum api_result start_disconnect(struct api_request *request)
{
	struct oauth_action *action = oauth_action_of(request);

	access_disconnect(request->app->access, &request->accessing, &action->key,
			  &(struct access_asker){ .actor = action->actor,
						  .context = api_record_context(request) },
			  on_disconnected, request);
	return API_WAIT;
}

static enum api_result after_disconnect(struct api_request *request)
{
	const struct err *err = oauth_action_of(request)->err;

	if (err == NULL)
		return want_refresh(request);
	return err->code == ERR_NOT_FOUND
		       ? api_fail(request, ERR_NOT_FOUND, "there is no connected account")
		       : oauth_action_fail(request, err);
}

static enum api_result show_revocation(struct api_request *request)
{
	const struct oauth_action *action = oauth_action_of(request);

	return api_answer(request, 200,
			  json_pack("{s:s, s:s, s:b}", "connection", action->connection->name,
				    "revocation", action->revocation, "revoked",
				    strcmp(action->revocation, "revoked") == 0),
			  NULL);
}

api_step *const api_oauth_disconnect[] = {
	oauth_action_read_user, api_load_tenant,     oauth_action_begin,
	oauth_action_find_user, oauth_action_choose, start_disconnect,
	after_disconnect,	show_revocation,     NULL,
};
