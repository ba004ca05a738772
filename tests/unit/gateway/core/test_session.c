/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/mcp.h"
#include "gateway/core/meters.h"
#include "gateway/core/session.h"
#include "tests/fakes/gate_db.h"

/* How one operation ended. */
struct asked {
	struct session_op *op;
	int dones;
	struct session *session;
	bool failed;
	struct err err;
};

struct world {
	struct gate_db *gate;
	struct sessions *sessions;
	struct principal ana;
};

static char acme[] = "acme";

static struct world world_of(void **state)
{
	struct world world = { .gate = *state };

	world.sessions = sessions_new(world.gate->loop, world.gate->app, 60000);
	world.ana = (struct principal){ .refs = 1, .tenant = acme, .subject = "user:ana" };
	gate_db_tenant(world.gate, "acme", world.ana.tenant_id);
	return world;
}

static void on_done(void *ctx, struct session *session, const struct err *err)
{
	struct asked *asked = ctx;

	assert_null(asked->op);
	asked->dones++;
	asked->failed = err != NULL;
	if (err != NULL)
		asked->err = *err;
	if (session != NULL)
		asked->session = session_ref(session);
}

static bool has_ended(void *ctx)
{
	const struct asked *asked = ctx;

	return asked->dones > 0;
}

static void finish(const struct world *world, struct asked *asked)
{
	assert_int_equal(asked->dones, 0);
	assert_non_null(asked->op);
	gate_db_until(world->gate, has_ended, asked);
	assert_int_equal(asked->dones, 1);
}

static void create(const struct world *world, const char *endpoint, char id[SESSION_ID_BYTES])
{
	const struct session_new new = {
		.principal = &world->ana,
		.endpoint = endpoint,
		.protocol_version = "2025-06-18",
		.client_name = "editor",
		.client_version = "1.2",
		.capabilities = SPAN("{\"roots\":{}}"),
	};
	struct asked asked = { 0 };

	session_create_start(world->sessions, &asked.op, &new, id, on_done, &asked);
	assert_int_equal(strlen(id), SESSION_ID_BYTES - 1);
	finish(world, &asked);
	assert_false(asked.failed);
	assert_string_equal(asked.session->protocol_version, "2025-06-18");
	session_unref(&asked.session);
}

static void start_find(struct sessions *sessions, struct asked *asked,
		       const struct session_key *key)
{
	*asked = (struct asked){ 0 };
	session_find_start(sessions, &asked->op, key, on_done, asked);
}

static void expect_unknown(const struct world *world, const struct session_key *key)
{
	struct session *session = session_find(world->sessions, key);
	struct asked asked;

	assert_null(session);
	start_find(world->sessions, &asked, key);
	finish(world, &asked);
	assert_true(asked.failed);
	assert_int_equal(asked.err.code, ERR_NOT_FOUND);
	assert_null(session_find(world->sessions, key));
}

/* The session as it is in memory, or -2. */
static int remembered_level(struct sessions *sessions, const struct session_key *key)
{
	struct session *session = session_find(sessions, key);
	int level = session != NULL ? session->log_level : -2;

	session_unref(&session);
	return level;
}

static void a_new_session_is_a_row_without_its_id(void **state)
{
	struct world world = world_of(state);
	struct session_key key = { .principal = &world.ana, .endpoint = "crm" };
	char id[SESSION_ID_BYTES];
	char other[SESSION_ID_BYTES];
	struct session *session;

	create(&world, "crm", id);
	create(&world, "crm", other);
	assert_string_not_equal(id, other);
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT concat_ws('|', principal, endpoint, protocol_version,"
			    " client_name, client_version, client_capabilities,"
			    " expires_at > now() + interval '6 days 23 hours') AS v"
			    " FROM tollgate.mcp_sessions"
			    " WHERE id_hash = sha256('%s') AND tenant_id = '%s'",
			    id, world.ana.tenant_id),
		"user:ana|crm|2025-06-18|editor|1.2|{\"roots\":{}}|t");
	key.id = id;
	session = session_find(world.sessions, &key);
	assert_non_null(session);
	assert_string_equal(session->client, "editor/1.2");
	assert_int_equal(session->log_level, -1);
	assert_string_equal(
		session->id_digest,
		gate_db_ask(world.gate, "SELECT left(encode(sha256('%s'), 'hex'), 16) AS v", id));
	session_unref(&session);
	sessions_free(&world.sessions);
}

/* Whatever it declares, and of whatever version: the other workers know it as well. */
static void what_its_client_can_is_known_to_all_workers(void **state)
{
	static const char *const capabilities[] = { "{\"elicitation\":{}}",
						    "{\"elicitation\":{\"url\":{}}}" };
	struct world world = world_of(state);

	for (int elicits = 0; elicits <= 1; elicits++) {
		struct session_new new = { .principal = &world.ana,
					   .endpoint = "",
					   .protocol_version = "2025-06-18",
					   .capabilities = span_of(capabilities[elicits]) };
		struct session_key key = { .principal = &world.ana, .endpoint = "" };
		struct sessions *others = sessions_new(world.gate->loop, world.gate->app, 60000);
		char id[SESSION_ID_BYTES];
		struct asked asked = { 0 };

		session_create_start(world.sessions, &asked.op, &new, id, on_done, &asked);
		finish(&world, &asked);
		assert_int_equal(asked.session->elicits_url, elicits);
		session_unref(&asked.session);
		key.id = id;
		start_find(others, &asked, &key);
		finish(&world, &asked);
		assert_false(asked.failed);
		assert_int_equal(asked.session->elicits_url, elicits);
		session_unref(&asked.session);
		sessions_free(&others);
	}
	sessions_free(&world.sessions);
}

static void any_worker_finds_it(void **state)
{
	struct world world = world_of(state);
	struct sessions *others = sessions_new(world.gate->loop, world.gate->app, 60000);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct asked asked;

	create(&world, "", id);
	gate_db_do(world.gate, "UPDATE tollgate.mcp_sessions SET last_seen_at = '2000-01-01',"
			       " expires_at = now() + interval '1 min', log_level = 'warning'");
	assert_null(session_find(others, &key));
	start_find(others, &asked, &key);
	finish(&world, &asked);
	assert_false(asked.failed);
	assert_string_equal(asked.session->protocol_version, "2025-06-18");
	assert_string_equal(asked.session->client, "editor/1.2");
	assert_int_equal(asked.session->log_level, mcp_log_level("warning"));
	session_unref(&asked.session);
	assert_int_equal(remembered_level(others, &key), mcp_log_level("warning"));
	/* Use keeps it from expiring. */
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT last_seen_at > now() - interval '1 min'"
					" AND expires_at > now() + interval '6 days' AS v"
					" FROM tollgate.mcp_sessions"),
			    "t");
	sessions_free(&others);
	sessions_free(&world.sessions);
}

static void with_any_other_binding_it_does_not_exist(void **state)
{
	struct world world = world_of(state);
	struct principal bob = world.ana;
	struct principal elsewhere = world.ana;
	char id[SESSION_ID_BYTES];
	char altered[SESSION_ID_BYTES];
	char overlong[400];

	create(&world, "crm", id);
	gate_db_tenant(world.gate, "other", elsewhere.tenant_id);
	snprintf(bob.subject, sizeof(bob.subject), "user:bob");
	memcpy(altered, id, sizeof(altered));
	altered[0] = altered[0] == 'x' ? 'y' : 'x';
	memset(overlong, 'x', sizeof(overlong) - 1);
	overlong[sizeof(overlong) - 1] = '\0';

	const struct session_key keys[] = {
		{&bob,	"crm",  id	  },
		{ &elsewhere, "crm",  id	},
		{ &world.ana, "",	  id	     },
		{ &world.ana, "crm2", id	 },
		{ &world.ana, "crm",  ""	},
		{ &world.ana, "crm",  altered },
		{ &world.ana, "crm",  overlong},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		expect_unknown(&world, &keys[i]);
	sessions_free(&world.sessions);
}

static void an_expired_one_is_unknown(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };

	create(&world, "", id);
	gate_db_do(world.gate, "UPDATE tollgate.mcp_sessions SET expires_at = now()");
	sessions_forget(world.sessions, world.ana.tenant_id);
	expect_unknown(&world, &key);
	sessions_free(&world.sessions);
}

static void an_ended_one_is_unknown_at_once(void **state)
{
	struct world world = world_of(state);
	struct principal bob = world.ana;
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &bob, .endpoint = "", .id = id };
	struct asked asked = { 0 };

	create(&world, "", id);
	snprintf(bob.subject, sizeof(bob.subject), "user:bob");
	session_end_start(world.sessions, &asked.op, &key, on_done, &asked);
	finish(&world, &asked);
	assert_int_equal(asked.err.code, ERR_NOT_FOUND);
	assert_string_equal(
		gate_db_ask(world.gate, "SELECT count(*) AS v FROM tollgate.mcp_sessions"), "1");
	key.principal = &world.ana;
	asked = (struct asked){ 0 };
	session_end_start(world.sessions, &asked.op, &key, on_done, &asked);
	finish(&world, &asked);
	assert_false(asked.failed);
	assert_null(asked.session);
	assert_string_equal(
		gate_db_ask(world.gate, "SELECT count(*) AS v FROM tollgate.mcp_sessions"), "0");
	expect_unknown(&world, &key);
	sessions_free(&world.sessions);
}

static void the_log_level_is_kept_in_the_row(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct session_key unknown = { .principal = &world.ana, .endpoint = "", .id = "none" };
	struct asked asked = { 0 };

	create(&world, "", id);
	session_log_level_start(world.sessions, &asked.op, &key, "error", on_done, &asked);
	finish(&world, &asked);
	assert_false(asked.failed);
	assert_int_equal(remembered_level(world.sessions, &key), -2);
	start_find(world.sessions, &asked, &key);
	finish(&world, &asked);
	assert_int_equal(asked.session->log_level, mcp_log_level("error"));
	session_unref(&asked.session);
	asked = (struct asked){ 0 };
	session_log_level_start(world.sessions, &asked.op, &unknown, "error", on_done, &asked);
	finish(&world, &asked);
	assert_int_equal(asked.err.code, ERR_NOT_FOUND);
	sessions_free(&world.sessions);
}

static void a_level_that_changes_during_a_look_up_is_not_remembered_as_it_was(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct asked look_up;
	struct asked change = { 0 };

	create(&world, "", id);
	start_find(world.sessions, &look_up, &key);
	session_log_level_start(world.sessions, &change.op, &key, "error", on_done, &change);
	finish(&world, &change);
	if (look_up.dones == 0)
		finish(&world, &look_up);
	session_unref(&look_up.session);
	assert_int_not_equal(remembered_level(world.sessions, &key), -1);
	sessions_free(&world.sessions);
}

static void what_is_in_doubt_is_asked_for_again(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct asked asked;

	create(&world, "", id);
	sessions_forget(world.sessions, UUID_NIL);
	assert_int_equal(remembered_level(world.sessions, &key), -1);
	sessions_forget(world.sessions, NULL);
	assert_int_equal(remembered_level(world.sessions, &key), -2);
	start_find(world.sessions, &asked, &key);
	sessions_forget(world.sessions, world.ana.tenant_id);
	finish(&world, &asked);
	assert_false(asked.failed);
	session_unref(&asked.session);
	assert_int_equal(remembered_level(world.sessions, &key), -2);
	sessions_free(&world.sessions);
}

static void one_that_is_ended_is_measured(void **state)
{
	struct world world = world_of(state);
	struct metrics *metrics = metrics_new(gate_metrics, N_GATE_METRICS, 1);
	struct meter *meter = meter_new(metrics, 0);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct asked asked;
	struct buf text;

	sessions_measure(world.sessions, meter);
	create(&world, "", id);
	gate_db_do(world.gate,
		   "UPDATE tollgate.mcp_sessions SET created_at = now() - interval '90 s'");
	for (int i = 0; i < 2; i++) {
		asked = (struct asked){ 0 };
		session_end_start(world.sessions, &asked.op, &key, on_done, &asked);
		finish(&world, &asked);
		assert_int_equal(asked.failed, i > 0); /* it is there no more */
	}
	buf_init(&text, 1 << 20);
	metrics_print(metrics, &text);
	assert_non_null(strstr(buf_str(&text), "\nmcp_server_session_duration_seconds_bucket{"
					       "tenant=\"acme\",le=\"60\"} 0\n"));
	assert_non_null(strstr(buf_str(&text), "\nmcp_server_session_duration_seconds_bucket{"
					       "tenant=\"acme\",le=\"120\"} 1\n"));
	buf_fini(&text);
	sessions_free(&world.sessions);
	meter_free(&meter);
	metrics_free(&metrics);
}

static void wait_until_older(const struct world *world, int64_t ms)
{
	int64_t end_ms = loop_now_ms(world->gate->loop) + ms;

	while (loop_now_ms(world->gate->loop) <= end_ms)
		gate_db_for(world->gate, 5);
}

static void what_is_in_doubt_and_gone_is_unknown_for_good(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct asked asked;

	create(&world, "", id);
	gate_db_do(world.gate, "DELETE FROM tollgate.mcp_sessions");
	sessions_forget(world.sessions, NULL);
	expect_unknown(&world, &key);
	pg_cluster_halt(&world.gate->cluster);
	start_find(world.sessions, &asked, &key);
	finish(&world, &asked);
	assert_int_equal(asked.err.code, ERR_UNAVAILABLE);
	sessions_free(&world.sessions);
}

/* A connection that is lost puts everything in doubt, and the next one may take a while. */
static void without_a_database_what_is_in_doubt_is_served(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct asked asked;

	sessions_free(&world.sessions);
	world.sessions = sessions_new(world.gate->loop, world.gate->app, 1000);
	create(&world, "", id);
	pg_cluster_halt(&world.gate->cluster);
	sessions_forget(world.sessions, NULL);
	assert_int_equal(remembered_level(world.sessions, &key), -2);
	start_find(world.sessions, &asked, &key);
	finish(&world, &asked);
	assert_false(asked.failed);
	assert_string_equal(asked.session->protocol_version, "2025-06-18");
	session_unref(&asked.session);
	/* Still in doubt, and not for ever. */
	assert_int_equal(remembered_level(world.sessions, &key), -2);
	wait_until_older(&world, 2000);
	start_find(world.sessions, &asked, &key);
	finish(&world, &asked);
	assert_int_equal(asked.err.code, ERR_UNAVAILABLE);
	sessions_free(&world.sessions);
}

static void without_a_database_a_known_one_is_served_and_others_are_unavailable(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct session_key other = { .principal = &world.ana, .endpoint = "", .id = "other" };
	struct asked asked;

	create(&world, "", id);
	pg_cluster_halt(&world.gate->cluster);
	assert_int_equal(remembered_level(world.sessions, &key), -1);
	start_find(world.sessions, &asked, &other);
	finish(&world, &asked);
	assert_int_equal(asked.err.code, ERR_UNAVAILABLE);
	sessions_free(&world.sessions);
}

struct expected_level {
	struct sessions *sessions;
	const struct session_key *key;
	int level;
};

static bool has_level(void *ctx)
{
	const struct expected_level *expected = ctx;

	return remembered_level(expected->sessions, expected->key) == expected->level;
}

static void an_old_one_is_served_while_its_row_is_read_again(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };
	struct expected_level expected = { .key = &key, .level = mcp_log_level("error") };

	sessions_free(&world.sessions);
	world.sessions = sessions_new(world.gate->loop, world.gate->app, 500);
	expected.sessions = world.sessions;
	create(&world, "", id);
	gate_db_do(world.gate, "UPDATE tollgate.mcp_sessions SET log_level = 'error'");
	assert_int_equal(remembered_level(world.sessions, &key), -1);
	wait_until_older(&world, 500);
	/* Still as it was; what is asked meanwhile is asked once. */
	assert_int_equal(remembered_level(world.sessions, &key), -1);
	assert_int_equal(remembered_level(world.sessions, &key), -1);
	gate_db_until(world.gate, has_level, &expected);
	/* One that has gone meanwhile is served once, and no more. */
	gate_db_do(world.gate, "DELETE FROM tollgate.mcp_sessions");
	wait_until_older(&world, 500);
	assert_int_equal(remembered_level(world.sessions, &key), expected.level);
	expected.level = -2;
	gate_db_until(world.gate, has_level, &expected);
	sessions_free(&world.sessions);
}

static void without_a_database_an_old_one_is_served_for_so_long_again(void **state)
{
	struct world world = world_of(state);
	char id[SESSION_ID_BYTES];
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = id };

	sessions_free(&world.sessions);
	world.sessions = sessions_new(world.gate->loop, world.gate->app, 1000);
	create(&world, "", id);
	pg_cluster_halt(&world.gate->cluster);
	wait_until_older(&world, 1000);
	assert_int_equal(remembered_level(world.sessions, &key), -1);
	wait_until_older(&world, 1000);
	assert_int_equal(remembered_level(world.sessions, &key), -2);
	/* While it is being read again. */
	sessions_free(&world.sessions);
}

static void cancel_means_silence(void **state)
{
	struct world world = world_of(state);
	struct session_key key = { .principal = &world.ana, .endpoint = "", .id = "x" };
	const struct session_new new = { .principal = &world.ana,
					 .endpoint = "",
					 .protocol_version = "2025-11-25",
					 .capabilities = SPAN("{}") };
	struct asked asked[4] = { 0 };
	char id[SESSION_ID_BYTES];

	session_create_start(world.sessions, &asked[0].op, &new, id, on_done, &asked[0]);
	session_find_start(world.sessions, &asked[1].op, &key, on_done, &asked[1]);
	session_end_start(world.sessions, &asked[2].op, &key, on_done, &asked[2]);
	session_log_level_start(world.sessions, &asked[3].op, &key, "info", on_done, &asked[3]);
	for (size_t i = 0; i < 4; i++) {
		session_cancel(&asked[i].op);
		assert_null(asked[i].op);
		session_cancel(&asked[i].op);
	}
	gate_db_do(world.gate, "SELECT 1 AS v");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(asked[i].dones, 0);
	sessions_free(&world.sessions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_new_session_is_a_row_without_its_id),
		GATE_DB_TEST(one_that_is_ended_is_measured),
		GATE_DB_TEST(what_its_client_can_is_known_to_all_workers),
		GATE_DB_TEST(any_worker_finds_it),
		GATE_DB_TEST(with_any_other_binding_it_does_not_exist),
		GATE_DB_TEST(an_expired_one_is_unknown),
		GATE_DB_TEST(an_ended_one_is_unknown_at_once),
		GATE_DB_TEST(the_log_level_is_kept_in_the_row),
		GATE_DB_TEST(a_level_that_changes_during_a_look_up_is_not_remembered_as_it_was),
		GATE_DB_TEST(what_is_in_doubt_is_asked_for_again),
		GATE_DB_TEST(what_is_in_doubt_and_gone_is_unknown_for_good),
		GATE_DB_TEST(without_a_database_what_is_in_doubt_is_served),
		GATE_DB_TEST(without_a_database_a_known_one_is_served_and_others_are_unavailable),
		GATE_DB_TEST(an_old_one_is_served_while_its_row_is_read_again),
		GATE_DB_TEST(without_a_database_an_old_one_is_served_for_so_long_again),
		GATE_DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
