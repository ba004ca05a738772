/* SPDX-License-Identifier: Apache-2.0 */
/* The first steps of a call: who asks, of which tenant, at which endpoint, in which session. */

#include <string.h>

#include "gateway/core/call_priv.h"
#include "gateway/core/policy.h"

bool call_is_notification(const struct call *call)
{
	return call->params.request.id.p == NULL;
}

static enum step_result refuse_as_said(struct call *call, enum book_outcome outcome)
{
	const struct call_refusal *refusal = call->params.refusal;

	answer_error(call, refusal->http_status, refusal->rpc_code, outcome, refusal->data, "%s",
		     refusal->message);
	return STEP_FAIL;
}

static enum step_result refuse_unauthenticated(struct call *call, const char *message)
{
	answer_error(call, 401, RPC_SERVER_ERROR, BOOK_UNAUTHENTICATED, (struct span){ 0 }, "%s",
		     message);
	/* RFC 6750 section 3.1: error only when a credential was sent. */
	call->answer.authenticate =
		call->params.credential != NULL ? "Bearer error=\"invalid_token\"" : "Bearer";
	return STEP_FAIL;
}

/* What does not exist, and what is somebody else's, in the same words. */
static enum step_result refuse_missing(struct call *call)
{
	answer_error(call, 404, RPC_SERVER_ERROR, BOOK_DENIED, (struct span){ 0 }, "Not found");
	return STEP_FAIL;
}

static void on_identity(void *ctx, struct principal *principal, const struct err *err)
{
	struct call *call = ctx;

	if (err == NULL) {
		call->principal = principal_ref(principal);
		call_resume(call, STEP_NEXT);
	} else if (err->code == ERR_UNAUTHENTICATED) {
		call_resume(call, refuse_unauthenticated(call, err->text));
	} else {
		answer_unavailable(call, "API keys cannot be checked now");
		call_resume(call, STEP_FAIL);
	}
}

enum step_result call_authenticate(struct call *call)
{
	struct identity *identity = call->gate->identity;
	struct err err;

	if (call->params.refusal != NULL && call->params.refusal->before_auth)
		return refuse_as_said(call, BOOK_DENIED);
	if (call->principal != NULL)
		return STEP_NEXT;
	if (call->params.credential == NULL)
		return refuse_unauthenticated(
			call, "send an API key as Authorization: Bearer or X-API-Key");
	switch (identity_find(identity, call->params.credential, &call->principal, &err)) {
	case IDENTITY_KNOWN:
		return STEP_NEXT;
	case IDENTITY_REFUSED:
		return refuse_unauthenticated(call, err.text);
	case IDENTITY_UNKNOWN:
		break;
	}
	identity_start(identity, &call->wait.identity, call->params.credential, on_identity, call);
	return STEP_WAIT;
}

static void on_tenant(void *ctx, struct tenant *tenant, const struct err *err)
{
	struct call *call = ctx;

	if (err == NULL) {
		call->tenant = tenant_ref(tenant);
		call_resume(call, STEP_NEXT);
	} else if (err->code == ERR_NOT_FOUND) {
		call_resume(call, refuse_missing(call));
	} else {
		answer_unavailable(call, "the tenant's configuration cannot be read now");
		call_resume(call, STEP_FAIL);
	}
}

enum step_result call_configure(struct call *call)
{
	struct tenants *tenants = call->gate->tenants;

	call->tenant = tenants_find(tenants, call->principal->tenant_id);
	if (call->tenant != NULL)
		return STEP_NEXT;
	tenants_start(tenants, &call->wait.tenant, call->principal->tenant_id, on_tenant, call);
	return STEP_WAIT;
}

enum step_result call_accept(struct call *call)
{
	const struct call_params *params = &call->params;

	call_note_tool(call);
	if (!call->tenant->enabled ||
	    (params->tenant != NULL && strcmp(params->tenant, call->tenant->name) != 0))
		return refuse_missing(call);
	if (params->endpoint != NULL) {
		call->connection = tenant_find_connection(call->tenant, params->endpoint);
		if (call->connection == NULL ||
		    !policy_check(call->principal, call->connection, NULL, NULL))
			return refuse_missing(call);
	}
	if (params->refusal != NULL)
		return refuse_as_said(call, BOOK_MALFORMED);
	return STEP_NEXT;
}

struct session_key call_session_key(const struct call *call)
{
	return (struct session_key){
		.principal = call->principal,
		.endpoint = call->params.endpoint != NULL ? call->params.endpoint : "",
		.id = call->params.session_id,
	};
}

static void on_session(void *ctx, struct session *session, const struct err *err)
{
	struct call *call = ctx;

	if (err == NULL) {
		call->session = session_ref(session);
		call_resume(call, STEP_NEXT);
		return;
	}
	if (err->code == ERR_NOT_FOUND)
		answer_error(call, 404, RPC_SESSION_NOT_FOUND, BOOK_PROTOCOL_ERROR,
			     (struct span){ 0 }, "Session not found");
	else
		answer_unavailable(call, "sessions cannot be read now");
	call_resume(call, STEP_FAIL);
}

enum step_result call_session(struct call *call)
{
	struct session_key key;

	if (call->params.request.era == MCP_MODERN || call->params.session_id == NULL)
		return STEP_NEXT;
	key = call_session_key(call);
	call->session = session_find(call->gate->sessions, &key);
	if (call->session != NULL)
		return STEP_NEXT;
	session_find_start(call->gate->sessions, &call->wait.session, &key, on_session, call);
	return STEP_WAIT;
}
