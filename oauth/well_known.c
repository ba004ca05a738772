/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/well_known.h"

#include <string.h>

#define RESOURCE "/.well-known/oauth-protected-resource"
#define SERVER	 "/.well-known/oauth-authorization-server"
#define OPENID	 "/.well-known/openid-configuration"

/* What follows the host: path and query, "" for none and for a single slash. */
static const char *rest_of(const char *url)
{
	const char *rest = strstr(url, "://") + 3;

	rest += strcspn(rest, "/?#");
	return strcmp(rest, "/") == 0 ? "" : rest;
}

static int origin_bytes(const char *url)
{
	const char *host = strstr(url, "://") + 3;

	return (int)(host - url) + (int)strcspn(host, "/?#");
}

const char *well_known_origin(struct arena *arena, const char *url)
{
	return arena_printf(arena, "%.*s", origin_bytes(url), url);
}

struct well_known well_known_resource(struct arena *arena, const char *resource)
{
	const char *rest = rest_of(resource);
	const char *origin = well_known_origin(arena, resource);
	struct well_known found = { .n = 0 };

	/* RFC 9728 3.1: of "https://host/?x" the slash goes, of "https://host/a/" it stays. */
	if (strncmp(rest, "/?", 2) == 0)
		rest++;
	if (rest[0] != '\0')
		found.urls[found.n++] = arena_printf(arena, "%s%s%s", origin, RESOURCE, rest);
	found.urls[found.n++] = arena_printf(arena, "%s%s", origin, RESOURCE);
	return found;
}

struct well_known well_known_server(struct arena *arena, const char *issuer)
{
	const char *rest = rest_of(issuer);
	const char *origin = well_known_origin(arena, issuer);
	int n = (int)strlen(rest);

	if (n == 0)
		return (struct well_known){
			.urls = {arena_printf(arena, "%s%s", origin, SERVER),
				  arena_printf(arena, "%s%s", origin, OPENID)},
			.n = 2,
		};
	/* RFC 8414 3.1 and OpenID Connect Discovery 4.1: a final slash goes. */
	if (rest[n - 1] == '/')
		n--;
	return (struct well_known){
		.urls = {arena_printf(arena, "%s%s%.*s", origin, SERVER, n, rest),
			  arena_printf(arena, "%s%s%.*s", origin, OPENID, n, rest),
			  arena_printf(arena, "%s%.*s%s", origin, n, rest, OPENID)},
		.n = 3,
	};
}
