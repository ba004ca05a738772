/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /probe and /connections/{name}/probe: what an MCP server is and offers. Nothing is stored, and
 * no call is made, so the book has no row of it; the log has a line.
 */

#include <string.h>

#include "base/log.h"
#include "gateway/core/probe.h"
#include "gateway/http/api.h"
#include "gateway/http/api_connection_body.h"

#define UNNAMED	       "probe"
#define MAX_URL_BYTES  2048
#define MAX_REPORT     ((size_t)4 << 20)
#define METADATA_PARAM "resource_metadata="

/* --- the report ------------------------------------------------------------------------------ */

static void add_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	if (text != NULL)
		buf_add_json_string(out, text, strlen(text));
	else
		buf_add(out, "null");
}

static void add_json(struct buf *out, const char *name, struct span value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_add_span(out, value.p != NULL ? value : SPAN("null"));
}

/* RFC 9728 section 5.1: the parameter of a challenge, quoted or a token. NULL: there is none. */
static const char *metadata_of(struct arena *arena, const char *challenge)
{
	const char *at = challenge != NULL ? strcasestr(challenge, METADATA_PARAM) : NULL;
	size_t n;

	if (at == NULL || (at > challenge && strchr(" ,\t", at[-1]) == NULL))
		return NULL;
	at += strlen(METADATA_PARAM);
	if (*at == '"')
		n = strcspn(++at, "\"");
	else
		n = strcspn(at, " ,\t");
	return n > 0 && n <= MAX_URL_BYTES ? arena_dup(arena, at, n) : NULL;
}

static void add_auth(struct buf *out, struct arena *arena, const struct probe_report *report)
{
	buf_printf(out,
		   ",\"auth\":{\"needed\":%s,\"status\":", report->refused != 0 ? "true" : "false");
	if (report->refused != 0)
		buf_printf(out, "%d", report->refused);
	else
		buf_add(out, "null");
	add_text(out, "www_authenticate", report->authenticate);
	add_text(out, "resource_metadata", metadata_of(arena, report->authenticate));
	buf_add(out, "}");
}

static void add_tools(struct buf *out, const struct probe_report *report)
{
	if (!report->listed) {
		buf_add(out, ",\"tools\":null");
		return;
	}
	buf_printf(out, ",\"tools\":{\"count\":%zu,\"complete\":%s,\"names\":", report->n_tools,
		   report->complete ? "true" : "false");
	buf_add_span(out, report->tools);
	buf_add(out, "}");
}

static void add_error(struct buf *out, const struct err *problem)
{
	if (problem == NULL) {
		buf_add(out, ",\"error\":null");
		return;
	}
	buf_add(out, ",\"error\":{\"code\":");
	buf_add_json_string(out, err_name(problem->code), strlen(err_name(problem->code)));
	add_text(out, "detail", problem->text);
	buf_add(out, "}");
}

static void write_report(struct buf *out, struct arena *arena, const struct probe_report *report)
{
	static const char *const sessions[] = {
		[PROBE_NO_SESSION] = NULL,
		[PROBE_ENDED] = "ended",
		[PROBE_LEFT] = "left",
	};

	buf_printf(out, "{\"ok\":%s", report->problem == NULL ? "true" : "false");
	add_text(out, "era", report->opened ? mcp_era_name(report->era) : NULL);
	add_text(out, "protocol_version", report->protocol_version);
	add_json(out, "server", report->server);
	add_json(out, "capabilities", report->capabilities);
	add_json(out, "instructions", report->instructions);
	add_auth(out, arena, report);
	add_tools(out, report);
	add_text(out, "session", sessions[report->session]);
	buf_printf(out, ",\"latency_ms\":{\"open\":%lld,\"list\":", (long long)report->open_ms);
	if (report->listed)
		buf_printf(out, "%lld}", (long long)report->list_ms);
	else
		buf_add(out, "null}");
	add_error(out, report->problem);
	buf_add(out, "}");
}

struct probing {
	struct span text;	 /* of the report; absent: it is too large */
	const char *unavailable; /* NULL: it was made */
};

/* That the upstream failed is what was asked for, and a good answer. */
static void on_report(void *ctx, const struct probe_report *report)
{
	struct api_request *request = ctx;
	struct probing *probing = request->work;
	struct buf text;

	buf_init(&text, MAX_REPORT);
	write_report(&text, request->arena, report);
	if (!text.overflow)
		probing->text = (struct span){ arena_dup(request->arena, buf_str(&text), text.len),
					       text.len };
	if (report->problem != NULL && report->problem->code == ERR_UNAVAILABLE)
		probing->unavailable = arena_strdup(request->arena, report->problem->text);
	buf_fini(&text);
	api_resume(request);
}

static enum api_result show_report(struct api_request *request)
{
	const struct probing *probing = request->work;

	if (probing->unavailable != NULL)
		return api_fail(request, ERR_UNAVAILABLE, "%s", probing->unavailable);
	if (probing->text.p == NULL)
		return api_fail(request, ERR_TOO_LARGE, "what the server says is too large");
	return api_answer_text(request, probing->text);
}

static enum api_result start(struct api_request *request, const struct connection *connection)
{
	const struct log_subject subject = { .component = "api",
					     .tenant = request->tenant_name,
					     .connection = connection->name };

	log_info(&subject, "probed by key %s", request->principal->api_key);
	request->work = arena_alloc(request->arena, sizeof(struct probing));
	probe_start(request->app->probes, &request->probe, request->tenant, connection, on_report,
		    request);
	return API_WAIT;
}

/* --- what is probed -------------------------------------------------------------------------- */

static enum auth_mode auth_mode_of(const char *word)
{
	if (strcmp(word, "bearer") == 0)
		return AUTH_BEARER;
	return strcmp(word, "api_key") == 0 ? AUTH_API_KEY : AUTH_NONE;
}

static enum era_setting era_of(const char *word)
{
	if (strcmp(word, "legacy") == 0)
		return ERA_LEGACY;
	return strcmp(word, "modern") == 0 ? ERA_MODERN : ERA_AUTO;
}

static enum api_result probe_body(struct api_request *request)
{
	struct connection_body *body = arena_alloc(request->arena, sizeof(*body));
	struct http_header headers[API_MAX_HEADERS];
	char id[UUID_TEXT_BYTES];
	struct connection connection;
	struct api_fault fault;

	if (json_object_get(request->body, "name") == NULL)
		json_object_set_new(request->body, "name", json_string(UNNAMED));
	if (connection_body_parse(request->body, NULL, request->tenant->egress, request->arena,
				  body, &fault) < 0)
		return api_fail_body(request, &fault);
	uuid_v4(id);
	connection = (struct connection){
		.id = id,
		.name = body->name,
		.url = body->url,
		.era = era_of(body->era),
		.auth_mode = auth_mode_of(body->auth_mode),
		.auth_header = body->auth_header,
		.headers = headers,
		.n_headers = body->n_headers,
		.connect_timeout_ms = body->connect_timeout_ms,
		.call_timeout_ms = body->call_timeout_ms,
	};
	if (body->credential_change == CREDENTIAL_NEW) {
		connection.credential.reveal = arena_strdup(request->arena, body->credential);
		connection.credential.n = strlen(body->credential);
	}
	for (size_t i = 0; i < body->n_headers; i++) {
		if (body->headers[i].value == NULL)
			return api_fail(request, ERR_BAD_REQUEST,
					"headers.%.64s: none is stored that could be used; write "
					"the value itself",
					body->headers[i].name);
		headers[i] = (struct http_header){ body->headers[i].name, body->headers[i].value };
	}
	return start(request, &connection);
}

static enum api_result probe_connection(struct api_request *request)
{
	const char *name = exchange_param(request->exchange, "name");
	const struct connection *connection = tenant_find_connection(request->tenant, name);

	if (connection == NULL)
		return api_fail(request, ERR_NOT_FOUND, "there is no connection named %.64s", name);
	if (connection->invalid != NULL)
		return api_fail(request, ERR_CONFLICT, "the connection cannot be used: %s",
				connection->invalid);
	return start(request, connection);
}

/* The tenant is loaded, not found: what was edited a moment ago is what is probed. */
api_step *const api_probe_unsaved[] = {
	api_read_text, api_read_body, api_load_tenant, probe_body, show_report, NULL,
};
api_step *const api_probe_stored[] = { api_load_tenant, probe_connection, show_report, NULL };
