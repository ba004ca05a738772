/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/connect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/gate_db.h"

#define PUBLIC_URL "https://gw.example"

struct world {
	struct gate_db *gate;
	struct connects *connects;
	char tenant_id[UUID_TEXT_BYTES];
	char user_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
	struct tenant tenant;
	struct connection_oauth oauth;
	struct connection connection;
	struct principal principal;
};

struct told {
	struct connect_op *op;
	int dones;
	bool failed;
	enum err_code code;
	char id[UUID_TEXT_BYTES];
	char url[128];
	int64_t expires_at;
};

static void begin(struct world *world, void **state)
{
	struct arena *arena = arena_new();
	struct provision provision;

	*world = (struct world){ .gate = *state };
	world->connects = connects_new(&(struct connects_params){
		.loop = world->gate->loop,
		.db = world->gate->app,
		.deployment = GATE_DEPLOYMENT,
		.public_url = PUBLIC_URL,
	});
	gate_db_tenant(world->gate, "acme", world->tenant_id);
	uuid_v4(world->user_id);
	uuid_v4(world->connection_id);
	provision_init(&provision, arena, world->tenant_id);
	provision_user(&provision, &(struct user_row){ world->user_id, "ana", NULL, "user", true });
	gate_db_provision(world->gate, &provision);
	arena_free(&arena);
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url, auth_mode, oauth)"
		   " VALUES ('%s', '%s', 'crm', 'https://crm.example/mcp', 'oauth', '{}')",
		   world->tenant_id, world->connection_id);
	world->oauth = (struct connection_oauth){ .grant = OAUTH_GRANT_AUTHORIZATION_CODE,
						  .per_user = true };
	world->connection = (struct connection){ .id = world->connection_id,
						 .name = "crm",
						 .auth_mode = AUTH_OAUTH,
						 .oauth = &world->oauth };
	world->tenant = (struct tenant){ .refs = 1, .id = world->tenant_id, .enabled = true };
	world->principal = (struct principal){ .refs = 1, .user_name = (char *)(uintptr_t) "ana" };
	memcpy(world->principal.tenant_id, world->tenant_id, UUID_TEXT_BYTES);
	memcpy(world->principal.user_id, world->user_id, UUID_TEXT_BYTES);
	snprintf(world->principal.subject, sizeof(world->principal.subject), "user:%s",
		 world->user_id);
}

static void end(struct world *world)
{
	connects_free(&world->connects);
	assert_int_equal(world->tenant.refs, 1);
	assert_int_equal(world->principal.refs, 1);
}

static void be_service(struct world *world, enum role role)
{
	world->principal.user_id[0] = '\0';
	world->principal.user_name = NULL;
	world->principal.api_key = (char *)(uintptr_t) "robot";
	world->principal.role = role;
	snprintf(world->principal.subject, sizeof(world->principal.subject), "key:%s", UUID_NIL);
}

static void on_link(void *ctx, const struct connect_link *link, const struct err *err)
{
	struct told *told = ctx;

	assert_null(told->op);
	assert_true((link == NULL) != (err == NULL));
	told->dones++;
	told->failed = err != NULL;
	if (err != NULL) {
		told->code = err->code;
		return;
	}
	snprintf(told->id, sizeof(told->id), "%s", link->attempt_id);
	snprintf(told->url, sizeof(told->url), "%s", link->url);
	told->expires_at = link->expires_at;
}

static bool is_told(void *ctx)
{
	const struct told *told = ctx;

	return told->dones > 0;
}

static void start(struct world *world, struct told *told, const char *scope)
{
	connect_request(world->connects, &told->op,
			&(struct connect_request){
				.tenant = &world->tenant,
				.connection = &world->connection,
				.principal = &world->principal,
				.scope = scope,
			},
			on_link, told);
	assert_int_equal(told->dones, 0);
}

static struct told request(struct world *world, const char *scope)
{
	struct told told = { 0 };

	start(world, &told, scope);
	gate_db_until(world->gate, is_told, &told);
	return told;
}

static void a_link_is_an_address_with_an_id(void **state)
{
	struct world world;
	struct told told;
	char url[128];

	begin(&world, state);
	told = request(&world, NULL);
	assert_false(told.failed);
	snprintf(url, sizeof(url), PUBLIC_URL "/connect/%s", told.id);
	assert_string_equal(told.url, url);
	assert_in_range(told.expires_at - loop_unix_us() / 1000000, CONNECT_LIFETIME_S - 30,
			CONNECT_LIFETIME_S + 30);
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT concat_ws(' ', state, user_name, subject = principal"
			    " AND principal = 'user:%s', scope IS NULL) AS v"
			    " FROM tollgate.connect_attempts WHERE id = '%s'",
			    world.user_id, told.id),
		"open ana t t");
	end(&world);
}

static void an_open_one_is_given_again_while_half_of_its_life_is_left(void **state)
{
	struct told first, again, scoped, late;
	struct world world;

	begin(&world, state);
	first = request(&world, NULL);
	again = request(&world, NULL);
	assert_string_equal(first.id, again.id);
	scoped = request(&world, "write");
	assert_string_not_equal(scoped.id, first.id);
	gate_db_do(world.gate,
		   "UPDATE tollgate.connect_attempts SET expires_at = now() + '290 seconds'");
	late = request(&world, NULL);
	assert_string_not_equal(late.id, first.id);
	gate_db_do(world.gate,
		   "UPDATE tollgate.connect_attempts SET state = 'failed', error_code = 'denied',"
		   " finished_at = now()");
	assert_string_not_equal(request(&world, NULL).id, late.id);
	end(&world);
}

static void who_may_not_connect_gets_no_link(void **state)
{
	struct world world;
	struct told told;

	begin(&world, state);
	world.oauth.per_user = false;
	told = request(&world, NULL);
	assert_true(told.failed);
	assert_int_equal(told.code, ERR_FORBIDDEN);
	world.principal.role = ROLE_ADMIN;
	assert_false(request(&world, NULL).failed);
	world.oauth.per_user = true;
	be_service(&world, ROLE_ADMIN);
	told = request(&world, NULL);
	assert_int_equal(told.code, ERR_FORBIDDEN);
	world.oauth.per_user = false;
	assert_false(request(&world, NULL).failed);
	world.oauth.grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
	told = request(&world, NULL);
	assert_int_equal(told.code, ERR_BAD_REQUEST);
	end(&world);
}

/* Of each step up the server was asked; then the upstream wanted the same once more. */
static void what_does_not_help_is_not_asked_for_for_ever(void **state)
{
	struct world world;
	struct told told;

	begin(&world, state);
	for (int i = 0; i < CONNECT_MAX_STEP_UPS; i++) {
		assert_false(request(&world, "write").failed);
		gate_db_do(world.gate,
			   "UPDATE tollgate.connect_attempts SET state = 'connected',"
			   " finished_at = now(), returned_at = now(), asked_scope = 'read write'");
	}
	told = request(&world, "write");
	assert_true(told.failed);
	assert_int_equal(told.code, ERR_RATE_LIMITED);
	/* Something else, or nothing in particular, is another matter. */
	assert_false(request(&world, "admin").failed);
	assert_false(request(&world, NULL).failed);
	gate_db_do(world.gate, "UPDATE tollgate.connect_attempts SET created_at = created_at"
			       " - '61 minutes'::interval");
	assert_false(request(&world, "write").failed);
	end(&world);
}

static void cancel_means_silence(void **state)
{
	struct told told = { 0 };
	struct world world;

	begin(&world, state);
	connect_cancel(&told.op);
	start(&world, &told, NULL);
	connect_cancel(&told.op);
	assert_null(told.op);
	start(&world, &told, NULL);
	connects_free(&world.connects);
	assert_null(told.op);
	gate_db_for(world.gate, 20);
	assert_int_equal(told.dones, 0);
	end(&world);
}

static void without_the_database_there_is_no_link(void **state)
{
	struct world world;
	struct told told;

	begin(&world, state);
	pg_cluster_halt(&world.gate->cluster);
	told = request(&world, NULL);
	assert_true(told.failed);
	assert_int_equal(told.code, ERR_UNAVAILABLE);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_link_is_an_address_with_an_id),
		GATE_DB_TEST(an_open_one_is_given_again_while_half_of_its_life_is_left),
		GATE_DB_TEST(who_may_not_connect_gets_no_link),
		GATE_DB_TEST(what_does_not_help_is_not_asked_for_for_ever),
		GATE_DB_TEST(cancel_means_silence),
		GATE_DB_TEST(without_the_database_there_is_no_link),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
