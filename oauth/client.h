/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_CLIENT_H
#define OAUTH_CLIENT_H

/*
 * Who we are at an authorization server, and how a request to it shows that (RFC 6749 2.3,
 * RFC 7523 2.2). One code path for token requests of every grant and for revocation.
 */

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

enum oauth_client_auth {
	OAUTH_AUTH_NONE,
	OAUTH_AUTH_BASIC,     /* id and secret form-encoded first, as RFC 6749 2.3.1 wants it */
	OAUTH_AUTH_BASIC_RAW, /* not encoded, as many servers read it */
	OAUTH_AUTH_POST,
	OAUTH_AUTH_PRIVATE_KEY_JWT,
};
#define OAUTH_AUTH_BIT(auth) (1U << (auth))
/* In a set of methods: the server named some that we do not speak. */
#define OAUTH_AUTH_OTHER (1U << 31)

struct oauth_client {
	const char *id;
	enum oauth_client_auth auth;
	const struct secret *secret; /* the secret or a PEM key; NULL: none */
	const char *issuer;	     /* who assertions are for; NULL: the URL that is asked */
};

struct oauth_param {
	const char *name;
	const char *value;
};

/* "none", "basic", "basic_raw", "post", "private_key_jwt": in settings and in the database. */
const char *client_auth_name(enum oauth_client_auth auth);
int client_auth_parse(const char *name, enum oauth_client_auth *auth, struct err *err) MUST_CHECK;

/*
 * Adds to the form what shows the client; for the two Basic methods the value of Authorization
 * goes to `authorization` instead, which stays empty otherwise. Both hold secrets afterwards:
 * their owner uses buf_wipe. ERR_BAD_REQUEST if the method wants a secret or key and has none
 * that it can use.
 */
int client_show(const struct oauth_client *client, const char *url, struct buf *form,
		struct buf *authorization, struct err *err) MUST_CHECK;

/* Ceiling of `authorization`: it has to fit the ceiling of all headers. */
#define CLIENT_MAX_AUTHORIZATION_BYTES 32768 /* 32 KiB */

#endif
