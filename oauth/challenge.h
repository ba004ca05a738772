/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_CHALLENGE_H
#define OAUTH_CHALLENGE_H

/*
 * What WWW-Authenticate says about Bearer tokens (RFC 9110 11.6.1, RFC 6750 3, RFC 9728 5.1).
 * Challenges of other schemes are read over. Of several Bearer challenges the first counts that
 * names resource_metadata, else the first.
 */

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"

#define CHALLENGE_MAX_BYTES	  16384 /* 16 KiB, all lines of the header joined with commas */
#define CHALLENGE_MAX_PARAMS	  64
#define CHALLENGE_MAX_VALUE_BYTES 4096

/* NULL: not said. All in the arena. Printable ASCII only. */
struct challenge {
	bool bearer; /* there is a Bearer challenge at all */
	const char *resource_metadata;
	const char *scope;
	const char *error;
	const char *error_description;
};

/* ERR_UPSTREAM: not the grammar, or a parameter twice. Values without quotes may hold what a URL
 * holds, although RFC 9110 wants quotes for that: servers forget them. */
int challenge_parse(struct span header, struct arena *arena, struct challenge *challenge,
		    struct err *err) MUST_CHECK;

#endif
