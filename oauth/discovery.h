/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_DISCOVERY_H
#define OAUTH_DISCOVERY_H

/*
 * From the URL of a protected resource to the endpoints of its authorization server: RFC 9728,
 * then RFC 8414 or OpenID Connect Discovery, else what MCP 2025-03-26 assumes. Every URL goes
 * through the egress policy, no redirect is followed, and the first document that is not as it
 * must be ends the search: nothing that it names is asked.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/egress.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/span.h"
#include "oauth/metadata.h"

#define DISCOVERY_TIMEOUT_MS 30000 /* for all of it; each request has FETCH_TIMEOUT_MS */

/* The pointers are borrowed until discovery_start returns, except the bodies: until the end. */
struct discovery_params {
	struct http_client *client;
	struct egress_policy *egress;
	const char *resource_url;
	/* WWW-Authenticate of a 401 or 403 (several lines joined with ", "). Absent: the resource
	 * is asked without a token, by POST of probe_body (with Content-Type application/json) or,
	 * if that is absent too, by GET. */
	struct span challenge;
	struct span probe_body;
	/* Sent in the same way if the first is not refused: some let everybody in and ask for a
	 * token only where something is done. Absent: nothing is. */
	struct span second_probe_body;
	const struct http_header *probe_headers;
	size_t n_probe_headers;
	const char *issuer; /* pinned by the operator: no other will do. NULL: as discovered */
	bool allow_http;    /* for loopback hosts: development */
	enum oauth_grant grant;
	int64_t timeout_ms; /* 0: DISCOVERY_TIMEOUT_MS */
};

struct discovery; /* slot */
/* Exactly one of server and err is not NULL. The server lies in the arena, and outlives done.
 * ERR_UPSTREAM: what came is refused; ERR_FORBIDDEN: egress; ERR_TIMEOUT; ERR_BAD_REQUEST:
 * resource_url or issuer. */
typedef void discovery_done(void *ctx, const struct oauth_server *server, const struct err *err);
/* Borrows the arena until done or cancel. */
void discovery_start(struct loop *loop, struct discovery **slot, struct arena *arena,
		     const struct discovery_params *params, discovery_done *done, void *ctx);
void discovery_cancel(struct discovery **slot);

#endif
