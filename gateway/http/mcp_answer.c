/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/mcp_answer.h"

#include <stdio.h>

#include "base/buf.h"
#include "gateway/core/envelope.h"
#include "gateway/core/mcp.h"
#include "gateway/http/cors.h"
#include "gateway/http/guard.h"

#define MAX_REPLY_HEADERS (CORS_MAX_HEADERS + 5)
#define FAILURE_MAX_BYTES 4096

void mcp_answer(struct exchange *exchange, const char *origin, const char *allow,
		const struct call_reply *reply)
{
	struct http_header headers[MAX_REPLY_HEADERS];
	size_t n = cors_headers(origin, headers);
	char retry_after[16];

	if (reply->call_id != NULL)
		headers[n++] = (struct http_header){ GATEWAY_CALL_ID_HEADER, reply->call_id };
	if (reply->session_id != NULL)
		headers[n++] = (struct http_header){ "Mcp-Session-Id", reply->session_id };
	if (reply->authenticate != NULL)
		headers[n++] = (struct http_header){ "WWW-Authenticate", reply->authenticate };
	if (allow != NULL)
		headers[n++] = (struct http_header){ "Allow", allow };
	if (reply->retry_after_s > 0) {
		snprintf(retry_after, sizeof(retry_after), "%d", reply->retry_after_s);
		headers[n++] = (struct http_header){ "Retry-After", retry_after };
	}
	exchange_answer(exchange,
			&(struct exchange_answer){
				.status = reply->http_status,
				.content_type = reply->body.n > 0 ? "application/json" : NULL,
				.headers = headers,
				.n_headers = n,
				.body = reply->body,
			});
}

const char *mcp_origin(struct exchange *exchange)
{
	const char *origin = exchange_header(exchange, "origin");

	return origin != NULL && guard_origin(exchange_app(exchange), origin) ? origin : NULL;
}

void mcp_fail(struct exchange *exchange, const struct mcp_failure *failure)
{
	struct call_reply reply = {
		.http_status = failure->status,
		.authenticate = failure->authenticate,
		.retry_after_s = failure->retry_after_s,
	};
	struct buf body;

	buf_init(&body, FAILURE_MAX_BYTES);
	envelope_error(&body, (struct span){ 0 }, failure->rpc_code, failure->message,
		       (struct span){ 0 });
	reply.body = buf_span(&body);
	mcp_answer(exchange, mcp_origin(exchange), failure->allow, &reply);
	buf_fini(&body);
}

bool mcp_guard(struct exchange *exchange)
{
	if (guard_host(exchange_app(exchange), exchange_header(exchange, "host")) &&
	    (exchange_header(exchange, "origin") == NULL || mcp_origin(exchange) != NULL))
		return true;
	mcp_fail(exchange, &(struct mcp_failure){
				   .status = 403,
				   .rpc_code = RPC_SERVER_ERROR,
				   .message = "Forbidden: this host or origin is not served",
			   });
	return false;
}
