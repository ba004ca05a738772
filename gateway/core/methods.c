/* SPDX-License-Identifier: Apache-2.0 */
/* The methods that the gate answers by itself, and the table of all. */

#include <stdio.h>
#include <string.h>

#include "gateway/core/call_priv.h"
#include "gateway/core/tool_list.h"

#define MAX_NAME_BYTES	       200
#define MAX_INSTRUCTIONS_BYTES ((size_t)64 << 10)
#define MAX_CAPABILITIES_BYTES ((size_t)64 << 10)

static enum step_result invalid_params(struct call *call, const char *message)
{
	bool modern = call->params.request.era == MCP_MODERN;

	answer_error(call, modern ? 400 : 200, RPC_INVALID_PARAMS, BOOK_PROTOCOL_ERROR,
		     (struct span){ 0 }, "%s", message);
	return STEP_FAIL;
}

/* The transport refuses such a request before it is a call; another one may not. */
static enum step_result session_required(struct call *call)
{
	answer_error(call, 400, RPC_SERVER_ERROR, BOOK_PROTOCOL_ERROR, (struct span){ 0 },
		     "Bad Request: Session ID required");
	return STEP_FAIL;
}

static void add_string(struct buf *out, const char *text)
{
	buf_add_json_string(out, text, strlen(text));
}

static void add_server_info(const struct call *call, struct buf *out)
{
	buf_add(out, "{\"name\":\"tollgate\",\"title\":\"Tollgate\",\"version\":");
	add_string(out, call->gate->server_version);
	buf_add(out, "}");
}

/* What upstreams say of themselves, labelled where several speak. */
static void add_instructions(const struct call *call, struct buf *out)
{
	struct buf text;

	buf_init(&text, MAX_INSTRUCTIONS_BYTES);
	if (call->connection != NULL && call->connection->instructions != NULL)
		buf_add(&text, call->connection->instructions);
	for (size_t i = 0; call->connection == NULL && i < call->tenant->n_connections; i++) {
		const struct connection *connection = &call->tenant->connections[i];

		if (connection->enabled && connection->instructions != NULL)
			buf_printf(&text, "%s: %s\n\n", connection->name, connection->instructions);
	}
	if (text.len > 0) {
		buf_add(out, ",\"instructions\":");
		buf_add_json_string(out, text.data, text.len);
	}
	buf_fini(&text);
}

#define CAPABILITIES "{\"tools\":{\"listChanged\":true},\"logging\":{}}"

static void answer_initialize(struct call *call, const char *version)
{
	struct buf result;

	buf_init(&result, 8 * MAX_INSTRUCTIONS_BYTES);
	buf_add(&result, "{\"protocolVersion\":");
	add_string(&result, version);
	buf_add(&result, ",\"capabilities\":" CAPABILITIES ",\"serverInfo\":");
	add_server_info(call, &result);
	add_instructions(call, &result);
	buf_add(&result, "}");
	answer_result(call, buf_span(&result));
	buf_fini(&result);
}

static void on_session_created(void *ctx, struct session *session, const struct err *err)
{
	struct call *call = ctx;

	if (err == NULL) {
		session_unref(&call->session); /* of one whose id came with the request */
		call->session = session_ref(session);
		call_resume(call, STEP_NEXT);
	} else {
		answer_unavailable(call, "sessions cannot be made now");
		call_resume(call, STEP_FAIL);
	}
}

static enum step_result initialize(struct call *call)
{
	struct span params = call->params.request.params;
	struct span info = span_get(params, "clientInfo");
	struct span capabilities = span_trim(span_get(params, "capabilities"));
	const char *requested = call_text(call->arena, span_get(params, "protocolVersion"), 32);
	const char *version;
	struct buf known;

	if (requested == NULL)
		return invalid_params(call, "params.protocolVersion must be a string");
	if (span_type(capabilities) != SPAN_OBJECT)
		return invalid_params(call, "params.capabilities must be an object");
	if (capabilities.n > MAX_CAPABILITIES_BYTES)
		return invalid_params(call, "params.capabilities must not be over 64 KiB");
	if (span_type(info) != SPAN_OBJECT)
		return invalid_params(call, "params.clientInfo must be an object");
	version = mcp_legacy_negotiate(requested);
	answer_initialize(call, version);
	buf_init(&known, MAX_CAPABILITIES_BYTES);
	mcp_known_capabilities(capabilities, &known);
	capabilities = (struct span){ arena_dup(call->arena, known.data, known.len), known.len };
	buf_fini(&known);

	const struct session_new new = {
		.principal = call->principal,
		.endpoint = call->params.endpoint != NULL ? call->params.endpoint : "",
		.protocol_version = version,
		.client_name = call_clean_text(call, span_get(info, "name"), MAX_NAME_BYTES),
		.client_version = call_clean_text(call, span_get(info, "version"), MAX_NAME_BYTES),
		.capabilities = capabilities,
	};
	session_create_start(call->gate->sessions, &call->wait.session, &new,
			     call->answer.session_id, on_session_created, call);
	return STEP_WAIT;
}

static enum step_result discover(struct call *call)
{
	struct buf result;

	buf_init(&result, 8 * MAX_INSTRUCTIONS_BYTES);
	buf_add(&result, "{\"supportedVersions\":[\"" MCP_MODERN_VERSION
			 "\"],\"capabilities\":" CAPABILITIES);
	add_instructions(call, &result);
	buf_add(&result, ",\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\","
			 "\"_meta\":{\"" MCP_META_SERVER "\":");
	add_server_info(call, &result);
	buf_add(&result, "}}");
	answer_result(call, buf_span(&result));
	buf_fini(&result);
	return STEP_NEXT;
}

static enum step_result ping(struct call *call)
{
	answer_result(call, SPAN("{}"));
	return STEP_NEXT;
}

static void on_level_set(void *ctx, struct session *session, const struct err *err)
{
	struct call *call = ctx;

	(void)session;
	if (err == NULL) {
		answer_result(call, SPAN("{}"));
		call_resume(call, STEP_NEXT);
	} else if (err->code == ERR_NOT_FOUND) {
		answer_error(call, 404, RPC_SESSION_NOT_FOUND, BOOK_PROTOCOL_ERROR,
			     (struct span){ 0 }, "Session not found");
		call_resume(call, STEP_FAIL);
	} else {
		answer_unavailable(call, "the session cannot be changed now");
		call_resume(call, STEP_FAIL);
	}
}

static enum step_result set_level(struct call *call)
{
	const char *level =
		call_text(call->arena, span_get(call->params.request.params, "level"), 32);
	struct session_key key = call_session_key(call);

	if (level == NULL || mcp_log_level(level) < 0)
		return invalid_params(call, "params.level must be a log level, debug to emergency");
	if (call->session == NULL)
		return session_required(call);
	session_log_level_start(call->gate->sessions, &call->wait.session, &key, level,
				on_level_set, call);
	return STEP_WAIT;
}

/* A legacy session is told of changes to what it was given last. */
static void note_list(struct call *call)
{
	if (call->session == NULL)
		return;
	subscriptions_listed(call->gate->subscriptions,
			     &(struct subscription_listed){
				     .principal = call->principal,
				     .tenant = call->tenant,
				     .only = call->connection,
				     .session_id = call->params.session_id,
			     });
}

static enum step_result tools_list(struct call *call)
{
	struct span cursor = span_get(call->params.request.params, "cursor");
	const char *at = call_text(call->arena, cursor, TOOL_CURSOR_MAX_BYTES);
	const struct tool_list_params params = {
		.principal = call->principal,
		.tenant = call->tenant,
		.only = call->connection,
		.era = call->params.request.era,
		.cursor = at,
	};
	struct buf result;
	int ret;

	if (cursor.p != NULL && at == NULL)
		return invalid_params(call, "params.cursor must be a string");
	buf_init(&result, CALL_MAX_ANSWER_BYTES);
	ret = tool_list_write(&params, &result);
	if (ret == 0)
		answer_result(call, buf_span(&result));
	buf_fini(&result);
	if (ret == 0 && at == NULL)
		note_list(call);
	return ret == 0 ? STEP_NEXT : invalid_params(call, "params.cursor is not one of ours");
}

#define LEGACY (1u << MCP_LEGACY)
#define MODERN (1u << MCP_MODERN)

static const struct method methods[] = {
	{"initialize",		LEGACY,		initialize,	    NULL,	  false},
	{ "ping",		  LEGACY,	  ping,		NULL,	      true },
	{ "logging/setLevel",     LEGACY,	      set_level,	 NULL,	       true },
	{ "server/discover",	     MODERN,	     discover,	       NULL,	     false},
	{ "subscriptions/listen", MODERN,	  call_listen_check, call_listen, true },
	{ "tools/list",		LEGACY | MODERN, tools_list,	     NULL,	   true },
	{ "tools/call",		LEGACY | MODERN, NULL,	       NULL,	     false},
};

const struct method *method_find(enum mcp_era era, const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if ((methods[i].eras & (1u << era)) != 0 && strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}
