/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_MCP_ANSWER_H
#define GATEWAY_HTTP_MCP_ANSWER_H

/* What the handlers of the MCP paths share: who is served, and answers in JSON-RPC. */

#include <stdbool.h>

#include "gateway/core/call.h"
#include "gateway/http/exchange.h"

/* The Origin header if it may read answers, else NULL. */
const char *mcp_origin(struct exchange *exchange);
/* Host and Origin are served. If not, the exchange has been answered. */
bool mcp_guard(struct exchange *exchange);

/* origin is what mcp_origin said; allow is a header, or NULL. */
void mcp_answer(struct exchange *exchange, const char *origin, const char *allow,
		const struct call_reply *reply);

/* An error without an id, for what is refused where there is no call. */
struct mcp_failure {
	int status;
	int rpc_code;
	const char *message;
	const char *allow; /* headers, or NULL */
	const char *authenticate;
	int retry_after_s; /* 0: none */
};
void mcp_fail(struct exchange *exchange, const struct mcp_failure *failure);

#endif
