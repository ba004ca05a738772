/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_TOOL_LIST_H
#define GATEWAY_CORE_TOOL_LIST_H

/* One page of tools/list: what a principal may call, in a stable order, as its era writes it. */

#include "base/buf.h"
#include "base/crypto.h"
#include "gateway/core/mcp.h"

struct connection;
struct principal;
struct tenant;

#define TOOLS_PER_PAGE 100
/* A page also ends when it has grown over this. */
#define TOOL_PAGE_MAX_BYTES   ((size_t)8 << 20)
#define TOOL_CURSOR_MAX_BYTES 256

struct tool_list_params {
	const struct principal *principal;
	const struct tenant *tenant;
	const struct connection *only; /* un-namespaced; NULL: all, as connection__tool */
	enum mcp_era era;
	const char *cursor; /* of the page before; NULL: the first page */
};
/* Appends the result object. -1 if the cursor is not one that an earlier page gave. */
int tool_list_write(const struct tool_list_params *params, struct buf *out) MUST_CHECK;

/* Of all pages, whatever the cursor: two lists have the same digest if and only if they read the
 * same. */
void tool_list_digest(const struct tool_list_params *params, uint8_t out[SHA256_BYTES]);

#endif
