/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tokenstore/grant_world.h"

static void a_grant_comes_back_as_it_was_stored(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_keys keys;
	struct grant_row *row;
	struct err err;

	begin(state, &world);
	keys = keys_of(&world);
	assert_null(load(&world, arena));
	store(&world, arena);
	row = load(&world, arena);
	assert_int_equal(grant_open(&keys, row, &err), 0);
	assert_memory_equal(&row->grant.key, &world.grant_key, sizeof(world.grant_key));
	assert_int_equal(row->grant.state, GRANT_ACTIVE);
	assert_int_equal(row->grant.kind, GRANT_AUTHORIZATION_CODE);
	assert_string_equal(row->grant.issuer, "https://as.example.com");
	assert_string_equal(row->grant.token_url, "https://as.example.com/token");
	assert_string_equal(row->grant.revocation_url, "https://as.example.com/revoke");
	assert_string_equal(row->grant.client_id, "c1");
	assert_string_equal(row->grant.client_auth, "post");
	assert_string_equal(row->grant.client_secret.reveal, "s3cret");
	assert_string_equal(row->grant.resource, "https://mcp.example.com/");
	assert_string_equal(row->grant.audience, "api");
	assert_string_equal(row->grant.scope, "read write");
	assert_string_equal(row->grant.access_token.reveal, "access-1");
	assert_string_equal(row->grant.refresh_token.reveal, "refresh-1");
	assert_int_equal(row->grant.expires_at, 2000000000);
	assert_int_equal(row->grant.refresh_expires_at, 2100000000);
	assert_string_equal(row->grant.account, "ana@example.com");
	assert_string_equal(row->grant.authenticated_by, "ana");
	assert_int_equal(row->grant.authenticated_at, 1700000000);
	assert_int_equal(row->next_refresh_at, 1900000000);
	assert_int_equal(row->grant.version, 1);
	grant_wipe(&row->grant);
	assert_string_equal(
		gate_db_ask(world.gate, "SELECT concat_ws(' ', tenant, type, connection, subject,"
					" actor, attempt_id, error_code, detail) AS v"
					" FROM audit.auth_events"),
		"acme connect_completed crm  user:ana 77777777-0000-4000-8000-000000000001 x "
		"{\"a\": 1}");
	end(&world);
	arena_free(&arena);
}

static void on_told(void *ctx, const struct grant_key *key, const char *type)
{
	struct buf *told = ctx;

	buf_printf(told, "%s %s\n", key->tenant_id, type);
}

static void who_watches_is_told_of_what_was_recorded(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_request put = { .verb = GRANT_PUT, .event = connected };
	char *expected;
	struct buf told;

	begin(state, &world);
	buf_init(&told, 1024);
	grant_pg_watch(world.store, on_told, &told);
	store(&world, arena);
	load(&world, arena);
	put.row = full_row(&world, arena, 1); /* that is there already */
	assert_int_equal(ask(&world, arena, put)->n_done, 0);
	expected = mem_printf("%s connect_completed\n", world.grant_key.tenant_id);
	assert_string_equal(buf_str(&told), expected);
	free(expected);
	buf_fini(&told);
	end(&world);
	arena_free(&arena);
}

static void two_do_not_store_over_the_same_version(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_request put = { .verb = GRANT_PUT, .event = connected };

	begin(state, &world);
	store(&world, arena);
	put.row = full_row(&world, arena, 1);
	assert_int_equal(ask(&world, arena, put)->n_done, 0);
	put.version = 1;
	put.row = full_row(&world, arena, 2);
	assert_int_equal(ask(&world, arena, put)->n_done, 1);
	assert_int_equal(ask(&world, arena, put)->n_done, 0);
	assert_int_equal(load(&world, arena)->grant.version, 2);
	assert_string_equal(gate_db_ask(world.gate, "SELECT count(*)::text AS v"
						    " FROM audit.auth_event_log"),
			    "2");
	end(&world);
	arena_free(&arena);
}

static void nothing_is_stored_for_settings_that_are_no_more(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_request put = { .verb = GRANT_PUT, .event = connected };

	begin(state, &world);
	gate_db_do(world.gate, "UPDATE tollgate.connections SET settings_version = 7");
	put.row = full_row(&world, arena, 1);
	put.settings_version = 6;
	assert_int_equal(ask(&world, arena, put)->n_done, 0);
	assert_null(load(&world, arena));
	/* Those that serve while newer ones are tried out are as good. */
	gate_db_do(world.gate,
		   "INSERT INTO tollgate.serving_connections (tenant_id, connection_id, transport,"
		   " url, era, auth_mode, connect_timeout_ms, call_timeout_ms, version,"
		   " settings_version) SELECT tenant_id, id, transport, url, era, 'none', 1000,"
		   " 1000, 6, 6 FROM tollgate.connections");
	assert_int_equal(ask(&world, arena, put)->n_done, 1);
	put.version = 1;
	put.row = full_row(&world, arena, 2);
	put.settings_version = 5;
	assert_int_equal(ask(&world, arena, put)->n_done, 0);
	put.settings_version = 7;
	assert_int_equal(ask(&world, arena, put)->n_done, 1);
	end(&world);
	arena_free(&arena);
}

static void what_does_not_open_is_said_and_kept(void **state)
{
	static const char *const changes[] = {
		"access_token = set_byte(access_token, 40, 255 - get_byte(access_token, 40))",
		"refresh_token = access_token",
		"client_secret = refresh_token",
		"version = version + 1",
		"id = gen_random_uuid()",
		"access_token = '\\x00'",
		"access_token = set_byte(access_token, 13, 9)", /* of another data key */
	};
	struct arena *arena = arena_new();
	struct world world;
	struct grant_keys keys;

	begin(state, &world);
	keys = keys_of(&world);
	store(&world, arena);
	for (size_t i = 0; i < COUNT(changes); i++) {
		struct grant_row *row;
		struct err err;

		gate_db_do(world.gate, "CREATE TABLE kept AS SELECT * FROM tollgate.grants");
		gate_db_do(world.gate, "UPDATE tollgate.grants SET %s", changes[i]);
		row = load(&world, arena);
		assert_int_equal(grant_open(&keys, row, &err), -1);
		assert_non_null(strstr(err.text, "the stored tokens cannot be opened"));
		assert_null(row->grant.access_token.reveal);
		assert_null(row->grant.refresh_token.reveal);
		assert_null(row->grant.client_secret.reveal);
		gate_db_do(world.gate, "DELETE FROM tollgate.grants");
		gate_db_do(world.gate, "INSERT INTO tollgate.grants SELECT * FROM kept");
		gate_db_do(world.gate, "DROP TABLE kept");
	}
	keys.n_keys = 0;
	{
		struct grant_row *row = load(&world, arena);
		struct err err;

		assert_int_equal(grant_open(&keys, row, &err), -1);
		assert_int_equal(grant_seal(&keys, arena, row, &err), -1);
	}
	end(&world);
	arena_free(&arena);
}

static void a_disconnected_grant_keeps_no_secret(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_row note = { .grant = { .last_error = "none" } };
	struct grant_request request = { .verb = GRANT_DISCONNECT,
					 .version = 1,
					 .row = &note,
					 .event = { .type = "disconnected" } };

	begin(state, &world);
	store(&world, arena);
	assert_int_equal(ask(&world, arena, request)->n_done, 1);
	assert_int_equal(ask(&world, arena, request)->n_done, 0);
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT concat_ws(' ', state, version, access_token IS NULL,"
			    " refresh_token IS NULL, client_secret IS NULL, last_revocation) AS v"
			    " FROM tollgate.grants"),
		"disconnected 2 t t t none");
	note.grant.last_error = "revoked";
	request = (struct grant_request){ .verb = GRANT_REVOKED,
					  .version = 2,
					  .row = &note,
					  .event = { .type = "revocation_succeeded" } };
	assert_int_equal(ask(&world, arena, request)->n_done, 1);
	assert_string_equal(gate_db_ask(world.gate, "SELECT last_revocation AS v"
						    " FROM tollgate.grants"),
			    "revoked");
	assert_string_equal(types(&world), "connect_completed disconnected revocation_succeeded");
	end(&world);
	arena_free(&arena);
}

static void on_never(void *ctx, const struct grant_result *result, const struct err *err)
{
	(void)ctx;
	(void)result;
	(void)err;
	fail_msg("done after cancel");
}

static void cancel_means_silence(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_op *op = NULL;
	struct grant_request request = { .verb = GRANT_LOAD };

	begin(state, &world);
	request.key = world.grant_key;
	grant_cancel(&op);
	grant_start(world.store, &op, &request, on_never, NULL);
	grant_cancel(&op);
	assert_null(op);
	assert_null(load(&world, arena));
	end(&world);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_grant_comes_back_as_it_was_stored),
		GATE_DB_TEST(who_watches_is_told_of_what_was_recorded),
		GATE_DB_TEST(two_do_not_store_over_the_same_version),
		GATE_DB_TEST(nothing_is_stored_for_settings_that_are_no_more),
		GATE_DB_TEST(what_does_not_open_is_said_and_kept),
		GATE_DB_TEST(a_disconnected_grant_keeps_no_secret),
		GATE_DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
