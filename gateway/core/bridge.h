/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_BRIDGE_H
#define GATEWAY_CORE_BRIDGE_H

/* What one era says, in the words of the other. Byte for byte where nothing has to change. */

#include <stdbool.h>

#include "base/buf.h"
#include "gateway/core/mcp.h"

/* A tools/call result. -1 if it is one that the client cannot be given: input_required of an
 * upstream that was told that nobody answers, or a result that is no object. */
int bridge_result(struct span result, enum mcp_era from, enum mcp_era to,
		  struct buf *out) MUST_CHECK;
/* A tool as listed, with `exposed` as its name (NULL: unchanged). */
void bridge_tool(struct span tool, const char *exposed, enum mcp_era to, struct buf *out);
/* False for codes that describe the gateway's own dialogue with the upstream (headers, versions,
 * capabilities) or that this client's era forbids. */
bool bridge_error_passes(int code, enum mcp_era to);
/* Whether the client's capabilities lack one that the upstream requires, or a part of one. What it
 * has and the gateway does not pass on is no lack of the client's. */
bool bridge_client_lacks(struct span required, struct span declared);

#endif
