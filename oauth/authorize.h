/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_AUTHORIZE_H
#define OAUTH_AUTHORIZE_H

/*
 * The browser's part of authorization_code: PKCE (RFC 7636, S256 only), the URL that the browser
 * is sent to, and who an answer must come from (RFC 9207). Pure but for the random bytes.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "oauth/client.h"

#define AUTHORIZE_TOKEN_BYTES	44   /* 32 bytes in base64url, and the NUL */
#define AUTHORIZE_MAX_URL_BYTES 8192 /* what servers take in a request line */
#define AUTHORIZE_MAX_PARAMS	32   /* of the operator */

/* 256 random bits: a `state`, or a PKCE verifier. Never one for the other. */
void authorize_random(char out[AUTHORIZE_TOKEN_BYTES]);
void authorize_code_challenge(const char *verifier, char out[AUTHORIZE_TOKEN_BYTES]);

struct authorize_params {
	const char *authorization_url;
	const char *client_id;
	const char *redirect_uri;
	const char *state;
	const char *verifier;
	const char *resource;		 /* NULL: not sent */
	const char *scope;		 /* NULL: not sent */
	const struct oauth_param *extra; /* the operator's, verbatim */
	size_t n_extra;
};
/* ERR_BAD_REQUEST if an extra parameter is one of ours or given twice; see below for which. */
int authorize_check_extra(const struct oauth_param *extra, size_t n, struct err *err) MUST_CHECK;
/*
 * Appends the URL. A query that the endpoint has is kept. ERR_UPSTREAM if the endpoint is no URL
 * or its query names a parameter of ours, ERR_BAD_REQUEST for bad extra ones, ERR_TOO_LARGE.
 */
int authorize_url(const struct authorize_params *params, struct buf *out,
		  struct err *err) MUST_CHECK;

enum authorize_iss {
	AUTHORIZE_ISS_OK,
	AUTHORIZE_ISS_MISSING,	/* the server says that it sends one */
	AUTHORIZE_ISS_MISMATCH, /* this answer is another server's: nothing in it may be used */
};
/*
 * For answers with a code and with an error alike, before anything else of them is read.
 * `issuer` is the attempt's (NULL: endpoints typed in by hand without one, so there is nothing to
 * compare with), `iss` the answer's (NULL: absent). Compared byte for byte.
 */
enum authorize_iss authorize_check_iss(bool iss_supported, const char *issuer, const char *iss);

#endif
