/* SPDX-License-Identifier: Apache-2.0 */

/* GET on an MCP path: the stream on which a legacy client hears what it did not ask for. */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/core/policy.h"
#include "gateway/core/principal.h"
#include "gateway/core/session.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "gateway/http/app.h"
#include "gateway/http/mcp_caller.h"
#include "gateway/http/mcp_http.h"
#include "gateway/http/mcp_sse.h"
#include "gateway/http/media.h"

#define RETRY_AFTER_S 2
#define LIST_CHANGED  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}"

/* One GET, until its stream ends or its client leaves. At most one of the operations runs. */
struct stream {
	struct mcp_caller caller;
	struct tenant *tenant; /* NULL until it is known, and again once the stream is open */
	struct tenants_op *loading;
	struct session_op *finding;
	struct subscription *subscription; /* NULL: the stream is not open */
	struct mcp_sse sse;
};

static void stream_free(void *ctx)
{
	struct stream *stream = ctx;

	mcp_caller_fini(&stream->caller);
	tenants_cancel(&stream->loading);
	session_cancel(&stream->finding);
	subscription_cancel(&stream->subscription);
	tenant_unref(&stream->tenant);
	mcp_sse_stop(&stream->sse);
	free(stream);
}

static const char *endpoint_of(const struct stream *stream)
{
	const char *endpoint = exchange_param(stream->caller.exchange, "connection");

	return endpoint != NULL ? endpoint : "";
}

static void on_changed(void *ctx)
{
	struct stream *stream = ctx;

	mcp_sse_write(&stream->sse, SPAN(LIST_CHANGED));
}

/* Whatever the reason: a client that comes again is told it by the status. */
static void on_ended(void *ctx, enum subscription_end why)
{
	struct stream *stream = ctx;

	(void)why;
	mcp_sse_end(&stream->sse);
	stream_free(stream);
}

static void refuse_too_many(struct stream *stream, const struct err *err)
{
	mcp_caller_refuse(&stream->caller, &(struct mcp_failure){
						   .status = err_http_status(err->code),
						   .rpc_code = err_rpc_code(err->code),
						   .message = err->text,
						   .retry_after_s = RETRY_AFTER_S,
					   });
}

static void open_stream(struct stream *stream)
{
	struct exchange *exchange = stream->caller.exchange;
	struct gate *gate = stream->caller.gate;
	const struct subscription_params params = {
		.principal = stream->caller.principal,
		.tenant = stream->tenant,
		.endpoint = endpoint_of(stream),
		.era = MCP_LEGACY,
		.session_id = exchange_header(exchange, "mcp-session-id"),
		.changed = on_changed,
		.ended = on_ended,
		.ctx = stream,
	};
	struct err err;

	if (subscription_start(gate->subscriptions, &stream->subscription, &params, &err) < 0) {
		refuse_too_many(stream, &err);
		return;
	}
	/* An older snapshot must not be kept for as long as somebody listens. */
	tenant_unref(&stream->tenant);
	mcp_sse_start(&stream->sse, exchange, gate->loop,
		      &(struct mcp_sse_head){ mcp_origin(exchange), NULL, SPAN(":\n\n") });
}

static void on_session(void *ctx, struct session *session, const struct err *err)
{
	struct stream *stream = ctx;

	(void)session;
	if (err == NULL)
		open_stream(stream);
	else if (err->code == ERR_NOT_FOUND)
		mcp_caller_no_session(&stream->caller);
	else
		mcp_caller_unavailable(&stream->caller, err);
}

static void find_session(struct stream *stream)
{
	struct sessions *sessions = stream->caller.gate->sessions;
	const struct session_key key = {
		.principal = stream->caller.principal,
		.endpoint = endpoint_of(stream),
		.id = mcp_caller_session_id(&stream->caller),
	};
	struct session *session;

	if (key.id == NULL)
		return;
	session = session_find(sessions, &key);
	if (session != NULL) {
		session_unref(&session);
		open_stream(stream);
	} else {
		session_find_start(sessions, &stream->finding, &key, on_session, stream);
	}
}

static void refuse_missing(struct stream *stream)
{
	mcp_caller_refuse(&stream->caller, &(struct mcp_failure){
						   .status = 404,
						   .rpc_code = RPC_SERVER_ERROR,
						   .message = "Not found",
					   });
}

static bool admitted(const struct stream *stream)
{
	const struct exchange *exchange = stream->caller.exchange;
	const char *tenant = exchange_param(exchange, "tenant");
	const char *endpoint = endpoint_of(stream);
	const struct connection *connection = tenant_find_connection(stream->tenant, endpoint);

	if (!stream->tenant->enabled ||
	    (tenant != NULL && strcmp(tenant, stream->tenant->name) != 0))
		return false;
	return endpoint[0] == '\0' || (connection != NULL && policy_check(stream->caller.principal,
									  connection, NULL, NULL));
}

/* The order in which calls are refused too: what is there, then how it is asked for. */
static void on_configured(struct stream *stream)
{
	struct exchange *exchange = stream->caller.exchange;

	if (!admitted(stream))
		refuse_missing(stream);
	else if (!media_accepted(exchange_header(exchange, "accept"), "text/event-stream"))
		mcp_caller_refuse(&stream->caller,
				  &(struct mcp_failure){
					  .status = 406,
					  .rpc_code = RPC_SERVER_ERROR,
					  .message = "Not Acceptable: Client must accept "
						     "text/event-stream",
				  });
	else
		find_session(stream);
}

static void on_tenant(void *ctx, struct tenant *tenant, const struct err *err)
{
	struct stream *stream = ctx;

	if (err == NULL) {
		stream->tenant = tenant_ref(tenant);
		on_configured(stream);
	} else if (err->code == ERR_NOT_FOUND) {
		refuse_missing(stream);
	} else {
		mcp_caller_unavailable(&stream->caller, err);
	}
}

static void on_known(void *ctx)
{
	struct stream *stream = ctx;
	struct tenants *tenants = stream->caller.gate->tenants;
	const char *tenant_id = stream->caller.principal->tenant_id;

	stream->tenant = tenants_find(tenants, tenant_id);
	if (stream->tenant != NULL)
		on_configured(stream);
	else
		tenants_start(tenants, &stream->loading, tenant_id, on_tenant, stream);
}

void mcp_get(struct exchange *exchange)
{
	struct http_app *app = exchange_app(exchange);
	struct stream *stream;

	if (!mcp_caller_guard(exchange))
		return;
	if (strcmp(exchange_method(exchange), "HEAD") == 0) {
		mcp_fail(exchange, &(struct mcp_failure){ .status = 405,
							  .rpc_code = RPC_SERVER_ERROR,
							  .message = "Method not allowed.",
							  .allow = "GET, POST, DELETE" });
		return;
	}
	stream = mem_new(sizeof(*stream));
	stream->caller = (struct mcp_caller){
		.exchange = exchange,
		.gate = app->gate,
		.what = "streams cannot be opened",
		.known = on_known,
		.refused = stream_free,
		.ctx = stream,
	};
	exchange_on_gone(exchange, stream_free, stream);
	mcp_caller_start(&stream->caller);
}
