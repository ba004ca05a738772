/* SPDX-License-Identifier: Apache-2.0 */
/* A call as two spans, in the words of the semantic conventions of MCP. No text of a client or an
 * upstream is in them but names and ids: no arguments, no results, no error messages. */

#include <string.h>

#include "audit/otel_names.h"
#include "base/url.h"
#include "gateway/core/call_priv.h"

#define MAX_ATTRIBUTES 16
#define MAX_TEXT_BYTES 256 /* of each name and id */
#define MAX_SPAN_NAME  ((size_t)2 * MAX_TEXT_BYTES)

struct attributes {
	struct otlp_attribute list[MAX_ATTRIBUTES];
	size_t n;
};

static void put(struct attributes *attributes, enum otel_name name, struct span text)
{
	if (text.p == NULL || text.n == 0)
		return;
	if (text.n > MAX_TEXT_BYTES)
		text.n = MAX_TEXT_BYTES;
	attributes->list[attributes->n++] =
		(struct otlp_attribute){ otel_names[name].attribute, text, 0 };
}

static void put_number(struct attributes *attributes, enum otel_name name, int64_t number)
{
	attributes->list[attributes->n++] =
		(struct otlp_attribute){ otel_names[name].attribute, { 0 }, number };
}

/* The id as text, whatever its JSON type was. */
static struct span request_id(const struct call *call)
{
	struct span id = span_trim(call->params.request.id);

	return span_type(id) == SPAN_STRING ? (struct span){ id.p + 1, id.n - 2 } : id;
}

/* error.type is the JSON-RPC code, or a word; the code stands in an attribute of its own as well.
 */
static void put_error(struct attributes *attributes, const struct book_result *result)
{
	const char *type = result->error_type;

	if (result->outcome == BOOK_OK)
		return;
	put(attributes, OTEL_ERROR_TYPE, span_of(type != NULL ? type : OTEL_OTHER));
	if (type != NULL && strspn(type, "-0123456789") == strlen(type))
		put(attributes, OTEL_STATUS_CODE, span_of(type));
}

/* What both spans say. */
static void put_common(struct attributes *attributes, const struct call *call,
		       const struct book_result *result)
{
	const char *method = call->params.request.method;

	put(attributes, OTEL_METHOD, span_of(method));
	if (method != NULL && strcmp(method, "tools/call") == 0)
		put(attributes, OTEL_OPERATION, SPAN(OTEL_EXECUTE_TOOL));
	put(attributes, OTEL_TRANSPORT, SPAN(OTEL_TCP));
	put(attributes, OTEL_NETWORK_PROTOCOL, SPAN(OTEL_HTTP));
	if (call->principal != NULL)
		put(attributes, OTEL_TENANT, span_of(call->principal->tenant));
	if (call->connection != NULL)
		put(attributes, OTEL_CONNECTION, span_of(call->connection->name));
	put(attributes, OTEL_CALL, span_of(call->record.id));
	put_error(attributes, result);
}

static void put_server(struct attributes *attributes, const struct call *call,
		       const struct book_result *result)
{
	const struct mcp_request *request = &call->params.request;
	const char *version = request->version;

	if (version == NULL && call->session != NULL)
		version = call->session->protocol_version;
	put_common(attributes, call, result);
	if (call->tool_sent != NULL)
		put(attributes, OTEL_TOOL, (struct span){ call->tool_sent, call->tool_sent_bytes });
	if (call->session != NULL)
		put(attributes, OTEL_SESSION, span_of(call->session->id_digest));
	put(attributes, OTEL_PROTOCOL, span_of(version));
	put(attributes, OTEL_REQUEST_ID, request_id(call));
	put(attributes, OTEL_OUTCOME, span_of(book_outcome_name(result->outcome)));
}

/* url is the caller's, for the attributes borrow from it. */
static void put_client(struct attributes *attributes, const struct call *call,
		       const struct book_result *result, struct url *url)
{
	struct err err;

	put_common(attributes, call, result);
	put(attributes, OTEL_TOOL, span_of(call->tool));
	if (url_parse(call->connection->url, url, &err) == 0) {
		put(attributes, OTEL_SERVER_ADDRESS, span_of(url->host));
		put_number(attributes, OTEL_SERVER_PORT, url->port);
	}
	if (result->upstream_status > 0)
		put_number(attributes, OTEL_HTTP_STATUS, result->upstream_status);
}

/* "tools/call crm__search". What clients can make up is no part of a name: a method or a tool that
 * is not there. */
static struct span span_name(const struct call *call, const char *tool, struct buf *out)
{
	buf_clear(out);
	buf_add(out, call->method != NULL ? call->method->name : OTEL_OTHER);
	if (tool != NULL) {
		buf_add(out, " ");
		buf_append(out, tool, strnlen(tool, MAX_TEXT_BYTES));
	}
	return buf_span(out);
}

static void export_server(const struct call *call, const struct book_result *result)
{
	const struct call_trace *trace = &call->trace;
	struct attributes attributes = { .n = 0 };
	struct buf name;

	buf_init(&name, MAX_SPAN_NAME);
	put_server(&attributes, call, result);
	otlp_add(call->gate->tracing->otlp,
		 &(struct otlp_span){
			 .context = trace->server,
			 .tracestate = trace->tracestate,
			 .parent = trace->has_parent ? trace->parent : NULL,
			 .remote_parent = trace->has_parent,
			 .kind = OTLP_SERVER,
			 .name = span_name(call, call_known_tool(call), &name),
			 .start_us = call->record.started_us,
			 .end_us = call->record.started_us + result->duration_us,
			 .attributes = attributes.list,
			 .n_attributes = attributes.n,
			 .link = trace->has_link ? &trace->link : NULL,
			 .failed = result->outcome != BOOK_OK,
		 });
	buf_fini(&name);
}

/* From the monotonic clock to the wall's, and never beyond the span around it. */
static void export_client(const struct call *call, const struct book_result *result)
{
	const struct call_trace *trace = &call->trace;
	int64_t after_us = (call->record.forwarded_ms - call->record.started_ms) * 1000;
	int64_t end_us = after_us + result->upstream_us;
	struct attributes attributes = { .n = 0 };
	struct trace_context context = trace->server;
	struct url url;
	struct buf name;

	if (after_us > result->duration_us)
		after_us = result->duration_us;
	if (end_us > result->duration_us)
		end_us = result->duration_us;
	memcpy(context.span_id, trace->client_span_id, SPAN_ID_BYTES);
	buf_init(&name, MAX_SPAN_NAME);
	put_client(&attributes, call, result, &url);
	otlp_add(call->gate->tracing->otlp,
		 &(struct otlp_span){
			 .context = context,
			 .tracestate = trace->tracestate,
			 .parent = trace->server.span_id,
			 .kind = OTLP_CLIENT,
			 .name = span_name(call, call_known_tool(call) != NULL ? call->tool : NULL,
					   &name),
			 .start_us = call->record.started_us + after_us,
			 .end_us = call->record.started_us + end_us,
			 .attributes = attributes.list,
			 .n_attributes = attributes.n,
			 .failed = result->outcome != BOOK_OK,
		 });
	buf_fini(&name);
}

void call_trace_export(const struct call *call, const struct book_result *result)
{
	const struct tracing *tracing = call->gate->tracing;

	if (tracing == NULL || tracing->otlp == NULL ||
	    (call->trace.server.flags & TRACE_SAMPLED) == 0)
		return;
	export_server(call, result);
	if (result->upstream_us >= 0)
		export_client(call, result);
}
