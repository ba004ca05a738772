/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_OTEL_NAMES_H
#define AUDIT_OTEL_NAMES_H

/*
 * What OpenTelemetry calls the things that we record: the one place of these names. They stand in
 * the semantic conventions of generative AI (MCP), which are in development, of RPC, HTTP and
 * networks; what none of them names is ours, and begins with "tollgate.".
 *
 * The comments of the columns in migrations say the same ("OpenTelemetry: name."), for
 * audit.schema_doc; a test compares them with this.
 */

/* X(id, attribute, column of the book or "", Prometheus label or "") */
#define OTEL_NAMES(X)                                                                              \
	X(METHOD, "mcp.method.name", "method", "mcp_method_name")                                  \
	X(TOOL, "gen_ai.tool.name", "tool", "gen_ai_tool_name")                                    \
	X(OPERATION, "gen_ai.operation.name", "", "")                                              \
	X(TOOL_ARGUMENTS, "gen_ai.tool.call.arguments", "arguments", "")                           \
	X(SESSION, "mcp.session.id", "session_id", "")                                             \
	X(PROTOCOL, "mcp.protocol.version", "protocol_version", "")                                \
	X(REQUEST_ID, "jsonrpc.request.id", "request_id", "")                                      \
	X(STATUS_CODE, "rpc.response.status_code", "", "")                                         \
	X(ERROR_TYPE, "error.type", "error_type", "error_type")                                    \
	X(HTTP_STATUS, "http.response.status_code", "upstream_status", "")                         \
	X(TRANSPORT, "network.transport", "", "")                                                  \
	X(NETWORK_PROTOCOL, "network.protocol.name", "", "")                                       \
	X(SERVER_ADDRESS, "server.address", "", "")                                                \
	X(SERVER_PORT, "server.port", "", "")                                                      \
	X(TENANT, "tollgate.tenant", "", "tenant")                                                 \
	X(CONNECTION, "tollgate.connection", "", "connection")                                     \
	X(OUTCOME, "tollgate.outcome", "", "outcome")                                              \
	X(CALL, "tollgate.call.id", "", "")                                                        \
	X(SERVICE, "service.name", "", "")                                                         \
	X(SERVICE_VERSION, "service.version", "", "")                                              \
	X(SERVICE_INSTANCE, "service.instance.id", "", "")

enum otel_name {
#define X(id, attribute, column, label) OTEL_##id,
	OTEL_NAMES(X)
#undef X
		N_OTEL_NAMES,
};

struct otel_names {
	const char *attribute;
	const char *column; /* "": none */
	const char *label;  /* "": none */
};
extern const struct otel_names otel_names[N_OTEL_NAMES];

/* Metrics; in Prometheus the dots are underscores, and the unit stands behind. */
#define OTEL_SERVER_OPERATION_DURATION "mcp.server.operation.duration"
#define OTEL_CLIENT_OPERATION_DURATION "mcp.client.operation.duration"
#define OTEL_SERVER_SESSION_DURATION   "mcp.server.session.duration"

/* Values. */
#define OTEL_EXECUTE_TOOL "execute_tool" /* gen_ai.operation.name of tools/call */
#define OTEL_TOOL_ERROR	  "tool_error"	 /* error.type of a result with isError */
#define OTEL_OTHER	  "_OTHER"
#define OTEL_TCP	  "tcp"
#define OTEL_HTTP	  "http"

#endif
