/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_URL_H
#define BASE_URL_H

/*
 * The one parser of absolute http and https URLs: what the egress policy has judged is what an
 * HTTP client connects to.
 *
 * Stricter than RFC 3986: printable ASCII only, no user info, no fragment, host names of
 * letters, digits, "-", "_" and "." without percent-encoding, no zone ids. Numbers in any
 * spelling that a resolver takes for an IPv4 address become that address.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define URL_MAX_BYTES  2048
#define URL_HOST_BYTES 256

struct url {
	bool https;
	char host[URL_HOST_BYTES];    /* lower case, no brackets, no final dot */
	uint16_t port;		      /* the scheme's if the URL names none */
	char text[URL_MAX_BYTES + 1]; /* the URL as it was understood */
};

/* ERR_BAD_REQUEST. */
int url_parse(const char *text, struct url *url, struct err *err) MUST_CHECK;

#endif
