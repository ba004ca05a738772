/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_WELL_KNOWN_H
#define OAUTH_WELL_KNOWN_H

/* Where the documents of discovery may lie, in the order in which they are asked for. */

#include <stddef.h>

#include "base/mem.h"

#define WELL_KNOWN_MAX 3

struct well_known {
	const char *urls[WELL_KNOWN_MAX]; /* in the arena */
	size_t n;
};

/* Takes URLs that url_parse accepts. RFC 9728 3.1: with the resource's path, then without. */
struct well_known well_known_resource(struct arena *arena, const char *resource);
/* RFC 8414 3.1 and 5, OpenID Connect Discovery 4.1, as MCP orders them. */
struct well_known well_known_server(struct arena *arena, const char *issuer);
/* "https://host:port" of a URL, the port only if the URL names one. */
const char *well_known_origin(struct arena *arena, const char *url);

#endif
