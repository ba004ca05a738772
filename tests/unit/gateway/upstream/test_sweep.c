/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions that have ended here are ended over there. The tenants are the test's. */

#include "tests/unit/gateway/upstream/upstream_world.h"

#define HASH "sha256('session')"

/* Of all tenants only the world's is known. */
struct tenants {
	struct loop *loop;
	struct tenant *tenant;
	size_t asked;
};

struct tenants_op {
	struct tenants_op **slot;
	struct tenants *tenants;
	bool known;
	struct deferred turn;
	tenants_done *done;
	void *ctx;
};

static void on_turn(void *ctx)
{
	struct tenants_op was = *(struct tenants_op *)ctx;
	struct err err;

	*was.slot = NULL;
	free(ctx);
	err_set(&err, ERR_NOT_FOUND, "there is no such tenant");
	was.done(was.ctx, was.known ? was.tenants->tenant : NULL, was.known ? NULL : &err);
}

void tenants_start(struct tenants *tenants, struct tenants_op **slot, const char *tenant_id,
		   tenants_done *done, void *ctx)
{
	struct tenants_op *op = mem_new(sizeof(*op));

	*op = (struct tenants_op){
		.slot = slot,
		.tenants = tenants,
		.known = strcmp(tenants->tenant->id, tenant_id) == 0,
		.done = done,
		.ctx = ctx,
	};
	*slot = op;
	tenants->asked++;
	loop_defer(tenants->loop, &op->turn, on_turn, op);
}

void tenants_cancel(struct tenants_op **slot)
{
	if (*slot == NULL)
		return;
	deferred_cancel(&(*slot)->turn);
	free(*slot);
	*slot = NULL;
}

static void call_in(struct world *world, const char *scope)
{
	struct upstream_request request = call_request(world);
	struct ask ask = new_ask(world);

	request.scope = scope;
	start_with(&ask, &request);
	expect_result(&ask, MCP_LEGACY);
}

/* One session shared, one of a client, one of a user, one of a service key. */
static void begin_with_sessions(void **state, struct world *world)
{
	char scope[80];

	begin(state, world);
	be_legacy(world);
	MCP_ON(world->peer, "initialize", { MCP_ANSWER, 200, JSON, "shared", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "client", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "user", INITIALIZED, 0 },
	       { MCP_ANSWER, 200, JSON, "key", INITIALIZED, 0 });
	MCP_ON(world->peer, "DELETE", { MCP_ANSWER, 200, NULL, NULL, NULL, 0 });
	gate_db_do(world->gate, "INSERT INTO tollgate.users (tenant_id, id, name) SELECT id, id,"
				" 'ana' FROM tollgate.tenants");
	gate_db_do(world->gate, "INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, role,"
				" secret_mac) SELECT id, id, 'ServiceKey01', 'robot', 'user',"
				" sha256('x') FROM tollgate.tenants");
	gate_db_do(world->gate, "INSERT INTO tollgate.mcp_sessions (tenant_id, id_hash, principal,"
				" protocol_version, expires_at) SELECT id, " HASH ", 'user:ana',"
				" '2025-11-25', now() + interval '1 hour' FROM tollgate.tenants");
	call_in(world, NULL);
	snprintf(scope, sizeof(scope), UPSTREAM_SCOPE_CLIENT "%s",
		 gate_db_ask(world->gate, "SELECT encode(" HASH ", 'hex') AS v"));
	call_in(world, scope);
	snprintf(scope, sizeof(scope), "user:%s", world->tenant->id);
	call_in(world, scope);
	snprintf(scope, sizeof(scope), "key:%s", world->tenant->id);
	call_in(world, scope);
}

static void expect_deleted(struct world *world, size_t i, const char *session)
{
	char header[64];

	await_request(world, "DELETE", i + 1);
	snprintf(header, sizeof(header), "\r\nmcp-session-id: %s\r\n", session);
	assert_non_null(strstr(mcp_peer_find(world->peer, "DELETE", i)->head, header));
	assert_non_null(strstr(mcp_peer_find(world->peer, "DELETE", i)->head,
			       "\r\nmcp-protocol-version: 2025-06-18\r\n"));
}

static const char *left(struct world *world)
{
	return gate_db_ask(world->gate,
			   "SELECT coalesce(string_agg(session_id, ' ' ORDER BY session_id), '')"
			   " AS v FROM tollgate.upstream_sessions");
}

static void what_a_scope_had_for_itself_ends_with_it(void **state)
{
	static const struct {
		const char *sql;
		const char *session;
		const char *left;
	} rows[] = {
		{"DELETE FROM tollgate.mcp_sessions",			       "client", "key shared user"},
		{ "DELETE FROM tollgate.users",				"user",	"key shared"     },
		{ "DELETE FROM tollgate.api_keys",				   "key",	  "shared"	   },
		{ "UPDATE tollgate.upstream_sessions SET expires_at = now()", "shared", ""		   },
	};
	struct tenants tenants;
	struct world world;

	begin_with_sessions(state, &world);
	tenants = (struct tenants){ world.gate->loop, world.tenant, 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		gate_db_do(world.gate, "%s", rows[i].sql);
		upstreams_sweep(world.upstreams, &tenants);
		expect_deleted(&world, i, rows[i].session);
		assert_string_equal(left(&world), rows[i].left);
	}
	assert_int_equal(mcp_peer_count(world.peer, "DELETE"), COUNT(rows));
	upstreams_sweep(world.upstreams, NULL);
	end(&world);
}

static bool was_asked(void *ctx)
{
	const struct tenants *tenants = ctx;

	return tenants->asked > 0;
}

/* Where it leads now, or with what credential, nobody knows. */
static void a_session_of_an_edited_connection_is_only_forgotten(void **state)
{
	struct tenants tenants;
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	MCP_ON(world.peer, "DELETE", { MCP_ANSWER, 200, NULL, NULL, NULL, 0 });
	call(&world, MCP_LEGACY);
	gate_db_do(world.gate, "UPDATE tollgate.upstream_sessions SET expires_at = now()");
	take_snapshot(&world, 2);
	tenants = (struct tenants){ world.gate->loop, world.tenant, 0 };
	upstreams_sweep(world.upstreams, &tenants);
	gate_db_until(world.gate, was_asked, &tenants);
	await_no_row(&world);
	upstreams_sweep(world.upstreams, NULL);
	assert_int_equal(mcp_peer_count(world.peer, "DELETE"), 0);
	end(&world);
}

static void leases_and_sessions_in_use_are_left_alone(void **state)
{
	struct world world;

	begin(state, &world);
	be_legacy(&world);
	call(&world, MCP_LEGACY);
	gate_db_do(world.gate,
		   "INSERT INTO tollgate.upstream_sessions (tenant_id, connection_id, scope,"
		   " settings_version, lease, lease_until, expires_at) SELECT tenant_id, id,"
		   " 'user:1', 1, gen_random_uuid(), now() + interval '1 hour', now()"
		   " FROM tollgate.connections");
	gate_db_do(world.gate,
		   "INSERT INTO tollgate.upstream_sessions (tenant_id, connection_id, scope,"
		   " settings_version, lease, lease_until, expires_at) SELECT tenant_id, id,"
		   " 'user:2', 1, gen_random_uuid(), now(), now() FROM tollgate.connections");
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT count(*) AS v"
					" FROM tollgate.take_ended_upstream_sessions(100)"),
			    "0");
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT string_agg(scope, ' ' ORDER BY scope) AS v"
					" FROM tollgate.upstream_sessions"),
			    " user:1");
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(what_a_scope_had_for_itself_ends_with_it),
		GATE_DB_TEST(a_session_of_an_edited_connection_is_only_forgotten),
		GATE_DB_TEST(leases_and_sessions_in_use_are_left_alone),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
