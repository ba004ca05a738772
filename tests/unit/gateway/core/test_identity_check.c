/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/identity_check.h"
#include "tests/fakes/gate_db.h"

#define N_KEYS 4
/* Keys of a user, a service, a disabled user, and of nobody. */
enum { OF_USER, OF_SERVICE, OF_DISABLED, UNKNOWN };

struct world {
	struct gate_db *gate;
	char tenant[UUID_TEXT_BYTES];
	char keys[N_KEYS][UUID_TEXT_BYTES];
	struct identity_check *check;
	int dones;
	struct good_key good[N_KEYS];
	size_t n;
	bool failed;
};

static void add_key(struct world *world, int key, const char *user)
{
	gate_db_do(
		world->gate,
		"INSERT INTO tollgate.api_keys (tenant_id, id, name, key_id, secret_mac, user_id,"
		" role, created_by) VALUES ('%s', '%s', 'k%d', 'abcdefghijk%d', sha256('x'), %s,"
		" 'user', 'test')",
		world->tenant, world->keys[key], key, key, user);
}

static void begin(void **state, struct world *world)
{
	*world = (struct world){ .gate = *state };
	gate_db_tenant(world->gate, "acme", world->tenant);
	for (size_t i = 0; i < N_KEYS; i++)
		uuid_v4(world->keys[i]);
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.users (tenant_id, id, name, enabled) VALUES"
		   " ('%s', gen_random_uuid(), 'ana', true),"
		   " ('%s', gen_random_uuid(), 'bob', false)",
		   world->tenant, world->tenant);
	add_key(world, OF_USER, "(SELECT id FROM tollgate.users WHERE name = 'ana')");
	add_key(world, OF_DISABLED, "(SELECT id FROM tollgate.users WHERE name = 'bob')");
	add_key(world, OF_SERVICE, "NULL");
}

static void on_done(void *ctx, const struct good_key *good, size_t n, const struct err *err)
{
	struct world *world = ctx;

	assert_null(world->check);
	world->dones++;
	world->failed = err != NULL;
	world->n = n;
	if (n > 0)
		memcpy(world->good, good, n * sizeof(*good));
}

static bool has_ended(void *ctx)
{
	return ((struct world *)ctx)->dones > 0;
}

static void check(struct world *world, const char *tenant)
{
	const char *ids[N_KEYS];

	for (size_t i = 0; i < N_KEYS; i++)
		ids[i] = world->keys[i];
	world->dones = 0;
	identity_check_start(world->gate->app, &world->check, tenant, ids, N_KEYS, on_done, world);
	assert_int_equal(world->dones, 0);
	gate_db_until(world->gate, has_ended, world);
	assert_false(world->failed);
}

static const struct good_key *good(const struct world *world, int key)
{
	return good_key_find(world->good, world->n, world->keys[key]);
}

static void finds_the_keys_that_are_still_good(void **state)
{
	struct world world;

	begin(state, &world);
	check(&world, world.tenant);
	assert_int_equal(world.n, 2);
	assert_int_equal(good(&world, OF_USER)->expires_at_us, 0);
	assert_non_null(good(&world, OF_SERVICE));
	assert_null(good(&world, OF_DISABLED));
	assert_null(good(&world, UNKNOWN));
	gate_db_do(world.gate, "DELETE FROM tollgate.api_keys WHERE id = '%s'",
		   world.keys[OF_USER]);
	check(&world, world.tenant);
	assert_int_equal(world.n, 1);
	assert_null(good(&world, OF_USER));
}

static void says_when_they_expire(void **state)
{
	struct world world;

	begin(state, &world);
	gate_db_do(world.gate,
		   "UPDATE tollgate.api_keys SET expires_at = now() + interval '1 hour'"
		   " WHERE id = '%s'",
		   world.keys[OF_USER]);
	gate_db_do(world.gate, "UPDATE tollgate.api_keys SET expires_at = now() WHERE id = '%s'",
		   world.keys[OF_SERVICE]);
	check(&world, world.tenant);
	assert_int_equal(world.n, 1);
	assert_true(good(&world, OF_USER)->expires_at_us > loop_unix_us());
}

static void of_another_or_a_disabled_tenant_there_are_none(void **state)
{
	struct world world;
	char other[UUID_TEXT_BYTES];

	begin(state, &world);
	gate_db_tenant(world.gate, "other", other);
	check(&world, other);
	assert_int_equal(world.n, 0);
	assert_null(good(&world, OF_USER));
	gate_db_do(world.gate, "UPDATE tollgate.tenants SET enabled = false WHERE id = '%s'",
		   world.tenant);
	check(&world, world.tenant);
	assert_int_equal(world.n, 0);
}

static void cancel_means_silence(void **state)
{
	struct world world;
	const char *ids[] = { UUID_NIL };

	begin(state, &world);
	identity_check_start(world.gate->app, &world.check, world.tenant, ids, 1, on_done, &world);
	identity_check_cancel(&world.check);
	assert_null(world.check);
	identity_check_cancel(&world.check);
	gate_db_for(world.gate, 50);
	assert_int_equal(world.dones, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(finds_the_keys_that_are_still_good),
		GATE_DB_TEST(says_when_they_expire),
		GATE_DB_TEST(of_another_or_a_disabled_tenant_there_are_none),
		GATE_DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
