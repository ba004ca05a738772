/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_PROVISION_H
#define GATEWAY_CORE_PROVISION_H

/*
 * The statements that make and change what a tenant owns, with secrets sealed and keys hashed on
 * the way. They are collected here and run by the caller, so that several things can be made in
 * one transaction. What the values may be is checked before, by the caller.
 */

#include "base/db.h"
#include "base/mem.h"
#include "base/seal.h"
#include "base/secret.h"
#include "base/span.h"
#include "gateway/core/apikey.h"

struct keyring;

struct provision {
	struct arena *arena; /* everything lies in it */
	struct db_setting tenant;
	struct db_statement statements[DB_MAX_STATEMENTS];
	size_t n;
};
/* tenant_id is what app.tenant is set to. Borrows the arena. */
void provision_init(struct provision *provision, struct arena *arena, const char *tenant_id);
/* The whole as a transaction; borrows. */
struct db_tx provision_tx(const struct provision *provision);
/* For a statement of the caller's own. Copies params, not what they point to. */
void provision_add(struct provision *provision, const char *sql, const struct span *params,
		   size_t n);

struct tenant_row {
	const char *name;
	bool enabled;
	const char *egress; /* a JSON object */
};
/* The tenant and its first data key. ERR_CONFLICT from Postgres if the name exists. The
 * first result is the tenant's row, as of tollgate.create_tenant. */
void provision_tenant(struct provision *provision, const struct keyring *keyring,
		      const char *deployment, const struct tenant_row *row);

struct user_row {
	const char *id;
	const char *name;
	const char *email; /* or NULL */
	const char *role;
	bool enabled;
};
void provision_user(struct provision *provision, const struct user_row *row);

struct key_row {
	const char *id;
	const char *name;
	const char *user_id; /* NULL: a service key */
	const char *role;
	const char *expires_at; /* RFC 3339, or NULL */
	const char *created_by;
};
/* key as of apikey_new. */
void provision_key(struct provision *provision, const struct key_row *row,
		   const struct apikey *key);

struct connection_row {
	const char *id;
	int64_t version; /* of the row as it will be: 1 for a new one */
	const char *name;
	const char *description;
	bool enabled;
	const char *url;
	const char *era;
	const char *auth_mode;
	const char *auth_header;  /* or NULL */
	struct span credential;	  /* plain; absent: none */
	struct span headers;	  /* plain JSON object; absent: none */
	const char *oauth;	  /* JSON object; NULL: auth_mode is another */
	struct span oauth_secret; /* plain; absent: none */
	const char *header_names; /* JSON array of strings */
	int64_t connect_timeout_ms;
	int64_t call_timeout_ms;
	const char *session_scope;
	const char *trust_level;
	const char *tools_allow; /* JSON array of strings */
	const char *tools_deny;
	const char *audit_level;
	const char *audit_redact; /* JSON array of strings */
	bool new_secrets; /* a change: a credential, client secret or header's value is another */
};
/* A new row. */
void provision_connection(struct provision *provision, const struct connection_row *row,
			  const struct seal_key *key, const char *deployment);
/* Changes the row whose version is row->version - 1; no row is affected if it has another. */
void provision_connection_change(struct provision *provision, const struct connection_row *row,
				 const struct seal_key *key, const char *deployment);

#endif
