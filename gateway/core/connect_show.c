/* SPDX-License-Identifier: Apache-2.0 */

/* The first look at an attempt: which authorization server it will be, and what is asked of it. */

#include <string.h>

#include "gateway/core/connect_priv.h"
#include "version.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- what the upstream is asked -------------------------------------------------------------- */

/* Without a token, to be refused: the refusal says whom to ask. */
static const char legacy_probe[] =
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
	"\"" MCP_LATEST_LEGACY_VERSION "\",\"capabilities\":{},\"clientInfo\":{\"name\":"
	"\"tollgate\",\"version\":\"" TOLLGATE_VERSION "\"}}}";
/* Of servers that let everybody in and refuse only this. */
static const char second_legacy_probe[] =
	"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}";
static const char modern_probe[] =
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
	"\"" MCP_META_VERSION "\":\"" MCP_MODERN_VERSION "\",\"" MCP_META_CAPABILITIES
	"\":{},\"" MCP_META_CLIENT "\":{\"name\":\"tollgate\",\"version\":\"" TOLLGATE_VERSION
	"\"}}}}";
#define MAX_PROBE_HEADERS (CONNECTION_MAX_HEADERS + 3)

static size_t probe_headers(const struct connection *connection, struct http_header *headers)
{
	bool modern = connection->era == ERA_MODERN;
	size_t n = 0;

	headers[n++] = (struct http_header){ "accept", "application/json, text/event-stream" };
	headers[n++] =
		(struct http_header){ "mcp-protocol-version",
				      modern ? MCP_MODERN_VERSION : MCP_LATEST_LEGACY_VERSION };
	if (modern)
		headers[n++] = (struct http_header){ "mcp-method", "tools/list" };
	for (size_t i = 0; i < connection->n_headers && n < MAX_PROBE_HEADERS; i++)
		headers[n++] = connection->headers[i];
	return n;
}

static void on_discovered(void *ctx, const struct oauth_server *server, const struct err *err)
{
	struct connect_op *op = ctx;

	if (err != NULL) {
		connect_resume_with(op, connect_fail_by(op, err));
		return;
	}
	op->attempt.server = *server;
	connect_resume(op);
}

static enum connect_result discover(struct connect_op *op)
{
	const struct connection *connection = op->connection;
	struct http_header headers[MAX_PROBE_HEADERS];
	bool modern = connection->era == ERA_MODERN;
	const struct discovery_params params = {
		.client = op->connects->http,
		.egress = op->tenant->egress,
		.resource_url = connection->url,
		.probe_body = modern ? SPAN(modern_probe) : SPAN(legacy_probe),
		.second_probe_body = modern ? span_of(NULL) : SPAN(second_legacy_probe),
		.probe_headers = headers,
		.n_probe_headers = probe_headers(connection, headers),
		.issuer = connection->oauth->issuer,
		.allow_http = op->connects->params.development,
		.grant = OAUTH_GRANT_AUTHORIZATION_CODE,
	};

	discovery_start(op->connects->params.loop, &op->discovery, op->arena, &params,
			on_discovered, op);
	return CONNECT_WAIT;
}

/* Endpoints typed in by hand: nothing is looked up, and nobody is registered. */
static void take_typed_in(struct connect_op *op)
{
	const struct connection_oauth *oauth = op->connection->oauth;

	op->attempt.server = (struct oauth_server){
		.issuer = oauth->issuer,
		.authorization_url = oauth->authorization_url,
		.token_url = oauth->token_url,
		.revocation_url = oauth->revocation_url,
		.resource = op->connection->url,
	};
}

/* --- what it will be ------------------------------------------------------------------------- */

static bool needs_server(const struct connect_op *op)
{
	const struct attempt *attempt = &op->attempt;

	return (attempt->state == CONNECT_OPEN || attempt->state == CONNECT_PENDING) &&
	       attempt->settings_version != op->connection->settings_version;
}

static enum connect_result check_open(struct connect_op *op)
{
	const struct attempt *attempt = &op->attempt;

	if (attempt->state == CONNECT_CONNECTED || attempt->state == CONNECT_FAILED)
		return CONNECT_END;
	if (attempt->expired)
		return connect_fail(op, CONNECT_EXPIRED, NULL);
	return CONNECT_NEXT;
}

static enum connect_result find_server(struct connect_op *op)
{
	const struct connection_oauth *oauth = op->connection->oauth;

	if (!needs_server(op))
		return CONNECT_END;
	if (oauth->authorization_url == NULL || oauth->token_url == NULL)
		return discover(op);
	take_typed_in(op);
	return CONNECT_NEXT;
}

static void decide(struct connect_op *op)
{
	struct attempt *attempt = &op->attempt;
	const struct connection_oauth *oauth = op->connection->oauth;
	char hash[CONNECT_ISSUER_HASH_BYTES];

	connect_issuer_hash(connect_issuer_of(&attempt->server), hash);
	attempt->redirect_uri = arena_printf(op->arena, "%s/oauth/callback/%s",
					     op->connects->params.public_url, hash);
	attempt->resource = oauth->resource ? attempt->server.resource : NULL;
	attempt->asked_scope =
		connect_scope(op->arena, &(struct connect_scopes){
						 .configured = oauth->scope,
						 .server = attempt->server.scope,
						 .granted = attempt->granted_scope,
						 .challenge = attempt->scope,
						 .offline_access = attempt->server.offline_access,
					 });
}

/* Another server than before: what was out at that one is void. */
static enum connect_result save_server(struct connect_op *op)
{
	static const char sql[] =
		"UPDATE tollgate.connect_attempts a SET settings_version = $2::bigint,"
		" server = $3::jsonb, redirect_uri = $4, resource = $5, asked_scope = $6,"
		" state = 'open', state_hash = NULL, verifier = NULL, client_id = NULL,"
		" client_auth = NULL, client_secret = NULL" CONNECT_ATTEMPT
		" AND a.state IN ('open', 'pending') AND a.held IS NULL";
	struct attempt *attempt = &op->attempt;
	const char *version =
		arena_printf(op->arena, "%lld", (long long)op->connection->settings_version);
	const char *server = connect_write_server(op->arena, &attempt->server);

	if (server == NULL)
		return connect_fail(op, CONNECT_PROVIDER_ERROR,
				    "the server's metadata are too large");
	decide(op);

	const struct span params[] = {
		span_of(attempt->id),
		span_of(version),
		span_of(server),
		span_of(attempt->redirect_uri),
		span_of(attempt->resource),
		span_of(attempt->asked_scope),
	};

	attempt->state = CONNECT_OPEN;
	return connect_query(op, sql, params, COUNT(params));
}

static enum connect_result saved(struct connect_op *op)
{
	(void)op;
	return CONNECT_END;
}

static connect_step *const show_steps[] = {
	connect_load_attempt, connect_take_attempt, connect_check_viewer,
	check_open,	      connect_load_tenant,  connect_take_connection,
	find_server,	      save_server,	    saved,
};

void connect_show(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		  struct principal *principal, connect_viewed *done, void *ctx)
{
	struct connect_op *op = connect_op_new(connects, slot, CONNECT_FOR_VIEW, show_steps, ctx);

	op->done.viewed = done;
	connect_op_about(op, attempt_id, principal);
	connect_op_start(op);
}
