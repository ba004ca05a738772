/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_TENANT_H
#define GATEWAY_CORE_TENANT_H

/*
 * What a tenant configured, as an immutable, refcounted snapshot in memory: its connections, what
 * they offer, its egress policy. Loaded on first use, replaced when Postgres says that it changed
 * (NOTIFY as a hint, a version poll behind it).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/db.h"
#include "base/egress.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/seal.h"
#include "base/secret.h"
#include "gateway/core/mcp.h"
#include "oauth/client.h"
#include "oauth/metadata.h"

struct keyring;
struct redact_schema;

enum auth_mode { AUTH_NONE, AUTH_BEARER, AUTH_API_KEY, AUTH_OAUTH };
enum era_setting { ERA_AUTO, ERA_LEGACY, ERA_MODERN };
/* Who uses one session of a legacy upstream: all, one user or service key, one client session. */
enum session_scope { SESSION_SHARED, SESSION_PRINCIPAL, SESSION_CLIENT };
/* How much of a call is kept: not its arguments; those without secrets; what went through, too. */
enum audit_level { AUDIT_METADATA, AUDIT_REDACTED, AUDIT_FULL };
const char *audit_level_name(enum audit_level level);
#define TENANT_POLL_MS 2000

/* One tool as an upstream lists it. */
struct tool {
	const char *name;    /* the upstream's own */
	const char *exposed; /* connection__tool, shortened where it must be; NULL: taken */
	struct span text;    /* the whole object, byte for byte */
	bool param_headers;  /* arguments of it travel as headers too (param_headers.h) */
	/* Which of its arguments are secrets (audit/redact.h); NULL: its schema marks none. */
	const struct redact_schema *secrets;
};

#define CONNECTION_MAX_HEADERS 64

/* How tokens for a connection are got. NULL: found out by discovery or registration. */
struct connection_oauth {
	enum oauth_grant grant;
	bool per_user;	    /* else one grant is shared by all who may use the connection */
	const char *issuer; /* no other will do */
	const char *authorization_url;
	const char *token_url; /* endpoints typed in by hand: nothing is discovered */
	const char *revocation_url;
	const char *client_id;
	struct secret client_secret;	    /* or a PEM private key */
	enum oauth_client_auth client_auth; /* of client_id */
	const char *scope;		    /* verbatim */
	const char *audience;
	bool resource; /* RFC 8707 is sent */
	const struct oauth_param *authorize_params;
	size_t n_authorize_params;
};

/* Everything in it lives in the tenant's arena. */
struct connection {
	const char *id;
	const char *name;
	const char *url;
	enum era_setting era;
	enum session_scope session_scope;
	enum auth_mode auth_mode;
	const char *auth_header; /* api_key: header that carries it */
	struct secret credential;
	const struct connection_oauth *oauth; /* auth_mode is AUTH_OAUTH; else NULL */
	struct http_header *headers;	      /* extra ones; values may be secret: never log */
	size_t n_headers;
	int64_t connect_timeout_ms;
	int64_t call_timeout_ms;
	bool trusted; /* it may be sent the baggage of a trace */
	const char **tools_allow;
	size_t n_tools_allow;
	const char **tools_deny;
	size_t n_tools_deny;
	enum audit_level audit_level;
	const char **audit_redact; /* names of arguments, as of redact_name */
	size_t n_audit_redact;
	int64_t version; /* of the row: changes with every edit */
	/* Changes with every edit of what reaches the upstream. */
	int64_t settings_version;
	bool enabled;
	const char *invalid; /* why a stored row cannot be used; NULL: usable */
	/* Its new settings, while they are tried out and this is what serves; NULL: none. Of a
	 * newer version, never listed, and found only here. */
	const struct connection *trial;
	/* The catalog; listed is false until the upstream has been listed once. */
	bool listed;
	enum mcp_era listed_era;
	const char *instructions; /* NULL: none */
	struct tool *tools;	  /* in the upstream's order */
	size_t n_tools;
};

struct tool_ref {
	const char *exposed;
	const struct connection *connection;
	const struct tool *tool;
};

struct tenant {
	unsigned refs;
	struct arena *arena; /* wiped with the last reference: credentials lie in it */
	const char *id;
	const char *name;
	bool enabled;
	int64_t version;
	struct egress_policy *egress;
	uint8_t digest_key[SHA256_BYTES]; /* of what the book hides of its calls */
	struct seal_key *keys;		  /* data keys, oldest first */
	size_t n_keys;
	size_t n_keys_shut; /* that do not open with our keyring, and so are not among them */
	struct connection *connections; /* sorted by name */
	size_t n_connections;
	struct tool_ref *exposed; /* sorted by exposed name, for tenant_find_exposed */
	size_t n_exposed;
};

/* The key that new secrets are sealed with; NULL if the tenant has none. Borrowed. */
const struct seal_key *tenant_seal_key(const struct tenant *tenant);
struct tenant *tenant_ref(struct tenant *tenant);
void tenant_unref(struct tenant **tenant);
/* Borrowed, enabled or not; NULL if there is none. */
const struct connection *tenant_find_connection(const struct tenant *tenant, const char *name);
const struct tool_ref *tenant_find_exposed(const struct tenant *tenant, const char *exposed);
const struct tool *connection_find_tool(const struct connection *connection, const char *name);

/* All tenants that this worker has in memory. */
struct tenants;
struct tenants_op;
struct tenants_params {
	struct loop *loop;
	struct db *db;
	const char *conninfo; /* for LISTEN */
	const struct keyring *keyring;
	const char *deployment;
	bool egress_loopback; /* development: tenants may reach loopback */
	int64_t stale_max_ms; /* how long what is known is served without Postgres */
	/* Runs after a tenant's snapshot was replaced or its row has gone (tenant NULL). */
	void (*changed)(void *ctx, const char *tenant_id, struct tenant *tenant);
	/* Runs before it for each connection of auth mode oauth that has other settings than were
	 * known, or was not known: its grants may be for others. May be NULL. */
	void (*settings_changed)(void *ctx, const char *tenant_id, const char *connection_id);
	/* Something about the tenant may have changed, sessions included; NULL: about any. */
	void (*hint)(void *ctx, const char *tenant_id);
	/* A legacy client of the tenant may have cancelled a call; NULL: of any. May be NULL. */
	void (*cancel_hint)(void *ctx, const char *tenant_id);
	/* What the channel of grants says; NULL: something may have been missed. May be NULL. */
	void (*grant_hint)(void *ctx, const char *payload);
	/* There may be events that are not sealed. May be NULL. */
	void (*event_hint)(void *ctx);
	void *ctx;
};
struct tenants *tenants_new(const struct tenants_params *params);
void tenants_free(struct tenants **tenants);
/* A new reference, or NULL if it is not in memory or was not confirmed for
 * stale_max_ms. */
struct tenant *tenants_find(struct tenants *tenants, const char *tenant_id);
/* err NULL: tenant is borrowed. ERR_NOT_FOUND, ERR_UNAVAILABLE. */
typedef void tenants_done(void *ctx, struct tenant *tenant, const struct err *err);
void tenants_start(struct tenants *tenants, struct tenants_op **slot, const char *tenant_id,
		   tenants_done *done, void *ctx);
void tenants_cancel(struct tenants_op **slot);
/* A new reference to what is in memory, however old. NULL: it is loaded, and `changed` tells. */
struct tenant *tenants_want(struct tenants *tenants, const char *tenant_id);
/* The keyring has other keys now: whatever could not be opened is read again. */
void tenants_keys_changed(struct tenants *tenants);
/* For each tenant in memory. each must not change the set. */
void tenants_each(struct tenants *tenants, void (*each)(void *ctx, struct tenant *tenant),
		  void *ctx);

/*
 * Building a snapshot (tenant_load.c). The statements run in one transaction with app.tenant
 * set; tenant_build reads their results. A connection's row that cannot be used is kept with
 * `invalid` set and logged, never fatal.
 */
#define TENANT_N_STATEMENTS 3
extern const struct db_statement tenant_statements[TENANT_N_STATEMENTS];
struct tenant_build {
	const struct keyring *keyring;
	const char *deployment;
	bool egress_loopback;
};
/* Returns a new reference; NULL with ERR_NOT_FOUND if there is no such tenant. */
struct tenant *tenant_build(const struct tenant_build *build,
			    const struct db_result *const *results, struct err *err) MUST_CHECK;

#endif
