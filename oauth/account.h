/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_ACCOUNT_H
#define OAUTH_ACCOUNT_H

/*
 * Whose account was connected, for people to see and for telling two accounts apart; never a
 * reason to let anybody in. Pure.
 */

#include "base/mem.h"
#include "base/secret.h"
#include "base/span.h"

#define ACCOUNT_MAX_BYTES 320

/*
 * Of an id_token that came from the token endpoint over TLS, so that its signature need not be
 * checked (OpenID Connect Core 3.1.3.7): e-mail address, else preferred_username, else sub. NULL if
 * it is none, or another issuer's (issuer NULL: not compared) or client's. In the arena.
 */
const char *account_of_id_token(const struct secret *id_token, const char *issuer,
				const char *client_id, struct arena *arena);
/* The same of an answer of userinfo. */
const char *account_of_userinfo(struct span body, struct arena *arena);

#endif
