/* SPDX-License-Identifier: Apache-2.0 */

/* The SQL of connect_attempts: rows in and out, what is sealed in them, and their events. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/seal.h"
#include "gateway/core/connect_priv.h"

#define MAX_SERVER_BYTES 65536

/* --- the authorization server, as JSON ------------------------------------------------------- */

struct member {
	const char *name;
	size_t at;
};
#define TEXT(member)                                                                               \
	{                                                                                          \
#member, offsetof(struct oauth_server, member)                                     \
	}

static const struct member texts[] = {
	TEXT(issuer),	      TEXT(authorization_url), TEXT(token_url), TEXT(registration_url),
	TEXT(revocation_url), TEXT(userinfo_url),      TEXT(resource),	TEXT(scope),
};
static const struct member flags[] = {
	TEXT(iss_supported),
	TEXT(client_id_metadata),
	TEXT(offline_access),
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *connect_write_server(struct arena *arena, const struct oauth_server *server)
{
	json_t *json = json_object();
	const char *text;
	struct buf out;

	for (size_t i = 0; i < COUNT(texts); i++) {
		const char *value = *(const char *const *)((const char *)server + texts[i].at);

		if (value != NULL)
			json_object_set_new(json, texts[i].name, json_string(value));
	}
	for (size_t i = 0; i < COUNT(flags); i++) {
		bool value = *(const bool *)((const char *)server + flags[i].at);

		json_object_set_new(json, flags[i].name, json_boolean(value));
	}
	json_object_set_new(json, "auth_methods", json_integer(server->auth_methods));
	buf_init(&out, MAX_SERVER_BYTES);
	text = json_write(json, &out) == 0 ? arena_strdup(arena, buf_str(&out)) : NULL;
	buf_fini(&out);
	json_decref(json);
	return text;
}

int connect_read_server(struct arena *arena, const char *text, struct oauth_server *server,
			struct err *err)
{
	json_t *json = json_parse(span_of(text), err);

	*server = (struct oauth_server){ 0 };
	if (json == NULL)
		return -1;
	for (size_t i = 0; i < COUNT(texts); i++) {
		const char *value = json_text(json, texts[i].name);

		*(const char **)((char *)server + texts[i].at) =
			value != NULL ? arena_strdup(arena, value) : NULL;
	}
	for (size_t i = 0; i < COUNT(flags); i++)
		*(bool *)((char *)server + flags[i].at) =
			json_is_true(json_object_get(json, flags[i].name));
	server->auth_methods = (unsigned)json_integer_value(json_object_get(json, "auth_methods"));
	json_decref(json);
	if (server->authorization_url == NULL || server->token_url == NULL)
		return err_set(err, ERR_INTERNAL, "a stored server has no endpoints");
	return 0;
}

/* --- rows ------------------------------------------------------------------------------------ */

enum connect_result connect_load_attempt(struct connect_op *op)
{
	static const char sql[] =
		"SELECT a.*, a.server::text AS server_text, a.expires_at <= now() AS expired,"
		" a.held IS NOT NULL AS choosing, g.account AS former_account,"
		" g.scope AS granted_scope, c.name AS connection, c.url AS upstream"
		" FROM tollgate.connect_attempts a JOIN tollgate.connections c"
		" ON c.tenant_id = a.tenant_id AND c.id = a.connection_id"
		" LEFT JOIN tollgate.grants g ON g.tenant_id = a.tenant_id"
		" AND g.connection_id = a.connection_id AND g.subject = a.subject"
		" AND g.state <> 'disconnected'" CONNECT_ATTEMPT;
	const struct span id = span_of(op->attempt.id);

	if (!uuid_valid(op->attempt.id))
		return connect_refuse(op, ERR_NOT_FOUND, "there is no such link");
	return connect_query(op, sql, &id, 1);
}

static const char *keep(struct connect_op *op, const struct db_result *rows, const char *column)
{
	const char *text = db_text(rows, 0, column);

	return text != NULL ? arena_strdup(op->arena, text) : NULL;
}

struct span connect_bytes(struct connect_op *op, const struct db_result *rows, const char *column)
{
	struct span span = { 0 };
	void *bytes = db_bytes(rows, 0, column, &span.n);

	if (bytes != NULL)
		span.p = arena_dup(op->arena, bytes, span.n);
	free(bytes);
	return span;
}

static enum connect_state state_of(const struct db_result *rows)
{
	static const char *const names[] = {
		[CONNECT_OPEN] = "open",
		[CONNECT_PENDING] = "pending",
		[CONNECT_CONNECTED] = "connected",
		[CONNECT_FAILED] = "failed",
	};
	const char *name = db_text(rows, 0, "state");

	if (db_bool(rows, 0, "choosing"))
		return CONNECT_CHOOSING;
	for (int i = 0; i <= CONNECT_FAILED; i++) {
		if (names[i] != NULL && strcmp(names[i], name) == 0)
			return (enum connect_state)i;
	}
	return CONNECT_FAILED;
}

static void take_columns(struct connect_op *op, const struct db_result *rows)
{
	struct attempt *attempt = &op->attempt;
	struct span hash = connect_bytes(op, rows, "browser_hash");

	attempt->connection_id = keep(op, rows, "connection_id");
	attempt->connection = keep(op, rows, "connection");
	attempt->upstream = keep(op, rows, "upstream");
	attempt->subject = keep(op, rows, "subject");
	attempt->principal = keep(op, rows, "principal");
	attempt->user_name = keep(op, rows, "user_name");
	attempt->scope = keep(op, rows, "scope");
	attempt->state = state_of(rows);
	attempt->error = connect_error_parse(db_text(rows, 0, "error_code"));
	attempt->error_text = keep(op, rows, "error_text");
	attempt->settings_version = db_int(rows, 0, "settings_version");
	attempt->client_id = keep(op, rows, "client_id");
	attempt->redirect_uri = keep(op, rows, "redirect_uri");
	attempt->resource = keep(op, rows, "resource");
	attempt->asked_scope = keep(op, rows, "asked_scope");
	attempt->tries = db_int(rows, 0, "tries");
	attempt->browser_user = keep(op, rows, "browser_user");
	attempt->expired = db_bool(rows, 0, "expired");
	attempt->account = keep(op, rows, "account");
	attempt->tools_count = db_int(rows, 0, "tools_count");
	attempt->verifier = connect_bytes(op, rows, "verifier");
	attempt->client_secret = connect_bytes(op, rows, "client_secret");
	attempt->held = connect_bytes(op, rows, "held");
	attempt->former_account = keep(op, rows, "former_account");
	attempt->granted_scope = keep(op, rows, "granted_scope");
	if (hash.n == sizeof(attempt->browser_hash))
		memcpy(attempt->browser_hash, hash.p, hash.n);
}

enum connect_result connect_take_attempt(struct connect_op *op)
{
	const struct db_result *rows = op->results[0];
	const char *auth;
	const char *server;

	if (db_rows(rows) == 0) {
		op->attempt.id[0] = '\0';
		return connect_refuse(op, ERR_NOT_FOUND, "there is no such link");
	}
	take_columns(op, rows);
	auth = db_text(rows, 0, "client_auth");
	if (auth != NULL && client_auth_parse(auth, &op->attempt.client_auth, &op->err) < 0)
		return CONNECT_REFUSE;
	server = db_text(rows, 0, "server_text");
	if (server != NULL &&
	    connect_read_server(op->arena, server, &op->attempt.server, &op->err) < 0)
		return CONNECT_REFUSE;
	return CONNECT_NEXT;
}

const char *connect_actor(struct connect_op *op)
{
	const struct principal *principal = op->principal;
	const char *user = principal != NULL && strcmp(principal->tenant_id, op->tenant_id) == 0
				   ? principal->user_name
				   : NULL;

	return user != NULL ? arena_printf(op->arena, "user:%s", user) : NULL;
}

struct db_statement connect_failure(struct connect_op *op)
{
	static const char sql[] =
		"WITH changed AS (UPDATE tollgate.connect_attempts a SET state = 'failed',"
		" error_code = $3, error_text = $4, finished_at = now(), state_hash = NULL,"
		" verifier = NULL, client_secret = NULL, held = NULL" CONNECT_ATTEMPT
		" AND a.state IN ('open', 'pending') RETURNING a.*)" CONNECT_EVENT(
			"connect_failed");
	const struct span params[] = {
		span_of(op->attempt.id),
		span_of(connect_actor(op)),
		span_of(connect_errors[op->failure].code),
		span_of(op->failure_text),
	};

	return (struct db_statement){ sql, arena_dup(op->arena, params, sizeof(params)),
				      COUNT(params) };
}

struct db_statement connect_forget_client(struct connect_op *op)
{
	static const char sql[] =
		"DELETE FROM tollgate.upstream_clients WHERE tenant_id = " CONNECT_TENANT
		" AND issuer = $1 AND client_id = $2";
	const struct span params[] = {
		span_of(connect_issuer_of(&op->attempt.server)),
		span_of(op->attempt.client_id),
	};

	return (struct db_statement){ sql, arena_dup(op->arena, params, sizeof(params)),
				      COUNT(params) };
}

/* --- sealed values --------------------------------------------------------------------------- */

static struct seal_place place_of(const struct connect_op *op, const struct connect_place *place)
{
	return (struct seal_place){
		.deployment = op->connects->params.deployment,
		.tenant = op->tenant_id,
		.table = place->table,
		.column = place->column,
		.row = place->row,
		.version = place->version,
	};
}

const char *connect_hex(struct connect_op *op, const void *bytes, size_t n)
{
	char *text = arena_alloc(op->arena, 2 * n + 3);

	text[0] = '\\';
	text[1] = 'x';
	hex_encode(bytes, n, text + 2);
	return text;
}

const char *connect_seal(struct connect_op *op, const struct connect_place *place,
			 struct span plain)
{
	const struct seal_key *key = tenant_seal_key(op->tenant);
	const struct seal_place at = place_of(op, place);
	const char *text;
	struct buf sealed;

	if (key == NULL)
		return NULL;
	buf_init(&sealed, plain.n + SEAL_OVERHEAD_BYTES);
	seal(key, &at, plain, &sealed);
	text = connect_hex(op, sealed.data, sealed.len);
	buf_fini(&sealed);
	return text;
}

int connect_open(struct connect_op *op, const struct connect_place *place, struct span sealed,
		 struct secret *plain, struct err *err)
{
	const struct seal_place at = place_of(op, place);
	const struct seal_key *key =
		seal_find_key(op->tenant->keys, op->tenant->n_keys, sealed, err);

	return key != NULL ? seal_open(key, &at, sealed, plain, err) : -1;
}
