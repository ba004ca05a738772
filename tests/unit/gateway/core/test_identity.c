/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "gateway/core/identity.h"
#include "gateway/core/tenant.h"
#include "tests/fakes/gate_db.h"
#include "tokenstore/keyring.h"

#define BASE62 "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

struct key {
	struct secret text;
	char row_id[UUID_TEXT_BYTES];
};

/* How one identity_start ended. */
struct asked {
	struct identity_op *op;
	int dones;
	struct principal *principal;
	struct err err;
	bool failed;
};

struct world {
	struct gate_db *gate;
	struct identity *identity;
	char tenant[UUID_TEXT_BYTES];
	char user[UUID_TEXT_BYTES];
};

static struct world world_of(void **state)
{
	struct world world = { .gate = *state };
	struct arena *arena = arena_new();
	struct provision provision;

	world.identity = identity_new(world.gate->loop, world.gate->app, world.gate->keyring);
	gate_db_tenant(world.gate, "acme", world.tenant);
	uuid_v4(world.user);
	provision_init(&provision, arena, world.tenant);
	provision_user(&provision, &(struct user_row){ world.user, "ana", NULL, "user", true });
	gate_db_provision(world.gate, &provision);
	arena_free(&arena);
	return world;
}

static struct key new_key(const struct world *world, const char *user, const char *role,
			  const char *expires_at)
{
	struct arena *arena = arena_new();
	struct provision provision;
	struct apikey stored;
	struct key key;

	apikey_new(world->gate->keyring, &stored, &key.text);
	uuid_v4(key.row_id);

	const struct key_row row = {
		.id = key.row_id,
		.name = key.row_id,
		.user_id = user,
		.role = role,
		.expires_at = expires_at,
		.created_by = "test",
	};
	provision_init(&provision, arena, world->tenant);
	provision_key(&provision, &row, &stored);
	gate_db_provision(world->gate, &provision);
	arena_free(&arena);
	return key;
}

static void on_done(void *ctx, struct principal *principal, const struct err *err)
{
	struct asked *asked = ctx;

	assert_null(asked->op);
	assert_true((principal == NULL) == (err != NULL));
	asked->dones++;
	asked->failed = err != NULL;
	if (err != NULL)
		asked->err = *err;
	else
		asked->principal = principal_ref(principal);
}

static bool has_ended(void *ctx)
{
	const struct asked *asked = ctx;

	return asked->dones > 0;
}

static void start(const struct world *world, struct asked *asked, const char *credential)
{
	*asked = (struct asked){ 0 };
	identity_start(world->identity, &asked->op, credential, on_done, asked);
	assert_int_equal(asked->dones, 0);
	assert_non_null(asked->op);
}

static void finish(const struct world *world, struct asked *asked)
{
	gate_db_until(world->gate, has_ended, asked);
	assert_int_equal(asked->dones, 1);
}

static void expect_known(const struct world *world, const char *credential)
{
	struct asked asked;

	start(world, &asked, credential);
	finish(world, &asked);
	assert_false(asked.failed);
	principal_unref(&asked.principal);
}

static void expect_refused(const struct world *world, const char *credential)
{
	struct asked asked;

	start(world, &asked, credential);
	finish(world, &asked);
	assert_true(asked.failed);
	assert_int_equal(asked.err.code, ERR_UNAUTHENTICATED);
	assert_string_equal(asked.err.text, "the API key is not valid");
}

static enum identity_found find(const struct world *world, const char *credential)
{
	struct principal *principal = NULL;
	struct err err;
	enum identity_found found = identity_find(world->identity, credential, &principal, &err);

	assert_int_equal(principal != NULL, found == IDENTITY_KNOWN);
	if (found == IDENTITY_REFUSED)
		assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	principal_unref(&principal);
	return found;
}

/* The same id, another secret, and a checksum that fits. */
static void change_secret(char *text)
{
	uint32_t sum;

	text[20] = text[20] == 'a' ? 'b' : 'a';
	sum = crypto_crc32(text, APIKEY_CHARS - APIKEY_CHECKSUM_CHARS);
	for (int i = APIKEY_CHARS - 1; i >= APIKEY_CHARS - APIKEY_CHECKSUM_CHARS; i--) {
		text[i] = BASE62[sum % 62];
		sum /= 62;
	}
}

static void what_cannot_be_a_key_is_refused_without_the_database(void **state)
{
	struct world world = world_of(state);
	struct asked asked;

	assert_int_equal(find(&world, "nonsense"), IDENTITY_REFUSED);
	assert_int_equal(find(&world, ""), IDENTITY_REFUSED);
	expect_refused(&world, "nonsense");
	start(&world, &asked, "nonsense");
	identity_cancel(&asked.op);
	assert_null(asked.op);
	identity_cancel(&asked.op);
	gate_db_for(world.gate, 20);
	assert_int_equal(asked.dones, 0);
	identity_free(&world.identity);
}

static void a_key_of_a_user_is_asked_for_once_and_then_remembered(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);
	struct asked asked;
	struct principal *p;

	assert_int_equal(find(&world, key.text.reveal), IDENTITY_UNKNOWN);
	start(&world, &asked, key.text.reveal);
	finish(&world, &asked);
	p = asked.principal;
	assert_string_equal(p->tenant_id, world.tenant);
	assert_string_equal(p->tenant, "acme");
	assert_string_equal(p->user_id, world.user);
	assert_string_equal(p->user_name, "ana");
	assert_string_equal(p->api_key_id, key.row_id);
	assert_string_equal(p->api_key, key.row_id);
	assert_int_equal(p->role, ROLE_USER);
	assert_int_equal(p->expires_at_us, 0);
	assert_memory_equal(p->subject, "user:", 5);
	assert_string_equal(p->subject + 5, world.user);
	principal_unref(&asked.principal);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_KNOWN);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static void a_service_key_acts_for_itself(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, NULL, "admin", NULL);
	struct asked asked;

	start(&world, &asked, key.text.reveal);
	finish(&world, &asked);
	assert_false(asked.failed);
	assert_string_equal(asked.principal->user_id, "");
	assert_null(asked.principal->user_name);
	assert_int_equal(asked.principal->role, ROLE_ADMIN);
	assert_memory_equal(asked.principal->subject, "key:", 4);
	assert_string_equal(asked.principal->subject + 4, key.row_id);
	principal_unref(&asked.principal);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static void a_key_grants_no_more_than_its_user_has(void **state)
{
	static const struct {
		const char *key, *user;
		enum role expected;
	} rows[] = {
		{"user",	  "user",  ROLE_USER    },
		       { "admin",	  "user",  ROLE_USER    },
		{ "admin",	   "admin", ROLE_ADMIN   },
		       { "user",	 "admin", ROLE_USER    },
		{ "platform", "user",  ROLE_PLATFORM},
	};
	struct world world = world_of(state);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key key = new_key(&world, world.user, rows[i].key, NULL);
		struct asked asked;

		gate_db_do(world.gate, "UPDATE tollgate.users SET role = '%s'", rows[i].user);
		start(&world, &asked, key.text.reveal);
		finish(&world, &asked);
		assert_int_equal(asked.principal->role, rows[i].expected);
		principal_unref(&asked.principal);
		secret_fini(&key.text);
	}
	identity_free(&world.identity);
}

static void a_wrong_secret_is_refused_known_id_or_not(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);
	char *wrong = mem_strdup(key.text.reveal);

	change_secret(wrong);
	assert_int_equal(find(&world, wrong), IDENTITY_UNKNOWN);
	expect_refused(&world, wrong);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_UNKNOWN);
	expect_known(&world, key.text.reveal);
	assert_int_equal(find(&world, wrong), IDENTITY_REFUSED);
	gate_db_do(world.gate, "DELETE FROM tollgate.api_keys");
	expect_refused(&world, key.text.reveal);
	free(wrong);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static void disabled_tenants_and_users_and_expired_keys_are_refused(void **state)
{
	static const char *const changes[][2] = {
		{"UPDATE tollgate.tenants SET enabled = false",
		  "UPDATE tollgate.tenants SET enabled = true"    },
		{ "UPDATE tollgate.users SET enabled = false",
		  "UPDATE tollgate.users SET enabled = true"	     },
		{ "UPDATE tollgate.api_keys SET expires_at = now() - interval '2 s'",
		  "UPDATE tollgate.api_keys SET expires_at = NULL"},
	};
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		gate_db_do(world.gate, "%s", changes[i][0]);
		expect_refused(&world, key.text.reveal);
		assert_int_equal(find(&world, key.text.reveal), IDENTITY_UNKNOWN);
		gate_db_do(world.gate, "%s", changes[i][1]);
		expect_known(&world, key.text.reveal);
		identity_forget(world.identity, world.tenant);
	}
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static bool is_refused(void *ctx)
{
	void *const *both = ctx;

	return find(both[0], both[1]) == IDENTITY_REFUSED;
}

static void a_remembered_key_expires_too(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);
	void *both[] = { &world, key.text.reveal };

	gate_db_do(world.gate, "UPDATE tollgate.api_keys SET expires_at = now() + interval '1 s'");
	expect_known(&world, key.text.reveal);
	gate_db_until(world.gate, is_refused, both);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static void a_change_of_the_tenant_makes_its_keys_unknown(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);

	expect_known(&world, key.text.reveal);
	identity_forget(world.identity, UUID_NIL);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_KNOWN);
	identity_forget(world.identity, world.tenant);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_UNKNOWN);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static void an_answer_asked_for_before_a_change_is_not_remembered(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);
	struct asked asked;

	start(&world, &asked, key.text.reveal);
	identity_forget(world.identity, world.tenant);
	finish(&world, &asked);
	assert_false(asked.failed);
	principal_unref(&asked.principal);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_UNKNOWN);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static void on_changed(void *ctx, const char *tenant_id, struct tenant *tenant)
{
	(void)ctx;
	(void)tenant_id;
	(void)tenant;
}

static void on_hint(void *ctx, const char *tenant_id)
{
	(void)ctx;
	(void)tenant_id;
}

static void on_tenant(void *ctx, struct tenant *tenant, const struct err *err)
{
	int *loaded = ctx;

	assert_null(err);
	assert_non_null(tenant);
	++*loaded;
}

static bool is_loaded(void *ctx)
{
	return *(int *)ctx > 0;
}

/* Of a tenant that is not in memory nobody would tell that a key was revoked. */
static void a_key_is_not_trusted_while_its_tenant_is_not_watched(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);
	struct tenants *tenants = tenants_new(&(struct tenants_params){
		.loop = world.gate->loop,
		.db = world.gate->app,
		.conninfo = world.gate->app_conninfo,
		.keyring = world.gate->keyring,
		.deployment = GATE_DEPLOYMENT,
		.stale_max_ms = 60000,
		.changed = on_changed,
		.hint = on_hint,
	});
	struct tenants_op *op = NULL;
	int loaded = 0;

	expect_known(&world, key.text.reveal);
	identity_follow(world.identity, tenants);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_UNKNOWN);
	tenants_start(tenants, &op, world.tenant, on_tenant, &loaded);
	gate_db_until(world.gate, is_loaded, &loaded);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_KNOWN);
	identity_follow(world.identity, NULL);
	tenants_free(&tenants);
	assert_int_equal(find(&world, key.text.reveal), IDENTITY_KNOWN);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

static void without_a_database_a_known_key_is_good_and_a_new_one_unavailable(void **state)
{
	struct world world = world_of(state);
	struct key known = new_key(&world, world.user, "user", NULL);
	struct key fresh = new_key(&world, world.user, "user", NULL);
	struct asked asked;

	expect_known(&world, known.text.reveal);
	pg_cluster_halt(&world.gate->cluster);
	assert_int_equal(find(&world, known.text.reveal), IDENTITY_KNOWN);
	start(&world, &asked, fresh.text.reveal);
	finish(&world, &asked);
	assert_true(asked.failed);
	assert_int_equal(asked.err.code, ERR_UNAVAILABLE);
	secret_fini(&known.text);
	secret_fini(&fresh.text);
	identity_free(&world.identity);
}

static void cancel_means_silence(void **state)
{
	struct world world = world_of(state);
	struct key key = new_key(&world, world.user, "user", NULL);
	struct asked cancelled;
	struct asked other;

	start(&world, &cancelled, key.text.reveal);
	start(&world, &other, key.text.reveal);
	identity_cancel(&cancelled.op);
	assert_null(cancelled.op);
	finish(&world, &other);
	principal_unref(&other.principal);
	assert_int_equal(cancelled.dones, 0);
	secret_fini(&key.text);
	identity_free(&world.identity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(what_cannot_be_a_key_is_refused_without_the_database),
		GATE_DB_TEST(a_key_of_a_user_is_asked_for_once_and_then_remembered),
		GATE_DB_TEST(a_service_key_acts_for_itself),
		GATE_DB_TEST(a_key_grants_no_more_than_its_user_has),
		GATE_DB_TEST(a_wrong_secret_is_refused_known_id_or_not),
		GATE_DB_TEST(disabled_tenants_and_users_and_expired_keys_are_refused),
		GATE_DB_TEST(a_remembered_key_expires_too),
		GATE_DB_TEST(a_change_of_the_tenant_makes_its_keys_unknown),
		GATE_DB_TEST(an_answer_asked_for_before_a_change_is_not_remembered),
		GATE_DB_TEST(a_key_is_not_trusted_while_its_tenant_is_not_watched),
		GATE_DB_TEST(without_a_database_a_known_key_is_good_and_a_new_one_unavailable),
		GATE_DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
