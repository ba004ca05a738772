/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/provision.h"

#include <assert.h>
#include <string.h>

#include "tokenstore/keyring.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void provision_init(struct provision *provision, struct arena *arena, const char *tenant_id)
{
	*provision = (struct provision){
		.arena = arena,
		.tenant = {"app.tenant", arena_strdup(arena, tenant_id)},
	};
}

struct db_tx provision_tx(const struct provision *provision)
{
	return (struct db_tx){
		.settings = &provision->tenant,
		.n_settings = 1,
		.statements = provision->statements,
		.n_statements = provision->n,
	};
}

void provision_add(struct provision *provision, const char *sql, const struct span *params,
		   size_t n)
{
	assert(provision->n < DB_MAX_STATEMENTS);
	provision->statements[provision->n++] = (struct db_statement){
		.sql = sql,
		.params = arena_dup(provision->arena, params, n * sizeof(*params)),
		.n_params = n,
	};
}

static struct span bytea(struct provision *provision, const void *p, size_t n)
{
	char *text = arena_alloc(provision->arena, 2 + 2 * n + 1);

	text[0] = '\\';
	text[1] = 'x';
	hex_encode(p, n, text + 2);
	return (struct span){ text, 2 + 2 * n };
}

static struct span number(struct provision *provision, int64_t value)
{
	return span_of(arena_printf(provision->arena, "%lld", (long long)value));
}

void provision_tenant(struct provision *provision, const struct keyring *keyring,
		      const char *deployment, const struct tenant_row *row)
{
	const char *id = provision->tenant.value;
	struct seal_key key;
	uint8_t wrapped[KEYRING_WRAPPED_BYTES];

	seal_key_random(&key, keyring_primary(keyring), 1);
	keyring_wrap(keyring, deployment, id, &key, wrapped);
	mem_wipe(&key, sizeof(key));

	const struct span tenant[] = { span_of(id),
				       span_of(arena_strdup(provision->arena, row->name)),
				       span_of(row->enabled ? "true" : "false"),
				       span_of(arena_strdup(provision->arena, row->egress)) };
	const struct span data_key[] = {
		number(provision, keyring_primary(keyring)),
		bytea(provision, wrapped, sizeof(wrapped)),
	};

	provision_add(provision,
		      "SELECT *, egress::text AS egress_text"
		      " FROM tollgate.create_tenant($1::uuid, $2, $3::boolean, $4::jsonb)",
		      tenant, COUNT(tenant));
	provision_add(provision,
		      "INSERT INTO tollgate.data_keys (tenant_id, dek_id, kek_id, wrapped)"
		      " VALUES (" TENANT ", 1, $1::bigint, $2::bytea)",
		      data_key, COUNT(data_key));
}

void provision_user(struct provision *provision, const struct user_row *row)
{
	const struct span params[] = { span_of(row->id), span_of(row->name), span_of(row->email),
				       span_of(row->role),
				       span_of(row->enabled ? "true" : "false") };

	provision_add(provision,
		      "INSERT INTO tollgate.users (tenant_id, id, name, email, role, enabled)"
		      " VALUES (" TENANT ", $1::uuid, $2, $3, $4, $5::boolean)",
		      params, COUNT(params));
}

void provision_key(struct provision *provision, const struct key_row *row, const struct apikey *key)
{
	const struct span params[] = {
		span_of(row->id),	  span_of(arena_strdup(provision->arena, key->id)),
		span_of(row->name),	  span_of(row->user_id),
		span_of(row->role),	  bytea(provision, key->mac, sizeof(key->mac)),
		span_of(row->expires_at), span_of(row->created_by),
	};

	provision_add(provision,
		      "INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, user_id, role,"
		      " secret_mac, expires_at, created_by) VALUES (" TENANT
		      ", $1::uuid, $2, $3, $4::uuid, $5, $6::bytea, $7::timestamptz, $8)",
		      params, COUNT(params));
}

static struct span sealed(struct provision *provision, const struct connection_row *row,
			  const char *column, struct span plain, const struct seal_key *key,
			  const char *deployment)
{
	const struct seal_place place = { deployment,	 provision->tenant.value,
					  "connections", column,
					  row->id,	 row->version };
	struct buf out;
	struct span text;

	if (plain.p == NULL)
		return (struct span){ 0 };
	buf_init(&out, plain.n + SEAL_OVERHEAD_BYTES);
	seal(key, &place, plain, &out);
	text = bytea(provision, out.data, out.len);
	buf_fini(&out);
	return text;
}

enum { N_CONNECTION_PARAMS = 21 };

static void connection_params(struct provision *provision, const struct connection_row *row,
			      const struct seal_key *key, const char *deployment,
			      struct span params[N_CONNECTION_PARAMS])
{
	const struct span values[N_CONNECTION_PARAMS] = {
		span_of(row->id),
		span_of(row->name),
		span_of(row->description),
		span_of(row->enabled ? "true" : "false"),
		span_of(row->url),
		span_of(row->era),
		span_of(row->auth_mode),
		span_of(row->auth_header),
		sealed(provision, row, "credential", row->credential, key, deployment),
		sealed(provision, row, "headers", row->headers, key, deployment),
		span_of(row->header_names),
		number(provision, row->connect_timeout_ms),
		number(provision, row->call_timeout_ms),
		span_of(row->trust_level),
		span_of(row->tools_allow),
		span_of(row->tools_deny),
		span_of(row->session_scope),
		span_of(row->oauth),
		sealed(provision, row, "oauth_secret", row->oauth_secret, key, deployment),
		span_of(row->audit_level),
		span_of(row->audit_redact),
	};

	memcpy(params, values, sizeof(values));
}

#define COLUMNS                                                                                    \
	"name, description, enabled, url, era, auth_mode, auth_header, credential, headers,"       \
	" oauth, oauth_secret, header_names, connect_timeout_ms, call_timeout_ms, trust_level,"    \
	" tools_allow, tools_deny, session_scope, audit_level, audit_redact"
#define TEXTS(n) "ARRAY(SELECT json_array_elements_text($" n "::json))"
#define VALUES                                                                                     \
	"$2, $3, $4::boolean, $5, $6, $7, $8, $9::bytea, $10::bytea, $18::jsonb, "                 \
	"$19::bytea, " TEXTS("11") ", $12::bigint, $13::bigint, $14, " TEXTS("15") ", " TEXTS(     \
		"16") ", $17, $20, " TEXTS("21")

void provision_connection(struct provision *provision, const struct connection_row *row,
			  const struct seal_key *key, const char *deployment)
{
	struct span params[N_CONNECTION_PARAMS];

	assert(row->version == 1);
	connection_params(provision, row, key, deployment, params);
	provision_add(provision,
		      "INSERT INTO tollgate.connections (tenant_id, id, " COLUMNS ")"
		      " VALUES (" TENANT ", $1::uuid, " VALUES ")",
		      params, COUNT(params));
}

void provision_connection_change(struct provision *provision, const struct connection_row *row,
				 const struct seal_key *key, const char *deployment)
{
	struct span params[N_CONNECTION_PARAMS + 2];

	connection_params(provision, row, key, deployment, params);
	params[N_CONNECTION_PARAMS] = number(provision, row->version);
	params[N_CONNECTION_PARAMS + 1] = span_of(row->new_secrets ? "true" : "false");
	provision_add(provision,
		      "UPDATE tollgate.connections SET (" COLUMNS ", version, settings_version)"
		      " = ROW (" VALUES ", $22::bigint,"
		      " CASE WHEN $23::boolean THEN $22::bigint ELSE settings_version END)"
		      " WHERE tenant_id = " TENANT
		      " AND id = $1::uuid AND version = $22::bigint - 1",
		      params, COUNT(params));
}
