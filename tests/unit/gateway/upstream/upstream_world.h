/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_UPSTREAM_UPSTREAM_WORLD_H
#define TESTS_UNIT_GATEWAY_UPSTREAM_UPSTREAM_WORLD_H

/* What the tests of gateway/upstream share: a scripted MCP server, a tenant with one connection to
 * it that stands in Postgres too, and requests that write down how they ended. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "gateway/core/upstream.h"
#include "tests/fakes/gate_db.h"
#include "tests/fakes/mcp_peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define JSON	     "application/json"
#define SSE	     "text/event-stream"
#define RESULT(text) "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":" text "}"
#define ERROR(id, code)                                                                            \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":{\"code\":" code ",\"message\":\"no\"}}"
#define EVENT(text) "event: message\ndata: " text "\n\n"
#define DISCOVERED                                                                                 \
	RESULT("{\"supportedVersions\":[\"2030-01-01\",\"2026-07-28\"],\"capabilities\":{},"       \
	       "\"instructions\":\"be modern\",\"_meta\":{"                                        \
	       "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"m\",\"version\":\"2\"}}}")
#define INITIALIZED                                                                                \
	RESULT("{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},\"serverInfo\":"           \
	       "{\"name\":\"l\",\"version\":\"1\"},\"instructions\":\"be kind\"}")
#define OK_BODY "{\"content\":[],\"n\":1e400}"

struct world {
	struct gate_db *gate;
	struct mcp_peer *peer;
	struct upstreams *upstreams;
	struct tenant *tenant;
	struct connection *connection;
	char id[UUID_TEXT_BYTES];
	size_t wanted;
	const char *wanted_method;
};

/* One request. */
struct ask {
	struct world *world;
	struct upstream_op *op;
	int dones;
	enum mcp_era era;
	char result[512]; /* "" if there was none */
	char error[512];
	struct err err;
	bool failed;
	struct buf messages; /* "<method> <params>\n" */
	void (*on_message)(struct ask *ask);
	struct ask *starts; /* in done */
};

static inline void note_message(void *ctx, const char *method, struct span params)
{
	struct ask *ask = ctx;

	buf_printf(&ask->messages, "%s %.*s\n", method, (int)params.n,
		   params.p != NULL ? params.p : "");
	if (ask->on_message != NULL)
		ask->on_message(ask);
}

static inline void start_ask(struct ask *ask);

static inline void note_done(void *ctx, const struct upstream_answer *answer, const struct err *err)
{
	struct ask *ask = ctx;

	assert_null(ask->op);
	assert_true((answer == NULL) == (err != NULL));
	ask->dones++;
	ask->failed = err != NULL;
	if (err != NULL) {
		ask->err = *err;
	} else {
		assert_true((answer->result.p == NULL) != (answer->error.p == NULL));
		ask->era = answer->era;
		snprintf(ask->result, sizeof(ask->result), "%.*s", (int)answer->result.n,
			 answer->result.p != NULL ? answer->result.p : "");
		snprintf(ask->error, sizeof(ask->error), "%.*s", (int)answer->error.n,
			 answer->error.p != NULL ? answer->error.p : "");
	}
	if (ask->starts != NULL)
		start_ask(ask->starts);
}

static inline struct ask new_ask(struct world *world)
{
	struct ask ask = { .world = world };

	buf_init(&ask.messages, 65536);
	return ask;
}

static inline void start_with(struct ask *ask, const struct upstream_request *request)
{
	static const struct upstream_events events = { .message = note_message, .done = note_done };

	upstream_start(ask->world->upstreams, &ask->op, request, &events, ask);
	assert_int_equal(ask->dones, 0);
	assert_non_null(ask->op);
}

static inline struct upstream_request call_request(const struct world *world)
{
	return (struct upstream_request){
		.tenant = world->tenant,
		.connection = world->connection,
		.method = "tools/call",
		.params = SPAN("{\"name\":\"c__get\",\"arguments\":{\"a\":1e400}}"),
		.name = "get",
		.timeout_ms = 10000,
	};
}

static inline void start_ask(struct ask *ask)
{
	const struct upstream_request request = call_request(ask->world);

	start_with(ask, &request);
}

static inline bool ask_has_ended(void *ctx)
{
	const struct ask *ask = ctx;

	return ask->dones > 0;
}

static inline void finish_ask(struct ask *ask)
{
	gate_db_until(ask->world->gate, ask_has_ended, ask);
	assert_int_equal(ask->dones, 1);
}

static inline void end_ask(struct ask *ask)
{
	upstream_cancel(&ask->op, "the test ends");
	buf_fini(&ask->messages);
}

static inline void expect_result(struct ask *ask, enum mcp_era era)
{
	finish_ask(ask);
	if (ask->failed)
		fail_msg("%s", ask->err.text);
	assert_string_equal(ask->error, "");
	assert_string_equal(ask->result, OK_BODY);
	assert_int_equal(ask->era, era);
	end_ask(ask);
}

static inline void expect_failure(struct ask *ask, enum err_code code, const char *text)
{
	finish_ask(ask);
	assert_true(ask->failed);
	if (ask->err.code != code || strstr(ask->err.text, text) == NULL)
		fail_msg("%s: %s", err_name(ask->err.code), ask->err.text);
	end_ask(ask);
}

/* A whole call that must succeed. */
static inline void call(struct world *world, enum mcp_era era)
{
	struct ask ask = new_ask(world);

	start_ask(&ask);
	expect_result(&ask, era);
}

static inline void call_fails(struct world *world, enum err_code code, const char *text)
{
	struct ask ask = new_ask(world);

	start_ask(&ask);
	expect_failure(&ask, code, text);
}

static inline bool has_come(void *ctx)
{
	const struct world *world = ctx;

	return mcp_peer_count(world->peer, world->wanted_method) >= world->wanted;
}

static inline void await_request(struct world *world, const char *method, size_t n)
{
	world->wanted_method = method;
	world->wanted = n;
	gate_db_until(world->gate, has_come, world);
}

static inline bool has_left(void *ctx)
{
	const struct world *world = ctx;

	return mcp_peer_left(world->peer) >= world->wanted;
}

static inline void await_left(struct world *world, size_t n)
{
	world->wanted = n;
	gate_db_until(world->gate, has_left, world);
}

/* Asks Postgres until it answers so. */
static inline void await_answer(struct world *world, const char *sql, const char *expected)
{
	int64_t until_ms = loop_now_ms(world->gate->loop) + 10000;

	while (strcmp(gate_db_ask(world->gate, "%s", sql), expected) != 0)
		assert_true(loop_now_ms(world->gate->loop) < until_ms);
}

/* No session is shared, and nobody opens one. */
static inline void await_no_row(struct world *world)
{
	await_answer(world, "SELECT count(*) AS v FROM tollgate.upstream_sessions", "0");
}

/* A snapshot with the connection as it is now. */
static inline void take_snapshot(struct world *world, int64_t version)
{
	static const char *all[] = { "*" };
	struct arena *arena = arena_new();
	struct tenant *tenant = arena_alloc(arena, sizeof(*tenant));
	struct err err;

	*tenant = (struct tenant){ .refs = 1, .arena = arena, .name = "acme", .enabled = true };
	tenant->id = arena_strdup(arena, gate_db_ask(world->gate, "SELECT id AS v"
								  " FROM tollgate.tenants"));
	tenant->egress = egress_policy_new(NULL, 0, true, &err);
	tenant->n_connections = 1;
	tenant->connections = arena_alloc(arena, sizeof(struct connection));
	tenant->connections[0] = (struct connection){
		.id = arena_strdup(arena, world->id),
		.name = "c",
		.url = arena_printf(arena, "http://127.0.0.1:%u/mcp", mcp_peer_port(world->peer)),
		.connect_timeout_ms = 5000,
		.call_timeout_ms = 5000,
		.tools_allow = all,
		.n_tools_allow = 1,
		.version = version,
		.settings_version = version,
		.enabled = true,
	};
	tenant_unref(&world->tenant);
	world->tenant = tenant;
	world->connection = &tenant->connections[0];
}

static inline void begin(void **state, struct world *world)
{
	char tenant[UUID_TEXT_BYTES];

	*world = (struct world){ .gate = *state };
	world->peer = mcp_peer_start(world->gate->loop);
	gate_db_tenant(world->gate, "acme", tenant);
	uuid_v4(world->id);
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url)"
		   " VALUES ('%s', '%s', 'c', 'http://x/')",
		   tenant, world->id);
	take_snapshot(world, 1);
	world->upstreams = upstreams_new(world->gate->loop, world->gate->app, NULL);
}

static inline void end(struct world *world)
{
	upstreams_free(&world->upstreams);
	/* What was cancelled inside the HTTP client goes with the next turn. */
	tenant_unref(&world->tenant);
	mcp_peer_stop(&world->peer);
}

/* The two kinds of servers, as good ones are. */
static inline void be_modern(struct world *world)
{
	MCP_ON(world->peer, "server/discover", { MCP_ANSWER, 200, JSON, NULL, DISCOVERED, 0 });
	MCP_ON(world->peer, "tools/call", { MCP_ANSWER, 200, JSON, NULL, RESULT(OK_BODY), 0 });
}

static inline void be_legacy(struct world *world)
{
	MCP_ON(world->peer, "server/discover",
	       { MCP_ANSWER, 400, JSON, NULL, ERROR("null", "-32000"), 0 });
	MCP_ON(world->peer, "initialize", { MCP_ANSWER, 200, JSON, "s1", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "s2", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "s3", INITIALIZED, 0 });
	MCP_ON(world->peer, "notifications/initialized", { MCP_ANSWER, 202, NULL, NULL, NULL, 0 });
	MCP_ON(world->peer, "notifications/cancelled", { MCP_ANSWER, 202, NULL, NULL, NULL, 0 });
	MCP_ON(world->peer, "tools/call", { MCP_ANSWER, 200, JSON, NULL, RESULT(OK_BODY), 0 });
}

#endif
