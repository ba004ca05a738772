/* SPDX-License-Identifier: Apache-2.0 */

/* /users: the people of a tenant. */

#include <string.h>

#include "gateway/http/api.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SELECT_USERS                                                                               \
	"SELECT id, name, email, role, enabled, version,"                                          \
	" to_char(created_at " API_RFC3339 " AS created_at,"                                       \
	" to_char(updated_at " API_RFC3339 " AS updated_at"                                        \
	" FROM tollgate.users WHERE tenant_id = " TENANT

static const struct member user_members[] = {
	{"name",	  MEMBER_TEXT,    MEMBER_REQUIRED, 0,		   0, "a name such as \"ana\""},
	{ "email",	   MEMBER_TEXT,	MEMBER_NULLABLE, API_MAX_EMAIL, 0, "a mail address or null"},
	{ "role",	  MEMBER_TEXT,    MEMBER_OPTIONAL, 0,		   0, "\"user\" or \"admin\"" },
	{ "enabled",    MEMBER_FLAG,	  MEMBER_OPTIONAL, 0,	      0, "true or false"	 },
	{ "id",		MEMBER_IGNORED, MEMBER_OPTIONAL, 0,		    0, NULL		    },
	{ "version",    MEMBER_IGNORED, MEMBER_OPTIONAL, 0,		 0, NULL			 },
	{ "created_at", MEMBER_IGNORED, MEMBER_OPTIONAL, 0,		    0, NULL		    },
	{ "updated_at", MEMBER_IGNORED, MEMBER_OPTIONAL, 0,		    0, NULL		    },
};

struct user_body {
	const char *name;
	const char *email; /* NULL: none */
	const char *role;
	bool enabled;
};

static int parse_user(const json_t *body, struct user_body *out, struct api_fault *fault)
{
	static const char *const roles[] = { "user", "admin", NULL };

	if (members_check(body, "", "a user", user_members, COUNT(user_members), fault) < 0 ||
	    member_name(body, "name", fault) < 0)
		return -1;
	*out = (struct user_body){
		.name = member_text(body, "name", ""),
		.email = member_text(body, "email", NULL),
		.role = member_text(body, "role", roles[0]),
		.enabled = member_flag(body, "enabled", true),
	};
	if (out->email != NULL && out->email[0] == '\0')
		return api_fault_set(fault, "/email", "email must be a mail address or null");
	return member_word(out->role, "/role", roles, fault);
}

static json_t *show_user(const struct api_request *request, const struct db_result *rows,
			 size_t row)
{
	(void)request;
	return json_pack(
		"{s:s, s:s, s:s?, s:s, s:b, s:I, s:s, s:s}", "id", db_text(rows, row, "id"), "name",
		db_text(rows, row, "name"), "email", db_text(rows, row, "email"), "role",
		db_text(rows, row, "role"), "enabled", (int)db_bool(rows, row, "enabled"),
		"version", (json_int_t)db_int(rows, row, "version"), "created_at",
		db_text(rows, row, "created_at"), "updated_at", db_text(rows, row, "updated_at"));
}

static enum api_result answer_user(struct api_request *request, int status,
				   const struct db_result *row)
{
	char etag[API_ETAG_BYTES];

	api_etag(db_int(row, 0, "version"), etag);
	return api_answer(request, status, show_user(request, row, 0), etag);
}

static enum api_result fail_missing(struct api_request *request)
{
	return api_fail(request, ERR_NOT_FOUND, "there is no user named %.64s",
			exchange_param(request->exchange, "name"));
}

static enum api_result find_page(struct api_request *request)
{
	const struct span params[] = { api_page_after(request), api_page_rows(request) };

	return api_query(request,
			 SELECT_USERS " AND name COLLATE \"C\" > $1"
				      " ORDER BY name COLLATE \"C\" LIMIT $2::bigint",
			 params, COUNT(params));
}

static enum api_result show_page(struct api_request *request)
{
	return api_answer_rows(request, request->results[0], show_user);
}

api_step *const api_user_list[] = { api_read_page, find_page, show_page, NULL };

static enum api_result find_user(struct api_request *request)
{
	const struct span name = span_of(exchange_param(request->exchange, "name"));

	return api_query(request, SELECT_USERS " AND name = $1", &name, 1);
}

static enum api_result show_found(struct api_request *request)
{
	if (db_rows(request->results[0]) == 0)
		return fail_missing(request);
	return answer_user(request, 200, request->results[0]);
}

api_step *const api_user_show[] = { find_user, show_found, NULL };

/* The row again, as it is after what the provision does. */
static enum api_result run_and_read(struct api_request *request, struct provision *provision,
				    const char *id, const char *name)
{
	const struct span param = span_of(id);

	provision_add(provision, SELECT_USERS " AND id = $1::uuid", &param, 1);
	request->conflict = arena_printf(request->arena, "there is a user named %s already", name);
	return api_run(request, provision);
}

static enum api_result insert_user(struct api_request *request)
{
	char *id = arena_alloc(request->arena, UUID_TEXT_BYTES);
	struct provision provision;
	struct user_body user;
	struct api_fault fault;

	if (parse_user(request->body, &user, &fault) < 0)
		return api_fail_body(request, &fault);
	uuid_v4(id);
	provision_init(&provision, request->arena, request->tenant_id);
	provision_user(&provision,
		       &(struct user_row){ id, user.name, user.email, user.role, user.enabled });
	return run_and_read(request, &provision, id, user.name);
}

static enum api_result show_made(struct api_request *request)
{
	return answer_user(request, 201, api_last_result(request));
}

api_step *const api_user_create[] = { api_read_text, api_read_body, insert_user, show_made, NULL };

/* False if the request has been answered. */
static bool is_current(struct api_request *request, const struct db_result *row)
{
	char etag[API_ETAG_BYTES];

	if (db_rows(row) == 0) {
		fail_missing(request);
		return false;
	}
	api_etag(db_int(row, 0, "version"), etag);
	if (!api_matches(request, etag))
		api_fail_stale(request);
	return api_matches(request, etag);
}

static enum api_result update_user(struct api_request *request)
{
	const struct db_result *row = request->results[0];
	struct provision provision;
	struct user_body user;
	struct api_fault fault;
	json_t *shown;
	json_t *merged;

	if (!is_current(request, row))
		return API_DONE;
	shown = show_user(request, row, 0);
	merged = merge_patch(shown, request->body);
	json_decref(shown);
	api_keep(request, merged);
	if (parse_user(merged, &user, &fault) < 0)
		return api_fail_body(request, &fault);

	const char *id = db_text(row, 0, "id");
	const struct span params[] = {
		span_of(id),
		span_of(user.name),
		span_of(user.email),
		span_of(user.role),
		span_of(user.enabled ? "true" : "false"),
		span_of(db_text(row, 0, "version")),
	};

	provision_init(&provision, request->arena, request->tenant_id);
	provision_add(&provision,
		      "UPDATE tollgate.users SET name = $2, email = $3, role = $4,"
		      " enabled = $5::boolean, version = version + 1"
		      " WHERE tenant_id = " TENANT " AND id = $1::uuid AND version = $6::bigint",
		      params, COUNT(params));
	return run_and_read(request, &provision, id, user.name);
}

static enum api_result show_changed(struct api_request *request)
{
	if (db_affected(request->results[0]) == 0)
		return api_fail_stale(request);
	return answer_user(request, 200, api_last_result(request));
}

api_step *const api_user_change[] = {
	api_need_match, api_read_text, api_read_body, find_user, update_user, show_changed, NULL,
};

static enum api_result remove_user(struct api_request *request)
{
	const struct db_result *row = request->results[0];

	if (!is_current(request, row))
		return API_DONE;

	const struct span params[] = {
		span_of(db_text(row, 0, "id")),
		span_of(db_text(row, 0, "version")),
	};

	return api_query(request,
			 "DELETE FROM tollgate.users WHERE tenant_id = " TENANT
			 " AND id = $1::uuid AND version = $2::bigint",
			 params, COUNT(params));
}

static enum api_result show_gone(struct api_request *request)
{
	if (db_affected(request->results[0]) == 0)
		return api_fail_stale(request);
	return api_answer_nothing(request);
}

api_step *const api_user_remove[] = { api_need_match, find_user, remove_user, show_gone, NULL };
