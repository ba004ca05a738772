/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_MCP_HTTP_H
#define GATEWAY_HTTP_MCP_HTTP_H

/* The handlers of the MCP paths: streamable HTTP toward clients. */

#include "gateway/http/exchange.h"

/* One JSON-RPC message: a call (mcp_http.c). */
void mcp_post(struct exchange *exchange);
/* Ends a legacy session (mcp_session.c). */
void mcp_delete(struct exchange *exchange);
/* The stream of a legacy session (mcp_stream.c). */
void mcp_get(struct exchange *exchange);

#endif
