/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

/*
 * Bytes that must not be shown. A struct, not a string: no printf-like function and no log call
 * accepts it, so a secret cannot reach a log line without spelling out `.reveal`.
 */

#include <stddef.h>

struct secret {
	char *reveal; /* NUL-terminated; NULL: none */
	size_t n;
};

struct secret secret_new(const char *bytes, size_t n); /* copies; NULL gives none */
void secret_fini(struct secret *secret);	       /* wipes, frees, leaves none */

#endif
