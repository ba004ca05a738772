/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upstream/compose.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/crypto.h"
#include "gateway/core/envelope.h"
#include "version.h"

#define MAX_META_BYTES	((size_t)1024 << 10)
#define MAX_KEY_BYTES	1024
#define MAX_ADDED_BYTES 64
#define CLIENT_INFO                                                                                \
	"{\"name\":\"tollgate\",\"title\":\"Tollgate\",\"version\":\"" TOLLGATE_VERSION "\"}"
/* Nobody behind the gateway answers for its upstreams yet: no sampling, elicitation or roots. */
#define CAPABILITIES "{}"

static bool begins_with(const struct buf *name, const char *prefix)
{
	return name->len >= strlen(prefix) && memcmp(name->data, prefix, strlen(prefix)) == 0;
}

/* In _meta (SEP-414) and as HTTP headers they have the same names. */
static const struct {
	const char *name;
	size_t at;
} trace_members[] = {
	{"traceparent", offsetof(struct trace_carrier, traceparent)},
	{ "tracestate", offsetof(struct trace_carrier, tracestate) },
	{ "baggage",    offsetof(struct trace_carrier, baggage)    },
};
#define N_TRACE_MEMBERS (sizeof(trace_members) / sizeof(trace_members[0]))

static const char *trace_member(const struct trace_carrier *trace, size_t i)
{
	return *(const char *const *)((const char *)trace + trace_members[i].at);
}

static bool is_of_trace(struct span name)
{
	for (size_t i = 0; i < N_TRACE_MEMBERS; i++) {
		if (span_is(name, trace_members[i].name))
			return true;
	}
	return false;
}

/* Members of the client's _meta that speak of its own dialogue with the gateway, or of the trace as
 * it is before the gateway's own span. */
static bool is_ours(struct span key)
{
	struct buf name;
	bool ours;

	buf_init(&name, MAX_KEY_BYTES);
	ours = span_string(key, &name) < 0 || begins_with(&name, MCP_META_PREFIX) ||
	       begins_with(&name, GATEWAY_META_PREFIX) ||
	       span_is(buf_span(&name), "progressToken") || is_of_trace(buf_span(&name));
	buf_fini(&name);
	return ours;
}

static void comma(struct buf *out)
{
	if (out->len > 1)
		buf_add(out, ",");
}

static void add_clients_members(struct span meta, struct buf *out)
{
	struct span_iter iter;
	struct span key;
	struct span value;

	span_iter_init(&iter, meta);
	while (span_next(&iter, &key, &value)) {
		if (is_ours(key))
			continue;
		comma(out);
		buf_add_span(out, key);
		buf_add(out, ":");
		buf_add_span(out, span_trim(value));
	}
}

static void add_trace(const struct trace_carrier *trace, struct buf *out)
{
	for (size_t i = 0; i < N_TRACE_MEMBERS; i++) {
		const char *value = trace_member(trace, i);

		if (value == NULL)
			continue;
		comma(out);
		buf_printf(out, "\"%s\":", trace_members[i].name);
		buf_add_json_string(out, value, strlen(value));
	}
}

static void write_meta(const struct compose_params *params, struct buf *out)
{
	buf_add(out, "{");
	add_clients_members(span_get(params->params, "_meta"), out);
	add_trace(&params->trace, out);
	if (params->era == MCP_MODERN) {
		comma(out);
		buf_add(out,
			"\"" MCP_META_VERSION "\":\"" MCP_MODERN_VERSION "\",\"" MCP_META_CLIENT
			"\":" CLIENT_INFO ",\"" MCP_META_CAPABILITIES "\":" CAPABILITIES);
		if (params->log_level != NULL)
			buf_printf(out, ",\"" MCP_META_LOG_LEVEL "\":\"%s\"", params->log_level);
	}
	if (params->progress) {
		comma(out);
		buf_printf(out, "\"progressToken\":%lld", (long long)params->id);
	}
	buf_add(out, "}");
}

static int edit(struct span text, struct splice splice, struct buf *out)
{
	return splice_apply(text, &splice, 1, out);
}

/* The client's params with its name and _meta replaced, one after the other. */
static int write_params(const struct compose_params *params, struct span meta, struct buf *out)
{
	struct span object = params->params.p != NULL ? params->params : SPAN("{}");
	struct buf named;
	struct buf name;
	struct buf scratch;
	int ret = 0;

	buf_init(&named, COMPOSE_MAX_BYTES);
	buf_init(&name, COMPOSE_MAX_BYTES);
	if (params->name != NULL)
		ret = buf_add_json_string(&name, params->name, strlen(params->name));
	/* It takes its ceiling at once; what is added beside the values are their names. */
	buf_init(&scratch, name.len + meta.n + MAX_ADDED_BYTES);
	if (params->name != NULL) {
		if (ret == 0)
			ret = edit(object, splice_member(object, "name", buf_span(&name), &scratch),
				   &named);
		object = buf_span(&named);
	}
	buf_clear(&scratch);
	if (ret == 0 && meta.n > 2) {
		ret = edit(object, splice_member(object, "_meta", meta, &scratch), out);
	} else if (ret == 0) {
		struct splice gone;

		ret = splice_remove(object, "_meta", &gone) ? edit(object, gone, out)
							    : buf_add_span(out, object);
	}
	buf_fini(&named);
	buf_fini(&name);
	buf_fini(&scratch);
	return ret;
}

int compose_body(const struct compose_params *params, struct buf *out)
{
	struct buf meta;
	int ret = 0;

	buf_init(&meta, MAX_META_BYTES);
	write_meta(params, &meta);
	buf_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"method\":\"%s\"", (long long)params->id,
		   params->method);
	if (params->params.p != NULL || meta.len > 2) {
		buf_add(out, ",\"params\":");
		ret = meta.overflow ? -1 : write_params(params, buf_span(&meta), out);
	}
	buf_add(out, "}");
	buf_fini(&meta);
	return ret < 0 || out->overflow ? -1 : 0;
}

size_t compose_headers(const struct compose_params *params, struct arena *arena,
		       struct http_header out[COMPOSE_MAX_HEADERS])
{
	size_t n = 0;

	for (size_t i = 0; i < N_TRACE_MEMBERS; i++) {
		const char *value = trace_member(&params->trace, i);

		if (value != NULL)
			out[n++] = (struct http_header){ trace_members[i].name, value };
	}
	if (params->version != NULL)
		out[n++] = (struct http_header){ "mcp-protocol-version", params->version };
	if (params->era == MCP_LEGACY) {
		if (params->session_id != NULL)
			out[n++] = (struct http_header){ "mcp-session-id", params->session_id };
		return n;
	}
	out[n++] = (struct http_header){ "mcp-method", params->method };
	if (params->name != NULL)
		out[n++] = (struct http_header){
			"mcp-name", param_header_value(arena, params->name, strlen(params->name))
		};
	if (params->tool.p != NULL)
		n += param_headers_write(params->tool, span_get(params->params, "arguments"), arena,
					 out + n);
	return n;
}

void compose_initialize(int64_t id, struct buf *out)
{
	buf_printf(out,
		   "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"method\":\"initialize\",\"params\":{"
		   "\"protocolVersion\":\"" MCP_LATEST_LEGACY_VERSION
		   "\",\"capabilities\":" CAPABILITIES ",\"clientInfo\":" CLIENT_INFO "}}",
		   (long long)id);
}

void compose_cancelled(int64_t id, const char *reason, struct buf *out)
{
	struct buf params;

	buf_init(&params, MAX_KEY_BYTES);
	buf_printf(&params, "{\"requestId\":%lld,\"reason\":", (long long)id);
	buf_add_json_string(&params, reason, strlen(reason));
	buf_add(&params, "}");
	envelope_notification(out, "notifications/cancelled", buf_span(&params));
	buf_fini(&params);
}
