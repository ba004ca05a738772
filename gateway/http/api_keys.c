/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /keys: API keys. The text of a key is in the answer that makes it and nowhere else.
 *
 * Nobody sees, makes or deletes a key that may do more than the caller's own; a plain user's
 * requests are about that user's keys only.
 */

#include <string.h>

#include "base/text.h"
#include "gateway/core/apikey.h"
#include "gateway/http/api.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* $1: the caller's user, or NULL for all; $2: whether the caller is of the platform. */
#define VISIBLE                                                                                    \
	"k.tenant_id = " TENANT " AND ($1::uuid IS NULL OR k.user_id = $1::uuid)"                  \
	" AND (k.role <> 'platform' OR $2::boolean)"
#define SELECT_KEYS                                                                                \
	"SELECT k.id, k.key_id, k.name, u.name AS user_name, k.role, k.created_by,"                \
	" to_char(k.created_at " API_RFC3339 " AS created_at,"                                     \
	" to_char(k.expires_at " API_RFC3339 " AS expires_at"                                      \
	" FROM tollgate.api_keys k LEFT JOIN tollgate.users u"                                     \
	" ON u.tenant_id = k.tenant_id AND u.id = k.user_id WHERE " VISIBLE

static const struct member key_members[] = {
	{"name",	  MEMBER_TEXT, MEMBER_REQUIRED, 0, 0, "a name such as \"ana-laptop\""      },
	{ "user",	  MEMBER_TEXT, MEMBER_NULLABLE, 0, 0,
	  "the name of a user, or null for a service key"					  },
	{ "role",	  MEMBER_TEXT, MEMBER_OPTIONAL, 0, 0, "\"user\", \"admin\" or \"platform\""},
	{ "expires_at", MEMBER_TEXT, MEMBER_NULLABLE, 0, 0,
	  "a time such as \"2027-01-31T12:00:00Z\", or null"					     },
};

/* A key that is being made. */
struct new_key {
	const char *name;
	const char *user; /* NULL: a service key */
	enum role role;
	const char *expires_at; /* NULL: never */
	struct secret text;
	char id[UUID_TEXT_BYTES];
};

static struct span only_user(const struct api_request *request)
{
	return span_of(request->only_user_id);
}

static struct span is_platform(const struct api_request *request)
{
	return span_of(request->principal->role == ROLE_PLATFORM ? "true" : "false");
}

static json_t *show_key(const struct api_request *request, const struct db_result *rows, size_t row)
{
	(void)request;
	return json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:s, s:s, s:o}", "id",
			 db_text(rows, row, "id"), "name", db_text(rows, row, "name"), "user",
			 db_text(rows, row, "user_name"), "role", db_text(rows, row, "role"),
			 "expires_at", db_text(rows, row, "expires_at"), "created_at",
			 db_text(rows, row, "created_at"), "created_by",
			 db_text(rows, row, "created_by"), "prefix",
			 json_sprintf(APIKEY_PREFIX "%s", db_text(rows, row, "key_id")));
}

static enum api_result find_page(struct api_request *request)
{
	const struct span params[] = {
		only_user(request),
		is_platform(request),
		api_page_after(request),
		api_page_rows(request),
	};

	return api_query(request,
			 SELECT_KEYS " AND k.name COLLATE \"C\" > $3"
				     " ORDER BY k.name COLLATE \"C\" LIMIT $4::bigint",
			 params, COUNT(params));
}

static enum api_result show_page(struct api_request *request)
{
	return api_answer_rows(request, request->results[0], show_key);
}

api_step *const api_key_list[] = { api_read_page, find_page, show_page, NULL };

static int parse_expiry(struct api_request *request, struct new_key *key, struct api_fault *fault)
{
	const char *text = member_text(request->body, "expires_at", NULL);
	char *canonical = arena_alloc(request->arena, TEXT_TIME_BYTES);
	int64_t unix_us;
	struct err err;

	if (text == NULL)
		return 0;
	if (text_parse_time(text, &unix_us, &err) < 0)
		return api_fault_set(fault, "/expires_at",
				     "expires_at must be a time such as \"2027-01-31T12:00:00Z\"");
	if (unix_us <= loop_unix_us())
		return api_fault_set(fault, "/expires_at", "expires_at must be in the future");
	text_time(unix_us, canonical);
	key->expires_at = canonical;
	return 0;
}

static int parse_key(struct api_request *request, struct new_key *key, struct api_fault *fault)
{
	static const char *const roles[] = { "user", "admin", "platform", NULL };
	const json_t *body = request->body;
	const char *role;
	struct err err;

	if (members_check(body, "", "a key", key_members, COUNT(key_members), fault) < 0 ||
	    member_name(body, "name", fault) < 0)
		return -1;
	role = member_text(body, "role", roles[0]);
	if (member_word(role, "/role", roles, fault) < 0 || role_parse(role, &key->role, &err) < 0)
		return -1;
	key->name = member_text(body, "name", "");
	key->user = member_text(body, "user", NULL);
	return parse_expiry(request, key, fault);
}

static void wipe_text(void *p)
{
	secret_fini(p);
}

static enum api_result read_key(struct api_request *request)
{
	struct new_key *key = arena_alloc(request->arena, sizeof(*key));
	struct api_fault fault;

	request->work = key;
	arena_attach(request->arena, &key->text, wipe_text);
	if (parse_key(request, key, &fault) < 0)
		return api_fail_body(request, &fault);
	if (key->role > request->principal->role)
		return api_fail(request, ERR_FORBIDDEN,
				"a key of role %s can only be made with one of that role",
				role_name(key->role));
	if (request->only_user_id != NULL &&
	    (key->user == NULL || strcmp(key->user, request->principal->user_name) != 0))
		return api_fail(request, ERR_FORBIDDEN,
				"only an administrator of the tenant may make keys for others or "
				"for services; set \"user\" to your own name");
	return API_NEXT;
}

static enum api_result find_user(struct api_request *request)
{
	const struct new_key *key = request->work;
	const struct span name = span_of(key->user);

	request->results = NULL;
	if (key->user == NULL)
		return API_NEXT;
	return api_query(request,
			 "SELECT id, role FROM tollgate.users WHERE tenant_id = " TENANT
			 " AND name = $1",
			 &name, 1);
}

static int check_user(const struct new_key *key, const struct db_result *user,
		      struct api_fault *fault)
{
	if (db_rows(user) == 0)
		return api_fault_set(fault, "/user", "user: there is no user named %.64s",
				     key->user);
	if (key->role == ROLE_ADMIN && strcmp(db_text(user, 0, "role"), "admin") != 0)
		return api_fault_set(fault, "/role",
				     "role: %.64s is no administrator, and a key cannot do more "
				     "than its user",
				     key->user);
	return 0;
}

static enum api_result insert_key(struct api_request *request)
{
	const struct db_result *user = request->results != NULL ? request->results[0] : NULL;
	const struct principal *maker = request->principal;
	struct new_key *key = request->work;
	struct provision provision;
	struct api_fault fault;
	struct apikey stored;

	if (user != NULL && check_user(key, user, &fault) < 0)
		return api_fail_body(request, &fault);
	uuid_v4(key->id);
	apikey_new(request->app->keyring, &stored, &key->text);

	const struct key_row row = {
		.id = key->id,
		.name = key->name,
		.user_id = user != NULL ? db_text(user, 0, "id") : NULL,
		.role = role_name(key->role),
		.expires_at = key->expires_at,
		.created_by = maker->user_name != NULL ? maker->user_name : maker->api_key,
	};
	const struct span params[] = { { 0 }, span_of("true"), span_of(key->id) };

	provision_init(&provision, request->arena, request->tenant_id);
	provision_key(&provision, &row, &stored);
	provision_add(&provision, SELECT_KEYS " AND k.id = $3::uuid", params, COUNT(params));
	request->conflict =
		arena_printf(request->arena, "there is a key named %s already", key->name);
	return api_run(request, &provision);
}

static enum api_result show_made(struct api_request *request)
{
	const struct new_key *key = request->work;
	json_t *shown = show_key(request, api_last_result(request), 0);

	json_object_set_new(shown, "key", json_stringn(key->text.reveal, key->text.n));
	return api_answer(request, 201, shown, NULL);
}

api_step *const api_key_create[] = {
	api_read_text, api_read_body, read_key, find_user, insert_key, show_made, NULL,
};

static enum api_result remove_key(struct api_request *request)
{
	const char *id = exchange_param(request->exchange, "id");
	const struct span params[] = { only_user(request), is_platform(request), span_of(id) };

	if (!uuid_valid(id))
		return api_fail(request, ERR_NOT_FOUND, "there is no key with this id");
	return api_query(request,
			 "DELETE FROM tollgate.api_keys k WHERE " VISIBLE " AND k.id = $3::uuid",
			 params, COUNT(params));
}

static enum api_result show_gone(struct api_request *request)
{
	if (db_affected(request->results[0]) == 0)
		return api_fail(request, ERR_NOT_FOUND, "there is no key with this id");
	return api_answer_nothing(request);
}

api_step *const api_key_remove[] = { remove_key, show_gone, NULL };
