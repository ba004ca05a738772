/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "audit/redact.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/core/tenant_priv.h"
#include "tokenstore/keyring.h"

/* Entries of an egress exception list, globs and headers of one row. */
#define MAX_LIST 1000

#define TENANT	  "current_setting('app.tenant')::uuid"
#define OF_TENANT " WHERE tenant_id = " TENANT

enum { TENANT_ROW, KEY_ROWS, CONNECTION_ROWS };

/* What reaches an upstream: a column of the table with that alias. */
#define SETTINGS(t)                                                                                \
	t ".transport, " t ".url, " t ".era, " t ".auth_mode, " t ".auth_header, " t               \
	  ".credential, " t ".headers, " t ".oauth::text, " t ".oauth_secret, " t                  \
	  ".connect_timeout_ms, " t ".call_timeout_ms, " t ".version, " t ".settings_version"

/* One statement, so that settings and tools are always of one moment. While an edit is tried out
 * there are two rows: first what serves, with the tools; then what is tried. */
static const char select_connections[] =
	"SELECT s.*, c.name, c.enabled, c.session_scope, c.trust_level,"
	" to_json(c.tools_allow)::text AS tools_allow, c.audit_level,"
	" to_json(c.audit_redact)::text AS audit_redact,"
	" to_json(c.tools_deny)::text AS tools_deny, k.era AS listed_era, k.instructions, k.tools"
	" FROM (SELECT c.id, p.connection_id IS NOT NULL AS trial, " SETTINGS(
		"c") " FROM tollgate.connections c LEFT JOIN tollgate.serving_connections p"
		     " ON p.tenant_id = c.tenant_id AND p.connection_id = c.id WHERE c.tenant_id "
		     "= " TENANT " UNION ALL SELECT p.connection_id, false, " SETTINGS(
			     "p") " FROM tollgate.serving_connections p WHERE p.tenant_id = " TENANT
				  ") s"
				  " JOIN tollgate.connections c ON c.tenant_id = " TENANT
				  " AND c.id = s.id"
				  " LEFT JOIN tollgate.catalogs k ON k.tenant_id = " TENANT
				  " AND k.connection_id = s.id AND NOT s.trial"
				  " AND k.credential_identity = '' AND k.capabilities = ''"
				  " ORDER BY c.name COLLATE \"C\", s.trial";

const struct db_statement tenant_statements[TENANT_N_STATEMENTS] = {
	[TENANT_ROW] = { .sql = "SELECT id, name, enabled, egress::text, config_version"
				" FROM tollgate.tenants WHERE id = " TENANT },
	[KEY_ROWS] = { .sql = "SELECT dek_id, kek_id, wrapped FROM tollgate.data_keys" OF_TENANT
			      " ORDER BY dek_id" },
	[CONNECTION_ROWS] = { .sql = select_connections },
};

struct loader {
	const struct tenant_build *build;
	struct tenant *tenant;
};

static void reject(struct loader *loader, struct connection *connection, const char *why)
{
	const struct log_subject subject = { .component = "config",
					     .tenant = loader->tenant->name,
					     .connection = connection->name };

	if (connection->invalid != NULL)
		return;
	connection->invalid = arena_strdup(loader->tenant->arena, why);
	log_warn(&subject, "the connection is skipped: %s", why);
}

/* A JSON array of strings into the arena. */
static int strings_of(struct arena *arena, const char *text, const char ***out, size_t *n,
		      struct err *err)
{
	json_t *array = json_parse(span_of(text), err);
	int ret = -1;

	if (array == NULL)
		return -1;
	*n = json_array_size(array);
	if (!json_is_array(array) || *n > MAX_LIST) {
		err_set(err, ERR_INTERNAL, "expected a list of at most %d strings", MAX_LIST);
		goto out;
	}
	*out = arena_alloc(arena, (*n + 1) * sizeof(**out));
	for (size_t i = 0; i < *n; i++) {
		const char *item = json_string_value(json_array_get(array, i));

		if (item == NULL) {
			err_set(err, ERR_INTERNAL, "expected a list of strings");
			goto out;
		}
		(*out)[i] = arena_strdup(arena, item);
	}
	ret = 0;
out:
	json_decref(array);
	return ret;
}

static int parse_egress(struct loader *loader, const char *text, struct err *err)
{
	json_t *egress = json_parse(span_of(text), err);
	char *allow = NULL;
	const char **entries = NULL;
	size_t n = 0;
	int ret;

	if (egress == NULL)
		return -1;
	allow = json_dumps(json_object_get(egress, "allow"), JSON_COMPACT);
	json_decref(egress);
	ret = strings_of(loader->tenant->arena, allow != NULL ? allow : "[]", &entries, &n, err);
	free(allow);
	if (ret < 0)
		return -1;
	loader->tenant->egress = egress_policy_new(entries, n, loader->build->egress_loopback, err);
	return loader->tenant->egress != NULL ? 0 : -1;
}

/* Exceptions that cannot be read permit nothing; that is no reason to serve an older snapshot, in
 * which what was revoked since would still be good. */
static void load_egress(struct loader *loader, const char *text)
{
	struct tenant *tenant = loader->tenant;
	const struct log_subject subject = { .component = "config", .tenant = tenant->name };
	struct err err;

	if (parse_egress(loader, text, &err) == 0)
		return;
	log_error(&subject, "the egress exceptions are ignored: %s", err.text);
	tenant->egress = egress_policy_new(NULL, 0, loader->build->egress_loopback, &err);
	assert(tenant->egress != NULL);
}

static void load_keys(struct loader *loader, const struct db_result *rows)
{
	struct tenant *tenant = loader->tenant;
	const struct log_subject subject = { .component = "config", .tenant = tenant->name };

	tenant->keys = arena_alloc(tenant->arena, (db_rows(rows) + 1) * sizeof(*tenant->keys));
	for (size_t i = 0; i < db_rows(rows); i++) {
		uint64_t dek_id = (uint64_t)db_int(rows, i, "dek_id");
		struct err err;
		size_t n;
		char *wrapped = db_bytes(rows, i, "wrapped", &n);

		if (keyring_unwrap(loader->build->keyring, loader->build->deployment, tenant->id,
				   dek_id, (struct span){ wrapped, n },
				   &tenant->keys[tenant->n_keys], &err) == 0)
			tenant->n_keys++;
		else if (++tenant->n_keys_shut > 0)
			log_error(&subject, "data key %llu cannot be used: %s",
				  (unsigned long long)dek_id, err.text);
		free(wrapped);
	}
}

/* It is that of the pepper, so that the same secret has the same digest for as long as rows are
 * kept, whatever becomes of data keys. */
static void load_digest_key(struct loader *loader)
{
	static const char purpose[] = "tollgate audit digest 1";
	struct tenant *tenant = loader->tenant;
	const char *text = arena_printf(tenant->arena, "%s%s", purpose, tenant->id);

	keyring_mac(loader->build->keyring, text, strlen(text), tenant->digest_key);
}

static const struct seal_key *find_key(const struct tenant *tenant, uint64_t dek_id)
{
	for (size_t i = 0; i < tenant->n_keys; i++) {
		if (tenant->keys[i].dek_id == dek_id)
			return &tenant->keys[i];
	}
	return NULL;
}

/* Opens a sealed column of the row into the arena. SQL NULL gives no secret. */
static int open_column(struct loader *loader, const struct connection *connection,
		       const struct db_result *rows, size_t row, const char *column,
		       struct secret *out, struct err *err)
{
	struct tenant *tenant = loader->tenant;
	const struct seal_place place = {
		loader->build->deployment, tenant->id, "connections", column, connection->id,
		connection->version
	};
	const struct seal_key *key;
	struct secret plain = { 0 };
	uint32_t kek_id;
	uint64_t dek_id;
	size_t n;
	char *sealed = db_bytes(rows, row, column, &n);
	int ret = -1;

	*out = (struct secret){ 0 };
	if (sealed == NULL)
		return 0;
	if (seal_ids((struct span){ sealed, n }, &kek_id, &dek_id, err) < 0)
		goto out;
	key = find_key(tenant, dek_id);
	if (key == NULL) {
		err_set(err, ERR_INTERNAL,
			tenant->n_keys_shut > 0 ? "the tenant's data key does not open with this "
						  "gateway's keyring"
						: "its data key is missing");
		goto out;
	}
	if (seal_open(key, &place, (struct span){ sealed, n }, &plain, err) < 0)
		goto out;
	out->reveal = arena_dup(tenant->arena, plain.reveal, plain.n);
	out->n = plain.n;
	ret = 0;
out:
	secret_fini(&plain);
	free(sealed);
	return ret;
}

/* RFC 9110 section 5.5, without what the HTTP client would refuse. */
static bool is_header_value(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return false;
	}
	return true;
}

static int load_headers(struct loader *loader, struct connection *connection,
			const struct db_result *rows, size_t row, struct err *err)
{
	struct arena *arena = loader->tenant->arena;
	struct secret text;
	const char *name;
	json_t *headers;
	json_t *value;

	if (open_column(loader, connection, rows, row, "headers", &text, err) < 0)
		return -1;
	if (text.reveal == NULL)
		return 0;
	headers = json_parse((struct span){ text.reveal, text.n }, err);
	if (headers == NULL)
		return -1;
	if (!json_is_object(headers) || json_object_size(headers) > CONNECTION_MAX_HEADERS) {
		json_decref(headers);
		return err_set(err, ERR_INTERNAL, "expected an object of at most %d",
			       CONNECTION_MAX_HEADERS);
	}
	connection->headers =
		arena_alloc(arena, (json_object_size(headers) + 1) * sizeof(struct http_header));
	json_object_foreach(headers, name, value)
	{
		const char *plain = json_string_value(value);

		if (plain == NULL || !text_is_token(name) || !is_header_value(plain)) {
			json_decref(headers);
			return err_set(err, ERR_INTERNAL, "one of them is no header");
		}
		connection->headers[connection->n_headers++] =
			(struct http_header){ arena_strdup(arena, name),
					      arena_strdup(arena, plain) };
	}
	json_decref(headers);
	return 0;
}

static int find_word(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i], word) == 0)
			return (int)i;
	}
	return -1;
}

static const char *const audit_levels[] = {
	[AUDIT_METADATA] = "metadata",
	[AUDIT_REDACTED] = "redacted",
	[AUDIT_FULL] = "full",
};

const char *audit_level_name(enum audit_level level)
{
	return audit_levels[level];
}

static int load_words(struct connection *connection, const struct db_result *rows, size_t row,
		      struct err *err)
{
	static const char *const modes[] = { "none", "bearer", "api_key", "oauth" };
	static const char *const eras[] = { "auto", "legacy", "modern" };
	static const char *const scopes[] = { "shared", "principal", "client" };
	int scope = find_word(scopes, 3, db_text(rows, row, "session_scope"));
	int level = find_word(audit_levels, 3, db_text(rows, row, "audit_level"));
	int mode = find_word(modes, 4, db_text(rows, row, "auth_mode"));
	int era = find_word(eras, 3, db_text(rows, row, "era"));

	if (strcmp(db_text(rows, row, "transport"), "streamable-http") != 0)
		return err_set(err, ERR_INTERNAL, "its transport is not known");
	if (mode < 0 || era < 0 || scope < 0 || level < 0)
		return err_set(err, ERR_INTERNAL,
			       "its auth mode, era, session scope or audit level is not known");
	connection->auth_mode = (enum auth_mode)mode;
	connection->era = (enum era_setting)era;
	connection->session_scope = (enum session_scope)scope;
	connection->audit_level = (enum audit_level)level;
	return 0;
}

static int check_credential(const struct connection *connection, struct err *err)
{
	bool has = connection->credential.reveal != NULL && connection->credential.n > 0;

	if (connection->auth_mode == AUTH_OAUTH)
		return 0;
	if (connection->auth_mode != AUTH_NONE && !has)
		return err_set(err, ERR_INTERNAL, "it has no credential");
	if (connection->auth_mode != AUTH_NONE && !is_header_value(connection->credential.reveal))
		return err_set(err, ERR_INTERNAL, "its credential fits in no header");
	if (connection->auth_mode == AUTH_API_KEY &&
	    (connection->auth_header == NULL || !text_is_token(connection->auth_header)))
		return err_set(err, ERR_INTERNAL, "its auth header is no header name");
	return 0;
}

static int load_oauth(struct loader *loader, struct connection *connection,
		      const struct db_result *rows, size_t row, struct err *err)
{
	struct connection_oauth *oauth;
	const char *text = db_text(rows, row, "oauth");

	if (connection->auth_mode != AUTH_OAUTH)
		return 0;
	oauth = arena_alloc(loader->tenant->arena, sizeof(*oauth));
	if (text == NULL)
		return err_set(err, ERR_INTERNAL, "there are none");
	if (open_column(loader, connection, rows, row, "oauth_secret", &oauth->client_secret, err) <
	    0)
		return err_prefix(err, "the client secret");
	if (tenant_parse_oauth(loader->tenant->arena, text, oauth, err) < 0)
		return -1;
	connection->oauth = oauth;
	return 0;
}

static int load_audit(struct loader *loader, struct connection *connection,
		      const struct db_result *rows, size_t row, struct err *err)
{
	struct arena *arena = loader->tenant->arena;

	if (strings_of(arena, db_text(rows, row, "audit_redact"), &connection->audit_redact,
		       &connection->n_audit_redact, err) < 0)
		return -1;
	for (size_t i = 0; i < connection->n_audit_redact; i++)
		connection->audit_redact[i] = redact_name(arena, connection->audit_redact[i]);
	return 0;
}

static int load_settings(struct loader *loader, struct connection *connection,
			 const struct db_result *rows, size_t row, struct err *err)
{
	struct arena *arena = loader->tenant->arena;

	if (load_words(connection, rows, row, err) < 0 ||
	    load_audit(loader, connection, rows, row, err) < 0)
		return -1;
	if (egress_check_url(loader->tenant->egress, connection->url, err) < 0 &&
	    err->code != ERR_FORBIDDEN)
		return -1;
	if (strings_of(arena, db_text(rows, row, "tools_allow"), &connection->tools_allow,
		       &connection->n_tools_allow, err) < 0 ||
	    strings_of(arena, db_text(rows, row, "tools_deny"), &connection->tools_deny,
		       &connection->n_tools_deny, err) < 0)
		return -1;
	if (open_column(loader, connection, rows, row, "credential", &connection->credential, err) <
	    0)
		return err_prefix(err, "its credential");
	if (load_headers(loader, connection, rows, row, err) < 0)
		return err_prefix(err, "its headers");
	if (load_oauth(loader, connection, rows, row, err) < 0)
		return err_prefix(err, "its OAuth settings");
	return check_credential(connection, err);
}

const char *tenant_column_text(struct arena *arena, const struct db_result *rows, size_t row,
			       const char *column)
{
	const char *text = db_text(rows, row, column);

	return text != NULL ? arena_strdup(arena, text) : NULL;
}

static void load_connection(struct loader *loader, struct connection *connection,
			    const struct db_result *rows, size_t row)
{
	struct arena *arena = loader->tenant->arena;
	struct err err;

	connection->id = tenant_column_text(arena, rows, row, "id");
	connection->name = tenant_column_text(arena, rows, row, "name");
	connection->url = tenant_column_text(arena, rows, row, "url");
	connection->auth_header = tenant_column_text(arena, rows, row, "auth_header");
	connection->enabled = db_bool(rows, row, "enabled");
	connection->version = db_int(rows, row, "version");
	connection->settings_version = db_int(rows, row, "settings_version");
	connection->connect_timeout_ms = db_int(rows, row, "connect_timeout_ms");
	connection->call_timeout_ms = db_int(rows, row, "call_timeout_ms");
	connection->trusted = strcmp(db_text(rows, row, "trust_level"), "trusted") == 0;
	if (load_settings(loader, connection, rows, row, &err) < 0)
		reject(loader, connection, err.text);
}

static void load_connections(struct loader *loader, const struct db_result *rows)
{
	struct tenant *tenant = loader->tenant;
	struct connection *connection = NULL;

	tenant->connections =
		arena_alloc(tenant->arena, (db_rows(rows) + 1) * sizeof(struct connection));
	for (size_t i = 0; i < db_rows(rows); i++) {
		if (db_bool(rows, i, "trial")) {
			struct connection *trial = arena_alloc(tenant->arena, sizeof(*trial));

			assert(connection != NULL);
			load_connection(loader, trial, rows, i);
			connection->trial = trial;
			continue;
		}
		connection = &tenant->connections[tenant->n_connections++];
		load_connection(loader, connection, rows, i);
	}
}

struct tenant *tenant_build(const struct tenant_build *build,
			    const struct db_result *const *results, struct err *err)
{
	const struct db_result *row = results[TENANT_ROW];
	struct loader loader = { .build = build };
	struct arena *arena;

	if (db_rows(row) == 0) {
		err_set(err, ERR_NOT_FOUND, "there is no such tenant");
		return NULL;
	}
	arena = arena_new();
	loader.tenant = arena_alloc(arena, sizeof(*loader.tenant));
	*loader.tenant = (struct tenant){
		.refs = 1,
		.arena = arena,
		.id = tenant_column_text(arena, row, 0, "id"),
		.name = tenant_column_text(arena, row, 0, "name"),
		.enabled = db_bool(row, 0, "enabled"),
		.version = db_int(row, 0, "config_version"),
	};
	load_digest_key(&loader);
	load_egress(&loader, db_text(row, 0, "egress"));
	load_keys(&loader, results[KEY_ROWS]);
	load_connections(&loader, results[CONNECTION_ROWS]);
	tenant_load_catalogs(loader.tenant, results[CONNECTION_ROWS]);
	return loader.tenant;
}
