/* SPDX-License-Identifier: Apache-2.0 */
/* subscriptions/listen: a call that stays open, and on whose stream its client hears that its list
 * of tools has changed (MCP 2026-07-28). */

#include "gateway/core/call_priv.h"
#include "gateway/core/envelope.h"

#define MAX_MESSAGE_BYTES 4096

/* What a client may ask for. Of these only changes of the tool list are there to be heard. */
static const struct {
	const char *name;
	enum span_type type;
} filters[] = {
	{"toolsListChanged",	      SPAN_BOOL },
	{ "promptsListChanged",	SPAN_BOOL },
	{ "resourcesListChanged",  SPAN_BOOL },
	{ "resourceSubscriptions", SPAN_ARRAY},
	{ "taskIds",		     SPAN_ARRAY},
};

static struct span wanted(const struct call *call)
{
	return span_get(call->params.request.params, "notifications");
}

static bool wants_tools(const struct call *call)
{
	return span_true(span_get(wanted(call), "toolsListChanged"));
}

static enum step_result invalid(struct call *call, const char *name, const char *type)
{
	answer_error(call, 400, RPC_INVALID_PARAMS, BOOK_PROTOCOL_ERROR, (struct span){ 0 },
		     "params.notifications%s must be %s", name, type);
	return STEP_FAIL;
}

static enum step_result refuse(struct call *call, const struct err *err)
{
	if (err->code == ERR_RATE_LIMITED)
		answer_rate_limited(call, err->text);
	else
		answer_unavailable(call, err->text);
	return STEP_FAIL;
}

enum step_result call_listen_check(struct call *call)
{
	struct err err;

	if (span_type(wanted(call)) != SPAN_OBJECT)
		return invalid(call, "", "an object");
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		enum span_type type = span_type(span_get(wanted(call), filters[i].name));

		if (type != SPAN_ABSENT && type != filters[i].type)
			return invalid(call, arena_printf(call->arena, ".%s", filters[i].name),
				       filters[i].type == SPAN_BOOL ? "a boolean" : "an array");
	}
	if (subscription_check(call->gate->subscriptions, call->principal, &err) < 0)
		return refuse(call, &err);
	return STEP_NEXT;
}

/* The id of the request, in its own bytes, stands on every message. */
static void add_subscription(const struct call *call, struct buf *out)
{
	buf_add(out, "\"_meta\":{\"" MCP_META_SUBSCRIPTION "\":");
	buf_add_span(out, call->params.request.id);
	buf_add(out, "}");
}

/* more are further members of params, or "". */
static void say(struct call *call, const char *method, const char *more)
{
	size_t max_bytes = call->params.request.id.n + MAX_MESSAGE_BYTES;
	struct buf params;
	struct buf text;

	buf_init(&params, max_bytes);
	buf_init(&text, 2 * max_bytes);
	buf_add(&params, "{");
	add_subscription(call, &params);
	buf_add(&params, more);
	buf_add(&params, "}");
	envelope_notification(&text, method, buf_span(&params));
	call->client = CLIENT_STREAMING;
	call->sink.message(call->sink.ctx, buf_span(&text));
	buf_fini(&text);
	buf_fini(&params);
}

static void on_changed(void *ctx)
{
	struct call *call = ctx;

	if (wants_tools(call))
		say(call, "notifications/tools/list_changed", "");
}

/* The graceful end: the request has its result. */
static void answer_end(struct call *call)
{
	struct buf result;

	buf_init(&result, call->params.request.id.n + MAX_MESSAGE_BYTES);
	buf_add(&result, "{\"resultType\":\"complete\",");
	add_subscription(call, &result);
	buf_add(&result, "}");
	answer_result(call, buf_span(&result));
	buf_fini(&result);
	call->record.outcome = BOOK_DRAINED;
	call->record.error_type = book_outcome_name(BOOK_DRAINED);
	call->record.error_message = "the gateway is stopping";
}

/* The status is what the client was sent when the stream began. */
static void on_ended(void *ctx, enum subscription_end why)
{
	struct call *call = ctx;

	if (why == SUBSCRIPTION_DRAINED)
		answer_end(call);
	else
		answer_error(call, 200, RPC_SERVER_ERROR, BOOK_DENIED, (struct span){ 0 }, "%s",
			     why == SUBSCRIPTION_REVOKED ? "the API key is no longer valid"
							 : "Not found");
	call_resume(call, STEP_FAIL);
}

/* An older snapshot must not be kept for as long as somebody listens. */
static void let_go_of_snapshot(struct call *call)
{
	call->connection = NULL; /* it stands in the tenant; the INTENT has named it */
	tenant_unref(&call->tenant);
}

enum step_result call_listen(struct call *call)
{
	const struct subscription_params params = {
		.principal = call->principal,
		.tenant = call->tenant,
		.endpoint = call->params.endpoint != NULL ? call->params.endpoint : "",
		.era = call->params.request.era,
		.changed = on_changed,
		.ended = on_ended,
		.ctx = call,
	};
	struct err err;

	if (subscription_start(call->gate->subscriptions, &call->wait.subscription, &params, &err) <
	    0)
		return refuse(call, &err);
	let_go_of_snapshot(call);
	say(call, "notifications/subscriptions/acknowledged",
	    wants_tools(call) ? ",\"notifications\":{\"toolsListChanged\":true}"
			      : ",\"notifications\":{}");
	return STEP_WAIT;
}
