/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/core/call_priv.h"
#include "gateway/core/envelope.h"

#define MAX_MESSAGE_BYTES ((size_t)1000)
#define MAX_STAMP_BYTES	  ((size_t)128)

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

/* A member of the object, one that the object itself does not have yet; anything else is left as
 * it is. */
static int add_member(struct span text, struct span object, const char *key, struct span value,
		      struct buf *out)
{
	struct splice splice;
	struct buf scratch;
	int ret;

	buf_init(&scratch, 2 * MAX_STAMP_BYTES);
	splice = splice_member(object, key, value, &scratch);
	ret = splice_apply(text, &splice, 1, out);
	buf_fini(&scratch);
	return ret;
}

/* An empty result says no more than that it was done, and clients hold it to that: it stays so.
 * MCP 2025-11-25, ping: "an empty response". */
static bool is_empty(struct span object)
{
	struct span_iter iter;
	struct span key, value;

	span_iter_init(&iter, object);
	return !span_next(&iter, &key, &value);
}

/* The result with the call's id in its _meta. Whoever else used our prefix is overruled: a gateway
 * behind this one has told its own id, which is in no book here. */
static void add_result(struct call *call, struct span result)
{
	struct buf *body = &call->answer.body;
	struct span id = span_of(arena_printf(call->arena, "\"%s\"", call->record.id));
	struct span meta = span_trim(span_get(result, "_meta"));
	const char *member;

	envelope_open(body, call->params.request.id, "result");
	if (span_type(meta) == SPAN_OBJECT) {
		(void)add_member(result, meta, GATEWAY_META_CALL_ID, id, body);
	} else if (meta.p == NULL && !is_empty(result)) {
		member = arena_printf(call->arena, "{\"" GATEWAY_META_CALL_ID "\":%s}", id.p);
		(void)add_member(result, result, "_meta", span_of(member), body);
	} else {
		buf_add_span(body, result);
	}
	buf_add(body, "}");
}

/* The error object with the call's id in its data. Data that is no object, or has such a member of
 * its own, is the upstream's: the id is in the header then. */
static void add_error(struct call *call, struct span error)
{
	struct buf *body = &call->answer.body;
	struct span id = span_of(arena_printf(call->arena, "\"%s\"", call->record.id));
	struct span data = span_trim(span_get(error, "data"));
	const char *member;

	envelope_open(body, call->params.request.id, "error");
	if (span_type(data) == SPAN_OBJECT && span_get(data, GATEWAY_DATA_CALL_ID).p == NULL) {
		(void)add_member(error, data, GATEWAY_DATA_CALL_ID, id, body);
	} else if (data.p == NULL) {
		member = arena_printf(call->arena, "{\"" GATEWAY_DATA_CALL_ID "\":%s}", id.p);
		(void)add_member(error, error, "data", span_of(member), body);
	} else {
		buf_add_span(body, error);
	}
	buf_add(body, "}");
}

void answer_rename(struct call *call, const char *id)
{
	struct buf *body = &call->answer.body;
	char *at = body->len > 0
			   ? memmem(body->data, body->len, call->record.id, UUID_TEXT_BYTES - 1)
			   : NULL;

	if (at != NULL)
		memcpy(at, id, UUID_TEXT_BYTES - 1);
	memcpy(call->record.id, id, UUID_TEXT_BYTES);
}

void answer_result(struct call *call, struct span result)
{
	begin(call, 200, BOOK_OK);
	add_result(call, result);
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
	struct buf error;
	va_list args;

	begin(call, http_status, outcome);
	va_start(args, format);
	call->record.error_message = format_message(call, format, args);
	va_end(args);
	call->record.error_type = arena_printf(call->arena, "%d", rpc_code);
	buf_init(&error, CALL_MAX_ANSWER_BYTES);
	envelope_error_object(&error, rpc_code, call->record.error_message, data);
	add_error(call, buf_span(&error));
	buf_fini(&error);
	if (!call->answer.body.overflow)
		return;
	buf_clear(&call->answer.body);
	envelope_error(&call->answer.body, call->params.request.id, rpc_code,
		       call->record.error_message, (struct span){ 0 });
}

void answer_relayed_error(struct call *call, int rpc_code, struct span error)
{
	/* MCP 2026-07-28, error codes: of those that are relayed, this one has a status. */
	begin(call, rpc_code == RPC_MISSING_CAPABILITY ? 400 : 200, BOOK_PROTOCOL_ERROR);
	call->record.error_message =
		call_text(call->arena, span_get(error, "message"), MAX_MESSAGE_BYTES);
	call->record.error_type = arena_printf(call->arena, "%d", rpc_code);
	add_error(call, error);
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
	add_result(call, buf_span(&result));
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
