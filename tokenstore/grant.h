/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKENSTORE_GRANT_H
#define TOKENSTORE_GRANT_H

/*
 * What an authorization server granted us for one connection and one subject: tokens, and all
 * that is needed to renew or revoke them without asking anybody else. Knows no HTTP.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/secret.h"

#define GRANT_SUBJECT_BYTES (5 + UUID_TEXT_BYTES)

/* Zeroed before it is filled in: compared as bytes. */
struct grant_key {
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
	char subject[GRANT_SUBJECT_BYTES]; /* "": shared; "user:<uuid>" */
};

/* subject NULL: shared. Each text fits, or it is a bug. */
struct grant_key grant_key_of(const char *tenant_id, const char *connection_id,
			      const char *subject);

enum grant_state {
	GRANT_ACTIVE,
	GRANT_NEEDS_REAUTH, /* the server will not renew it: somebody has to sign in again */
	GRANT_DISCONNECTED, /* by us; holds no token */
};

enum grant_kind {
	GRANT_AUTHORIZATION_CODE,
	GRANT_CLIENT_CREDENTIALS, /* renewed by asking again */
	GRANT_INGESTED,		  /* tokens obtained elsewhere */
};

/* Strings are borrowed, NULL is SQL NULL; the secrets are the owner's to wipe. Times are Unix
 * seconds, 0: not known. */
struct grant {
	struct grant_key key;
	enum grant_state state;
	enum grant_kind kind;
	const char *issuer;
	const char *token_url;
	const char *revocation_url;
	const char *client_id;
	const char *client_auth; /* client_auth_name */
	struct secret client_secret;
	const char *resource; /* as it is sent; NULL: it is not */
	const char *audience;
	const char *scope; /* as granted, else as asked */
	struct secret access_token;
	struct secret refresh_token; /* none: it cannot be renewed */
	int64_t expires_at; /* of the access token; 0: good until the upstream refuses it */
	int64_t refresh_expires_at;
	const char *account; /* who signed in over there, if an id_token or userinfo says */
	const char *authenticated_by; /* who connected it: a user's or a key's name */
	int64_t authenticated_at;
	int64_t last_refreshed_at;
	const char *last_error; /* one sentence, no secret */
	int64_t last_error_at;
	int64_t version; /* rises with each change of the row; the tokens are sealed for it */
	int64_t connected_version; /* that it was last connected with: renewals keep it */
};

#endif
