/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_COOKIE_H
#define GATEWAY_HTTP_COOKIE_H

/*
 * The two cookies that browsers are given (RFC 6265). Over https their names begin with __Host-,
 * so that no other host can set them. A development gateway on plain http, where browsers do not
 * take such names, calls them otherwise. Pure.
 */

#include <stdbool.h>

#include "base/mem.h"
#include "gateway/core/browser.h"

enum cookie {
	COOKIE_SESSION, /* who is signed in */
	COOKIE_CONNECT, /* in which browser a user agreed to connect */
};

/* The cookie's token from a Cookie header (NULL: there was none) into out. False if it is not
 * there, is no token of ours, or is there twice: then somebody has put one beside it. */
bool cookie_read(const char *header, enum cookie cookie, bool https, char out[BROWSER_TOKEN_BYTES]);
/* A Set-Cookie value, in the arena. token NULL: forgets it. */
const char *cookie_write(struct arena *arena, enum cookie cookie, bool https, const char *token);

#endif
