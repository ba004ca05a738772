/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oauth/access.h"
#include "tests/fakes/gate_db.h"
#include "tokenstore/grant_store.h"

/* Grants of a tenant with a data key, in Postgres, as two workers see them. */

#define NODE "11111111-0000-4000-8000-000000000001"

struct world {
	struct gate_db *gate;
	struct grant_store *store;
	struct http_client *client;
	struct egress_policy *egress;
	struct access *access;
	struct seal_key keys[1];
	char tenant[UUID_TEXT_BYTES];
};

struct seen {
	struct world *world;
	struct access_op *op;
	bool done;
	bool failed;
	struct err err;
	enum access_state state;
	char token[64], why[256];
};

static bool on_take(void *ctx, const char *tenant_id, struct access_tenant *out)
{
	struct world *world = ctx;

	assert_string_equal(tenant_id, world->tenant);
	*out = (struct access_tenant){ world->egress, world->keys, 1, NULL };
	return true;
}

static void on_give_back(void *ctx, struct access_tenant *tenant)
{
	(void)ctx;
	(void)tenant;
}

static struct access *new_access(struct world *world)
{
	struct err err;
	struct access *access = access_new(
		&(struct access_params){
			.loop = world->gate->loop,
			.store = world->store,
			.client = world->client,
			.deployment = GATE_DEPLOYMENT,
			.node_id = NODE,
			.refresh_grace_ms = 30000,
			.stale_max_ms = 60000,
			.take = on_take,
			.give_back = on_give_back,
			.ctx = world,
		},
		&err);

	assert_non_null(access);
	return access;
}

static void begin(void **state, struct world *world)
{
	struct err err;

	*world = (struct world){ .gate = *state };
	world->store = grant_pg_new(world->gate->app);
	world->client = http_client_new(world->gate->loop);
	world->egress = egress_policy_new(NULL, 0, false, &err);
	seal_key_random(&world->keys[0], 1, 1);
	gate_db_tenant(world->gate, "acme", world->tenant);
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url)"
		   " SELECT '%s', ('cccccccc-0000-4000-8000-00000000000' || n)::uuid, 'c' || n,"
		   " 'https://x/mcp' FROM generate_series(1, 2) n",
		   world->tenant);
	gate_db_do(world->gate, "DELETE FROM audit.auth_event_log");
	world->access = new_access(world);
}

static void end(struct world *world)
{
	access_free(&world->access);
	grant_store_free(&world->store);
	http_client_free(&world->client);
	egress_policy_unref(&world->egress);
}

static struct grant_key key_of(const struct world *world, int connection)
{
	struct grant_key key = { .tenant_id = "" };

	snprintf(key.tenant_id, sizeof(key.tenant_id), "%s", world->tenant);
	snprintf(key.connection_id, sizeof(key.connection_id),
		 "cccccccc-0000-4000-8000-00000000000%d", connection);
	return key;
}

static bool is_done(void *ctx)
{
	const struct seen *seen = ctx;

	return seen->done;
}

static void on_put(void *ctx, const struct err *err)
{
	struct seen *seen = ctx;

	seen->done = true;
	seen->failed = err != NULL;
	if (err != NULL)
		seen->err = *err;
}

static struct seen put(struct world *world, int connection, const char *token)
{
	const struct grant grant = {
		.key = key_of(world, connection),
		.kind = GRANT_INGESTED,
		.access_token = {(char *)token, strlen(token)},
	};
	const struct access_put what = { .grant = &grant,
					 .event = "token_ingested",
					 .actor = "user:ana" };
	struct seen seen = { .world = world };

	access_put(world->access, &seen.op, &what, on_put, &seen);
	gate_db_until(world->gate, is_done, &seen);
	return seen;
}

static void on_access(void *ctx, enum access_state state, const struct access_token *token,
		      const char *why, const struct err *err)
{
	struct seen *seen = ctx;

	seen->done = true;
	seen->failed = err != NULL;
	seen->state = state;
	snprintf(seen->token, sizeof(seen->token), "%s", token != NULL ? token->authorization : "");
	snprintf(seen->why, sizeof(seen->why), "%s", why != NULL ? why : "");
}

static struct seen ask(struct world *world, struct access *access, int connection)
{
	const struct grant_key key = key_of(world, connection);
	struct seen seen = { .world = world };

	access_start(access, &seen.op, &key, on_access, &seen);
	gate_db_until(world->gate, is_done, &seen);
	return seen;
}

static void what_is_put_is_sealed_and_found_by_every_worker(void **state)
{
	struct world world;
	struct access *other;

	begin(state, &world);
	other = new_access(&world);
	assert_false(put(&world, 1, "token-1").failed);
	assert_string_equal(ask(&world, world.access, 1).token, "Bearer token-1");
	assert_string_equal(ask(&world, other, 1).token, "Bearer token-1");
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT concat_ws(' ', position('token' IN access_token),"
					" version, state) AS v FROM tollgate.grants"),
			    "0 1 active");
	/* Over what is there, whatever its version. */
	assert_false(put(&world, 1, "token-2").failed);
	assert_string_equal(ask(&world, world.access, 1).token, "Bearer token-2");
	access_notified(other,
			gate_db_ask(world.gate,
				    "SELECT concat_ws(' ', tenant_id, connection_id, version,"
				    " state, '') AS v FROM tollgate.grants"));
	assert_string_equal(ask(&world, other, 1).token, "Bearer token-2");
	access_free(&other);
	end(&world);
}

static void a_row_that_does_not_open_harms_itself_only(void **state)
{
	struct world world;
	struct seen seen;

	begin(state, &world);
	put(&world, 1, "token-1");
	put(&world, 2, "token-2");
	gate_db_do(world.gate, "UPDATE tollgate.grants SET access_token ="
			       " (SELECT access_token FROM tollgate.grants"
			       "  WHERE connection_id::text LIKE '%%2')"
			       " WHERE connection_id::text LIKE '%%1'");
	seen = ask(&world, world.access, 1);
	assert_int_equal(seen.state, ACCESS_NONE);
	assert_non_null(strstr(seen.why, "the stored tokens cannot be opened"));
	assert_string_equal(ask(&world, world.access, 2).token, "Bearer token-2");
	assert_string_equal(
		gate_db_ask(
			world.gate,
			"SELECT concat_ws(' ', state, access_token IS NOT NULL, last_error) AS v"
			" FROM tollgate.grants WHERE connection_id::text LIKE '%%1'"),
		"active t the stored tokens cannot be opened: a sealed value does not open");
	/* It is said once, and a new grant mends it. */
	access_hint(world.access, NULL);
	ask(&world, world.access, 1);
	assert_string_equal(gate_db_ask(world.gate, "SELECT count(*)::text AS v FROM"
						    " audit.auth_event_log WHERE type ="
						    " 'refresh_failed_client'"),
			    "1");
	put(&world, 1, "token-3");
	assert_string_equal(ask(&world, world.access, 1).token, "Bearer token-3");
	end(&world);
}

static void what_has_no_connection_any_more_is_not_stored(void **state)
{
	struct world world;

	begin(state, &world);
	gate_db_do(world.gate, "DELETE FROM tollgate.connections");
	assert_true(put(&world, 1, "token-1").failed);
	assert_string_equal(gate_db_ask(world.gate, "SELECT count(*)::text AS v"
						    " FROM audit.auth_event_log"),
			    "0");
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(what_is_put_is_sealed_and_found_by_every_worker),
		GATE_DB_TEST(a_row_that_does_not_open_harms_itself_only),
		GATE_DB_TEST(what_has_no_connection_any_more_is_not_stored),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
