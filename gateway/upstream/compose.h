/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_UPSTREAM_COMPOSE_H
#define GATEWAY_UPSTREAM_COMPOSE_H

/*
 * What is sent to an upstream, in the words of its era: every rule of the upstream side that
 * depends on the era stands here. The client's params travel as its own bytes; only name and
 * _meta are rewritten.
 */

#include <stdint.h>

#include "base/buf.h"
#include "base/http_client.h"
#include "base/mem.h"
#include "base/trace_context.h"
#include "gateway/core/mcp.h"
#include "gateway/core/param_headers.h"

#define COMPOSE_MAX_BYTES   ((size_t)9 << 20)
#define COMPOSE_MAX_HEADERS (6 + PARAM_HEADERS_MAX)

struct compose_params {
	enum mcp_era era;
	const char *version;	/* MCP-Protocol-Version; NULL before it was agreed */
	const char *session_id; /* legacy; NULL: none */
	int64_t id;		/* of the request, and its progress token */
	const char *method;
	struct span params; /* of the client, or absent */
	const char *name;   /* replaces params.name; NULL: leave it */
	struct span tool;   /* modern: its text, if arguments of it travel as headers too */
	bool progress;
	const char *log_level; /* modern: NULL: none wanted */
	struct trace_carrier trace;
};

/* Appends the message. 0, or -1 if it is over the buffer's ceiling. */
int compose_body(const struct compose_params *params, struct buf *out) MUST_CHECK;
/* Strings are borrowed from params or lie in the arena. Returns how many. */
size_t compose_headers(const struct compose_params *params, struct arena *arena,
		       struct http_header out[COMPOSE_MAX_HEADERS]);

/* Legacy only. */
void compose_initialize(int64_t id, struct buf *out);
void compose_cancelled(int64_t id, const char *reason, struct buf *out);

#endif
