/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_ERA_H
#define GATEWAY_HTTP_ERA_H

/*
 * Every rule that tells the eras of MCP apart on the client's side: from the headers and the body
 * of a POST to a request in core's words, or to a refusal. Pure. What follows from sessions,
 * tools and unknown methods is core's business.
 */

#include "base/mem.h"
#include "base/span.h"
#include "gateway/core/call.h"
#include "gateway/core/mcp.h"

/* Values as sent; NULL: absent. */
struct era_headers {
	const char *accept;
	const char *content_type;
	const char *version; /* MCP-Protocol-Version */
	const char *method;  /* Mcp-Method */
	const char *name;    /* Mcp-Name */
	const char *session; /* Mcp-Session-Id */
};

/*
 * 0, or -1 with *refusal filled. *out holds what could be read either way: a refusal may have an
 * era, an id and a method. body and *out live as long as the arena.
 *
 * A response that a legacy client posts has neither id nor method in *out.
 */
int era_read(const struct era_headers *headers, struct span body, struct arena *arena,
	     struct mcp_request *out, struct call_refusal *refusal) MUST_CHECK;

/* An MCP-Protocol-Version header that names the modern era. */
bool era_header_is_modern(const char *version);

#endif
