/* SPDX-License-Identifier: Apache-2.0 */
/* INTENT and OUTCOME: what the book hears of a call. */

#include <string.h>

#include "audit/redact.h"
#include "base/log.h"
#include "gateway/core/call_flood.h"
#include "gateway/core/call_priv.h"
#include "gateway/core/meters.h"
#include "gateway/core/tool_labels.h"

/* More than is kept: a secret must not be cut before it is known as one. */
#define MAX_CLIENT_BYTES  ((size_t)4096)
#define MAX_PURPOSE_BYTES 1000

static struct span client_of(struct call *call)
{
	struct span info = call->params.request.client_info;
	const char *name = call_text(call->arena, span_get(info, "name"), MAX_CLIENT_BYTES);
	const char *version = call_text(call->arena, span_get(info, "version"), MAX_CLIENT_BYTES);

	if (name != NULL)
		return span_of(
			arena_printf(call->arena, "%s/%s", name, version != NULL ? version : ""));
	if (call->session != NULL && call->session->client != NULL)
		return span_of(call->session->client);
	return span_of(call->params.user_agent);
}

static void describe_principal(const struct call *call, struct book_call *out)
{
	const struct principal *principal = call->principal;

	if (principal == NULL)
		return;
	out->tenant_id = principal->tenant_id;
	out->tenant = principal->tenant;
	out->user_id = principal->user_id[0] != '\0' ? principal->user_id : NULL;
	out->user_name = principal_name(principal);
	out->api_key = principal->api_key_public[0] != '\0' ? principal->api_key_public : NULL;
}

static struct span purpose_of(struct call *call)
{
	struct span meta = span_get(call->params.request.params, "_meta");

	return span_of(
		call_text(call->arena, span_get(meta, GATEWAY_META_PURPOSE), MAX_PURPOSE_BYTES));
}

/* What the tenant, the connection and the tool say is secret, as far as they are known yet. */
static struct redact_rules rules_of(const struct call *call)
{
	const struct connection *connection = call->connection;
	const struct tool *tool = NULL;
	struct redact_rules rules = { 0 };

	if (call->tenant != NULL)
		rules.key = call->tenant->digest_key;
	if (connection == NULL)
		return rules;
	rules.names = connection->audit_redact;
	rules.n_names = connection->n_audit_redact;
	if (call->tool != NULL)
		tool = connection_find_tool(connection, call->tool);
	if (tool != NULL)
		rules.schema = tool->secrets;
	return rules;
}

const char *call_clean_text(struct call *call, struct span string, size_t max_bytes)
{
	const struct redact_rules rules = rules_of(call);
	char *text = call_text(call->arena, string, max_bytes + MAX_CLIENT_BYTES);
	struct buf clean;

	if (text == NULL)
		return NULL;
	buf_init(&clean, 8 * (max_bytes + MAX_CLIENT_BYTES));
	if (redact_text(&rules, span_of(text), max_bytes, &clean))
		text = arena_strdup(call->arena, buf_str(&clean));
	buf_wipe(&clean);
	for (size_t n = max_bytes; strlen(text) > max_bytes; n--) {
		if ((text[n] & 0xc0) != 0x80)
			text[n] = '\0'; /* not inside a character */
	}
	return text;
}

/* Borrows rules. */
static void describe(struct call *call, const struct redact_rules *rules, struct book_call *out)
{
	const struct mcp_request *request = &call->params.request;

	*out = (struct book_call){
		.call_id = call->record.id,
		.started_us = call->record.started_us,
		.client = client_of(call),
		.method = span_of(request->method),
		.request_id = request->id,
		.protocol_version = request->version,
		.session_id = call->session != NULL ? call->session->id_digest : NULL,
		.source_ip = call->params.source_ip,
		.request_bytes = call->params.body.n,
		.trace_id = {call->trace.trace_id_hex, sizeof(call->trace.trace_id_hex) - 1},
		.span_id = { call->trace.span_id_hex, sizeof(call->trace.span_id_hex) - 1 },
		.rules = rules,
	};
	if (out->protocol_version == NULL && call->session != NULL)
		out->protocol_version = call->session->protocol_version;
	describe_principal(call, out);
	out->purpose = purpose_of(call);
	if (call->connection != NULL) {
		out->connection_id = call->connection->id;
		out->connection = call->connection->name;
		out->audit_level = audit_level_name(call->connection->audit_level);
	}
	if (call->tool_sent != NULL) {
		out->tool = (struct span){ call->tool_sent, call->tool_sent_bytes };
		out->arguments = span_trim(span_get(request->params, "arguments"));
	}
}

static void refuse(struct call *call, enum book_room room)
{
	static const char *const reasons[] = {
		[BOOK_ROOM_PLENTY] = "disk", /* it refused this one */
		[BOOK_ROOM_TIGHT] = "soft",
		[BOOK_ROOM_NONE] = "hard",
		[BOOK_ROOM_FAILED] = "failed",
	};

	meter_count(call->gate->meter, METER_AUDIT_REFUSED, &reasons[room], 1);
	answer_unrecorded(call);
}

/* Before anything is done for it. Notifications have no row. */
enum step_result call_room(struct call *call)
{
	enum book_room room = book_room(call->gate->book);

	if (room == BOOK_ROOM_PLENTY || call_is_notification(call) ||
	    (room == BOOK_ROOM_TIGHT && !call->method->can_wait))
		return STEP_NEXT;
	refuse(call, room);
	return STEP_FAIL;
}

static void on_intended(void *ctx, const struct err *err)
{
	struct call *call = ctx;

	if (err != NULL) {
		refuse(call, book_room(call->gate->book));
		call->record.intended = false;
		call_resume(call, STEP_FAIL);
	} else {
		call_resume(call, STEP_NEXT);
	}
}

enum step_result call_intent(struct call *call)
{
	const struct redact_rules rules = rules_of(call);
	struct book_call what;
	struct err err;

	if (call->tool == NULL && call->method->listen == NULL)
		return STEP_NEXT; /* answered already: nothing leaves the gate */
	describe(call, &rules, &what);
	if (call_payload(call, PAYLOAD_ARGUMENTS, &err) < 0 ||
	    book_intent(call->gate->book, &what, &call->wait.record, on_intended, call, &err) < 0) {
		refuse(call, book_room(call->gate->book));
		return STEP_FAIL;
	}
	call->record.intended = true;
	return STEP_WAIT;
}

/* What cannot be recorded is not answered: fail closed. Of what was refused for that in the first
 * place the log has said it once. */
static void withhold(struct call *call, const struct err *err)
{
	const struct log_subject subject = {
		.component = "call",
		.tenant = call->principal != NULL ? call->principal->tenant : NULL,
		.call_id = call->record.id,
	};

	if (call->record.outcome == BOOK_UNAVAILABLE)
		return;
	log_error(&subject, "the outcome cannot be recorded: %s", err->text);
	refuse(call, book_room(call->gate->book));
}

static void unrecorded(struct call *call, const struct err *err)
{
	if (call->record.intended)
		book_abandon(call->gate->book, &(struct book_call){ .call_id = call->record.id });
	withhold(call, err);
}

static void on_recorded(void *ctx, const struct err *err)
{
	struct call *call = ctx;

	if (err != NULL)
		unrecorded(call, err);
	call_resume(call, STEP_NEXT);
}

/* Notifications are no calls; refused ones are, because nobody can tell what they were. */
static bool has_row(const struct call *call)
{
	return !call_is_notification(call) || call->answer.http_status >= 400;
}

/* The wall clock may have been set back meanwhile. */
static int64_t duration_us(const struct call *call)
{
	int64_t us = loop_unix_us() - call->record.started_us;

	return us > 0 ? us : 0;
}

static void measure(const struct call *call, const struct book_result *result)
{
	/* A method that nobody knows is no label. */
	const char *method = call->method != NULL ? call->method->name : NULL;
	const char *tenant = call->principal != NULL ? call->principal->tenant : NULL;

	if (call->gate->meter == NULL)
		return;
	meter_call(
		call->gate->meter,
		&(struct meter_call){
			.tenant = tenant,
			.tool = tool_label(call->gate->tool_labels, tenant, call_known_tool(call)),
			.connection = call->connection != NULL ? call->connection->name : NULL,
			.method = method,
			.is_tool_call = method != NULL && strcmp(method, "tools/call") == 0,
			.outcome = result->outcome,
			.duration_us = result->duration_us,
			.upstream_us = result->upstream_us,
		});
}

/* For who looks for one call; the book is the place for all. */
static void log_ended(const struct call *call, const struct book_result *result)
{
	const struct principal *principal = call->principal;
	const struct log_subject subject = {
		.component = "call",
		.tenant = principal != NULL ? principal->tenant : NULL,
		.user = principal != NULL ? principal_name(principal) : NULL,
		.connection = call->connection != NULL ? call->connection->name : NULL,
		.tool = call_known_tool(call),
		.outcome = book_outcome_name(result->outcome),
		.duration_us = result->duration_us,
		.call_id = call->record.id,
		.trace_id = call->trace.trace_id_hex,
	};

	log_debug(&subject, "%s", call->method != NULL ? call->method->name : "unknown method");
}

/* Those of a refused call too. What becomes of the call is recorded in any case. */
static void keep_payloads(struct call *call)
{
	struct err err;

	if (call_payload(call, PAYLOAD_ARGUMENTS, &err) < 0 ||
	    call_payload(call, PAYLOAD_RESULT, &err) < 0)
		withhold(call, &err);
}

static void write_result(struct call *call, struct book_result *out)
{
	*out = (struct book_result){
		.outcome = call->record.outcome,
		.duration_us = duration_us(call),
		.upstream_us = call->record.forwarded_ms != 0 ? call->record.upstream_us : -1,
		.error_type = call->record.error_type,
		.error_message = span_of(call->record.error_message),
		.response_bytes = call->answer.body.len,
		.http_status = call->client == CLIENT_GONE ? 0 : call->answer.http_status,
		.account = call->record.account,
		.upstream_status = call->record.upstream_status,
		.payload_digest = call_payload_digest(call),
	};
}

static void tell_others(struct call *call, const struct book_result *result)
{
	measure(call, result);
	call_trace_export(call, result);
	if (log_enabled(LOG_DEBUG))
		log_ended(call, result);
}

/* One of a flood: its client is told the id of the row that stands for it. */
static bool is_merged(struct call *call, const struct book_call *what)
{
	struct book_result result;
	char id[UUID_TEXT_BYTES];

	if (call->record.intended)
		return false;
	write_result(call, &result);
	if (!call_flood_merge(call->gate->flood,
			      call->principal != NULL ? call->principal->subject : NULL, what,
			      &result, id))
		return false;
	answer_rename(call, id);
	tell_others(call, &result);
	return true;
}

enum step_result call_outcome(struct call *call)
{
	const struct redact_rules rules = rules_of(call);
	struct book_result result;
	struct book_call what;
	struct err err;
	int ret;

	if (!has_row(call))
		return STEP_NEXT;
	if (call->client == CLIENT_GONE && call->record.outcome == BOOK_OK)
		call->record.outcome = BOOK_CLIENT_CLOSED;
	describe(call, &rules, &what);
	if (is_merged(call, &what))
		return STEP_NEXT;
	keep_payloads(call);
	write_result(call, &result);
	tell_others(call, &result);
	ret = (call->record.intended ? book_outcome : book_entry)(
		call->gate->book, &what, &result, &call->wait.record, on_recorded, call, &err);
	if (ret == 0)
		return STEP_WAIT;
	unrecorded(call, &err);
	return STEP_NEXT;
}
