/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_connection_row.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/seal.h"
#include "gateway/core/tenant.h"
#include "gateway/http/api_connection_body.h"

#define MAX_HEADERS_TEXT (6 * API_MAX_ALL_HEADERS + 8 * API_MAX_HEADERS)

/* A connection that is being written, and the row that it replaces. */
struct writing {
	struct api_request *request;
	const struct db_result *row; /* NULL: it is new */
	struct connection_body body;
	struct connection_row *out;
};

/* What the row has sealed in a column, into the arena, which wipes it. */
static int open_column(const struct writing *writing, const char *column, struct span *out,
		       struct err *err)
{
	const struct api_request *request = writing->request;
	const struct seal_place place = {
		.deployment = request->app->deployment,
		.tenant = request->tenant_id,
		.table = "connections",
		.column = column,
		.row = db_text(writing->row, 0, "id"),
		.version = db_int(writing->row, 0, "version"),
	};
	struct secret plain = { 0 };
	size_t n;
	char *sealed = db_bytes(writing->row, 0, column, &n);
	const struct seal_key *key =
		sealed == NULL ? NULL
			       : seal_find_key(request->tenant->keys, request->tenant->n_keys,
					       (struct span){ sealed, n }, err);
	int ret = -1;

	if (sealed == NULL)
		return err_set(err, ERR_INTERNAL, "none is stored");
	if (key != NULL && seal_open(key, &place, (struct span){ sealed, n }, &plain, err) == 0) {
		*out = (struct span){ arena_dup(request->arena, plain.reveal, plain.n), plain.n };
		ret = 0;
	}
	secret_fini(&plain);
	free(sealed);
	return ret;
}

static int fail_unopened(const struct writing *writing, const char *pointer, const char *label,
			 const struct err *err, struct api_fault *fault)
{
	const struct log_subject subject = {
		.component = "api",
		.tenant = writing->request->tenant_name,
		.connection = db_text(writing->row, 0, "name"),
	};

	log_warn(&subject, "a stored secret cannot be kept: %s", err->text);
	return api_fault_set(fault, pointer,
			     "%s: what is stored cannot be opened, so it cannot be kept; write it "
			     "anew",
			     label);
}

static int take_credential(struct writing *writing, struct api_fault *fault)
{
	struct err err;

	if (writing->body.credential_change == CREDENTIAL_NEW)
		writing->out->credential = span_of(writing->body.credential);
	if (writing->body.credential_change == CREDENTIAL_KEPT &&
	    open_column(writing, "credential", &writing->out->credential, &err) < 0)
		return fail_unopened(writing, "/auth/credential", "auth.credential", &err, fault);
	return 0;
}

static int take_oauth_secret(struct writing *writing, struct api_fault *fault)
{
	struct err err;

	if (writing->body.oauth_secret_change == CREDENTIAL_NEW)
		writing->out->oauth_secret = span_of(writing->body.oauth_secret);
	if (writing->body.oauth_secret_change == CREDENTIAL_KEPT &&
	    open_column(writing, "oauth_secret", &writing->out->oauth_secret, &err) < 0)
		return fail_unopened(writing, "/auth/oauth/client_secret",
				     "auth.oauth.client_secret", &err, fault);
	return 0;
}

/* What is kept is sealed anew too, so the row alone cannot tell. */
static bool has_new_header(const struct connection_body *body)
{
	for (size_t i = 0; i < body->n_headers; i++) {
		if (body->headers[i].value != NULL)
			return true;
	}
	return false;
}

/* Tells the event of the change which they are. */
static bool note_new_secrets(struct api_request *request, const struct connection_body *body)
{
	size_t n = 0;

	if (body->credential_change == CREDENTIAL_NEW)
		request->secrets[n++] = "credential";
	if (body->oauth_secret_change == CREDENTIAL_NEW)
		request->secrets[n++] = "oauth_secret";
	if (has_new_header(body))
		request->secrets[n++] = "headers";
	request->secrets[n] = NULL;
	request->knows_secrets = true;
	return n > 0;
}

static bool keeps_headers(const struct connection_body *body)
{
	for (size_t i = 0; i < body->n_headers; i++) {
		if (body->headers[i].value == NULL)
			return true;
	}
	return false;
}

static const char *stored_header(json_t *stored, const char *wanted)
{
	const char *name;
	json_t *value;

	json_object_foreach(stored, name, value)
	{
		if (strcasecmp(name, wanted) == 0)
			return json_string_value(value);
	}
	return NULL;
}

static json_t *open_headers(const struct writing *writing, struct err *err)
{
	struct span text;

	if (open_column(writing, "headers", &text, err) < 0)
		return NULL;
	return json_parse(text, err);
}

static struct span text_of(struct arena *arena, const json_t *value)
{
	struct span copy;
	struct buf text;
	int ret;

	buf_init(&text, MAX_HEADERS_TEXT);
	ret = json_write(value, &text);
	assert(ret == 0); /* connection_body_parse has seen that it fits */
	copy = (struct span){ arena_dup(arena, text.data, text.len), text.len };
	buf_wipe(&text);
	return copy;
}

static int add_headers(struct writing *writing, json_t *stored, json_t *headers, json_t *names,
		       struct api_fault *fault)
{
	for (size_t i = 0; i < writing->body.n_headers; i++) {
		const struct connection_header *header = &writing->body.headers[i];
		const char *value =
			header->value != NULL ? header->value : stored_header(stored, header->name);

		if (value == NULL)
			return api_fault_set(fault, "/headers",
					     "headers.%.64s: none is stored that could be kept; "
					     "write the value itself",
					     header->name);
		json_object_set_new(headers, header->name, json_string(value));
		json_array_append_new(names, json_string(header->name));
	}
	return 0;
}

static int take_headers(struct writing *writing, struct api_fault *fault)
{
	struct arena *arena = writing->request->arena;
	json_t *headers = json_object();
	json_t *names = json_array();
	json_t *stored;
	struct err err;

	api_keep(writing->request, headers);
	api_keep(writing->request, names);
	if (!keeps_headers(&writing->body)) {
		stored = NULL;
	} else {
		stored = open_headers(writing, &err);
		if (stored == NULL)
			return fail_unopened(writing, "/headers", "headers", &err, fault);
		api_keep(writing->request, stored);
	}
	if (add_headers(writing, stored, headers, names, fault) < 0)
		return -1;
	if (json_object_size(headers) > 0)
		writing->out->headers = text_of(arena, headers);
	writing->out->header_names = text_of(arena, names).p;
	return 0;
}

static int take_secrets(struct writing *writing, struct api_fault *fault)
{
	if (take_credential(writing, fault) < 0 || take_oauth_secret(writing, fault) < 0 ||
	    take_headers(writing, fault) < 0)
		return -1;
	if ((writing->out->credential.p != NULL || writing->out->oauth_secret.p != NULL ||
	     writing->out->headers.p != NULL) &&
	    tenant_seal_key(writing->request->tenant) == NULL) {
		api_fault_set(fault, "",
			      "secrets cannot be stored now: the tenant's data key "
			      "does not open with this gateway's keyring");
		fault->err.code = ERR_UNAVAILABLE;
		return -1;
	}
	return 0;
}

/* From a checked body to the row that will be stored; its secrets plain. */
static int fill_row(struct writing *writing, struct api_fault *fault)
{
	const struct connection_body *body = &writing->body;
	char *id = arena_alloc(writing->request->arena, UUID_TEXT_BYTES);

	uuid_v4(id);
	*writing->out = (struct connection_row){
		.id = writing->row != NULL ? db_text(writing->row, 0, "id") : id,
		.version = writing->row != NULL ? db_int(writing->row, 0, "version") + 1 : 1,
		.name = body->name,
		.description = body->description,
		.enabled = body->enabled,
		.url = body->url,
		.era = body->era,
		.auth_mode = body->auth_mode,
		.auth_header = body->auth_header,
		.oauth = body->oauth,
		.connect_timeout_ms = body->connect_timeout_ms,
		.call_timeout_ms = body->call_timeout_ms,
		.session_scope = body->session_scope,
		.trust_level = body->trust_level,
		.tools_allow = body->tools_allow,
		.tools_deny = body->tools_deny,
		.audit_level = body->audit_level,
		.audit_redact = body->audit_redact,
		.new_secrets = note_new_secrets(writing->request, body),
	};
	return take_secrets(writing, fault);
}

static int fill(struct writing *writing, const json_t *body, struct api_fault *fault)
{
	struct api_request *request = writing->request;
	struct connection_before before = { 0 };
	json_t *names = NULL;
	json_t *oauth = NULL;
	struct err err;

	if (writing->row != NULL) {
		names = json_parse(span_of(db_text(writing->row, 0, "header_names")), &err);
		if (db_text(writing->row, 0, "oauth") != NULL)
			oauth = json_parse(span_of(db_text(writing->row, 0, "oauth")), &err);
		before.url = db_text(writing->row, 0, "url");
		before.has_credential = db_bool(writing->row, 0, "has_credential");
		before.header_names = names;
		before.oauth = oauth;
		before.has_oauth_secret = db_bool(writing->row, 0, "has_oauth_secret");
	}
	if (oauth != NULL)
		api_keep(request, oauth);
	if (names != NULL)
		api_keep(request, names);
	if (connection_body_parse(body, writing->row != NULL ? &before : NULL,
				  request->tenant->egress, request->arena, &writing->body,
				  fault) < 0)
		return -1;
	return fill_row(writing, fault);
}

int connection_row_fill(struct api_request *request, const struct db_result *row,
			const json_t *body, struct connection_row *out, struct api_fault *fault)
{
	struct writing writing = { .request = request, .row = row, .out = out };

	return fill(&writing, body, fault);
}
