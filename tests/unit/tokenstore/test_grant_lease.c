/* SPDX-License-Identifier: Apache-2.0 */

/* Whose a grant is while it is renewed, and what becomes of who is late. */

#include "tests/unit/tokenstore/grant_world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_lease_is_taken_once_and_only_for_the_version_that_is_there),
		GATE_DB_TEST(a_renewal_is_stored_by_who_holds_the_lease),
		GATE_DB_TEST(a_late_renewal_is_stored_unless_another_was_sent),
		GATE_DB_TEST(a_registration_that_is_refused_is_forgotten),
		GATE_DB_TEST(who_else_had_it_has_to_sign_in_too),
		GATE_DB_TEST(a_client_that_was_set_by_hand_stays),
		GATE_DB_TEST(a_failure_is_noted_under_its_lease_only),
		GATE_DB_TEST(what_is_due_is_leased_and_what_changed_is_told),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
