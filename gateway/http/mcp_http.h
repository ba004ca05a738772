/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_MCP_HTTP_H
#define GATEWAY_HTTP_MCP_HTTP_H

/* The handlers of the MCP paths: streamable HTTP toward clients. */

#include <stdbool.h>

#include "base/crypto.h"
#include "gateway/http/exchange.h"

/* One JSON-RPC message: a call (mcp_http.c). */
void mcp_post(struct exchange *exchange);
/* For http_server_params: a POST that the server has refused before there was an exchange. */
struct http_refusal;
bool mcp_refused(void *app, const struct http_refusal *refusal, char call_id[UUID_TEXT_BYTES]);
/* Ends a legacy session (mcp_session.c). */
void mcp_delete(struct exchange *exchange);
/* The stream of a legacy session (mcp_stream.c). */
void mcp_get(struct exchange *exchange);

#endif
