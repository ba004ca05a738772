/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CONNECT_RULES_H
#define GATEWAY_CORE_CONNECT_RULES_H

/* What connecting an account decides, without waiting for anybody. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "gateway/core/connect_error.h"
#include "gateway/core/principal.h"
#include "oauth/metadata.h"

/* What redirect URIs and the addresses of client metadata documents carry in place of an issuer. */
#define CONNECT_ISSUER_HASH_BYTES 17 /* 16 hex digits and the NUL */
void connect_issuer_hash(const char *issuer, char out[CONNECT_ISSUER_HASH_BYTES]);
bool connect_is_issuer_hash(const char *text);
/* Whom a server is told apart by: its issuer, or its token endpoint if that was typed in without
 * one. */
const char *connect_issuer_of(const struct oauth_server *server);

/* "https://host:port" of a URL, as Origin says it; NULL if it is none. In the arena. */
const char *connect_origin(struct arena *arena, const char *url);

/* True if every scope of `part` is in `whole`; NULL is none. */
bool connect_scope_covers(const char *whole, const char *part);

/* Each NULL: none. */
struct connect_scopes {
	const char *configured; /* by the operator, verbatim */
	const char *server;	/* of the resource's challenge or documents */
	const char *granted;	/* already */
	const char *challenge;	/* demanded beside that: a step up */
	bool offline_access;	/* the server lists it */
};
/* What to ask for; NULL: nothing in particular. In the arena. */
const char *connect_scope(struct arena *arena, const struct connect_scopes *scopes);

enum connect_client {
	CONNECT_CLIENT_CONFIGURED, /* registered by hand */
	CONNECT_CLIENT_METADATA,   /* a URL of ours is its id */
	CONNECT_CLIENT_REGISTERED, /* by us, now or before */
	CONNECT_CLIENT_NONE,
};
/* The order of MCP. metadata_url: NULL if we have none that a server could read. */
enum connect_client connect_choose_client(const struct oauth_server *server,
					  const char *configured_id, const char *metadata_url);

/* Who may look at an attempt and go on with it: the user who asked for it; what a service key asked
 * for, any administrator. What is shared is an administrator's business. */
bool connect_may(const struct principal *principal, const char *attempt_principal,
		 const char *subject);

/* An answer that came to the redirect URI, against what was begun. Whether its state is known has
 * been found out before. */
struct connect_binding {
	bool pending; /* somebody agreed, and it has not ended */
	bool expired;
	const char *issuer; /* connect_issuer_of what was begun with */
	const char *tenant_id;
	const char *user_id; /* who agreed */
	uint8_t browser_hash[SHA256_BYTES];
};
struct connect_answerer {
	const char *issuer_hash;	   /* of the address that was called */
	const struct principal *principal; /* NULL: nobody is signed in */
	const uint8_t *browser_hash;	   /* NULL: no cookie */
};
enum connect_error connect_check_binding(const struct connect_binding *begun,
					 const struct connect_answerer *answerer);

#endif
