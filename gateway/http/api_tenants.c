/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /tenants, for administrators of the platform.
 *
 * config_version rises with everything a tenant owns, so it is no version of the tenant itself:
 * its ETag is a digest of what a client can write. The write still names the config_version that
 * was read, and is tried again if that has moved while the tenant stayed the same.
 */

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/egress.h"
#include "gateway/http/api.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define DIGEST_BYTES	8
#define MAX_STATE_BYTES (API_MAX_EGRESS * (6 * API_MAX_EGRESS_ENTRY + 4) + 1024)
#define MAX_TRIES	5
#define COLUMNS                                                                                    \
	"id, name, enabled, egress::text AS egress, config_version,"                               \
	" to_char(created_at " API_RFC3339 " AS created_at"

static const struct member tenant_members[] = {
	{"name",	  MEMBER_TEXT,    MEMBER_REQUIRED, 0, 0, "a name such as \"acme\""},
	{ "enabled",    MEMBER_FLAG,	  MEMBER_OPTIONAL, 0, 0, "true or false"		 },
	{ "egress",	    MEMBER_OBJECT,  MEMBER_OPTIONAL, 0, 0,
	  "an object such as {\"allow\":[\"10.0.0.5:8443\"]}"			      },
	{ "id",		MEMBER_IGNORED, MEMBER_OPTIONAL, 0, 0, NULL			    },
	{ "created_at", MEMBER_IGNORED, MEMBER_OPTIONAL, 0, 0, NULL			    },
};

static const struct member egress_members[] = {
	{"allow", MEMBER_LIST, MEMBER_OPTIONAL, API_MAX_EGRESS_ENTRY, API_MAX_EGRESS,
	  "a list of addresses such as [\"10.0.0.5:8443\"]"},
};

struct tenant_body {
	const char *name;
	bool enabled;
	const char *egress; /* JSON */
};

static int check_exceptions(const json_t *allow, struct api_fault *fault)
{
	const char *entries[API_MAX_EGRESS];
	struct egress_policy *policy;
	struct err err;
	size_t n = json_array_size(allow);

	for (size_t i = 0; i < n; i++)
		entries[i] = json_string_value(json_array_get(allow, i));
	policy = egress_policy_new(entries, n, false, &err);
	if (policy == NULL)
		return api_fault_set(fault, "/egress/allow", "egress.allow: %s", err.text);
	egress_policy_unref(&policy);
	return 0;
}

static const char *text_of(struct arena *arena, const json_t *value)
{
	struct buf text;
	const char *copy = "";

	buf_init(&text, MAX_STATE_BYTES);
	if (json_write(value, &text) == 0)
		copy = arena_dup(arena, text.data, text.len);
	buf_fini(&text);
	return copy;
}

static int parse_egress(struct api_request *request, const json_t *body, struct tenant_body *out,
			struct api_fault *fault)
{
	json_t *egress = json_object_get(body, "egress");
	json_t *allow = json_object_get(egress, "allow");

	out->egress = "{\"allow\":[]}";
	if (egress == NULL)
		return 0;
	if (members_check(egress, "/egress", "egress", egress_members, COUNT(egress_members),
			  fault) < 0 ||
	    check_exceptions(allow, fault) < 0)
		return -1;
	if (allow != NULL)
		out->egress = text_of(request->arena, egress);
	return 0;
}

static int parse_tenant(struct api_request *request, const json_t *body, struct tenant_body *out,
			struct api_fault *fault)
{
	if (members_check(body, "", "a tenant", tenant_members, COUNT(tenant_members), fault) < 0 ||
	    member_name(body, "name", fault) < 0)
		return -1;
	out->name = member_text(body, "name", "");
	out->enabled = member_flag(body, "enabled", true);
	return parse_egress(request, body, out, fault);
}

static json_t *show_egress(const char *text)
{
	struct err err;
	json_t *egress = json_parse(span_of(text), &err);

	return egress != NULL ? egress : json_object();
}

static json_t *show_tenant(const struct api_request *request, const struct db_result *rows,
			   size_t row)
{
	(void)request;
	return json_pack("{s:s, s:s, s:b, s:o, s:s}", "id", db_text(rows, row, "id"), "name",
			 db_text(rows, row, "name"), "enabled", (int)db_bool(rows, row, "enabled"),
			 "egress", show_egress(db_text(rows, row, "egress")), "created_at",
			 db_text(rows, row, "created_at"));
}

static void etag_of(const struct db_result *row, char out[API_ETAG_BYTES])
{
	uint8_t digest[SHA256_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	struct buf state;

	buf_init(&state, MAX_STATE_BYTES);
	buf_printf(&state, "%s %d %s", db_text(row, 0, "name"), db_bool(row, 0, "enabled"),
		   db_text(row, 0, "egress"));
	crypto_sha256(state.data, state.len, digest);
	buf_fini(&state);
	hex_encode(digest, DIGEST_BYTES, hex);
	snprintf(out, API_ETAG_BYTES, "\"%s\"", hex);
}

static enum api_result answer_tenant(struct api_request *request, int status,
				     const struct db_result *row)
{
	char etag[API_ETAG_BYTES];

	etag_of(row, etag);
	return api_answer(request, status, show_tenant(request, row, 0), etag);
}

static enum api_result fail_missing(struct api_request *request)
{
	return api_fail(request, ERR_NOT_FOUND, "there is no tenant named %.64s",
			exchange_param(request->exchange, "tenant"));
}

static enum api_result find_page(struct api_request *request)
{
	const struct span params[] = { api_page_after(request), api_page_rows(request) };

	return api_query(request,
			 "SELECT " COLUMNS " FROM tollgate.list_tenants()"
			 " WHERE name COLLATE \"C\" > $1"
			 " ORDER BY name COLLATE \"C\" LIMIT $2::bigint",
			 params, COUNT(params));
}

static enum api_result show_page(struct api_request *request)
{
	return api_answer_rows(request, request->results[0], show_tenant);
}

api_step *const api_tenant_list[] = { api_read_page, find_page, show_page, NULL };

static enum api_result find_tenant(struct api_request *request)
{
	const struct span name = span_of(exchange_param(request->exchange, "tenant"));

	return api_query(request, "SELECT " COLUMNS " FROM tollgate.find_tenant($1)", &name, 1);
}

static enum api_result show_found(struct api_request *request)
{
	if (db_rows(request->results[0]) == 0)
		return fail_missing(request);
	return answer_tenant(request, 200, request->results[0]);
}

api_step *const api_tenant_show[] = { find_tenant, show_found, NULL };

static enum api_result insert_tenant(struct api_request *request)
{
	char id[UUID_TEXT_BYTES];
	struct provision provision;
	struct tenant_body tenant;
	struct api_fault fault;

	if (parse_tenant(request, request->body, &tenant, &fault) < 0)
		return api_fail_body(request, &fault);
	uuid_v4(id);
	/* As the new tenant, which its data key belongs to. */
	provision_init(&provision, request->arena, id);
	provision_tenant(&provision, request->app->keyring, request->app->deployment,
			 &(struct tenant_row){ tenant.name, tenant.enabled, tenant.egress });

	const struct span name = span_of(tenant.name);

	provision_add(&provision, "SELECT " COLUMNS " FROM tollgate.find_tenant($1)", &name, 1);
	request->conflict =
		arena_printf(request->arena, "there is a tenant named %s already", tenant.name);
	return api_run(request, &provision);
}

static enum api_result show_made(struct api_request *request)
{
	return answer_tenant(request, 201, api_last_result(request));
}

api_step *const api_tenant_create[] = { api_read_text, api_read_body, insert_tenant, show_made,
					NULL };

/* False if the request has been answered. */
static bool is_current(struct api_request *request, const struct db_result *row)
{
	char etag[API_ETAG_BYTES];

	if (db_rows(row) == 0) {
		fail_missing(request);
		return false;
	}
	etag_of(row, etag);
	if (!api_matches(request, etag))
		api_fail_stale(request);
	return api_matches(request, etag);
}

/* The key that asks would be the first to be refused. */
static bool is_own(const struct api_request *request, const struct db_result *row)
{
	return strcmp(db_text(row, 0, "id"), request->principal->tenant_id) == 0;
}

static enum api_result update_tenant(struct api_request *request)
{
	const struct db_result *row = request->results[0];
	struct tenant_body tenant;
	struct api_fault fault;
	json_t *shown;
	json_t *merged;

	if (!is_current(request, row))
		return API_DONE;
	shown = show_tenant(request, row, 0);
	merged = merge_patch(shown, request->body);
	json_decref(shown);
	api_keep(request, merged);
	if (parse_tenant(request, merged, &tenant, &fault) < 0)
		return api_fail_body(request, &fault);
	if (!tenant.enabled && is_own(request, row))
		return api_fail(request, ERR_CONFLICT,
				"this tenant owns the key that you are using; disable it with a "
				"key of another");

	const struct span params[] = {
		span_of(db_text(row, 0, "id")),
		span_of(tenant.name),
		span_of(tenant.enabled ? "true" : "false"),
		span_of(tenant.egress),
		span_of(db_text(row, 0, "config_version")),
	};

	request->conflict =
		arena_printf(request->arena, "there is a tenant named %s already", tenant.name);
	return api_query(request,
			 "SELECT " COLUMNS " FROM tollgate.update_tenant($1::uuid, $2,"
			 " $3::boolean, $4::jsonb, $5::bigint)",
			 params, COUNT(params));
}

/* Something that the tenant owns may have changed just now: then the tenant itself is the same. */
static enum api_result try_again(struct api_request *request)
{
	unsigned *tries = request->work;

	if (tries == NULL)
		request->work = tries = arena_alloc(request->arena, sizeof(*tries));
	if (++*tries >= MAX_TRIES)
		return api_fail_stale(request);
	while (*request->next != find_tenant)
		request->next--;
	return API_NEXT;
}

static enum api_result show_changed(struct api_request *request)
{
	if (db_rows(request->results[0]) == 0)
		return try_again(request);
	return answer_tenant(request, 200, request->results[0]);
}

api_step *const api_tenant_change[] = {
	api_need_match, api_read_text, api_read_body, find_tenant,
	update_tenant,	show_changed,  NULL,
};

static enum api_result remove_tenant(struct api_request *request)
{
	const struct db_result *row = request->results[0];

	if (!is_current(request, row))
		return API_DONE;
	if (is_own(request, row))
		return api_fail(request, ERR_CONFLICT,
				"this tenant owns the key that you are using; delete it with a "
				"key of another");

	const struct span id = span_of(db_text(row, 0, "id"));

	return api_query(request, "SELECT tollgate.delete_tenant($1::uuid) AS gone", &id, 1);
}

static enum api_result show_gone(struct api_request *request)
{
	if (!db_bool(request->results[0], 0, "gone"))
		return fail_missing(request);
	return api_answer_nothing(request);
}

api_step *const api_tenant_remove[] = {
	api_need_match, find_tenant, remove_tenant, show_gone, NULL,
};
