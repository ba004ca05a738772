/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/core/call_priv.h"
#include "gateway/core/envelope.h"

#define MAX_MESSAGE_BYTES ((size_t)1000)

static void begin(struct call *call, int http_status, enum book_outcome outcome)
{
	buf_clear(&call->answer.body);
	call->answer.http_status = http_status;
	call->answer.retry_after_s = 0;
	call->answer.authenticate = NULL;
	call->answer.connect_url = NULL;
	call->answer.session_id[0] = '\0';
	call->record.outcome = outcome;
	call->record.error_type = NULL;
	call->record.error_message = NULL;
}

void answer_result(struct call *call, struct span result)
{
	begin(call, 200, BOOK_OK);
	envelope_result(&call->answer.body, call->params.request.id, result);
	if (call->answer.body.overflow)
		answer_error(call, 200, RPC_INTERNAL_ERROR, BOOK_UPSTREAM_ERROR, (struct span){ 0 },
			     "the result is too large");
}

static const char *format_message(struct call *call, const char *format, va_list args)
	ERR_PRINTF(2, 0);
static const char *format_message(struct call *call, const char *format, va_list args)
{
	char message[MAX_MESSAGE_BYTES];

	vsnprintf(message, sizeof(message), format, args);
	return arena_strdup(call->arena, message);
}

void answer_error(struct call *call, int http_status, int rpc_code, enum book_outcome outcome,
		  struct span data, const char *format, ...)
{
	va_list args;

	begin(call, http_status, outcome);
	va_start(args, format);
	call->record.error_message = format_message(call, format, args);
	va_end(args);
	call->record.error_type = arena_printf(call->arena, "%d", rpc_code);
	envelope_error(&call->answer.body, call->params.request.id, rpc_code,
		       call->record.error_message, data);
	if (!call->answer.body.overflow)
		return;
	buf_clear(&call->answer.body);
	envelope_error(&call->answer.body, call->params.request.id, rpc_code,
		       call->record.error_message, (struct span){ 0 });
}

void answer_relayed_error(struct call *call, int rpc_code, struct span error)
{
	struct buf *body = &call->answer.body;

	/* MCP 2026-07-28, error codes: of those that are relayed, this one has a status. */
	begin(call, rpc_code == RPC_MISSING_CAPABILITY ? 400 : 200, BOOK_PROTOCOL_ERROR);
	call->record.error_message =
		call_text(call->arena, span_get(error, "message"), MAX_MESSAGE_BYTES);
	call->record.error_type = arena_printf(call->arena, "%d", rpc_code);
	buf_add(body, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_add_span(body, call->params.request.id);
	buf_add(body, ",\"error\":");
	buf_add_span(body, error);
	buf_add(body, "}");
}

void answer_tool_error(struct call *call, enum book_outcome outcome, const char *format, ...)
{
	struct buf result;
	va_list args;

	begin(call, 200, outcome);
	va_start(args, format);
	call->record.error_message = format_message(call, format, args);
	va_end(args);
	call->record.error_type = book_outcome_name(outcome);
	buf_init(&result, 8 * MAX_MESSAGE_BYTES);
	buf_add(&result, "{\"content\":[{\"type\":\"text\",\"text\":");
	buf_add_json_string(&result, call->record.error_message,
			    strlen(call->record.error_message));
	buf_add(&result, "}],\"isError\":true");
	if (call->params.request.era == MCP_MODERN)
		buf_add(&result, ",\"resultType\":\"complete\"");
	buf_add(&result, "}");
	envelope_result(&call->answer.body, call->params.request.id, buf_span(&result));
	buf_fini(&result);
}

void answer_unavailable(struct call *call, const char *message)
{
	answer_error(call, 503, RPC_SERVER_ERROR, BOOK_UNAVAILABLE, (struct span){ 0 }, "%s",
		     message);
	call->answer.retry_after_s = CALL_RETRY_AFTER_S;
}

void answer_unrecorded(struct call *call)
{
	answer_error(call, 503, RPC_SERVER_ERROR, BOOK_UNAVAILABLE,
		     SPAN("{\"code\":\"audit_unavailable\"}"), "the call cannot be recorded now");
	call->answer.retry_after_s = CALL_RETRY_AFTER_S;
}

void answer_rate_limited(struct call *call, const char *message)
{
	answer_error(call, 429, RPC_SERVER_ERROR, BOOK_RATE_LIMITED, (struct span){ 0 }, "%s",
		     message);
	call->answer.retry_after_s = CALL_RETRY_AFTER_S;
}

void answer_nothing(struct call *call)
{
	begin(call, 202, BOOK_OK);
}

void answer_silence(struct call *call)
{
	begin(call, 200, BOOK_OK);
}

char *call_text(struct arena *arena, struct span string, size_t max_bytes)
{
	struct buf text;
	char *copy;
	size_t n;

	if (span_type(string) != SPAN_STRING)
		return NULL;
	/* Unescaping never makes it longer. */
	buf_init(&text, string.n + 1);
	if (span_string(string, &text) < 0) {
		buf_fini(&text);
		return NULL;
	}
	n = text.len < max_bytes ? text.len : max_bytes;
	while (n < text.len && n > 0 && (text.data[n] & 0xc0) == 0x80)
		n--; /* not inside a character */
	copy = arena_dup(arena, buf_str(&text), n);
	for (size_t i = 0; i < n; i++) {
		if (copy[i] == '\0')
			copy[i] = '?';
	}
	buf_fini(&text);
	return copy;
}
