/* SPDX-License-Identifier: Apache-2.0 */
/* FORWARD: the upstream's messages and answer, as this client can read them. */

#include <string.h>

#include "base/text.h"
#include "gateway/core/bridge.h"
#include "gateway/core/call_priv.h"
#include "gateway/core/envelope.h"

#define MAX_MESSAGE_BYTES ((size_t)1024 << 10)
#define MAX_LEVEL_BYTES	  16

static void send_message(struct call *call, const char *method, struct span params)
{
	struct buf text;

	buf_init(&text, params.n + MAX_MESSAGE_BYTES);
	envelope_notification(&text, method, params);
	if (!text.overflow) {
		call->client = CLIENT_STREAMING;
		call->sink.message(call->sink.ctx, buf_span(&text));
	}
	buf_fini(&text);
}

/* The token under which the client asked for progress, in its own JSON type. */
static void send_progress(struct call *call, struct span params)
{
	struct span token = call->params.request.progress_token;
	struct splice splice;
	struct buf scratch;
	struct buf edited;

	if (token.p == NULL || span_type(params) != SPAN_OBJECT)
		return;
	buf_init(&scratch, token.n + MAX_MESSAGE_BYTES);
	buf_init(&edited, params.n + token.n + MAX_MESSAGE_BYTES);
	splice = splice_member(params, "progressToken", token, &scratch);
	if (splice_apply(params, &splice, 1, &edited) == 0)
		send_message(call, "notifications/progress", buf_span(&edited));
	buf_fini(&edited);
	buf_fini(&scratch);
}

/* The least severe level that the client wants; -1: whatever comes. */
static int wanted_level(const struct call *call)
{
	if (call->params.request.era == MCP_MODERN)
		return mcp_log_level(call->params.request.log_level);
	return call->session != NULL ? call->session->log_level : -1;
}

static int level_of(struct span params)
{
	struct buf name;
	int level = -1;

	buf_init(&name, MAX_LEVEL_BYTES);
	if (span_string(span_get(params, "level"), &name) == 0)
		level = mcp_log_level(buf_str(&name));
	buf_fini(&name);
	return level;
}

static void send_log(struct call *call, struct span params)
{
	int level = level_of(params);

	/* MCP 2026-07-28, logging: none is sent to who asked for none. */
	if (call->params.request.era == MCP_MODERN && call->params.request.log_level == NULL)
		return;
	if (level >= 0 && level >= wanted_level(call))
		send_message(call, "notifications/message", params);
}

static void on_message(void *ctx, const char *method, struct span params)
{
	struct call *call = ctx;

	if (call->client == CLIENT_GONE)
		return;
	if (strcmp(method, "notifications/progress") == 0)
		send_progress(call, params);
	else if (strcmp(method, "notifications/message") == 0)
		send_log(call, params);
}

static void take_result(struct call *call, const struct upstream_answer *answer)
{
	struct buf result;

	buf_init(&result, CALL_MAX_ANSWER_BYTES);
	if (bridge_result(answer->result, answer->era, call->params.request.era, &result) < 0) {
		answer_tool_error(call, BOOK_UPSTREAM_ERROR,
				  "%s answered with a result that this gateway cannot relay",
				  call->connection->name);
	} else {
		answer_result(call, buf_span(&result));
		if (span_true(span_get(answer->result, "isError"))) {
			call->record.outcome = BOOK_TOOL_ERROR;
			call->record.error_type = "tool_error";
		}
	}
	buf_fini(&result);
}

/* Upstreams are told of no capability, so most of these errors speak of the gateway. One that the
 * client would have got from the upstream itself speaks of the client. */
static bool error_passes(const struct call *call, int code, struct span error)
{
	const struct mcp_request *request = &call->params.request;

	if (code == RPC_MISSING_CAPABILITY && request->era == MCP_MODERN)
		return bridge_client_lacks(
			span_get(span_get(error, "data"), "requiredCapabilities"),
			request->capabilities);
	return bridge_error_passes(code, request->era);
}

static void take_error(struct call *call, const struct upstream_answer *answer)
{
	struct span message = span_get(answer->error, "message");
	int64_t code = RPC_INTERNAL_ERROR;

	if (span_int64(span_get(answer->error, "code"), &code) < 0 || code < INT32_MIN ||
	    code > INT32_MAX)
		code = RPC_INTERNAL_ERROR;
	if (!error_passes(call, (int)code, answer->error)) {
		answer_tool_error(call, BOOK_UPSTREAM_ERROR, "%s refused the call: %s",
				  call->connection->name,
				  call_text(call->arena, message, MAX_MESSAGE_BYTES));
		return;
	}
	answer_relayed_error(call, (int)code, answer->error);
}

/* What the model reads when no answer came: which connection, why, and what to do. */
static void take_failure(struct call *call, const struct err *err)
{
	const char *name = call->connection->name;

	switch (err->code) {
	case ERR_TIMEOUT:
		answer_tool_error(call, BOOK_TIMEOUT,
				  "%s did not answer in time: %s. Try again later. (call %s)", name,
				  err->text, call->record.id);
		break;
	case ERR_UNAUTHENTICATED:
		answer_tool_error(call, BOOK_UPSTREAM_ERROR,
				  "%s refused the gateway's credential. An administrator has to "
				  "check the connection. (call %s)",
				  name, call->record.id);
		break;
	default:
		answer_tool_error(call, BOOK_UPSTREAM_ERROR,
				  "%s cannot be used now: %s. Try again later. (call %s)", name,
				  err->text, call->record.id);
	}
}

static void on_refused(void *ctx, const struct upstream_refusal *refusal)
{
	struct call *call = ctx;

	call->record.upstream_status = refusal->status;
	call_note_refusal(call, refusal);
}

/* Nothing is known of it if it failed without an answer, and a refusal has been noted. */
static void note_status(struct call *call, const struct upstream_answer *answer,
			const struct err *err)
{
	struct err ignored;
	uint64_t status;

	if (err == NULL)
		call->record.upstream_status = answer->status;
	else if (err->code != ERR_UNAUTHENTICATED)
		call->record.upstream_status =
			text_uint(err->tag, 100, 999, &status, &ignored) == 0 ? (int)status : 0;
}

/* Whose account it is that the upstream will see. */
static void note_account(struct call *call)
{
	const char *account = NULL;

	if (call->connection->auth_mode == AUTH_OAUTH)
		account = credential_account(call->gate->credentials, call->tenant,
					     call->connection, call->credential.subject);
	call->record.account = account != NULL ? arena_strdup(call->arena, account) : NULL;
}

static void on_done(void *ctx, const struct upstream_answer *answer, const struct err *err)
{
	struct call *call = ctx;

	call->record.upstream_us =
		(loop_now_ms(call->gate->loop) - call->record.forwarded_ms) * 1000;
	note_status(call, answer, err);
	if (err != NULL && err->code == ERR_UNAUTHENTICATED &&
	    call->connection->auth_mode == AUTH_OAUTH) {
		call_refused(call);
		return;
	}
	call_heard(call, err);
	if (err != NULL)
		take_failure(call, err);
	else if (answer->error.p != NULL)
		take_error(call, answer);
	else
		take_result(call, answer);
	call_resume(call, STEP_NEXT);
}

static const char *wanted_level_name(const struct call *call)
{
	if (call->params.request.era == MCP_MODERN)
		return call->params.request.log_level;
	return call->session != NULL && call->session->log_level >= 0
		       ? mcp_log_level_name(call->session->log_level)
		       : NULL;
}

/* Clients of the modern era have no sessions: theirs is that of their principal. */
static const char *session_scope(const struct call *call)
{
	switch (call->connection->session_scope) {
	case SESSION_CLIENT:
		if (call->session != NULL)
			return arena_printf(call->arena, UPSTREAM_SCOPE_CLIENT "%s",
					    call->session->id_hash);
		return call->principal->subject;
	case SESSION_PRINCIPAL:
		return call->principal->subject;
	case SESSION_SHARED:
		break;
	}
	return NULL;
}

enum step_result call_forward(struct call *call)
{
	static const struct upstream_events events = { .message = on_message,
						       .done = on_done,
						       .refused = on_refused };
	struct upstream_request request = {
		.tenant = call->tenant,
		.connection = call->connection,
		.method = call->method->name,
		.params = call->params.request.params,
		.name = call->tool,
		.progress = call->params.request.progress_token.p != NULL,
		.log_level = wanted_level_name(call),
		/* Legacy clients are sent messages without having asked (2025-11-25, logging). */
		.unsaid_log_level = call->params.request.era == MCP_LEGACY ? "info" : NULL,
		.timeout_ms = call->tool != NULL ? call->connection->call_timeout_ms : 0,
	};

	if (call->tool == NULL)
		return STEP_NEXT; /* answered already */
	request.scope = session_scope(call);
	call_trace_carry(&call->trace, call->connection->trusted, call->arena, &request.trace);
	request.subject = call->credential.subject;
	note_account(call);
	call->credential.refused_status = 0;
	if (call->record.forwarded_ms == 0)
		call->record.forwarded_ms = loop_now_ms(call->gate->loop);
	upstream_start(call->gate->upstreams, &call->wait.upstream, &request, &events, call);
	if (call->session != NULL)
		cancels_expect(call->gate->cancels);
	return STEP_WAIT;
}
