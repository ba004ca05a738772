/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_PARAM_HEADERS_H
#define GATEWAY_CORE_PARAM_HEADERS_H

/*
 * Arguments of a tool that travel as headers too (MCP 2026-07-28, transports): those whose schema
 * has `x-mcp-header`. Pure; reads the tool as its upstream lists it.
 */

#include "base/err.h"
#include "base/http_client.h"
#include "base/mem.h"
#include "base/span.h"

#define PARAM_HEADERS_MAX 32 /* of one tool */

/* How many parameters the tool annotates. -1 if an annotation breaks a rule: then a client has to
 * leave the tool out. */
int param_headers_check(struct span tool, struct err *err) MUST_CHECK;
/* The headers of a call with these arguments; names and values lie in the arena. What is null or
 * absent has none. Takes a tool that was checked. */
size_t param_headers_write(struct span tool, struct span arguments, struct arena *arena,
			   struct http_header out[PARAM_HEADERS_MAX]);

/* A text as the value of a header: itself, or =?base64?…?= where a header cannot hold it. */
const char *param_header_value(struct arena *arena, const char *p, size_t n);

#endif
