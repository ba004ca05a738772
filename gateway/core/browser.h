/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_BROWSER_H
#define GATEWAY_CORE_BROWSER_H

/*
 * Who sits at a browser. A user signs in with a one-time code or an API key of theirs and gets a
 * session, whose token is the browser's cookie; the database knows digests only. Knows no cookies
 * and no pages: gateway/http/signin.c does. A service key is nobody who could sit at a browser.
 */

#include <stdint.h>

#include "base/crypto.h"
#include "base/db.h"
#include "base/err.h"
#include "gateway/core/principal.h"

struct attempts;
struct identity;

#define BROWSER_IDLE_S	    1800  /* 30 minutes without a request */
#define BROWSER_LIFETIME_S  43200 /* 12 hours, however busy */
#define BROWSER_CODE_S	    600	  /* to use a sign-in code */
#define BROWSER_TOKEN_BYTES 44	  /* 32 random bytes in base64url, and the NUL */
#define BROWSER_HASH_BYTES  (2 + 2 * SHA256_BYTES + 1) /* "\x", hex and NUL: a bytea */

struct browsers;
struct browser_op; /* slot */

/* Who sits there, for the record of sign-ins. Borrowed. */
struct browser_visitor {
	const char *source_ip;
	const char *client; /* as it said itself; NULL */
	const char *former; /* the token of the session that it has had until now; "": none */
};

/* Borrows all. attempts NULL: refused sign-ins are not recorded. */
struct browsers *browsers_new(struct db *db, struct identity *identity, struct attempts *attempts);
void browsers_free(struct browsers **browsers);

/* A new session token or sign-in code. */
void browser_token_new(char out[BROWSER_TOKEN_BYTES]);
/* What the database knows it by. */
void browser_token_hash(const char *token, char out[BROWSER_HASH_BYTES]);
/* The statement that stores a code: $1 its digest, $2 the id of its user, $3 who made it, $4
 * the id of the key that did, or NULL; the tenant is app.tenant. Returns expires_at, in Unix
 * seconds; no row: there is no such user, or it is disabled. */
extern const char browser_insert_code[];

/* principal is borrowed; its role is never over ROLE_ADMIN, and it has no API key. */
typedef void browser_found(void *ctx, struct principal *principal, const struct err *err);
/* ERR_UNAUTHENTICATED: nobody is signed in with this token; ERR_UNAVAILABLE. */
void browser_find(struct browsers *browsers, struct browser_op **slot, const char *token,
		  browser_found *done, void *ctx);

/* Names are borrowed. */
typedef void browser_code_found(void *ctx, const char *tenant, const char *user,
				const struct err *err);
/* Whom the code would sign in; it stays good. ERR_UNAUTHENTICATED, ERR_UNAVAILABLE. */
void browser_find_code(struct browsers *browsers, struct browser_op **slot, const char *code,
		       browser_code_found *done, void *ctx);

/* token is borrowed: of the new session. */
typedef void browser_signed_in(void *ctx, const char *token, const struct err *err);
/* Uses the code up. The former session ends with the success of this one. A sign-in that is refused
 * is recorded before done is told. ERR_UNAUTHENTICATED, ERR_UNAVAILABLE. */
void browser_sign_in_by_code(struct browsers *browsers, struct browser_op **slot, const char *code,
			     const struct browser_visitor *visitor, browser_signed_in *done,
			     void *ctx);
/* The same, and ERR_FORBIDDEN for the key of a service. */
void browser_sign_in_by_key(struct browsers *browsers, struct browser_op **slot, const char *key,
			    const struct browser_visitor *visitor, browser_signed_in *done,
			    void *ctx);

typedef void browser_signed_out(void *ctx, const struct err *err);
/* Ends the former session. */
void browser_sign_out(struct browsers *browsers, struct browser_op **slot,
		      const struct browser_visitor *visitor, browser_signed_out *done, void *ctx);

void browser_cancel(struct browser_op **slot);

#endif
