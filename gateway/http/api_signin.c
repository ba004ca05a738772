/* SPDX-License-Identifier: Apache-2.0 */

/* /signin-codes: a key's user signs in at a browser. */

#include "base/text.h"
#include "gateway/core/browser.h"
#include "gateway/http/api.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define US_PER_S     1000000

static enum api_result find_own_user(struct api_request *request)
{
	const char *user_id = request->principal->user_id;
	const struct span id = user_id[0] != '\0' ? span_of(user_id) : (struct span){ 0 };

	return api_query(request,
			 "SELECT role FROM tollgate.users WHERE tenant_id = " TENANT
			 " AND id = $1::uuid AND enabled",
			 &id, 1);
}

/* The session will be as good as its user: a key that may do less must not become one. */
static enum api_result insert_code(struct api_request *request)
{
	const struct principal *principal = request->principal;
	const struct db_result *user = request->results[0];
	char *code = arena_alloc(request->arena, BROWSER_TOKEN_BYTES);
	char hash[BROWSER_HASH_BYTES];
	enum role role;
	struct err err;

	if (principal->user_id[0] == '\0')
		return api_fail(request, ERR_FORBIDDEN,
				"this key belongs to a service; only the key of a user can sign in "
				"at a browser");
	if (db_rows(user) == 0 || role_parse(db_text(user, 0, "role"), &role, &err) < 0)
		return api_fail(request, ERR_NOT_FOUND, "the user has just been removed");
	if (role > principal->role)
		return api_fail(request, ERR_FORBIDDEN,
				"this key may do less than its user, so it cannot sign in as that "
				"user");
	browser_token_new(code);
	browser_token_hash(code, hash);
	request->work = code;

	const struct span params[] = { span_of(hash), span_of(principal->user_id),
				       span_of(principal->api_key),
				       span_of(principal->api_key_id) };

	return api_query(request, browser_insert_code, params, COUNT(params));
}

static enum api_result show_link(struct api_request *request)
{
	const struct db_result *row = request->results[0];
	const char *code = request->work;
	char expires_at[TEXT_TIME_BYTES];

	if (db_rows(row) == 0)
		return api_fail(request, ERR_NOT_FOUND, "the user has just been removed");
	text_time(db_int(row, 0, "expires_at") * US_PER_S, expires_at);
	return api_answer(request, 201,
			  json_pack("{s:s, s:s, s:s}", "url",
				    arena_printf(request->arena, "%s/signin?code=%s",
						 request->app->public_url, code),
				    "user", request->principal->user_name, "expires_at",
				    expires_at),
			  NULL);
}

api_step *const api_signin_code_create[] = { find_own_user, insert_code, show_link, NULL };
