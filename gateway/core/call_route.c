/* SPDX-License-Identifier: Apache-2.0 */
/* ROUTE and POLICY: which method, which connection and tool, and may they? */

#include <string.h>

#include "gateway/core/call_priv.h"
#include "gateway/core/names.h"
#include "gateway/core/policy.h"

#define MAX_SENT_NAME_BYTES  ((size_t)1024 << 10)
#define MAX_SHOWN_NAME_BYTES 128

static enum step_result take_notification(struct call *call)
{
	const char *method = call->params.request.method;

	answer_nothing(call);
	if (method != NULL && strcmp(method, "notifications/cancelled") == 0)
		return call_take_cancel(call);
	return STEP_FAIL;
}

static enum step_result unknown_method(struct call *call)
{
	bool modern = call->params.request.era == MCP_MODERN;

	answer_error(call, modern ? 404 : 200, RPC_METHOD_NOT_FOUND, BOOK_PROTOCOL_ERROR,
		     (struct span){ 0 }, "Method not found: %.*s", MAX_SHOWN_NAME_BYTES,
		     call->params.request.method);
	return STEP_FAIL;
}

static enum step_result invalid_params(struct call *call, const char *message)
{
	bool modern = call->params.request.era == MCP_MODERN;

	answer_error(call, modern ? 400 : 200, RPC_INVALID_PARAMS, BOOK_PROTOCOL_ERROR,
		     (struct span){ 0 }, "%s", message);
	return STEP_FAIL;
}

/* A tool that is not there and one that is not allowed look the same to the client. */
static enum step_result unknown_tool(struct call *call, enum book_outcome outcome)
{
	answer_error(call, 200, RPC_INVALID_PARAMS, outcome, (struct span){ 0 },
		     "Unknown tool: %.*s", MAX_SHOWN_NAME_BYTES, call->tool_sent);
	return STEP_FAIL;
}

/* An upstream that was never listed may have any tool: only it can tell. */
static bool may_have(const struct connection *connection, const char *tool)
{
	return !connection->listed || connection_find_tool(connection, tool) != NULL;
}

const char *call_known_tool(const struct call *call)
{
	const struct tool *tool = NULL;

	if (call->tool != NULL && call->connection != NULL)
		tool = connection_find_tool(call->connection, call->tool);
	return tool != NULL ? tool->exposed : NULL;
}

static bool find_tool(struct call *call)
{
	char connection[NAME_MAX_BYTES + 1];
	const struct tool_ref *ref;

	if (call->connection != NULL) {
		call->tool = call->tool_sent;
		return may_have(call->connection, call->tool);
	}
	ref = tenant_find_exposed(call->tenant, call->tool_sent);
	if (ref != NULL) {
		call->connection = ref->connection;
		call->tool = ref->tool->name;
		return true;
	}
	call->tool = name_split(call->tool_sent, connection);
	if (call->tool == NULL)
		return false;
	call->connection = tenant_find_connection(call->tenant, connection);
	return call->connection != NULL && !call->connection->listed;
}

void call_note_tool(struct call *call)
{
	const struct mcp_request *request = &call->params.request;
	struct span name = span_get(request->params, "name");

	if (request->method == NULL || strcmp(request->method, "tools/call") != 0 ||
	    span_type(name) != SPAN_STRING)
		return;
	call->tool_sent = call_text(call->arena, name, MAX_SENT_NAME_BYTES);
	call->tool_sent_bytes = strlen(call->tool_sent);
}

static enum step_result route_tool(struct call *call)
{
	enum span_type arguments = span_type(span_get(call->params.request.params, "arguments"));

	if (call->tool_sent == NULL)
		return invalid_params(call, "params.name must be a string");
	if (arguments != SPAN_ABSENT && arguments != SPAN_OBJECT)
		return invalid_params(call, "params.arguments must be an object");
	if (!find_tool(call))
		return unknown_tool(call, BOOK_PROTOCOL_ERROR);
	return STEP_NEXT;
}

enum step_result call_route(struct call *call)
{
	const struct mcp_request *request = &call->params.request;

	if (call_is_notification(call))
		return take_notification(call);
	call->method = method_find(request->era, request->method);
	if (call->method == NULL)
		return unknown_method(call);
	return call->method->answer == NULL ? route_tool(call) : STEP_NEXT;
}

enum step_result call_policy(struct call *call)
{
	if (call->tool != NULL &&
	    !policy_check(call->principal, call->connection, call->tool, NULL))
		return unknown_tool(call, BOOK_DENIED);
	return STEP_NEXT;
}
