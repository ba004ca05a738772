/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* Connections with OAuth: whose token lists them, and what is said while there is none. */

#include "tests/unit/gateway/core/keeper_world.h"

#define SETTINGS(per)                                                                              \
	"'{\"grant\":\"authorization_code\",\"per\":\"" per "\",\"token_endpoint_auth\":\"none\"}" \
	"'"
#define TOOLS "{\"tools\":[{\"name\":\"a\"}]}"

static void add_oauth(const struct world *world, const char *settings)
{
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url, auth_mode, oauth)"
		   " VALUES ('%s', gen_random_uuid(), 'crm', 'https://mcp.example.com/', 'oauth',"
		   " %s)",
		   world->tenant, settings);
}

static bool has_asked(void *ctx)
{
	const struct world *world = ctx;

	return world->nodes[0].credentials.n >= world->wanted;
}

/* The n-th token that the first node ever asked for. */
static struct credential_op *asked(struct world *world, size_t n)
{
	world->wanted = n;
	gate_db_until(world->gate, has_asked, world);
	return &world->nodes[0].credentials.asked[n - 1];
}

static void receives(struct credential_op *op, enum credential_state state, const char *why,
		     const struct err *err)
{
	assert_non_null(op->slot);
	*op->slot = NULL;
	op->slot = NULL;
	op->done(op->ctx, state, why, err);
}

static void refuse(struct upstream_op *op, int status, int64_t version)
{
	const struct upstream_refusal refusal = { status, "", version };

	op->events.refused(op->ctx, &refusal);
	fail_with(op, ERR_UNAUTHENTICATED, "it refuses the credential");
}

static const char *status(struct world *world, const char *what)
{
	return gate_db_ask(world->gate, "SELECT %s AS v FROM tollgate.connection_status", what);
}

static void the_shared_grant_lists_it(void **state)
{
	struct world world;

	begin(state, &world);
	add_oauth(&world, SETTINGS("shared"));
	assert_string_equal(asked(&world, 1)->subject, "");
	assert_int_equal(asked(&world, 1)->refused_version, 0);
	assert_int_equal(world.nodes[0].upstreams.n, 0);
	receives(asked(&world, 1), CREDENTIAL_READY, NULL, NULL);
	assert_string_equal(request(&world, 1)->subject, "");
	answer(request(&world, 1), TOOLS);
	await_status(&world, "crm", "ok|1|legacy");
	assert_string_equal(stream(&world, 1)->subject, "");
	end(&world);
}

static void without_one_it_waits_for_a_person_and_asks_nobody(void **state)
{
	struct world world;

	begin(state, &world);
	add_oauth(&world, SETTINGS("shared"));
	receives(asked(&world, 1), CREDENTIAL_NONE, NULL, NULL);
	await_status(&world, "crm", "needs_auth");
	assert_string_equal(status(&world, "concat_ws('|', last_error, next_retry_at IS NULL)"),
			    "not connected yet|t");
	/* A hint that grants have changed costs one look. */
	keeper_grants_changed(world.nodes[0].keeper, "somebody else's");
	keeper_grants_changed(world.nodes[0].keeper, world.tenant);
	receives(asked(&world, 2), CREDENTIAL_NONE, "access was taken back", NULL);
	await(&world, "SELECT last_error AS v FROM tollgate.connection_status",
	      "access was taken back");
	assert_int_equal(world.nodes[0].credentials.n, 2);
	assert_int_equal(world.nodes[0].upstreams.n, 0);
	keeper_grants_changed(world.nodes[0].keeper, NULL);
	receives(asked(&world, 3), CREDENTIAL_READY, NULL, NULL);
	answer(request(&world, 1), TOOLS);
	await_status(&world, "crm", "ok|1|legacy");
	/* What is listed is not listed for each grant that changes. It listens once that is stored.
	 */
	stream(&world, 1);
	keeper_grants_changed(world.nodes[0].keeper, NULL);
	gate_db_for(world.gate, 2 * KEEPER_RELIST_MS);
	assert_int_equal(world.nodes[0].credentials.n, 3);
	end(&world);
}

static void a_refresh_looks_at_once_and_is_answered(void **state)
{
	struct world world;

	begin(state, &world);
	add_oauth(&world, SETTINGS("shared"));
	receives(asked(&world, 1), CREDENTIAL_NONE, NULL, NULL);
	await_status(&world, "crm", "needs_auth");
	refresh(&world);
	receives(asked(&world, 2), CREDENTIAL_NONE, NULL, NULL);
	await(&world, "SELECT refresh_done AS v FROM tollgate.connection_status", "1");
	end(&world);
}

static void a_grant_that_cannot_be_asked_for_now_is_a_failure_like_others(void **state)
{
	struct world world;
	struct err err;

	begin(state, &world);
	add_oauth(&world, SETTINGS("shared"));
	err_set(&err, ERR_UNAVAILABLE, "the server is away");
	receives(asked(&world, 1), CREDENTIAL_NONE, NULL, &err);
	await_status(&world, "crm", "unreachable");
	assert_string_equal(status(&world, "concat_ws('|', last_error, next_retry_at IS NULL)"),
			    "the server is away|f");
	receives(asked(&world, 2), CREDENTIAL_READY, NULL, NULL);
	answer(request(&world, 1), TOOLS);
	await_status(&world, "crm", "ok|1|legacy");
	end(&world);
}

static void a_refused_token_is_renewed_once(void **state)
{
	struct world world;

	begin(state, &world);
	add_oauth(&world, SETTINGS("shared"));
	receives(asked(&world, 1), CREDENTIAL_READY, NULL, NULL);
	refuse(request(&world, 1), 401, 7);
	assert_int_equal(asked(&world, 2)->refused_version, 7);
	receives(asked(&world, 2), CREDENTIAL_READY, NULL, NULL);
	answer(request(&world, 2), TOOLS);
	await_status(&world, "crm", "ok|1|legacy");
	refresh(&world);
	receives(asked(&world, 3), CREDENTIAL_READY, NULL, NULL);
	refuse(request(&world, 3), 401, 8);
	receives(asked(&world, 4), CREDENTIAL_READY, NULL, NULL);
	refuse(request(&world, 4), 401, 9);
	/* The tools stay: who calls one is asked to connect. */
	await_status(&world, "crm", "needs_auth|1|legacy");
	assert_string_equal(catalog(&world, "tools_count"), "1");
	refresh(&world);
	receives(asked(&world, 5), CREDENTIAL_READY, NULL, NULL);
	refuse(request(&world, 5), 403, 9);
	await(&world, "SELECT refresh_done AS v FROM tollgate.connection_status", "2");
	assert_string_equal(status(&world, "state"), "needs_auth");
	assert_int_equal(world.nodes[0].credentials.n, 5);
	end(&world);
}

static void connect_user(struct world *world, const char *name, const char *state, int minutes_ago)
{
	gate_db_do(
		world->gate,
		"WITH u AS (INSERT INTO tollgate.users (tenant_id, id, name, role)"
		" VALUES ('%s', gen_random_uuid(), '%s', 'user') RETURNING *)"
		" INSERT INTO tollgate.grants (tenant_id, connection_id, subject, user_id, id,"
		" state, kind, authenticated_at) SELECT u.tenant_id, c.id, 'user:' || u.id, u.id,"
		" gen_random_uuid(), '%s', 'authorization_code', now() - interval '%d min'"
		" FROM u, tollgate.connections c",
		world->tenant, name, state, minutes_ago);
}

static const char *subject_of(struct world *world, const char *name)
{
	return gate_db_ask(world->gate,
			   "SELECT 'user:' || id AS v FROM tollgate.users"
			   " WHERE name = '%s'",
			   name);
}

static void of_users_the_one_who_connected_last_lists_it(void **state)
{
	struct world world;

	begin(state, &world);
	add_oauth(&world, SETTINGS("user"));
	await_status(&world, "crm", "needs_auth");
	assert_int_equal(world.nodes[0].credentials.n, 0);
	connect_user(&world, "early", "active", 9);
	connect_user(&world, "late", "active", 5);
	connect_user(&world, "gone", "needs_reauth", 1);
	connect_user(&world, "barred", "active", 1);
	gate_db_do(world.gate, "UPDATE tollgate.users SET enabled = false WHERE name = 'barred'");
	keeper_grants_changed(world.nodes[0].keeper, world.tenant);
	assert_string_equal(asked(&world, 1)->subject, subject_of(&world, "late"));
	receives(asked(&world, 1), CREDENTIAL_READY, NULL, NULL);
	assert_string_equal(request(&world, 1)->subject, subject_of(&world, "late"));
	answer(request(&world, 1), TOOLS);
	await_status(&world, "crm", "ok|1|legacy");
	assert_string_equal(stream(&world, 1)->subject, subject_of(&world, "late"));
	gate_db_do(world.gate, "UPDATE tollgate.grants SET state = 'needs_reauth'"
			       " WHERE subject = (SELECT 'user:' || id FROM tollgate.users"
			       " WHERE name = 'late')");
	refresh(&world);
	assert_string_equal(asked(&world, 2)->subject, subject_of(&world, "early"));
	receives(asked(&world, 2), CREDENTIAL_READY, NULL, NULL);
	answer(request(&world, 2), TOOLS);
	await(&world, "SELECT refresh_done AS v FROM tollgate.connection_status", "1");
	end(&world);
}

static void what_is_tried_out_waits_while_the_old_serves(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	answer(request(&world, 1), TOOLS);
	await_status(&world, "crm", "ok|1|legacy");
	gate_db_do(world.gate,
		   "UPDATE tollgate.connections SET auth_mode = 'oauth', oauth = " SETTINGS(
			   "shared") ", version = version + 1");
	receives(asked(&world, 1), CREDENTIAL_NONE, NULL, NULL);
	await(&world, "SELECT trial_error AS v FROM tollgate.serving_connections",
	      "not connected yet");
	await_status(&world, "crm", "ok|1|legacy");
	keeper_grants_changed(world.nodes[0].keeper, world.tenant);
	receives(asked(&world, 2), CREDENTIAL_READY, NULL, NULL);
	answer(request(&world, 2), "{\"tools\":[]}");
	await(&world, "SELECT count(*) AS v FROM tollgate.serving_connections", "0");
	await_status(&world, "crm", "ok|0|legacy");
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(the_shared_grant_lists_it),
		GATE_DB_TEST(without_one_it_waits_for_a_person_and_asks_nobody),
		GATE_DB_TEST(a_refresh_looks_at_once_and_is_answered),
		GATE_DB_TEST(a_grant_that_cannot_be_asked_for_now_is_a_failure_like_others),
		GATE_DB_TEST(a_refused_token_is_renewed_once),
		GATE_DB_TEST(of_users_the_one_who_connected_last_lists_it),
		GATE_DB_TEST(what_is_tried_out_waits_while_the_old_serves),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
