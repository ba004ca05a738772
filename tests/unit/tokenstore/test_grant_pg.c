/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tokenstore/grant_pg_world.h"

static const struct grant_event connected = {
	.type = "connect_completed",
	.actor = "user:ana",
	.attempt_id = "77777777-0000-4000-8000-000000000001",
	.error_code = "x",
	.detail = "{\"a\":1}",
};

static void store(struct world *world, struct arena *arena)
{
	struct answer *answer = ask(world, arena,
				    (struct grant_request){ .verb = GRANT_PUT,
							    .row = full_row(world, arena, 1),
							    .event = connected });

	assert_int_equal(answer->n_done, 1);
}

static struct grant_row *load(struct world *world, struct arena *arena)
{
	return ask(world, arena, (struct grant_request){ .verb = GRANT_LOAD })->row;
}

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

static struct grant_request lease_for(const char *owner, int64_t version, int64_t lease_ms)
{
	return (struct grant_request){
		.verb = GRANT_LEASE, .version = version, .owner = owner, .lease_ms = lease_ms
	};
}

static void a_lease_is_taken_once_and_only_for_the_version_that_is_there(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct answer *answer;

	begin(state, &world);
	store(&world, arena);
	assert_int_equal(ask(&world, arena, lease_for(NODE, 2, 60000))->n_rows, 0);
	answer = ask(&world, arena, lease_for(NODE, 1, 60000));
	assert_int_equal(answer->n_rows, 1);
	assert_int_equal(answer->row->lease_number, 1);
	assert_true(load(&world, arena)->busy);
	assert_int_equal(ask(&world, arena, lease_for(OTHER, 1, 60000))->n_rows, 0);
	gate_db_do(world.gate, "UPDATE tollgate.grants SET lease_until = now() - interval '1 s'");
	answer = ask(&world, arena, lease_for(OTHER, 1, 60000));
	assert_int_equal(answer->row->lease_number, 2);
	assert_false(answer->row->lost);
	/* The first one has lost it. */
	assert_int_equal(
		ask(&world, arena,
		    (struct grant_request){ .verb = GRANT_SENT, .version = 1, .lease_number = 1 })
			->n_done,
		0);
	assert_int_equal(
		ask(&world, arena,
		    (struct grant_request){ .verb = GRANT_SENT, .version = 1, .lease_number = 2 })
			->n_done,
		1);
	gate_db_do(world.gate, "UPDATE tollgate.grants SET lease_until = now() - interval '1 s'");
	assert_true(load(&world, arena)->busy);
	assert_int_equal(ask(&world, arena, lease_for(NODE, 1, 60000))->n_rows, 0);
	gate_db_do(world.gate, "UPDATE tollgate.grants SET sent_at = now() - interval '31 s'");
	answer = ask(&world, arena, lease_for(NODE, 1, 60000));
	assert_int_equal(answer->row->lease_number, 3);
	assert_true(answer->row->lost);
	end(&world);
	arena_free(&arena);
}

static struct grant_request renewal(struct world *world, struct arena *arena, int64_t lease_number)
{
	const struct grant_keys keys = keys_of(world);
	struct grant_row *row = full_row(world, arena, 2);
	struct err err;

	row->grant.access_token = plain("access-2");
	row->grant.refresh_token = plain("refresh-2");
	row->grant.scope = "read";
	row->grant.expires_at = 2000000100;
	row->grant.last_refreshed_at = 1800000000;
	assert_int_equal(grant_seal(&keys, arena, row, &err), 0);
	return (struct grant_request){
		.verb = GRANT_COMMIT,
		.version = 1,
		.lease_number = lease_number,
		.row = row,
		.event = { .type = "refresh_succeeded" },
		.dropped = { .type = "refresh_rotation_persistence_failed" },
	};
}

static const char *types(struct world *world)
{
	return gate_db_ask(world->gate, "SELECT string_agg(type, ' ' ORDER BY at, type) AS v"
					" FROM audit.auth_event_log");
}

static void a_renewal_is_stored_by_who_holds_the_lease(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_keys keys;
	struct grant_request request;
	struct grant_row *row;
	struct err err;

	begin(state, &world);
	keys = keys_of(&world);
	store(&world, arena);
	ask(&world, arena, lease_for(NODE, 1, 60000));
	request = renewal(&world, arena, 1);
	assert_int_equal(ask(&world, arena, request)->n_done, 1);
	row = load(&world, arena);
	assert_int_equal(grant_open(&keys, row, &err), 0);
	assert_string_equal(row->grant.access_token.reveal, "access-2");
	assert_string_equal(row->grant.refresh_token.reveal, "refresh-2");
	assert_string_equal(row->grant.client_secret.reveal, "s3cret");
	assert_string_equal(row->grant.scope, "read");
	assert_string_equal(row->grant.account, "ana@example.com");
	assert_int_equal(row->grant.version, 2);
	assert_int_equal(row->grant.expires_at, 2000000100);
	assert_int_equal(row->grant.last_refreshed_at, 1800000000);
	assert_false(row->busy);
	grant_wipe(&row->grant);
	/* Again: it is there, and nothing is said twice. */
	assert_int_equal(ask(&world, arena, request)->n_done, 1);
	assert_string_equal(types(&world), "connect_completed refresh_succeeded");
	end(&world);
	arena_free(&arena);
}

static void a_late_renewal_is_stored_unless_another_was_sent(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_request request;

	begin(state, &world);
	store(&world, arena);
	ask(&world, arena, lease_for(NODE, 1, -1000));
	ask(&world, arena, lease_for(OTHER, 1, 60000));
	request = renewal(&world, arena, 1);
	ask(&world, arena,
	    (struct grant_request){ .verb = GRANT_SENT, .version = 1, .lease_number = 2 });
	assert_int_equal(ask(&world, arena, request)->n_done, 0);
	assert_string_equal(types(&world), "connect_completed refresh_rotation_persistence_failed");
	gate_db_do(world.gate, "UPDATE tollgate.grants SET sent_at = NULL");
	assert_int_equal(ask(&world, arena, request)->n_done, 1);
	/* Who took it over finds another version when it is about to send. */
	assert_int_equal(
		ask(&world, arena,
		    (struct grant_request){ .verb = GRANT_SENT, .version = 1, .lease_number = 2 })
			->n_done,
		0);
	/* What became of the connection meanwhile is no reason to fail. */
	gate_db_do(world.gate, "DELETE FROM tollgate.connections");
	assert_int_equal(ask(&world, arena, request)->n_done, 0);
	assert_false(ask(&world, arena, request)->failed);
	end(&world);
	arena_free(&arena);
}

/* One failure as the client c1 of what was granted, with that client registered or set by hand. */
static void expect_refused_client(void **state, const char *before, enum grant_state becomes,
				  const char *registrations)
{
	struct arena *arena = arena_new();
	struct grant_row failed = {
		.grant = {.state = GRANT_ACTIVE, .last_error = "400 invalid_client"},
		.next_refresh_at = 1900000001,
	};
	struct grant_request request = { .verb = GRANT_FAIL,
					 .version = 1,
					 .row = &failed,
					 .client_refused = "it was forgotten",
					 .event = { .type = "refresh_failed_client" } };
	bool anew = becomes == GRANT_NEEDS_REAUTH;
	struct answer *answer;
	struct world world;
	struct grant_row *row;

	begin(state, &world);
	gate_db_do(world.gate, "%s", before);
	store(&world, arena);
	/* Not under its lease: nothing of it is done. */
	request.lease_number = 2;
	assert_int_equal(ask(&world, arena, request)->n_done, 0);
	ask(&world, arena, lease_for(NODE, 1, 60000));
	request.lease_number = 1;
	answer = ask(&world, arena, request);
	assert_int_equal(answer->n_done, 1);
	assert_int_equal(answer->needs_reauth, anew);
	row = load(&world, arena);
	assert_int_equal(row->grant.state, becomes);
	assert_string_equal(row->grant.last_error,
			    anew ? "it was forgotten" : "400 invalid_client");
	assert_int_equal(row->next_refresh_at, anew ? 0 : 1900000001);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT coalesce(string_agg(client_id, ' ' ORDER BY 1), '')"
					" AS v FROM tollgate.upstream_clients"),
			    registrations);
	end(&world);
	arena_free(&arena);
}

#define REGISTERED                                                                                 \
	"INSERT INTO tollgate.upstream_clients (tenant_id, issuer, redirect_uri, id, client_id,"   \
	" client_auth) SELECT t.id, i, r, gen_random_uuid(), c, 'none' FROM tollgate.tenants t,"   \
	" (VALUES ('https://as.example.com', 'https://g/1', 'c1'),"                                \
	" ('https://as.example.com', 'https://g/2', 'c2'),"                                        \
	" ('https://other.example.com', 'https://g/1', 'c3')) v (i, r, c)"

static void a_registration_that_is_refused_is_forgotten(void **state)
{
	expect_refused_client(state, REGISTERED, GRANT_NEEDS_REAUTH, "c2 c3");
}

static void who_else_had_it_has_to_sign_in_too(void **state)
{
	expect_refused_client(state, "DELETE FROM tollgate.upstream_clients", GRANT_NEEDS_REAUTH,
			      "");
}

static void a_client_that_was_set_by_hand_stays(void **state)
{
	expect_refused_client(state,
			      "UPDATE tollgate.connections SET auth_mode = 'oauth',"
			      " oauth = '{\"client_id\": \"c1\"}'",
			      GRANT_ACTIVE, "");
}

static void a_failure_is_noted_under_its_lease_only(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	struct grant_row failed = {
		.grant = {.state = GRANT_ACTIVE, .last_error = "503"},
		.next_refresh_at = 1900000001,
		.lost = true
	};
	struct grant_request request = { .verb = GRANT_FAIL,
					 .version = 1,
					 .lease_number = 1,
					 .row = &failed,
					 .event = { .type = "refresh_failed_transient" } };
	struct grant_row *row;

	begin(state, &world);
	store(&world, arena);
	assert_int_equal(ask(&world, arena, request)->n_done, 0);
	ask(&world, arena, lease_for(NODE, 1, 60000));
	assert_int_equal(ask(&world, arena, request)->n_done, 1);
	row = load(&world, arena);
	assert_int_equal(row->grant.state, GRANT_ACTIVE);
	assert_string_equal(row->grant.last_error, "503");
	assert_int_equal(row->failures, 1);
	assert_int_equal(row->next_refresh_at, 1900000001);
	assert_true(row->lost);
	assert_false(row->busy);
	assert_non_null(row->access_token.p);
	failed.grant.state = GRANT_NEEDS_REAUTH;
	failed.next_refresh_at = 0;
	ask(&world, arena, lease_for(NODE, 1, 60000));
	request.lease_number = 2;
	assert_int_equal(ask(&world, arena, request)->n_done, 1);
	row = load(&world, arena);
	assert_int_equal(row->grant.state, GRANT_NEEDS_REAUTH);
	assert_int_equal(row->next_refresh_at, 0);
	assert_non_null(row->refresh_token.p); /* kept */
	assert_int_equal(ask(&world, arena, lease_for(NODE, 1, 60000))->n_rows, 0);
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

static void what_is_due_is_leased_and_what_changed_is_told(void **state)
{
	struct arena *arena = arena_new();
	struct world world;
	const char *server = "https://as.example.com/token";
	struct grant_request due = {
		.verb = GRANT_DUE, .owner = NODE, .lease_ms = 60000, .limit = 5, .per_server = 5
	};
	struct grant_seen seen[3];
	struct answer *answer;

	begin(state, &world);
	store(&world, arena);
	assert_int_equal(ask(&world, arena, due)->n_rows, 0);
	gate_db_do(world.gate, "UPDATE tollgate.grants SET next_refresh_at = now()");
	due.not_servers = &server;
	due.n_not_servers = 1;
	assert_int_equal(ask(&world, arena, due)->n_rows, 0);
	due.n_not_servers = 0;
	answer = ask(&world, arena, due);
	assert_int_equal(answer->n_rows, 1);
	assert_int_equal(answer->row->lease_number, 1);
	assert_int_equal(ask(&world, arena, due)->n_rows, 0);
	answer = ask(&world, arena,
		     (struct grant_request){ .verb = GRANT_YIELD,
					     .version = 1,
					     .lease_number = 1,
					     .row = &(struct grant_row){ .next_refresh_at = 1 } });
	assert_int_equal(answer->n_done, 1);
	assert_int_equal(ask(&world, arena, due)->n_rows, 1);
	ask(&world, arena, (struct grant_request){ .verb = GRANT_RELEASE, .owner = NODE });
	assert_false(load(&world, arena)->busy);

	seen[0] = (struct grant_seen){ world.grant_key, 1, "active" };
	seen[1] = (struct grant_seen){ world.grant_key, 2, "active" };
	seen[2] = (struct grant_seen){ world.grant_key, 0, NULL };
	answer = ask(&world, arena,
		     (struct grant_request){ .verb = GRANT_CHANGED, .seen = seen, .n_seen = 3 });
	assert_int_equal(answer->n_changed, 2);
	assert_int_equal(answer->changed[0] + answer->changed[1], 3);
	assert_int_equal(
		ask(&world, arena, (struct grant_request){ .verb = GRANT_CHANGED })->n_changed, 0);
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
		GATE_DB_TEST(two_do_not_store_over_the_same_version),
		GATE_DB_TEST(nothing_is_stored_for_settings_that_are_no_more),
		GATE_DB_TEST(what_does_not_open_is_said_and_kept),
		GATE_DB_TEST(a_lease_is_taken_once_and_only_for_the_version_that_is_there),
		GATE_DB_TEST(a_renewal_is_stored_by_who_holds_the_lease),
		GATE_DB_TEST(a_late_renewal_is_stored_unless_another_was_sent),
		GATE_DB_TEST(a_registration_that_is_refused_is_forgotten),
		GATE_DB_TEST(who_else_had_it_has_to_sign_in_too),
		GATE_DB_TEST(a_client_that_was_set_by_hand_stays),
		GATE_DB_TEST(a_failure_is_noted_under_its_lease_only),
		GATE_DB_TEST(a_disconnected_grant_keeps_no_secret),
		GATE_DB_TEST(what_is_due_is_leased_and_what_changed_is_told),
		GATE_DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
