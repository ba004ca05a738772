/* SPDX-License-Identifier: Apache-2.0 */

/* MCP requests to a sample upstream, of either era, and their answers. */

#include <stdio.h>
#include <string.h>

#include "gateway/app/sample.h"
#include "gateway/core/envelope.h"
#include "gateway/http/era.h"
#include "gateway/http/guard.h"

#define MAX_WORD_BYTES 64

struct answer {
	int status;
	struct span body;
	const char *session; /* header of the answer, or NULL */
	const char *allow;   /* the same */
};

static void answer(struct exchange *exchange, const struct answer *answer)
{
	struct http_header headers[2];
	size_t n = 0;

	if (answer->session != NULL)
		headers[n++] = (struct http_header){ "Mcp-Session-Id", answer->session };
	if (answer->allow != NULL)
		headers[n++] = (struct http_header){ "Allow", answer->allow };
	exchange_answer(exchange,
			&(struct exchange_answer){
				.status = answer->status,
				.content_type = answer->body.n > 0 ? "application/json" : NULL,
				.headers = headers,
				.n_headers = n,
				.body = answer->body,
			});
}

static void answer_error(struct exchange *exchange, struct span id,
			 const struct call_refusal *refusal, const char *allow)
{
	struct buf body;

	buf_init(&body, SAMPLE_MAX_ANSWER);
	envelope_error(&body, id, refusal->rpc_code, refusal->message, refusal->data);
	answer(exchange, &(struct answer){
				 .status = refusal->http_status,
				 .body = buf_span(&body),
				 .allow = allow,
			 });
	buf_fini(&body);
}

static void refuse(const struct sample_request *request, int status, int code, const char *message)
{
	struct call_refusal refusal = { .http_status = status, .rpc_code = code };

	snprintf(refusal.message, sizeof(refusal.message), "%s", message);
	answer_error(request->exchange, request->mcp.id, &refusal, NULL);
}

/* An error of this era: modern ones show in the status too. */
static void refuse_params(const struct sample_request *request, const char *message)
{
	refuse(request, request->mcp.era == MCP_MODERN ? 400 : 200, RPC_INVALID_PARAMS, message);
}

void sample_write_result(const struct sample_request *request, const char *members, struct buf *out)
{
	buf_add(out, "{");
	buf_add(out, members);
	if (request->mcp.era == MCP_MODERN)
		buf_printf(out, "%s\"resultType\":\"complete\",\"_meta\":{\"%s\":%s}",
			   members[0] != '\0' ? "," : "", MCP_META_SERVER,
			   request->sample->kind->server_info);
	buf_add(out, "}");
}

static void answer_result_in(const struct sample_request *request, const char *members,
			     const char *session)
{
	struct buf result, body;

	buf_init(&result, SAMPLE_MAX_ANSWER);
	buf_init(&body, SAMPLE_MAX_ANSWER);
	sample_write_result(request, members, &result);
	envelope_result(&body, request->mcp.id, buf_span(&result));
	answer(request->exchange, &(struct answer){
					  .status = 200,
					  .body = buf_span(&body),
					  .session = session,
				  });
	buf_fini(&body);
	buf_fini(&result);
}

static void answer_result(const struct sample_request *request, const char *members)
{
	answer_result_in(request, members, NULL);
}

char *sample_text_members(struct arena *arena, const char *text, bool is_error)
{
	struct buf members;
	char *copy;

	buf_init(&members, SAMPLE_MAX_ANSWER);
	buf_add(&members, "\"content\":[{\"type\":\"text\",\"text\":");
	buf_add_json_string(&members, text, strlen(text));
	buf_printf(&members, "}],\"isError\":%s", is_error ? "true" : "false");
	copy = arena_dup(arena, buf_str(&members), members.len);
	buf_fini(&members);
	return copy;
}

void sample_answer_text(const struct sample_request *request, const char *text, bool is_error)
{
	answer_result(request, sample_text_members(request->arena, text, is_error));
}

/* --- sessions of legacy clients --- */

static char *session_find(struct sample *sample, const char *session)
{
	for (size_t i = 0; i < SAMPLE_MAX_SESSIONS; i++) {
		if (session[0] != '\0' && strcmp(sample->sessions[i], session) == 0)
			return sample->sessions[i];
	}
	return NULL;
}

static const char *session_new(struct sample *sample)
{
	char *session = sample->sessions[sample->next_session];

	sample->next_session = (sample->next_session + 1) % SAMPLE_MAX_SESSIONS;
	uuid_v4(session);
	return session;
}

/* --- methods: each answers, now or later, and frees the arena unless it gives it away --- */

static void initialize(struct sample_request *request)
{
	const struct sample_kind *kind = request->sample->kind;
	struct span requested = span_get(request->mcp.params, "protocolVersion");
	struct buf version;
	char *members;

	if (span_type(requested) != SPAN_STRING) {
		refuse_params(request, "params.protocolVersion must be a string");
		return;
	}
	buf_init(&version, MAX_WORD_BYTES);
	/* What does not fit is no version that we know. */
	if (span_string(requested, &version) < 0)
		buf_clear(&version);
	members = arena_printf(request->arena, "\"protocolVersion\":\"%s\",\"serverInfo\":%s,%s",
			       mcp_legacy_negotiate(buf_str(&version)), kind->server_info,
			       kind->about);
	buf_fini(&version);
	answer_result_in(request, members, session_new(request->sample));
}

static void ping(struct sample_request *request)
{
	answer_result(request, "");
}

static void discover(struct sample_request *request)
{
	answer_result(request, arena_printf(request->arena,
					    "\"supportedVersions\":[\"" MCP_MODERN_VERSION
					    "\"],%s,\"ttlMs\":3600000,\"cacheScope\":\"public\"",
					    request->sample->kind->about));
}

static void list_tools(struct sample_request *request)
{
	const char *tools = request->sample->kind->tools_list;

	if (span_get(request->mcp.params, "cursor").p != NULL)
		refuse_params(request, "params.cursor is not one of ours: the list has one page");
	else if (request->mcp.era == MCP_MODERN)
		answer_result(request, arena_printf(request->arena,
						    "%s,\"ttlMs\":3600000,\"cacheScope\":"
						    "\"public\"",
						    tools));
	else
		answer_result(request, tools);
}

static void call_tool(struct sample_request *request)
{
	const struct sample_kind *kind = request->sample->kind;
	struct span name = span_get(request->mcp.params, "name");
	struct span arguments = span_trim(span_get(request->mcp.params, "arguments"));

	if (arguments.p != NULL && span_type(arguments) != SPAN_OBJECT) {
		refuse_params(request, "params.arguments must be an object");
		return;
	}
	for (size_t i = 0; i < kind->n_tools; i++) {
		if (span_string_is(name, kind->tools[i].name)) {
			kind->tools[i].call(request, arguments);
			return;
		}
	}
	refuse(request, 200, RPC_INVALID_PARAMS, kind->no_tool);
}

#define LEGACY (1U << MCP_LEGACY)
#define MODERN (1U << MCP_MODERN)

static const struct {
	const char *name;
	unsigned eras;
	void (*run)(struct sample_request *request);
} methods[] = {
	{"initialize",	LEGACY,		initialize},
	      { "ping",		LEGACY,		ping	     },
	{ "server/discover", MODERN,	     discover  },
	      { "tools/list",      LEGACY | MODERN, list_tools},
	{ "tools/call",	LEGACY | MODERN, call_tool },
};

static void run_method(struct sample_request *request)
{
	const struct mcp_request *mcp = &request->mcp;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if ((methods[i].eras & 1U << mcp->era) != 0 &&
		    strcmp(methods[i].name, mcp->method) == 0) {
			methods[i].run(request);
			return;
		}
	}
	refuse(request, mcp->era == MCP_MODERN ? 404 : 200, RPC_METHOD_NOT_FOUND,
	       "Method not found");
}

static void take_notification(struct sample_request *request)
{
	const struct mcp_request *mcp = &request->mcp;
	const struct sample_kind *kind = request->sample->kind;

	if (kind->cancel != NULL && mcp->method != NULL && request->session != NULL &&
	    strcmp(mcp->method, "notifications/cancelled") == 0)
		kind->cancel(request->sample, request->session,
			     span_trim(span_get(mcp->params, "requestId")));
	answer(request->exchange, &(struct answer){ .status = 202 });
}

bool sample_is_served(struct exchange *exchange)
{
	const struct sample *sample = exchange_app(exchange);
	const char *origin = exchange_header(exchange, "origin");
	struct call_refusal refusal = {
		.http_status = 403,
		.rpc_code = RPC_SERVER_ERROR,
		.message = "Forbidden: this host or origin is not served",
	};

	if (guard_host(&sample->app, exchange_header(exchange, "host")) &&
	    (origin == NULL || guard_origin(&sample->app, origin)))
		return true;
	answer_error(exchange, (struct span){ 0 }, &refusal, NULL);
	return false;
}

static bool is_let_in(struct exchange *exchange)
{
	const struct sample *sample = exchange_app(exchange);

	return sample_is_served(exchange) &&
	       (sample->kind->admit == NULL || sample->kind->admit(exchange));
}

static int read_request(struct sample_request *request, struct call_refusal *refusal)
{
	struct exchange *exchange = request->exchange;
	const struct era_headers headers = {
		.accept = exchange_header(exchange, "accept"),
		.content_type = exchange_header(exchange, "content-type"),
		.version = exchange_header(exchange, "mcp-protocol-version"),
		.method = exchange_header(exchange, "mcp-method"),
		.name = exchange_header(exchange, "mcp-name"),
		.session = exchange_header(exchange, "mcp-session-id"),
	};

	if (era_read(&headers, exchange_body(exchange), request->arena, &request->mcp, refusal) < 0)
		return -1;
	if (request->mcp.era == MCP_LEGACY)
		request->session = headers.session;
	return 0;
}

/* All but initialize need a session that lives. */
static bool lacks_session(const struct sample_request *request)
{
	const char *method = request->mcp.method;

	if (request->mcp.era == MCP_MODERN || (method != NULL && strcmp(method, "initialize") == 0))
		return false;
	return session_find(request->sample, request->session) == NULL;
}

void sample_post(struct exchange *exchange)
{
	struct sample_request request = { .sample = exchange_app(exchange), .exchange = exchange };
	struct call_refusal refusal;

	if (!is_let_in(exchange))
		return;
	request.arena = arena_new();
	if (read_request(&request, &refusal) < 0)
		answer_error(exchange, request.mcp.id, &refusal, NULL);
	else if (lacks_session(&request))
		refuse(&request, 404, RPC_SESSION_NOT_FOUND, "Session not found");
	else if (request.mcp.id.p == NULL)
		take_notification(&request);
	else
		run_method(&request);
	arena_free(&request.arena);
}

static void refuse_method(struct exchange *exchange, const char *allow)
{
	const struct call_refusal refusal = {
		.http_status = 405,
		.rpc_code = RPC_SERVER_ERROR,
		.message = "Method not allowed.",
	};

	answer_error(exchange, (struct span){ 0 }, &refusal, allow);
}

void sample_get(struct exchange *exchange)
{
	if (is_let_in(exchange))
		refuse_method(exchange, "POST, DELETE");
}

void sample_delete(struct exchange *exchange)
{
	struct sample_request request = { .sample = exchange_app(exchange), .exchange = exchange };
	const char *session = exchange_header(exchange, "mcp-session-id");
	char *found;

	if (!is_let_in(exchange))
		return;
	if (era_header_is_modern(exchange_header(exchange, "mcp-protocol-version"))) {
		refuse_method(exchange, "POST");
		return;
	}
	if (session == NULL) {
		refuse(&request, 400, RPC_SERVER_ERROR, "Bad Request: Session ID required");
		return;
	}
	found = session_find(request.sample, session);
	if (found == NULL) {
		refuse(&request, 404, RPC_SESSION_NOT_FOUND, "Session not found");
		return;
	}
	found[0] = '\0';
	answer(exchange, &(struct answer){ .status = 204 });
}
