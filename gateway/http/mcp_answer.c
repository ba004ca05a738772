/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/mcp_answer.h"

#include <stdio.h>

#include "audit/book.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/log.h"
#include "gateway/core/call_flood.h"
#include "gateway/core/envelope.h"
#include "gateway/core/mcp.h"
#include "gateway/http/app.h"
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

/* Whoever is refused at the gate stands in the book, whatever was asked: true, with the row's id.
 * What is refused of a recognised client's session is no call. */
static bool record_refusal(struct exchange *exchange, const struct mcp_failure *failure,
			   char call_id[UUID_TEXT_BYTES])
{
	const struct http_app *app = exchange_app(exchange);
	const struct book_call call = {
		.call_id = call_id,
		.started_us = loop_unix_us(),
		.client = span_of(exchange_header(exchange, "user-agent")),
		.source_ip = exchange_source_ip(exchange),
		.request_bytes = exchange_body(exchange).n,
	};
	const struct book_result result = {
		.outcome = failure->status == 401 ? BOOK_UNAUTHENTICATED : BOOK_DENIED,
		.upstream_us = -1,
		.error_message = span_of(failure->message),
		.http_status = failure->status,
	};
	struct err err;

	if ((failure->status != 401 && failure->status != 403) || app->gate == NULL ||
	    app->gate->book == NULL)
		return false;
	uuid_v7(call.started_us / 1000, call_id);
	if (call_flood_merge(app->gate->flood, NULL, &call, &result, call_id))
		return true;
	if (book_entry(app->gate->book, &call, &result, NULL, NULL, NULL, &err) == 0)
		return true;
	log_error(&(struct log_subject){ .component = "http" },
		  "a refused request cannot be recorded: %s", err.text);
	return false;
}

void mcp_fail(struct exchange *exchange, const struct mcp_failure *failure)
{
	char id[UUID_TEXT_BYTES];
	char data[UUID_TEXT_BYTES + 32];
	struct call_reply reply = {
		.http_status = failure->status,
		.authenticate = failure->authenticate,
		.retry_after_s = failure->retry_after_s,
	};
	struct buf body;

	buf_init(&body, FAILURE_MAX_BYTES);
	data[0] = '\0';
	if (record_refusal(exchange, failure, id)) {
		reply.call_id = id;
		snprintf(data, sizeof(data), "{\"" GATEWAY_DATA_CALL_ID "\":\"%s\"}", id);
	}
	envelope_error(&body, (struct span){ 0 }, failure->rpc_code, failure->message,
		       span_of(data[0] != '\0' ? data : NULL));
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
