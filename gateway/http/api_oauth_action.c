/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_oauth_action.h"

#include <stdio.h>

#include "gateway/core/connect.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct oauth_action *oauth_action_of(const struct api_request *request)
{
	return request->work;
}

enum api_result oauth_action_fail(struct api_request *request, const struct err *err)
{
	return api_fail(request, err->code, "%s", err->text);
}

/* While settings are tried out, those are meant: accounts are connected to what is to come. */
enum api_result oauth_action_begin(struct api_request *request)
{
	const char *name = exchange_param(request->exchange, "name");
	const struct connection *found = tenant_find_connection(request->tenant, name);
	const struct principal *principal = request->principal;
	struct oauth_action *action = arena_alloc(request->arena, sizeof(*action));

	if (found == NULL)
		return api_fail(request, ERR_NOT_FOUND, "there is no connection named %.64s", name);
	if (found->trial != NULL)
		found = found->trial;
	if (found->invalid != NULL)
		return api_fail(request, ERR_CONFLICT, "the connection cannot be used: %s",
				found->invalid);
	if (found->auth_mode != AUTH_OAUTH)
		return api_fail(request, ERR_CONFLICT,
				"the connection's auth.mode is not \"oauth\": it has no accounts");
	action->connection = found;
	snprintf(action->actor, sizeof(action->actor), "%s:%s",
		 principal->user_name != NULL ? "user" : "key", principal_name(principal));
	request->work = action;
	return API_NEXT;
}

static void set_key(struct api_request *request)
{
	struct grant_key *key = &oauth_action_of(request)->key;

	snprintf(key->tenant_id, sizeof(key->tenant_id), "%s", request->tenant_id);
	snprintf(key->connection_id, sizeof(key->connection_id), "%s",
		 oauth_action_of(request)->connection->id);
}

enum api_result oauth_action_own(struct api_request *request)
{
	struct oauth_action *action = oauth_action_of(request);
	struct err err;

	set_key(request);
	if (connect_subject(action->connection, request->principal, action->key.subject, &err) < 0)
		return oauth_action_fail(request, &err);
	if (action->key.subject[0] == '\0' && request->principal->role < ROLE_ADMIN)
		return api_fail(request, ERR_FORBIDDEN,
				"all share the account of this connection: only an administrator "
				"of the tenant may do this");
	return API_NEXT;
}

enum api_result oauth_action_read_user(struct api_request *request)
{
	static const struct member members[] = {
		{"user", MEMBER_TEXT, MEMBER_NULLABLE, 0, 0, "the name of a user or null"},
	};
	struct api_fault fault;
	enum api_result result;

	if (exchange_body(request->exchange).n == 0)
		return API_NEXT;
	result = api_read_text(request);
	if (result == API_NEXT)
		result = api_read_body(request);
	if (result != API_NEXT)
		return result;
	if (members_check(request->body, "", "this", members, COUNT(members), &fault) < 0)
		return api_fail_body(request, &fault);
	return API_NEXT;
}

static const char *named_user(const struct api_request *request)
{
	return member_text(request->body, "user", NULL);
}

enum api_result oauth_action_find_user(struct api_request *request)
{
	const struct span name = span_of(named_user(request));

	if (name.p == NULL)
		return API_NEXT;
	if (request->principal->role < ROLE_ADMIN)
		return api_fail(request, ERR_FORBIDDEN,
				"only an administrator of the tenant may name a user");
	if (!oauth_action_of(request)->connection->oauth->per_user)
		return api_fail(request, ERR_BAD_REQUEST,
				"all share the account of this connection: leave user out");
	return api_query(request,
			 "SELECT id FROM tollgate.users WHERE tenant_id = " TENANT " AND name = $1",
			 &name, 1);
}

enum api_result oauth_action_choose(struct api_request *request)
{
	struct grant_key *key = &oauth_action_of(request)->key;

	if (named_user(request) == NULL)
		return oauth_action_own(request);
	if (db_rows(request->results[0]) == 0)
		return api_fail(request, ERR_NOT_FOUND, "there is no user named %.64s",
				named_user(request));
	set_key(request);
	snprintf(key->subject, sizeof(key->subject), "user:%s",
		 db_text(request->results[0], 0, "id"));
	return API_NEXT;
}
