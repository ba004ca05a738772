/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/mcp_caller.h"

#include <stdio.h>

#include "base/log.h"
#include "gateway/core/identity.h"
#include "gateway/http/credential.h"
#include "gateway/http/era.h"

#define RETRY_AFTER_S 1

bool mcp_caller_guard(struct exchange *exchange)
{
	if (!mcp_guard(exchange))
		return false;
	if (!era_header_is_modern(exchange_header(exchange, "mcp-protocol-version")))
		return true;
	mcp_fail(exchange, &(struct mcp_failure){
				   .status = 405,
				   .rpc_code = RPC_SERVER_ERROR,
				   .message = "Method not allowed.",
				   .allow = "POST",
			   });
	return false;
}

void mcp_caller_fini(struct mcp_caller *caller)
{
	identity_cancel(&caller->identity);
	principal_unref(&caller->principal);
}

void mcp_caller_refuse(struct mcp_caller *caller, const struct mcp_failure *failure)
{
	mcp_fail(caller->exchange, failure);
	caller->refused(caller->ctx);
}

static void refuse_unauthenticated(struct mcp_caller *caller, const char *message)
{
	/* RFC 6750 section 3.1: error only when a credential was sent. */
	mcp_caller_refuse(caller, &(struct mcp_failure){
					  .status = 401,
					  .rpc_code = RPC_SERVER_ERROR,
					  .message = message,
					  .authenticate = caller->credential != NULL
								  ? "Bearer error=\"invalid_token\""
								  : "Bearer",
				  });
}

void mcp_caller_unavailable(struct mcp_caller *caller, const struct err *err)
{
	char message[64];

	snprintf(message, sizeof(message), "%s now", caller->what);
	log_warn(&(struct log_subject){ .component = "http" }, "%s: %s", message, err->text);
	mcp_caller_refuse(caller, &(struct mcp_failure){
					  .status = 503,
					  .rpc_code = RPC_SERVER_ERROR,
					  .message = message,
					  .retry_after_s = RETRY_AFTER_S,
				  });
}

void mcp_caller_no_session(struct mcp_caller *caller)
{
	mcp_caller_refuse(caller, &(struct mcp_failure){
					  .status = 404,
					  .rpc_code = RPC_SESSION_NOT_FOUND,
					  .message = "Session not found",
				  });
}

const char *mcp_caller_session_id(struct mcp_caller *caller)
{
	const char *id = exchange_header(caller->exchange, "mcp-session-id");

	if (id == NULL)
		mcp_caller_refuse(caller, &(struct mcp_failure){
						  .status = 400,
						  .rpc_code = RPC_SERVER_ERROR,
						  .message = "Bad Request: Session ID required",
					  });
	return id;
}

static void on_identity(void *ctx, struct principal *principal, const struct err *err)
{
	struct mcp_caller *caller = ctx;

	if (err == NULL) {
		caller->principal = principal_ref(principal);
		caller->known(caller->ctx);
	} else if (err->code == ERR_UNAUTHENTICATED) {
		refuse_unauthenticated(caller, err->text);
	} else {
		mcp_caller_unavailable(caller, err);
	}
}

void mcp_caller_start(struct mcp_caller *caller)
{
	struct identity *identity = caller->gate->identity;
	struct err err;

	if (credential_read(exchange_header(caller->exchange, "authorization"),
			    exchange_header(caller->exchange, "x-api-key"), &caller->credential,
			    &err) < 0) {
		mcp_caller_refuse(caller, &(struct mcp_failure){ .status = 400,
								 .rpc_code = RPC_INVALID_REQUEST,
								 .message = err.text });
		return;
	}
	if (caller->credential == NULL) {
		refuse_unauthenticated(caller,
				       "send an API key as Authorization: Bearer or X-API-Key");
		return;
	}
	switch (identity_find(identity, caller->credential, &caller->principal, &err)) {
	case IDENTITY_KNOWN:
		caller->known(caller->ctx);
		break;
	case IDENTITY_REFUSED:
		refuse_unauthenticated(caller, err.text);
		break;
	case IDENTITY_UNKNOWN:
		identity_start(identity, &caller->identity, caller->credential, on_identity,
			       caller);
		break;
	}
}
