/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/browser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/apikey.h"
#include "gateway/core/identity.h"
#include "tests/fakes/gate_db.h"

#define VISITOR(token) ((struct browser_visitor){ .source_ip = "192.0.2.7", .former = (token) })

struct world {
	struct gate_db *gate;
	struct identity *identity;
	struct browsers *browsers;
	char tenant[UUID_TEXT_BYTES];
	char user[UUID_TEXT_BYTES];
};

/* What came of one operation. */
struct told {
	struct browser_op *op;
	int dones;
	bool failed;
	struct err err;
	char token[BROWSER_TOKEN_BYTES];
	char tenant[64], user[64];
	struct principal *principal;
};

static void world_open(struct world *world, void **state, const char *role)
{
	struct arena *arena = arena_new();
	struct provision provision;

	*world = (struct world){ .gate = *state };
	world->identity = identity_new(world->gate->loop, world->gate->app, world->gate->keyring);
	world->browsers = browsers_new(world->gate->app, world->identity, NULL);
	gate_db_tenant(world->gate, "acme", world->tenant);
	uuid_v4(world->user);
	provision_init(&provision, arena, world->tenant);
	provision_user(&provision, &(struct user_row){ world->user, "ana", NULL, role, true });
	gate_db_provision(world->gate, &provision);
	arena_free(&arena);
}

static void world_close(struct world *world)
{
	browsers_free(&world->browsers);
	identity_free(&world->identity);
}

static bool is_told(void *ctx)
{
	const struct told *told = ctx;

	return told->dones > 0;
}

static void await(struct world *world, struct told *told)
{
	assert_int_equal(told->dones, 0);
	gate_db_until(world->gate, is_told, told);
	assert_int_equal(told->dones, 1);
	assert_null(told->op);
}

static void take_err(struct told *told, const struct err *err)
{
	told->dones++;
	told->failed = err != NULL;
	if (err != NULL)
		told->err = *err;
}

static void on_found(void *ctx, struct principal *principal, const struct err *err)
{
	struct told *told = ctx;

	take_err(told, err);
	if (principal != NULL)
		told->principal = principal_ref(principal);
}

static void on_code(void *ctx, const char *tenant, const char *user, const struct err *err)
{
	struct told *told = ctx;

	take_err(told, err);
	snprintf(told->tenant, sizeof(told->tenant), "%s", tenant != NULL ? tenant : "");
	snprintf(told->user, sizeof(told->user), "%s", user != NULL ? user : "");
}

static void on_signed_in(void *ctx, const char *token, const struct err *err)
{
	struct told *told = ctx;

	take_err(told, err);
	if (token != NULL)
		snprintf(told->token, sizeof(told->token), "%s", token);
}

static void on_signed_out(void *ctx, const struct err *err)
{
	take_err(ctx, err);
}

static struct told find(struct world *world, const char *token)
{
	struct told told = { 0 };

	browser_find(world->browsers, &told.op, token, on_found, &told);
	await(world, &told);
	return told;
}

static struct told sign_in_by_code(struct world *world, const char *code)
{
	struct told told = { 0 };

	browser_sign_in_by_code(world->browsers, &told.op, code, &VISITOR(""), on_signed_in, &told);
	await(world, &told);
	return told;
}

static struct told sign_in_by_key(struct world *world, const char *key)
{
	struct told told = { 0 };

	browser_sign_in_by_key(world->browsers, &told.op, key, &VISITOR(""), on_signed_in, &told);
	await(world, &told);
	return told;
}

static void new_code(struct world *world, char code[BROWSER_TOKEN_BYTES])
{
	struct arena *arena = arena_new();
	char hash[BROWSER_HASH_BYTES];
	struct provision provision;

	browser_token_new(code);
	browser_token_hash(code, hash);

	const struct span params[] = { span_of(hash), span_of(world->user), span_of("test"),
				       span_of(NULL) };

	provision_init(&provision, arena, world->tenant);
	provision_add(&provision, browser_insert_code, params, 4);
	assert_int_equal(gate_db_provision(world->gate, &provision), 1);
	arena_free(&arena);
}

/* The text of a key; user NULL: of a service. */
static struct secret new_key(struct world *world, const char *user, const char *role,
			     const char *expires_at)
{
	struct arena *arena = arena_new();
	char id[UUID_TEXT_BYTES];
	struct provision provision;
	struct apikey stored;
	struct secret text;

	uuid_v4(id);

	const struct key_row row = {
		.id = id,
		.name = id,
		.user_id = user,
		.role = role,
		.expires_at = expires_at,
		.created_by = "test",
	};

	apikey_new(world->gate->keyring, &stored, &text);
	provision_init(&provision, arena, world->tenant);
	provision_key(&provision, &row, &stored);
	gate_db_provision(world->gate, &provision);
	arena_free(&arena);
	return text;
}

static void assert_failed(const struct told *told, enum err_code code)
{
	assert_true(told->failed);
	assert_int_equal(told->err.code, code);
	assert_null(told->principal);
	assert_string_equal(told->token, "");
}

static void expect_signed_in(struct world *world, const char *token, bool expected)
{
	struct told told = find(world, token);

	assert_int_equal(!told.failed, expected);
	principal_unref(&told.principal);
}

static void a_code_signs_its_user_in_once(void **state)
{
	char code[BROWSER_TOKEN_BYTES];
	struct told in, again, found;
	struct world world;

	world_open(&world, state, "user");
	new_code(&world, code);
	in = sign_in_by_code(&world, code);
	assert_false(in.failed);
	assert_int_equal(strlen(in.token), BROWSER_TOKEN_BYTES - 1);
	found = find(&world, in.token);
	assert_false(found.failed);
	assert_string_equal(found.principal->tenant_id, world.tenant);
	assert_string_equal(found.principal->tenant, "acme");
	assert_string_equal(found.principal->user_id, world.user);
	assert_string_equal(found.principal->user_name, "ana");
	assert_memory_equal(found.principal->subject, "user:", 5);
	assert_string_equal(found.principal->subject + 5, world.user);
	assert_int_equal(found.principal->role, ROLE_USER);
	principal_unref(&found.principal);
	again = sign_in_by_code(&world, code);
	assert_failed(&again, ERR_UNAUTHENTICATED);
	/* Only digests are there: neither the code nor the token. */
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT count(*)::text AS v FROM tollgate.browser_sessions s"
			    " WHERE s::text LIKE '%%%s%%' OR s.token_hash = sha256('%s')",
			    in.token, in.token),
		"1");
	world_close(&world);
}

static void looking_at_a_code_does_not_use_it(void **state)
{
	char code[BROWSER_TOKEN_BYTES];
	struct told seen = { 0 };
	struct told none = { 0 };
	struct world world;

	world_open(&world, state, "user");
	new_code(&world, code);
	browser_find_code(world.browsers, &seen.op, code, on_code, &seen);
	await(&world, &seen);
	assert_false(seen.failed);
	assert_string_equal(seen.tenant, "acme");
	assert_string_equal(seen.user, "ana");
	assert_false(sign_in_by_code(&world, code).failed);
	browser_find_code(world.browsers, &none.op, code, on_code, &none);
	await(&world, &none);
	assert_failed(&none, ERR_UNAUTHENTICATED);
	world_close(&world);
}

static void a_code_that_is_old_or_nobodys_signs_nobody_in(void **state)
{
	char code[BROWSER_TOKEN_BYTES];
	struct told told;
	struct world world;

	world_open(&world, state, "user");
	told = sign_in_by_code(&world, "");
	assert_failed(&told, ERR_UNAUTHENTICATED);
	told = sign_in_by_code(&world, "nobody");
	assert_failed(&told, ERR_UNAUTHENTICATED);
	new_code(&world, code);
	gate_db_do(world.gate, "UPDATE tollgate.signin_codes SET expires_at = now()");
	told = sign_in_by_code(&world, code);
	assert_failed(&told, ERR_UNAUTHENTICATED);
	world_close(&world);
}

static void a_users_key_signs_in_and_its_end_signs_out(void **state)
{
	struct told in, found;
	struct secret key;
	struct world world;

	world_open(&world, state, "user");
	key = new_key(&world, world.user, "user", NULL);
	in = sign_in_by_key(&world, key.reveal);
	assert_false(in.failed);
	found = find(&world, in.token);
	assert_false(found.failed);
	principal_unref(&found.principal);
	gate_db_do(world.gate, "DELETE FROM tollgate.api_keys");
	found = find(&world, in.token);
	assert_failed(&found, ERR_UNAUTHENTICATED);
	secret_fini(&key);
	world_close(&world);
}

static void a_session_does_not_outlive_its_key(void **state)
{
	struct secret key;
	struct world world;

	world_open(&world, state, "user");
	key = new_key(&world, world.user, "user", "2999-01-01T00:00:00Z");
	assert_false(sign_in_by_key(&world, key.reveal).failed);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT (expires_at BETWEEN now() + '11 hours' AND"
					" now() + '12 hours')::text AS v"
					" FROM tollgate.browser_sessions"),
			    "true");
	gate_db_do(world.gate, "DELETE FROM tollgate.browser_sessions");
	gate_db_do(world.gate, "UPDATE tollgate.api_keys SET expires_at = now() + '1 hour'");
	assert_false(sign_in_by_key(&world, key.reveal).failed);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT (s.expires_at = k.expires_at)::text AS v"
					" FROM tollgate.browser_sessions s, tollgate.api_keys k"),
			    "true");
	secret_fini(&key);
	world_close(&world);
}

static void the_key_of_a_service_signs_nobody_in(void **state)
{
	struct secret key;
	struct world world;
	struct told told;

	world_open(&world, state, "user");
	key = new_key(&world, NULL, "platform", NULL);
	told = sign_in_by_key(&world, key.reveal);
	assert_failed(&told, ERR_FORBIDDEN);
	told = sign_in_by_key(&world, "tgk_nonsense");
	assert_failed(&told, ERR_UNAUTHENTICATED);
	told = sign_in_by_key(&world, "");
	assert_failed(&told, ERR_UNAUTHENTICATED);
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT count(*)::text AS v FROM tollgate.browser_sessions"),
		"0");
	secret_fini(&key);
	world_close(&world);
}

/* As much as the key, and as the user, and never the whole deployment. */
static void a_session_may_do_what_key_and_user_may(void **state)
{
	static const struct {
		const char *key, *user;
		enum role role;
	} rows[] = {
		{"user",	  "admin", ROLE_USER },
		{ "admin",	   "admin", ROLE_ADMIN},
		{ "admin",	   "user",  ROLE_USER },
		{ "platform", "admin", ROLE_ADMIN},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct told in, found;
		struct secret key;
		struct world world;

		gate_db_do(*state, "TRUNCATE tollgate.tenants CASCADE");
		world_open(&world, state, rows[i].user);
		key = new_key(&world, world.user, rows[i].key, NULL);
		in = sign_in_by_key(&world, key.reveal);
		assert_false(in.failed);
		found = find(&world, in.token);
		assert_false(found.failed);
		assert_int_equal(found.principal->role, rows[i].role);
		principal_unref(&found.principal);
		secret_fini(&key);
		world_close(&world);
	}
}

static void signing_out_ends_the_session(void **state)
{
	char code[BROWSER_TOKEN_BYTES];
	struct told in, found;
	struct told out = { 0 };
	struct world world;

	world_open(&world, state, "user");
	new_code(&world, code);
	in = sign_in_by_code(&world, code);
	browser_sign_out(world.browsers, &out.op, &VISITOR(in.token), on_signed_out, &out);
	await(&world, &out);
	assert_false(out.failed);
	found = find(&world, in.token);
	assert_failed(&found, ERR_UNAUTHENTICATED);
	world_close(&world);
}

static void a_session_ends_when_its_browser_signs_in_again(void **state)
{
	char codes[2][BROWSER_TOKEN_BYTES];
	struct told first, told = { 0 };
	struct secret key;
	struct world world;

	world_open(&world, state, "user");
	new_code(&world, codes[0]);
	new_code(&world, codes[1]);
	key = new_key(&world, world.user, "user", NULL);
	first = sign_in_by_code(&world, codes[0]);
	/* Who could not sign in is who it was. */
	browser_sign_in_by_code(world.browsers, &told.op, "nobody", &VISITOR(first.token),
				on_signed_in, &told);
	await(&world, &told);
	assert_failed(&told, ERR_UNAUTHENTICATED);
	expect_signed_in(&world, first.token, true);
	told = (struct told){ 0 };
	browser_sign_in_by_code(world.browsers, &told.op, codes[1], &VISITOR(first.token),
				on_signed_in, &told);
	await(&world, &told);
	expect_signed_in(&world, first.token, false);
	expect_signed_in(&world, told.token, true);
	first = told;
	told = (struct told){ 0 };
	browser_sign_in_by_key(world.browsers, &told.op, key.reveal, &VISITOR(first.token),
			       on_signed_in, &told);
	await(&world, &told);
	expect_signed_in(&world, first.token, false);
	expect_signed_in(&world, told.token, true);
	secret_fini(&key);
	world_close(&world);
}

static void cancel_means_silence(void **state)
{
	struct told told = { 0 };
	struct world world;

	world_open(&world, state, "user");
	browser_cancel(&told.op);
	browser_find(world.browsers, &told.op, "x", on_found, &told);
	browser_cancel(&told.op);
	assert_null(told.op);
	browser_sign_in_by_key(world.browsers, &told.op, "x", &VISITOR(""), on_signed_in, &told);
	browser_cancel(&told.op);
	gate_db_for(world.gate, 50);
	assert_int_equal(told.dones, 0);
	world_close(&world);
}

static void without_the_database_nobody_is_signed_out(void **state)
{
	struct told told = { 0 };
	struct world world;

	world_open(&world, state, "user");
	pg_cluster_halt(&world.gate->cluster);
	browser_find(world.browsers, &told.op, "x", on_found, &told);
	await(&world, &told);
	assert_failed(&told, ERR_UNAVAILABLE);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_code_signs_its_user_in_once),
		GATE_DB_TEST(looking_at_a_code_does_not_use_it),
		GATE_DB_TEST(a_code_that_is_old_or_nobodys_signs_nobody_in),
		GATE_DB_TEST(a_users_key_signs_in_and_its_end_signs_out),
		GATE_DB_TEST(a_session_does_not_outlive_its_key),
		GATE_DB_TEST(the_key_of_a_service_signs_nobody_in),
		GATE_DB_TEST(a_session_may_do_what_key_and_user_may),
		GATE_DB_TEST(signing_out_ends_the_session),
		GATE_DB_TEST(a_session_ends_when_its_browser_signs_in_again),
		GATE_DB_TEST(cancel_means_silence),
		GATE_DB_TEST(without_the_database_nobody_is_signed_out),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
