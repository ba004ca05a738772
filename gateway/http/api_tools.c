/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /tools: what the caller may call, and calling it: the same policy, the same steps and the same
 * row in the book as over MCP. Tools and results are the upstream's own bytes.
 */

#include <assert.h>
#include <string.h>

#include "audit/book.h"
#include "base/crypto.h"
#include "base/log.h"
#include "gateway/core/call_flood.h"
#include "gateway/core/mcp.h"
#include "gateway/core/policy.h"
#include "gateway/core/tenant.h"
#include "gateway/http/api.h"

#define MAX_PAGE_BYTES                                                                             \
	((size_t)8 * 1024 * 1024) /* a page also ends when it has grown over this                  \
				   */
#define UNKNOWN_TOOL "Unknown tool: "

static void add_text(struct buf *out, const char *name, struct span value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_add_span(out, span_type(value) == SPAN_STRING ? span_trim(value) : SPAN("null"));
}

/* What a list shows stands beside the tool, so that nobody has to look into it. */
static void add_tool(struct buf *out, const struct tool_ref *ref)
{
	buf_add(out, "{\"name\":");
	buf_add_json_string(out, ref->exposed, strlen(ref->exposed));
	buf_add(out, ",\"connection\":");
	buf_add_json_string(out, ref->connection->name, strlen(ref->connection->name));
	add_text(out, "title", span_get(ref->tool->text, "title"));
	add_text(out, "description", span_get(ref->tool->text, "description"));
	buf_add(out, ",\"tool\":");
	buf_add_span(out, ref->tool->text);
	buf_add(out, "}");
}

static void list(const struct api_request *request, struct buf *out)
{
	const struct tenant *tenant = request->tenant;
	const char *last = NULL;
	size_t n = 0;

	buf_add(out, "{\"items\":[");
	for (size_t i = 0; i < tenant->n_exposed; i++) {
		const struct tool_ref *ref = &tenant->exposed[i];

		if (strcmp(ref->exposed, request->page_after) <= 0 ||
		    !policy_check(request->principal, ref->connection, ref->tool->name, NULL))
			continue;
		if (n >= request->page_limit || out->len > MAX_PAGE_BYTES) {
			buf_add(out, "],\"next\":");
			api_add_cursor(out, last);
			buf_add(out, "}");
			return;
		}
		buf_add(out, n++ > 0 ? "," : "");
		add_tool(out, ref);
		last = ref->exposed;
	}
	buf_add(out, "],\"next\":null}");
}

static enum api_result show_page(struct api_request *request)
{
	enum api_result result;
	struct buf text;

	buf_init(&text, API_MAX_ANSWER_BYTES);
	list(request, &text);
	result = text.overflow ? api_fail(request, ERR_TOO_LARGE,
					  "the answer is too large; ask for fewer items with "
					  "?limit=")
			       : api_answer_text(request, buf_span(&text));
	buf_fini(&text);
	return result;
}

api_step *const api_tool_list[] = { api_read_page, api_find_tenant, show_page, NULL };

/* 0, or -1 with err: the body is an object of name and arguments and nothing else. */
static int check_call(struct span body, struct err *err)
{
	struct span_iter iter;
	struct span key;
	struct span value;

	if (span_check(body, NULL, err) < 0)
		return err_prefix(err, "the body is no JSON");
	if (span_type(body) != SPAN_OBJECT)
		return err_set(err, ERR_BAD_REQUEST, "the body must be a JSON object");
	span_iter_init(&iter, body);
	while (span_next(&iter, &key, &value)) {
		if (!span_string_is(key, "name") && !span_string_is(key, "arguments"))
			return err_set(err, ERR_BAD_REQUEST,
				       "%.*s is not a member of a call; it may have name, "
				       "arguments",
				       (int)(key.n < 64 ? key.n : 64), key.p);
	}
	value = span_get(body, "name");
	if (span_type(value) != SPAN_STRING || value.n > API_MAX_TOOL_NAME)
		return err_set(err, ERR_BAD_REQUEST,
			       "name is required; it must be a string of at most %d bytes",
			       API_MAX_TOOL_NAME);
	value = span_get(body, "arguments");
	if (span_type(value) != SPAN_OBJECT && span_type(value) != SPAN_ABSENT)
		return err_set(err, ERR_BAD_REQUEST, "arguments must be an object");
	return 0;
}

static enum api_result read_call(struct api_request *request)
{
	struct err err;

	if (check_call(request->text, &err) < 0)
		return api_fail(request, err.code, "%s", err.text);
	return API_NEXT;
}

/* Progress and logs of the tool: the API answers once. */
static void on_message(void *ctx, struct span text)
{
	(void)ctx;
	(void)text;
}

static void on_finish(void *ctx, const struct call_reply *reply)
{
	struct api_request *request = ctx;

	request->call = NULL;
	request->reply = reply;
	if (reply->call_id != NULL)
		snprintf(request->call_id, sizeof(request->call_id), "%s", reply->call_id);
	api_resume(request);
}

static const char *keep(struct arena *arena, const char *text)
{
	return text == NULL ? NULL : arena_strdup(arena, text);
}

/* The call has an arena of its own: its last record may be written after the client has left. */
static enum api_result run_call(struct api_request *request)
{
	struct exchange *exchange = request->exchange;
	struct arena *arena = arena_new();
	struct span params = span_trim(request->text);
	struct span kept = { arena_dup(arena, params.p, params.n), params.n };
	const struct call_params call = {
		.source_ip = keep(arena, exchange_source_ip(exchange)),
		.user_agent = keep(arena, exchange_header(exchange, "user-agent")),
		.body = kept,
		.request = {
			.era = MCP_MODERN,
			.id = SPAN("1"),
			.method = "tools/call",
			.params = kept,
		},
		.principal = request->principal,
	};
	const struct call_sink sink = { on_message, on_finish, request };

	request->called = true;
	request->call = call_new(request->app->gate, arena, &call, &sink);
	call_run(request->call);
	return API_WAIT;
}

static bool starts_with(const struct buf *text, const char *prefix)
{
	return strncmp(buf_str(text), prefix, strlen(prefix)) == 0;
}

/* A JSON-RPC error in the words of this API. */
static enum api_result fail_call(struct api_request *request, int http_status, struct span error)
{
	enum api_result result;
	struct buf message;
	int64_t code = 0;

	buf_init(&message, API_MAX_TEXT);
	if (span_int64(span_get(error, "code"), &code) < 0 ||
	    span_string(span_get(error, "message"), &message) < 0)
		buf_clear(&message);
	if (http_status == 503)
		result = api_fail(request, ERR_UNAVAILABLE, "%s", buf_str(&message));
	else if (http_status == 404)
		result = api_fail(request, ERR_NOT_FOUND, "%s", buf_str(&message));
	else if (code == RPC_INVALID_PARAMS && starts_with(&message, UNKNOWN_TOOL))
		result = api_fail_as(request, 404, "unknown_tool", buf_str(&message));
	else if (code == RPC_INVALID_PARAMS)
		result = api_fail(request, ERR_INVALID_PARAMS, "%s", buf_str(&message));
	else
		result = api_fail(request, ERR_UPSTREAM, "the upstream refused the call: %s",
				  buf_str(&message));
	buf_fini(&message);
	return result;
}

/* The words that it would say to a model are for people as well. */
static enum api_result fail_unconnected(struct api_request *request, struct span result)
{
	struct span content = span_get(result, "content");
	enum api_result answered;
	struct span_iter iter;
	struct span key;
	struct span block = { 0 };
	struct buf text;

	buf_init(&text, API_MAX_TEXT);
	span_iter_init(&iter, content);
	if (!span_next(&iter, &key, &block) || span_string(span_get(block, "text"), &text) < 0)
		buf_clear(&text);
	answered = api_fail_connect(request, buf_str(&text), request->reply->connect_url);
	buf_fini(&text);
	return answered;
}

static enum api_result show_reply(struct api_request *request)
{
	const struct call_reply *reply = request->reply;
	struct span result = span_trim(span_get(reply->body, "result"));

	if (reply->connect_url != NULL)
		return fail_unconnected(request, result);
	if (reply->body.n == 0)
		return api_fail(request, ERR_UNAVAILABLE, "the call was ended before its answer");
	if (result.p != NULL)
		return api_answer_text(request, result);
	return fail_call(request, reply->http_status, span_get(reply->body, "error"));
}

static enum book_outcome outcome_of(int status)
{
	static const struct {
		int status;
		enum book_outcome outcome;
	} outcomes[] = {
		{401,  BOOK_UNAUTHENTICATED},
		       { 403, BOOK_DENIED	  },
		  { 404, BOOK_DENIED	     },
		{ 500, BOOK_UNKNOWN	    },
		       { 503, BOOK_UNAVAILABLE    },
	};

	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		if (outcomes[i].status == status)
			return outcomes[i].outcome;
	}
	return BOOK_MALFORMED;
}

/* The answer does not wait for the disk: nothing has left the gate, and nothing will. */
void api_record_refusal(struct api_request *request, int status, const char *detail)
{
	const struct principal *principal = request->principal;
	const int64_t now_us = loop_unix_us();
	struct book_call call = {
		.call_id = request->call_id,
		.started_us = now_us,
		.method = SPAN("tools/call"),
		.client = span_of(exchange_header(request->exchange, "user-agent")),
		.source_ip = exchange_source_ip(request->exchange),
		.request_bytes = exchange_body(request->exchange).n,
	};
	const struct book_result result = {
		.outcome = outcome_of(status),
		.upstream_us = -1,
		.error_message = span_of(detail),
		.http_status = status,
	};
	struct err err;

	if (request->route->steps != api_tool_call || request->called)
		return;
	uuid_v7(now_us / 1000, request->call_id);
	if (principal != NULL) {
		call.tenant_id = principal->tenant_id;
		call.tenant = principal->tenant;
		call.user_id = principal->user_id[0] != '\0' ? principal->user_id : NULL;
		call.user_name = principal_name(principal);
		call.api_key =
			principal->api_key_public[0] != '\0' ? principal->api_key_public : NULL;
	}
	if (call_flood_merge(request->app->gate->flood,
			     principal != NULL ? principal->subject : NULL, &call, &result,
			     request->call_id))
		return;
	if (book_entry(request->app->gate->book, &call, &result, NULL, NULL, NULL, &err) == 0)
		return;
	request->call_id[0] = '\0';
	log_error(&(struct log_subject){ .component = "api" },
		  "a refused call cannot be recorded: %s", err.text);
}

api_step *const api_tool_call[] = { api_read_text, read_call, run_call, show_reply, NULL };
