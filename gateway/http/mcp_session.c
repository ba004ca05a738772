/* SPDX-License-Identifier: Apache-2.0 */

/* DELETE and GET on an MCP path: what a legacy client does with its session. */

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/identity.h"
#include "gateway/core/session.h"
#include "gateway/http/app.h"
#include "gateway/http/credential.h"
#include "gateway/http/era.h"
#include "gateway/http/mcp_answer.h"
#include "gateway/http/mcp_http.h"

#define RETRY_AFTER_S 1

/* One DELETE that waits for the database. At most one of the two operations runs. */
struct ending {
	struct exchange *exchange;
	struct gate *gate;
	const char *credential;	     /* borrowed from the exchange; NULL: none was sent */
	struct principal *principal; /* NULL until it is known */
	struct identity_op *identity;
	struct session_op *session;
};

static void ending_free(struct ending *ending)
{
	identity_cancel(&ending->identity);
	session_cancel(&ending->session);
	principal_unref(&ending->principal);
	free(ending);
}

static void on_gone(void *ctx)
{
	ending_free(ctx);
}

static void fail(struct ending *ending, const struct mcp_failure *failure)
{
	mcp_fail(ending->exchange, failure);
	ending_free(ending);
}

static void fail_unauthenticated(struct ending *ending, const char *message)
{
	/* RFC 6750 section 3.1: error only when a credential was sent. */
	fail(ending,
	     &(struct mcp_failure){
		     .status = 401,
		     .rpc_code = RPC_SERVER_ERROR,
		     .message = message,
		     .authenticate = ending->credential != NULL ? "Bearer error=\"invalid_token\""
								: "Bearer",
	     });
}

/* Why is the operator's business. */
static void fail_unavailable(struct ending *ending, const struct err *err)
{
	log_warn(&(struct log_subject){ .component = "http" }, "a session was not ended: %s",
		 err->text);
	fail(ending, &(struct mcp_failure){
			     .status = 503,
			     .rpc_code = RPC_SERVER_ERROR,
			     .message = "sessions cannot be ended now",
			     .retry_after_s = RETRY_AFTER_S,
		     });
}

/* A session of somebody else does not exist either. */
static void fail_unknown(struct ending *ending)
{
	fail(ending, &(struct mcp_failure){
			     .status = 404,
			     .rpc_code = RPC_SESSION_NOT_FOUND,
			     .message = "Session not found",
		     });
}

static void on_ended(void *ctx, struct session *session, const struct err *err)
{
	struct ending *ending = ctx;

	(void)session;
	if (err == NULL) {
		mcp_answer(ending->exchange, mcp_origin(ending->exchange), NULL,
			   &(struct call_reply){ .http_status = 204 });
		ending_free(ending);
	} else if (err->code == ERR_NOT_FOUND) {
		fail_unknown(ending);
	} else {
		fail_unavailable(ending, err);
	}
}

static void end_session(struct ending *ending)
{
	const char *tenant = exchange_param(ending->exchange, "tenant");
	const char *endpoint = exchange_param(ending->exchange, "connection");
	struct session_key key = {
		.principal = ending->principal,
		.endpoint = endpoint == NULL ? "" : endpoint,
		.id = exchange_header(ending->exchange, "mcp-session-id"),
	};

	if (key.id == NULL)
		fail(ending, &(struct mcp_failure){
				     .status = 400,
				     .rpc_code = RPC_SERVER_ERROR,
				     .message = "Bad Request: Session ID required",
			     });
	else if (tenant != NULL && strcmp(tenant, ending->principal->tenant) != 0)
		fail_unknown(ending);
	else
		session_end_start(ending->gate->sessions, &ending->session, &key, on_ended, ending);
}

static void on_identity(void *ctx, struct principal *principal, const struct err *err)
{
	struct ending *ending = ctx;

	if (err == NULL) {
		ending->principal = principal_ref(principal);
		end_session(ending);
	} else if (err->code == ERR_UNAUTHENTICATED) {
		fail_unauthenticated(ending, err->text);
	} else {
		fail_unavailable(ending, err);
	}
}

static void authenticate(struct ending *ending)
{
	struct identity *identity = ending->gate->identity;
	struct err err;

	if (credential_read(exchange_header(ending->exchange, "authorization"),
			    exchange_header(ending->exchange, "x-api-key"), &ending->credential,
			    &err) < 0) {
		fail(ending, &(struct mcp_failure){ .status = 400,
						    .rpc_code = RPC_INVALID_REQUEST,
						    .message = err.text });
		return;
	}
	if (ending->credential == NULL) {
		fail_unauthenticated(ending,
				     "send an API key as Authorization: Bearer or X-API-Key");
		return;
	}
	switch (identity_find(identity, ending->credential, &ending->principal, &err)) {
	case IDENTITY_KNOWN:
		end_session(ending);
		break;
	case IDENTITY_REFUSED:
		fail_unauthenticated(ending, err.text);
		break;
	case IDENTITY_UNKNOWN:
		identity_start(identity, &ending->identity, ending->credential, on_identity,
			       ending);
		break;
	}
}

void mcp_delete(struct exchange *exchange)
{
	struct http_app *app = exchange_app(exchange);
	struct ending *ending;

	if (!mcp_guard(exchange))
		return;
	if (era_header_is_modern(exchange_header(exchange, "mcp-protocol-version"))) {
		mcp_fail(exchange, &(struct mcp_failure){
					   .status = 405,
					   .rpc_code = RPC_SERVER_ERROR,
					   .message = "Method not allowed.",
					   .allow = "POST",
				   });
		return;
	}
	ending = mem_new(sizeof(*ending));
	ending->exchange = exchange;
	ending->gate = app->gate;
	exchange_on_gone(exchange, on_gone, ending);
	authenticate(ending);
}

void mcp_get(struct exchange *exchange)
{
	if (!mcp_guard(exchange))
		return;
	mcp_fail(exchange, &(struct mcp_failure){
				   .status = 405,
				   .rpc_code = RPC_SERVER_ERROR,
				   .message = "Method not allowed.",
				   .allow = "POST, DELETE",
			   });
}
