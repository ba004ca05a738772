/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/mcp_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/book.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/call_flood.h"
#include "gateway/http/app.h"
#include "gateway/http/credential.h"
#include "gateway/http/era.h"
#include "gateway/http/guard.h"
#include "gateway/http/mcp_answer.h"
#include "gateway/http/mcp_sse.h"
#include "gateway/http/route_match.h"

enum answer_state {
	ANSWER_OPEN,   /* nothing has been sent */
	ANSWER_STREAM, /* events are being sent */
};

/* One POST, until its answer is complete or its client has left. */
struct post {
	struct exchange *exchange;
	struct call *call;
	struct loop *loop;
	enum answer_state state;
	const char *origin; /* borrowed from the exchange; NULL: no CORS headers */
	struct mcp_sse sse;
};

static void post_free(struct post *post)
{
	mcp_sse_stop(&post->sse);
	free(post);
}

static void on_gone(void *ctx)
{
	struct post *post = ctx;
	struct call *call = post->call;

	post_free(post);
	call_client_gone(call);
}

static void start_stream(struct post *post)
{
	post->state = ANSWER_STREAM;
	mcp_sse_start(&post->sse, post->exchange, post->loop,
		      &(struct mcp_sse_head){ post->origin, call_id(post->call), SPAN("") });
}

static void on_message(void *ctx, struct span text)
{
	struct post *post = ctx;

	if (post->state == ANSWER_OPEN)
		start_stream(post);
	mcp_sse_write(&post->sse, text);
}

static void on_finish(void *ctx, const struct call_reply *reply)
{
	struct post *post = ctx;

	/* A request that gets no answer: to it belongs a stream (MCP 2025-11-25, transports). */
	if (post->state == ANSWER_OPEN && reply->http_status == 200 && reply->body.n == 0)
		start_stream(post);
	if (post->state == ANSWER_OPEN) {
		mcp_answer(post->exchange, post->origin, NULL, reply);
	} else {
		if (reply->body.n > 0)
			mcp_sse_write(&post->sse, reply->body);
		mcp_sse_end(&post->sse);
	}
	post_free(post);
}

static void refuse(struct call_refusal *refusal, int status, int code, const char *message)
{
	*refusal = (struct call_refusal){ .before_auth = true,
					  .http_status = status,
					  .rpc_code = code };
	snprintf(refusal->message, sizeof(refusal->message), "%.*s",
		 (int)sizeof(refusal->message) - 1, message);
}

/* Before anybody is asked who they are. */
static int check_caller(struct exchange *exchange, const char **credential,
			struct call_refusal *refusal)
{
	const struct http_app *app = exchange_app(exchange);
	const char *origin = exchange_header(exchange, "origin");
	struct err err;

	if (!guard_host(app, exchange_header(exchange, "host")))
		refuse(refusal, 403, RPC_SERVER_ERROR, "Forbidden: this host is not served");
	else if (origin != NULL && !guard_origin(app, origin))
		refuse(refusal, 403, RPC_SERVER_ERROR, "Forbidden: this origin is not served");
	else if (credential_read(exchange_header(exchange, "authorization"),
				 exchange_header(exchange, "x-api-key"), credential, &err) < 0)
		refuse(refusal, 400, RPC_INVALID_REQUEST, err.text);
	else
		return 0;
	return -1;
}

static const char *keep(struct arena *arena, const char *text)
{
	return text == NULL ? NULL : arena_strdup(arena, text);
}

/* A legacy call outlives its client, so nothing is left in the exchange. */
static struct call_params *read_call(struct exchange *exchange, struct arena *arena)
{
	struct call_params *params = arena_alloc(arena, sizeof(*params));
	struct call_refusal *refusal = arena_alloc(arena, sizeof(*refusal));
	struct span body = exchange_body(exchange);
	const char *credential = NULL;
	struct era_headers headers = {
		.accept = exchange_header(exchange, "accept"),
		.content_type = exchange_header(exchange, "content-type"),
		.version = keep(arena, exchange_header(exchange, "mcp-protocol-version")),
		.method = exchange_header(exchange, "mcp-method"),
		.name = exchange_header(exchange, "mcp-name"),
		.session = keep(arena, exchange_header(exchange, "mcp-session-id")),
	};

	params->body = (struct span){ arena_dup(arena, body.p, body.n), body.n };
	if (check_caller(exchange, &credential, refusal) < 0 ||
	    era_read(&headers, params->body, arena, &params->request, refusal) < 0)
		params->refusal = refusal;
	params->tenant = keep(arena, exchange_param(exchange, "tenant"));
	params->endpoint = keep(arena, exchange_param(exchange, "connection"));
	params->credential = keep(arena, credential);
	if (params->request.era == MCP_LEGACY)
		params->session_id = headers.session;
	params->source_ip = keep(arena, exchange_source_ip(exchange));
	params->user_agent = keep(arena, exchange_header(exchange, "user-agent"));
	params->trace = (struct trace_carrier){
		.traceparent = keep(arena, exchange_header(exchange, "traceparent")),
		.tracestate = keep(arena, exchange_header(exchange, "tracestate")),
		.baggage = keep(arena, exchange_header(exchange, "baggage")),
	};
	return params;
}

void mcp_post(struct exchange *exchange)
{
	struct http_app *app = exchange_app(exchange);
	struct arena *arena = arena_new();
	const struct call_params *params = read_call(exchange, arena);
	struct post *post = mem_new(sizeof(*post));
	struct call_sink *sink = arena_alloc(arena, sizeof(*sink));

	*sink = (struct call_sink){ .message = on_message, .finish = on_finish, .ctx = post };
	post->exchange = exchange;
	post->loop = app->gate->loop;
	post->origin = mcp_origin(exchange);
	post->call = call_new(app->gate, arena, params, sink);
	exchange_on_gone(exchange, on_gone, post);
	call_run(post->call);
}

static bool is_call(const struct http_refusal *refusal)
{
	struct route_params ignored;

	for (const struct route *route = http_routes; route->method != NULL; route++) {
		if (route->handle == mcp_post && span_is(refusal->method, route->method) &&
		    route_match(route->pattern, refusal->path, &ignored))
			return true;
	}
	return false;
}

bool mcp_refused(void *ctx, const struct http_refusal *refusal, char call_id[UUID_TEXT_BYTES])
{
	const struct http_app *app = ctx;
	const struct book_call call = {
		.call_id = call_id,
		.started_us = loop_unix_us(),
		.source_ip = refusal->source_ip,
	};
	const struct book_result result = {
		.outcome = BOOK_MALFORMED,
		.upstream_us = -1,
		.error_message = refusal->status == 413 ? SPAN("the body is too large")
							: SPAN("the request is not understood"),
		.http_status = refusal->status,
	};
	struct err err;

	if (app->gate == NULL || !is_call(refusal))
		return false;
	uuid_v7(call.started_us / 1000, call_id);
	if (call_flood_merge(app->gate->flood, NULL, &call, &result, call_id))
		return true;
	if (book_entry(app->gate->book, &call, &result, NULL, NULL, NULL, &err) == 0)
		return true;
	log_error(&(struct log_subject){ .component = "http" },
		  "a refused call cannot be recorded: %s", err.text);
	return false;
}
