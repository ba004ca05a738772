/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_JW_ASSERTION_H
#define OAUTH_JW_ASSERTION_H

/*
 * The JWT with which a client shows that it holds a private key (RFC 7523 3). The algorithm is
 * the key's: ES256 for P-256, RS256 for RSA, PS256 for an RSA-PSS key, EdDSA for Ed25519.
 */

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

#define JW_ASSERTION_LIFETIME_S 60
#define JW_ASSERTION_MAX_BYTES	16384
#define JW_MIN_RSA_BITS		2048

struct jw_assertion_params {
	const char *client_id; /* iss and sub */
	const char *audience;
	const struct secret *key; /* PEM, not encrypted */
	int64_t now_s;
};
/* Appends the compact form. ERR_BAD_REQUEST: no key that can sign. */
int jw_assertion(const struct jw_assertion_params *params, struct buf *out,
		 struct err *err) MUST_CHECK;

#endif
