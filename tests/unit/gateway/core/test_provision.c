/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/gate_db.h"
#include "tokenstore/keyring.h"

struct world {
	struct gate_db *gate;
	char tenant[UUID_TEXT_BYTES];
	struct arena *arena;
	struct provision provision;
	struct seal_key key;
};

/* How a transaction that may fail ended. */
struct tried {
	struct db_op *op;
	bool ended;
	bool failed;
	struct err err;
};

static void begin(void **state, struct world *world)
{
	*world = (struct world){ .gate = *state, .arena = arena_new() };
	gate_db_tenant(world->gate, "acme", world->tenant);
	provision_init(&world->provision, world->arena, world->tenant);
	seal_key_random(&world->key, 7, 1);
}

static void end(struct world *world)
{
	arena_free(&world->arena);
}

static void on_tried(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct tried *tried = ctx;

	(void)results;
	(void)n;
	tried->ended = true;
	tried->failed = err != NULL;
	if (err != NULL)
		tried->err = *err;
}

static bool has_ended(void *ctx)
{
	const struct tried *tried = ctx;

	return tried->ended;
}

static struct tried try_it(const struct world *world)
{
	const struct db_tx tx = provision_tx(&world->provision);
	struct tried tried = { 0 };

	db_start(world->gate->app, &tried.op, &tx, on_tried, &tried);
	gate_db_until(world->gate, has_ended, &tried);
	return tried;
}

static struct connection_row row_named(const char *id, const char *name)
{
	return (struct connection_row){
		.id = id,
		.version = 1,
		.name = name,
		.description = "it's \"one\"\n",
		.enabled = true,
		.url = "https://mcp.example.com/mcp",
		.era = "auto",
		.auth_mode = "api_key",
		.auth_header = "X-Key",
		.credential = SPAN("s3cret"),
		.headers = SPAN("{\"X-Env\":\"prod\"}"),
		.header_names = "[\"X-Env\"]",
		.connect_timeout_ms = 1500,
		.call_timeout_ms = 60000,
		.session_scope = "client",
		.trust_level = "trusted",
		.tools_allow = "[\"a*\",\"b,c\",\"{d}\",\"\\\"q\\\\\\\"\"]",
		.tools_deny = "[]",
		.audit_level = "metadata",
		.audit_redact = "[\"a\",\"b c\"]",
	};
}

/* The column of the one row, as it opens under that place. */
static char *opened(const struct world *world, const char *column, const char *row_id,
		    int64_t version)
{
	const struct seal_place place = { GATE_DEPLOYMENT, world->tenant, "connections",
					  column,	   row_id,	  version };
	const char *hex = gate_db_ask(
		world->gate, "SELECT encode(%s, 'hex') AS v FROM tollgate.connections", column);
	size_t n = strlen(hex) / 2;
	uint8_t *sealed = mem_new(n);
	struct secret plain = { 0 };
	char *text = NULL;
	struct err err;

	assert_int_equal(hex_decode(span_of(hex), sealed, n), 0);
	if (seal_open(&world->key, &place, (struct span){ (char *)sealed, n }, &plain, &err) == 0)
		text = mem_strdup(plain.reveal);
	secret_fini(&plain);
	free(sealed);
	return text;
}

static void expect_opened(const struct world *world, const char *column, const char *row_id,
			  int64_t version, const char *expected)
{
	char *text = opened(world, column, row_id, version);

	if (expected == NULL)
		assert_null(text);
	else
		assert_string_equal(text, expected);
	free(text);
}

static void a_tenant_has_a_wrapped_data_key(void **state)
{
	struct world world;
	uint8_t wrapped[KEYRING_WRAPPED_BYTES];
	struct seal_key key;
	const char *hex;
	struct err err;

	begin(state, &world);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT concat_ws('|', id, name, enabled, egress)"
					" AS v FROM tollgate.tenants"),
			    arena_printf(world.arena, "%s|acme|t|{\"allow\": []}", world.tenant));
	hex = gate_db_ask(world.gate, "SELECT encode(wrapped, 'hex') AS v FROM tollgate.data_keys"
				      " WHERE dek_id = 1");
	assert_int_equal(hex_decode(span_of(hex), wrapped, sizeof(wrapped)), 0);
	assert_int_equal(keyring_unwrap(world.gate->keyring, GATE_DEPLOYMENT, world.tenant, 1,
					(struct span){ (char *)wrapped, sizeof(wrapped) }, &key,
					&err),
			 0);
	assert_int_equal(keyring_unwrap(world.gate->keyring, "other", world.tenant, 1,
					(struct span){ (char *)wrapped, sizeof(wrapped) }, &key,
					&err),
			 -1);
	end(&world);
}

static void a_name_that_exists_is_a_conflict_and_nothing_is_made(void **state)
{
	struct world world;
	struct tried tried;
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(id);
	provision_init(&world.provision, world.arena, id);
	provision_tenant(&world.provision, world.gate->keyring, GATE_DEPLOYMENT,
			 &(struct tenant_row){ "acme", true, "{}" });
	tried = try_it(&world);
	assert_true(tried.failed);
	assert_int_equal(tried.err.code, ERR_CONFLICT);
	assert_string_equal(gate_db_ask(world.gate, "SELECT count(*) AS v FROM tollgate.data_keys"),
			    "1");
	end(&world);
}

static void users_and_keys_are_made_in_one_transaction(void **state)
{
	struct world world;
	struct apikey key;
	struct secret text;
	char user[UUID_TEXT_BYTES];
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(user);
	uuid_v4(id);
	apikey_new(world.gate->keyring, &key, &text);
	provision_user(&world.provision,
		       &(struct user_row){ user, "ana", "ana@example.com", "admin", true });
	provision_key(&world.provision,
		      &(struct key_row){ .id = id,
					 .name = "laptop",
					 .user_id = user,
					 .role = "user",
					 .expires_at = "2030-01-02T03:04:05Z",
					 .created_by = "root" },
		      &key);
	assert_int_equal(world.provision.n, 2);
	gate_db_provision(world.gate, &world.provision);
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT concat_ws('|', u.name, u.email, u.role, k.name, k.role,"
			    " k.created_by, k.key_id = '%s', k.expires_at ="
			    " '2030-01-02T03:04:05Z'::timestamptz) AS v FROM tollgate.users u"
			    " JOIN tollgate.api_keys k ON k.user_id = u.id"
			    " WHERE k.tenant_id = '%s' AND k.id = '%s'",
			    key.id, world.tenant, id),
		"ana|ana@example.com|admin|laptop|user|root|t|t");
	/* The secret itself is nowhere. */
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT position('%.20s' IN k::text)::text AS v"
					" FROM tollgate.api_keys k",
					text.reveal + 18),
			    "0");
	secret_fini(&text);
	end(&world);
}

static void a_connection_is_written_as_it_is_with_its_secrets_sealed(void **state)
{
	struct world world;
	struct connection_row row;
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(id);
	row = row_named(id, "crm");
	provision_connection(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	assert_int_equal(gate_db_provision(world.gate, &world.provision), 1);
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT concat_ws('|', name, enabled, url, era, auth_mode, auth_header,"
			    " header_names::text, connect_timeout_ms, call_timeout_ms, "
			    "session_scope, trust_level,"
			    " array_length(tools_allow, 1), tools_allow[2], tools_allow[3],"
			    " tools_allow[4], tools_deny::text, audit_level,"
			    " audit_redact[2], version) AS v"
			    " FROM tollgate.connections"),
		"crm|t|https://mcp.example.com/"
		"mcp|auto|api_key|X-Key|{X-Env}|1500|60000|client|trusted|"
		"4|b,c|{d}|\"q\\\"|{}|metadata|b c|1");
	assert_string_equal(
		gate_db_ask(world.gate, "SELECT description AS v FROM tollgate.connections"),
		row.description);
	expect_opened(&world, "credential", id, 1, "s3cret");
	expect_opened(&world, "headers", id, 1, "{\"X-Env\":\"prod\"}");
	expect_opened(&world, "credential", id, 2, NULL);
	expect_opened(&world, "credential", world.tenant, 1, NULL);
	end(&world);
}

static void without_secrets_the_columns_are_null(void **state)
{
	struct world world;
	struct connection_row row;
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(id);
	row = row_named(id, "crm");
	row.auth_mode = "none";
	row.auth_header = NULL;
	row.credential = (struct span){ 0 };
	row.headers = (struct span){ 0 };
	provision_connection(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	gate_db_provision(world.gate, &world.provision);
	assert_string_equal(gate_db_ask(world.gate, "SELECT credential IS NULL AND headers IS NULL"
						    " AND auth_header IS NULL AS v"
						    " FROM tollgate.connections"),
			    "t");
	end(&world);
}

static void oauth_settings_are_written_with_their_secret_sealed(void **state)
{
	struct world world;
	struct connection_row row;
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(id);
	row = row_named(id, "crm");
	row.auth_mode = "oauth";
	row.auth_header = NULL;
	row.credential = (struct span){ 0 };
	row.oauth = "{\"grant\":\"authorization_code\"}";
	row.oauth_secret = SPAN("hush");
	provision_connection(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	assert_int_equal(gate_db_provision(world.gate, &world.provision), 1);
	assert_string_equal(
		gate_db_ask(world.gate, "SELECT oauth->>'grant' AS v FROM tollgate.connections"),
		"authorization_code");
	expect_opened(&world, "oauth_secret", id, 1, "hush");
	expect_opened(&world, "oauth_secret", id, 2, NULL);
	expect_opened(&world, "oauth_secret", world.tenant, 1, NULL);
	end(&world);
}

static void a_large_secret_is_sealed_whole(void **state)
{
	enum { BYTES = 300 * 1024 };
	struct world world;
	struct connection_row row;
	char id[UUID_TEXT_BYTES];
	char *large;

	begin(state, &world);
	uuid_v4(id);
	large = arena_alloc(world.arena, BYTES + 1);
	memset(large, 'x', BYTES);
	row = row_named(id, "crm");
	row.credential = (struct span){ large, BYTES };
	provision_connection(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	gate_db_provision(world.gate, &world.provision);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT octet_length(credential) - %d AS v"
					" FROM tollgate.connections",
					BYTES),
			    "42");
	end(&world);
}

static void a_change_moves_the_version_and_seals_for_it(void **state)
{
	struct world world;
	struct connection_row row;
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(id);
	row = row_named(id, "crm");
	provision_connection(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	gate_db_provision(world.gate, &world.provision);
	row.version = 2;
	row.name = "sales";
	row.enabled = false;
	row.credential = SPAN("other");
	row.tools_allow = "[]";
	provision_init(&world.provision, world.arena, world.tenant);
	provision_connection_change(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	assert_int_equal(gate_db_provision(world.gate, &world.provision), 1);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT concat_ws('|', name, enabled, version,"
					" tools_allow::text) AS v FROM tollgate.connections"),
			    "sales|f|2|{}");
	expect_opened(&world, "credential", id, 2, "other");
	expect_opened(&world, "credential", id, 1, NULL);
	/* Somebody else was faster: the same change does nothing. */
	assert_int_equal(gate_db_provision(world.gate, &world.provision), 0);
	end(&world);
}

static void another_tenants_connection_cannot_be_changed(void **state)
{
	struct world world;
	struct connection_row row;
	char id[UUID_TEXT_BYTES];
	char other[UUID_TEXT_BYTES];

	begin(state, &world);
	gate_db_tenant(world.gate, "other", other);
	uuid_v4(id);
	row = row_named(id, "crm");
	provision_connection(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	gate_db_provision(world.gate, &world.provision);
	row.version = 2;
	provision_init(&world.provision, world.arena, other);
	provision_connection_change(&world.provision, &row, &world.key, GATE_DEPLOYMENT);
	assert_int_equal(gate_db_provision(world.gate, &world.provision), 0);
	end(&world);
}

static void the_callers_own_statements_go_along(void **state)
{
	struct world world;
	struct span param;
	char text[] = "acme";

	begin(state, &world);
	param = span_of(text);
	provision_add(&world.provision, "SELECT id FROM tollgate.tenants WHERE name = $1", &param,
		      1);
	param = (struct span){ 0 };
	assert_false(try_it(&world).failed);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_tenant_has_a_wrapped_data_key),
		GATE_DB_TEST(a_name_that_exists_is_a_conflict_and_nothing_is_made),
		GATE_DB_TEST(users_and_keys_are_made_in_one_transaction),
		GATE_DB_TEST(a_connection_is_written_as_it_is_with_its_secrets_sealed),
		GATE_DB_TEST(without_secrets_the_columns_are_null),
		GATE_DB_TEST(oauth_settings_are_written_with_their_secret_sealed),
		GATE_DB_TEST(a_large_secret_is_sealed_whole),
		GATE_DB_TEST(a_change_moves_the_version_and_seals_for_it),
		GATE_DB_TEST(another_tenants_connection_cannot_be_changed),
		GATE_DB_TEST(the_callers_own_statements_go_along),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
