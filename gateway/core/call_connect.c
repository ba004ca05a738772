/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling a client that an account has to be connected first, in the form that it understands:
 * input_required (2026-07-28), the error -32042 (2025-11-25), or words with a link. The link leads
 * to a page of ours, holds no secret, and wants the same user in the browser.
 */

#include <string.h>

#include "gateway/core/call_priv.h"
#include "gateway/core/request_state.h"

#define INPUT_KEY	"connect"
#define MAX_STATE_BYTES 1024
#define MAX_MESSAGE	600
#define MAX_FORM_BYTES	16384
#define US_PER_SECOND	1000000

enum form {
	FORM_INPUT_REQUIRED,
	FORM_ERROR,
	FORM_TEXT,
};

/* What counts is what the client said that it can, not the version: there are some that agree to
 * an older one. */
static enum form form_for(const struct call *call)
{
	if (call->params.request.era == MCP_MODERN)
		return mcp_elicits_url(call->params.request.capabilities) ? FORM_INPUT_REQUIRED
									  : FORM_TEXT;
	return call->session != NULL && call->session->elicits_url ? FORM_ERROR : FORM_TEXT;
}

static struct request_state state_of(const struct call *call)
{
	return (struct request_state){
		.tenant = call->tenant,
		.deployment = call->gate->deployment,
		.principal = call->principal->subject,
		.connection_id = call->connection->id,
		.method = call->method->name,
		.tool = call->tool,
		.arguments = span_get(call->params.request.params, "arguments"),
	};
}

static int64_t now_s(void)
{
	return loop_unix_us() / US_PER_SECOND;
}

/* --- the answer ------------------------------------------------------------------------------ */

/* While a good token is there, it is the upstream's refusal alone that speaks for connecting again:
 * that may help, but the grant stays. For more rights than were granted nothing else will do. */
static bool may_help(const struct call *call)
{
	return call->credential.scope == NULL &&
	       credential_ready(call->gate->credentials, call->tenant, call->connection,
				call->credential.subject);
}

static const char *message_of(const struct call *call, const char *why)
{
	const char *name = call->connection->name;

	if (why == NULL)
		return arena_printf(call->arena, "%s needs an account to be connected.", name);
	return arena_printf(call->arena, "%s %s its account to be connected again: %.*s.", name,
			    may_help(call) ? "may need" : "needs", MAX_MESSAGE, why);
}

static void add_string(struct buf *out, const char *text)
{
	buf_add_json_string(out, text, strlen(text));
}

static void add_elicitation(struct buf *out, const struct connect_link *link, const char *message)
{
	buf_add(out, "\"mode\":\"url\",\"url\":");
	add_string(out, link->url);
	buf_add(out, ",\"message\":");
	add_string(out, message);
}

/* -1: the tenant has no key to seal its state with. */
static int ask_for_input(struct call *call, const struct connect_link *link, const char *message)
{
	const struct request_state state = state_of(call);
	struct buf sealed;
	struct buf result;
	int ret;

	buf_init(&sealed, MAX_STATE_BYTES);
	buf_init(&result, MAX_FORM_BYTES);
	buf_add(&result, "{\"resultType\":\"input_required\",\"inputRequests\":{\"" INPUT_KEY
			 "\":{\"method\":\"elicitation/create\",\"params\":{");
	add_elicitation(&result, link, message);
	buf_add(&result, "}}},\"requestState\":");
	ret = request_state_write(&state, now_s(), &sealed);
	if (ret == 0) {
		add_string(&result, buf_str(&sealed));
		buf_add(&result, "}");
		answer_result(call, buf_span(&result));
	}
	buf_fini(&sealed);
	buf_fini(&result);
	return ret;
}

static void raise_error(struct call *call, const struct connect_link *link, const char *message)
{
	struct buf data;

	buf_init(&data, MAX_FORM_BYTES);
	buf_add(&data, "{\"elicitations\":[{");
	add_elicitation(&data, link, message);
	buf_add(&data, ",\"elicitationId\":");
	add_string(&data, link->attempt_id);
	buf_add(&data, "}]}");
	answer_error(call, 200, RPC_URL_ELICITATION, BOOK_NEEDS_AUTH, buf_span(&data), "%s",
		     message);
	buf_fini(&data);
}

static void say(struct call *call, const struct connect_link *link, const char *message)
{
	answer_tool_error(call, BOOK_NEEDS_AUTH,
			  "%s Open %s in a browser, then try again. (call %s)", message, link->url,
			  call->record.id);
}

static void answer_with(struct call *call, const struct connect_link *link, const char *message)
{
	enum form form = form_for(call);

	if (form == FORM_ERROR)
		raise_error(call, link, message);
	else if (form == FORM_TEXT || ask_for_input(call, link, message) < 0)
		say(call, link, message);
	call->record.outcome = BOOK_NEEDS_AUTH;
	call->record.error_type = book_outcome_name(BOOK_NEEDS_AUTH);
	call->record.error_message = message;
	call->answer.connect_url = arena_strdup(call->arena, link->url);
}

/* --- the link -------------------------------------------------------------------------------- */

static void answer_without(struct call *call, const struct err *err)
{
	const char *message = call->credential.message;
	const char *name = call->connection->name;

	if (err->code == ERR_FORBIDDEN)
		answer_tool_error(call, BOOK_NEEDS_AUTH,
				  "%s Ask an administrator to connect %s. (call %s)", message, name,
				  call->record.id);
	else if (err->code == ERR_RATE_LIMITED)
		answer_tool_error(call, BOOK_NEEDS_AUTH,
				  "%s No more links are given: %s. (call %s)", message, err->text,
				  call->record.id);
	else
		answer_tool_error(call, BOOK_UNAVAILABLE,
				  "%s That cannot be done now: %s. Try again later. (call %s)",
				  message, err->text, call->record.id);
}

static void on_link(void *ctx, const struct connect_link *link, const struct err *err)
{
	struct call *call = ctx;

	if (err != NULL)
		answer_without(call, err);
	else
		answer_with(call, link, call->credential.message);
	call_resume(call, STEP_FAIL);
}

void call_ask_to_connect(struct call *call, const char *why)
{
	const char *scope = call->credential.scope;

	if (call->connection->oauth->grant == OAUTH_GRANT_CLIENT_CREDENTIALS) {
		answer_tool_error(
			call, BOOK_NEEDS_AUTH,
			"%s cannot be used: its authorization server gives the gateway no "
			"token%s%.*s. An administrator has to check the connection. "
			"(call %s)",
			call->connection->name, why != NULL ? ": " : "", MAX_MESSAGE,
			why != NULL ? why : "", call->record.id);
		call_resume(call, STEP_FAIL);
		return;
	}
	call->credential.message = message_of(call, why);
	connect_request(call->gate->connects, &call->wait.connect,
			&(struct connect_request){
				.tenant = call->tenant,
				.connection = call->connection,
				.principal = call->principal,
				.scope = scope != NULL && scope[0] != '\0' ? scope : NULL,
			},
			on_link, call);
}

/* --- the retry ------------------------------------------------------------------------------- */

static void take_out(struct call *call, const char *key)
{
	struct span params = call->params.request.params;
	struct splice splice;
	struct buf rest;

	if (!splice_remove(params, key, &splice))
		return;
	buf_init(&rest, params.n + 1);
	if (splice_apply(params, &splice, 1, &rest) == 0)
		call->params.request.params =
			(struct span){ arena_dup(call->arena, rest.data, rest.len), rest.len };
	buf_fini(&rest);
}

/* An upstream is never asked for input yet, so a state that comes back is ours or nobody's. */
enum connect_retry call_take_retry(struct call *call)
{
	struct span params = call->params.request.params;
	struct span sent = span_get(params, "requestState");
	struct span action =
		span_get(span_get(span_get(params, "inputResponses"), INPUT_KEY), "action");
	const struct request_state state = state_of(call);
	const char *text;
	struct err err;
	int ret;

	if (call->params.request.era != MCP_MODERN || sent.p == NULL)
		return RETRY_NONE;
	text = call_text(call->arena, sent, MAX_STATE_BYTES);
	if (text == NULL)
		return RETRY_INVALID;
	ret = request_state_check(&state, text, now_s(), &err);
	if (ret < 0 && err.code != ERR_TIMEOUT)
		return RETRY_INVALID;
	take_out(call, "requestState");
	take_out(call, "inputResponses");
	if (ret < 0)
		return RETRY_NONE; /* who took so long is asked again */
	if (span_string_is(action, "decline") || span_string_is(action, "cancel"))
		return RETRY_DECLINED;
	return span_string_is(action, "accept") ? RETRY_GOES_ON : RETRY_NONE;
}
