/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_KEEPER_WORLD_H
#define TESTS_KEEPER_WORLD_H

/* Keepers on real tables. The upstreams are played by the functions of gateway/core/upstream.h that
 * stand here in place of gateway/upstream; so is what calls have found out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/credential.h"
#include "gateway/core/health.h"
#include "gateway/core/keeper.h"
#include "gateway/core/upstream.h"
#include "tests/fakes/gate_db.h"

#define MAX_REQUESTS 300
#define MAX_STREAMS  20
#define MAX_NODES    2

/* A request as a keeper started it. */
struct upstream_op {
	struct upstream_op **slot; /* NULL: ended or cancelled */
	bool cancelled;
	char connection[40];
	char url[200];
	char params[5000]; /* "" if absent */
	char subject[UPSTREAM_SUBJECT_BYTES];
	struct upstream_events events;
	void *ctx;
};

struct upstream_watch {
	struct upstream_watch **slot; /* NULL: ended or cancelled */
	char connection[40];
	char subject[UPSTREAM_SUBJECT_BYTES];
	struct upstream_watch_events events;
	void *ctx;
};

/* A token that a keeper has asked for. */
struct credential_op {
	struct credential_op **slot; /* NULL: ended or cancelled */
	char subject[UPSTREAM_SUBJECT_BYTES];
	int64_t refused_version;
	credential_done *done;
	void *ctx;
};
struct credentials {
	struct credential_op asked[MAX_REQUESTS];
	size_t n;
};

/* What the played upstreams are and have heard. Only the test program's own. */
struct upstreams {
	struct upstream_op requests[MAX_REQUESTS];
	size_t n;
	struct upstream_watch streams[MAX_STREAMS];
	size_t n_streams;
	struct upstream_facts facts;
	bool unknown; /* there are no facts */
};

struct world;

/* One worker, as far as it concerns a keeper. */
struct node {
	struct world *world;
	char id[UUID_TEXT_BYTES];
	struct upstreams upstreams;
	struct credentials credentials;
	struct keeper *keeper;
	struct tenants *tenants;
};

struct world {
	struct gate_db *gate;
	struct node nodes[MAX_NODES]; /* a test begins with the first */
	char tenant[UUID_TEXT_BYTES];
	size_t wanted;
	int64_t answer_ms; /* when a call was last answered; -1: never */
};

/* The pause between two polls, so that a test can have it short. */
static int64_t poll_ms = KEEPER_POLL_MS;
/* Between two counts of accounts; and where they are measured, NULL: nowhere. */
static int64_t accounts_ms = KEEPER_ACCOUNTS_MS;
static struct meter *measured;
/* Stands for the health of all connections. */
static const struct world *called;

void __real_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	if (delay_ms == KEEPER_POLL_MS)
		delay_ms = poll_ms;
	else if (delay_ms == KEEPER_ACCOUNTS_MS || delay_ms == KEEPER_ACCOUNTS_MS / 10)
		delay_ms = accounts_ms < delay_ms ? accounts_ms : delay_ms;
	__real_timer_start(loop, timer, delay_ms, cb, ctx);
}

int64_t health_last_answer_ms(const struct healths *healths, const char *tenant_id,
			      const struct connection *connection)
{
	(void)healths;
	(void)tenant_id;
	(void)connection;
	return called->answer_ms;
}

const struct upstream_facts *upstream_facts(struct upstreams *upstreams, const char *tenant_id,
					    const struct connection *connection,
					    const char *subject)
{
	(void)tenant_id;
	(void)connection;
	assert_non_null(subject);
	return upstreams->unknown ? NULL : &upstreams->facts;
}

void upstream_start(struct upstreams *upstreams, struct upstream_op **slot,
		    const struct upstream_request *request, const struct upstream_events *events,
		    void *ctx)
{
	struct upstream_op *op = &upstreams->requests[upstreams->n++];

	assert_true(upstreams->n < MAX_REQUESTS);
	assert_null(*slot);
	assert_string_equal(request->method, "tools/list");
	assert_int_equal(request->timeout_ms, KEEPER_LIST_TIMEOUT_MS);
	assert_null(request->name);
	assert_non_null(request->tenant);
	*op = (struct upstream_op){ .slot = slot, .events = *events, .ctx = ctx };
	snprintf(op->connection, sizeof(op->connection), "%s", request->connection->name);
	snprintf(op->url, sizeof(op->url), "%s", request->connection->url);
	snprintf(op->subject, sizeof(op->subject), "%s", request->subject);
	if (request->params.p != NULL)
		snprintf(op->params, sizeof(op->params), "%.*s", (int)request->params.n,
			 request->params.p);
	*slot = op;
}

void upstream_cancel(struct upstream_op **slot, const char *reason)
{
	struct upstream_op *op = *slot;

	assert_non_null(reason);
	if (op == NULL)
		return;
	*slot = NULL;
	op->slot = NULL;
	op->cancelled = true;
}

void upstream_watch_start(struct upstreams *upstreams, struct upstream_watch **slot,
			  const struct upstream_watch_request *request,
			  const struct upstream_watch_events *events, void *ctx)
{
	struct upstream_watch *stream = &upstreams->streams[upstreams->n_streams++];

	assert_true(upstreams->n_streams < MAX_STREAMS);
	assert_null(*slot);
	assert_non_null(request->tenant);
	*stream = (struct upstream_watch){ .slot = slot, .events = *events, .ctx = ctx };
	snprintf(stream->connection, sizeof(stream->connection), "%s", request->connection->name);
	snprintf(stream->subject, sizeof(stream->subject), "%s", request->subject);
	*slot = stream;
}

void upstream_watch_cancel(struct upstream_watch **slot)
{
	if (*slot == NULL)
		return;
	(*slot)->slot = NULL;
	*slot = NULL;
}

void credential_start(struct credentials *credentials, struct credential_op **slot,
		      const struct credential_request *request, credential_done *done, void *ctx)
{
	struct credential_op *op = &credentials->asked[credentials->n++];

	assert_true(credentials->n < MAX_REQUESTS);
	assert_null(*slot);
	assert_string_equal(request->actor, "system:background-refresh");
	*op = (struct credential_op){
		.slot = slot, .refused_version = request->refused_version, .done = done, .ctx = ctx
	};
	snprintf(op->subject, sizeof(op->subject), "%s", request->subject);
	*slot = op;
}

void credential_cancel(struct credential_op **slot)
{
	if (*slot == NULL)
		return;
	(*slot)->slot = NULL;
	*slot = NULL;
}

static inline void finish(struct upstream_op *op, const struct upstream_answer *answer,
			  const struct err *err)
{
	assert_non_null(op->slot);
	*op->slot = NULL;
	op->slot = NULL;
	op->events.done(op->ctx, answer, err);
}

static inline void answer(struct upstream_op *op, const char *result)
{
	const struct upstream_answer what = { .era = MCP_LEGACY, .result = span_of(result) };

	finish(op, &what, NULL);
}

static inline void fail_with(struct upstream_op *op, enum err_code code, const char *why)
{
	struct err err;

	err_set(&err, code, "%s", why);
	finish(op, NULL, &err);
}

static inline void stream_end(struct upstream_watch *stream, enum err_code code)
{
	struct err err;

	err_set(&err, code, "the stream has ended");
	assert_non_null(stream->slot);
	*stream->slot = NULL;
	stream->slot = NULL;
	stream->events.ended(stream->ctx, &err);
}

static inline void on_changed(void *ctx, const char *tenant_id, struct tenant *tenant)
{
	struct node *node = ctx;

	keeper_tenant_changed(node->keeper, tenant_id, tenant);
}

static inline void on_hint(void *ctx, const char *tenant_id)
{
	struct node *node = ctx;

	(void)tenant_id;
	keeper_look(node->keeper);
}

static inline struct tenant *want_tenant(void *ctx, const char *tenant_id)
{
	struct node *node = ctx;

	return tenants_want(node->tenants, tenant_id);
}

static inline void node_begin(struct world *world, struct node *node)
{
	struct gate_db *gate = world->gate;

	node->world = world;
	uuid_v4(node->id);
	gate_db_do(gate,
		   "INSERT INTO tollgate.nodes (id, host, pid, slot, version, lease_until) VALUES"
		   " ('%s', 'test', 1, 0, '1', now() + interval '10 s')",
		   node->id);
	node->upstreams.facts = (struct upstream_facts){
		.era = MCP_LEGACY,
		.protocol_version = "2025-11-25",
		.introduced = true,
		.server_name = "everything",
		.server_version = "1",
		.instructions = "be kind",
	};
	node->tenants = tenants_new(&(struct tenants_params){
		.loop = gate->loop,
		.db = gate->app,
		.conninfo = gate->app_conninfo,
		.keyring = gate->keyring,
		.deployment = GATE_DEPLOYMENT,
		.stale_max_ms = 60000,
		.changed = on_changed,
		.hint = on_hint,
		.ctx = node,
	});
	node->keeper = keeper_new(&(struct keeper_params){
		.loop = gate->loop,
		.db = gate->app,
		.upstreams = &node->upstreams,
		.credentials = &node->credentials,
		.meter = measured,
		.node_id = node->id,
		.want = want_tenant,
		.ctx = node,
	});
}

static inline void begin(void **state, struct world *world)
{
	*world = (struct world){ .gate = *state, .answer_ms = -1 };
	called = world;
	poll_ms = KEEPER_POLL_MS;
	gate_db_do(world->gate, "DELETE FROM tollgate.nodes");
	gate_db_tenant(world->gate, "acme", world->tenant);
	node_begin(world, &world->nodes[0]);
}

static inline void node_end(struct node *node)
{
	tenants_free(&node->tenants);
	keeper_free(&node->keeper);
	for (size_t i = 0; i < node->upstreams.n; i++)
		assert_null(node->upstreams.requests[i].slot);
	for (size_t i = 0; i < node->upstreams.n_streams; i++)
		assert_null(node->upstreams.streams[i].slot);
	for (size_t i = 0; i < node->credentials.n; i++)
		assert_null(node->credentials.asked[i].slot);
}

static inline void end(struct world *world)
{
	for (size_t i = 0; i < MAX_NODES; i++)
		node_end(&world->nodes[i]);
}

static inline void add(const struct world *world, const char *name)
{
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url)"
		   " VALUES ('%s', gen_random_uuid(), '%s', 'https://mcp.example.com/')",
		   world->tenant, name);
}

static inline void edit(const struct world *world, const char *name, const char *what)
{
	gate_db_do(world->gate,
		   "UPDATE tollgate.connections SET %s, version = version + 1 WHERE name = '%s'",
		   what, name);
}

static inline void refresh(const struct world *world)
{
	gate_db_do(world->gate,
		   "UPDATE tollgate.connection_status SET refresh_wanted = refresh_wanted + 1");
}

static inline bool has_requests(void *ctx)
{
	const struct world *world = ctx;

	return world->nodes[0].upstreams.n >= world->wanted;
}

/* The n-th request that the first node ever made. */
static inline struct upstream_op *request(struct world *world, size_t n)
{
	world->wanted = n;
	gate_db_until(world->gate, has_requests, world);
	return &world->nodes[0].upstreams.requests[n - 1];
}

static inline bool has_streams(void *ctx)
{
	const struct world *world = ctx;

	return world->nodes[0].upstreams.n_streams >= world->wanted;
}

static inline struct upstream_watch *stream(struct world *world, size_t n)
{
	world->wanted = n;
	gate_db_until(world->gate, has_streams, world);
	return &world->nodes[0].upstreams.streams[n - 1];
}

/* Waits until the statement gives that. */
static inline void await(struct world *world, const char *sql, const char *expected)
{
	int64_t end_ms = loop_now_ms(world->gate->loop) + GATE_WAIT_MS;

	while (strcmp(gate_db_ask(world->gate, "%s", sql), expected) != 0) {
		if (loop_now_ms(world->gate->loop) > end_ms)
			fail_msg("%s gives %s, not %s", sql, world->gate->answer, expected);
		gate_db_for(world->gate, 5);
	}
}

static inline void await_status(struct world *world, const char *name, const char *expected)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 "SELECT concat_ws('|', s.state, s.tools_count, s.era) AS v"
		 " FROM tollgate.connection_status s JOIN tollgate.connections c"
		 " ON c.id = s.connection_id WHERE c.name = '%s'",
		 name);
	await(world, sql, expected);
}

static inline const char *catalog(struct world *world, const char *what)
{
	return gate_db_ask(world->gate, "SELECT %s AS v FROM tollgate.catalogs", what);
}

#endif
