/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* On real tables. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/health.h"
#include "tests/fakes/gate_db.h"

#define STATUS                                                                                     \
	"SELECT concat_ws('|', state, last_error, refresh_wanted, calls_failed_at IS NULL) AS v"   \
	" FROM tollgate.connection_status"

struct world {
	struct gate_db *gate;
	struct healths *healths;
	struct connection connection;
	struct tenant tenant;
	char id[UUID_TEXT_BYTES];
	char tenant_id[UUID_TEXT_BYTES];
};

/* A word may follow the one before at once. */
void __real_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	bool is_pause = delay_ms > HEALTH_TELL_MS / 2 && delay_ms < HEALTH_TELL_MS;

	__real_timer_start(loop, timer, is_pause ? 100 : delay_ms, cb, ctx);
}

static void begin(void **state, struct world *world)
{
	*world = (struct world){ .gate = *state };
	gate_db_tenant(world->gate, "acme", world->tenant_id);
	uuid_v4(world->id);
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url)"
		   " VALUES ('%s', '%s', 'crm', 'https://mcp.example.com/')",
		   world->tenant_id, world->id);
	gate_db_do(world->gate,
		   "UPDATE tollgate.connection_status SET state = 'ok', settings_version = 1");
	world->connection = (struct connection){ .id = world->id, .settings_version = 1 };
	world->tenant = (struct tenant){ .id = world->tenant_id,
					 .connections = &world->connection,
					 .n_connections = 1 };
	world->healths = healths_new(world->gate->loop, world->gate->app);
}

static enum breaker_verdict admit(struct world *world)
{
	struct health_refusal refusal;

	return health_admit(world->healths, &world->tenant, &world->connection, &refusal);
}

static void fails_with(struct world *world, enum err_code code, const char *tag)
{
	struct err err;

	err_set(&err, code, "nobody is there");
	snprintf(err.tag, sizeof(err.tag), "%s", tag);
	health_heard(world->healths, &world->tenant, &world->connection, BREAKER_PASS, &err);
}

static void fails(struct world *world)
{
	fails_with(world, ERR_UPSTREAM, "");
}

static void answers(struct world *world)
{
	health_heard(world->healths, &world->tenant, &world->connection, BREAKER_PASS, NULL);
}

static void trip(struct world *world)
{
	for (int n = 0; n < BREAKER_FAILURES; n++) {
		admit(world);
		fails(world);
	}
	assert_int_equal(admit(world), BREAKER_REFUSE);
}

static void await(struct world *world, const char *sql, const char *expected)
{
	int64_t end_ms = loop_now_ms(world->gate->loop) + GATE_WAIT_MS;

	while (strcmp(gate_db_ask(world->gate, "%s", sql), expected) != 0) {
		if (loop_now_ms(world->gate->loop) > end_ms)
			fail_msg("%s gives %s, not %s", sql, world->gate->answer, expected);
		gate_db_for(world->gate, 5);
	}
}

static void which_failures_count(void **state)
{
	static const struct {
		enum err_code code;
		const char *tag;
		enum breaker_verdict then;
	} rows[] = {
		{ERR_TIMEOUT,	       "",	   BREAKER_REFUSE},
		   { ERR_UPSTREAM,	   "",    BREAKER_REFUSE},
		{ ERR_UPSTREAM,	"503", BREAKER_REFUSE},
		   { ERR_UPSTREAM,	   "404", BREAKER_PASS  },
		{ ERR_UNAUTHENTICATED, "",	   BREAKER_PASS	},
		   { ERR_FORBIDDEN,	    "",	BREAKER_PASS  },
		{ ERR_TOO_LARGE,	 "",    BREAKER_PASS  },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world world;

		begin(state, &world);
		for (int n = 0; n < BREAKER_FAILURES; n++) {
			assert_int_equal(admit(&world), BREAKER_PASS);
			fails_with(&world, rows[i].code, rows[i].tag);
		}
		assert_int_equal(admit(&world), rows[i].then);
		healths_free(&world.healths);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_refusal_says_why_and_until_when(void **state)
{
	struct health_refusal refusal;
	struct world world;

	begin(state, &world);
	trip(&world);
	assert_int_equal(health_admit(world.healths, &world.tenant, &world.connection, &refusal),
			 BREAKER_REFUSE);
	assert_string_equal(refusal.last_error, "nobody is there");
	assert_int_equal(refusal.failures, BREAKER_FAILURES);
	assert_in_range(refusal.retry_ms, 1, BREAKER_PROBE_MS);
	healths_free(&world.healths);
}

static void a_run_of_failures_is_told_once_and_its_end_too(void **state)
{
	struct world world;

	begin(state, &world);
	for (int n = 0; n < HEALTH_RUN - 1; n++) {
		admit(&world);
		fails(&world);
	}
	answers(&world);
	for (int n = 0; n < HEALTH_RUN - 1; n++)
		fails(&world);
	gate_db_for(world.gate, 50);
	await(&world, STATUS, "ok|0|t");
	fails(&world);
	await(&world, STATUS, "degraded|nobody is there|1|f");
	fails(&world);
	answers(&world);
	await(&world, STATUS, "ok|nobody is there|1|t");
	healths_free(&world.healths);
}

/* So that what is down by its watcher's word is listed as soon as a call was answered. */
static void an_answer_of_what_was_down_asks_for_a_list(void **state)
{
	struct world world;

	begin(state, &world);
	for (int n = 0; n < HEALTH_RUN; n++) {
		admit(&world);
		fails(&world);
	}
	await(&world, STATUS, "degraded|nobody is there|1|f");
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET state = 'unreachable'");
	answers(&world);
	await(&world, STATUS, "unreachable|nobody is there|2|t");
	healths_free(&world.healths);
}

/* It came back and failed again within HEALTH_TELL_MS: that it was well meanwhile is only known
 * from the node that watches it. */
static void failures_of_what_was_found_well_ask_for_a_list(void **state)
{
	struct world world;

	begin(state, &world);
	for (int n = 0; n < HEALTH_RUN; n++) {
		admit(&world);
		fails(&world);
	}
	await(&world, STATUS, "degraded|nobody is there|1|f");
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET state = 'ok'");
	answers(&world);
	for (int n = 0; n < HEALTH_RUN; n++)
		fails(&world);
	await(&world, STATUS, "degraded|nobody is there|2|f");
	healths_free(&world.healths);
}

/* Another worker, or the one that watches it, has had an answer meanwhile. */
static void a_word_that_comes_late_is_not_taken(void **state)
{
	struct world world;

	begin(state, &world);
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET last_success = now()"
			       " + interval '10 s'");
	for (int n = 0; n < HEALTH_RUN; n++) {
		admit(&world);
		fails(&world);
	}
	gate_db_for(world.gate, 200);
	await(&world, STATUS, "ok|0|t");
	healths_free(&world.healths);
}

static void a_word_about_older_settings_is_not_taken(void **state)
{
	struct world world;

	begin(state, &world);
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET settings_version = 2");
	for (int n = 0; n < HEALTH_RUN; n++) {
		admit(&world);
		fails(&world);
	}
	gate_db_for(world.gate, 200);
	await(&world, STATUS, "ok|0|t");
	healths_free(&world.healths);
}

/* It is one user's trouble, or the grant tells of it. */
static void a_refused_grant_says_nothing_of_the_upstream(void **state)
{
	static const struct connection_oauth oauth = { .per_user = true };
	struct world world;

	begin(state, &world);
	for (int own = 0; own <= 1; own++) {
		world.connection.auth_mode = own == 1 ? AUTH_NONE : AUTH_OAUTH;
		world.connection.oauth = own == 1 ? NULL : &oauth;
		for (int n = 0; n < 2 * BREAKER_FAILURES; n++) {
			assert_int_equal(admit(&world), BREAKER_PASS);
			fails_with(&world, ERR_UNAUTHENTICATED, "");
		}
		gate_db_for(world.gate, 200);
		await(&world, STATUS, own == 1 ? "degraded|nobody is there|1|f" : "ok|0|t");
	}
	healths_free(&world.healths);
}

static void new_settings_begin_anew(void **state)
{
	struct world world;
	struct connection old;

	begin(state, &world);
	trip(&world);
	old = world.connection;
	world.connection.settings_version = 2;
	assert_int_equal(admit(&world), BREAKER_PASS);
	/* A call that still runs with the old ones says nothing of them. */
	for (int n = 0; n < BREAKER_FAILURES; n++) {
		struct err err;

		err_set(&err, ERR_UPSTREAM, "late");
		health_heard(world.healths, &world.tenant, &old, BREAKER_PASS, &err);
	}
	assert_int_equal(admit(&world), BREAKER_PASS);
	healths_free(&world.healths);
}

static void the_last_answer_is_remembered(void **state)
{
	struct world world;

	begin(state, &world);
	assert_int_equal(health_last_answer_ms(world.healths, world.tenant_id, &world.connection),
			 -1);
	admit(&world);
	answers(&world);
	assert_in_range(health_last_answer_ms(world.healths, world.tenant_id, &world.connection), 1,
			loop_now_ms(world.gate->loop));
	healths_free(&world.healths);
}

struct asked {
	struct health_op *op;
	int dones;
	bool granted;
};

static void on_asked(void *ctx, bool granted)
{
	struct asked *asked = ctx;

	asked->dones++;
	asked->granted = granted;
}

static bool was_told(void *ctx)
{
	const struct asked *asked = ctx;

	return asked->dones == 1;
}

static struct asked ask(struct world *world)
{
	struct asked asked = { 0 };

	health_ask_start(world->healths, &asked.op, &world->tenant, &world->connection, on_asked,
			 &asked);
	assert_non_null(asked.op);
	gate_db_until(world->gate, was_told, &asked);
	assert_null(asked.op);
	return asked;
}

static enum breaker_verdict await_probe(struct world *world)
{
	int64_t end_ms = loop_now_ms(world->gate->loop) + GATE_WAIT_MS;
	enum breaker_verdict verdict;

	while ((verdict = admit(world)) == BREAKER_REFUSE &&
	       loop_now_ms(world->gate->loop) < end_ms)
		gate_db_for(world->gate, 5);
	return verdict;
}

static void of_all_workers_one_probes_in_a_second(void **state)
{
	struct world world;

	begin(state, &world);
	trip(&world);
	assert_int_equal(await_probe(&world), BREAKER_PROBE);
	assert_true(ask(&world).granted);
	health_abandoned(world.healths, &world.tenant, &world.connection, BREAKER_PROBE);
	assert_int_equal(await_probe(&world), BREAKER_PROBE);
	/* Another worker was faster. */
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET probed_at = now()");
	assert_false(ask(&world).granted);
	assert_int_equal(admit(&world), BREAKER_REFUSE);
	healths_free(&world.healths);
}

static void a_question_that_is_taken_back_gives_the_probe_back(void **state)
{
	struct asked asked = { 0 };
	struct world world;

	begin(state, &world);
	trip(&world);
	assert_int_equal(await_probe(&world), BREAKER_PROBE);
	health_ask_start(world.healths, &asked.op, &world.tenant, &world.connection, on_asked,
			 &asked);
	assert_int_equal(admit(&world), BREAKER_REFUSE);
	health_ask_cancel(&asked.op);
	assert_null(asked.op);
	assert_int_equal(admit(&world), BREAKER_PROBE);
	gate_db_for(world.gate, 50);
	assert_int_equal(asked.dones, 0);
	healths_free(&world.healths);
}

static void without_a_database_a_worker_probes_for_itself(void **state)
{
	struct world world;

	begin(state, &world);
	trip(&world);
	pg_cluster_halt(&world.gate->cluster);
	assert_int_equal(await_probe(&world), BREAKER_PROBE);
	assert_true(ask(&world).granted);
	healths_free(&world.healths);
}

static void what_a_tenant_no_longer_has_is_forgotten(void **state)
{
	struct world world;

	begin(state, &world);
	trip(&world);
	healths_tenant_changed(world.healths, world.tenant_id, &world.tenant);
	assert_int_equal(admit(&world), BREAKER_REFUSE);
	healths_tenant_changed(world.healths, UUID_NIL, NULL);
	assert_int_equal(admit(&world), BREAKER_REFUSE);
	world.tenant.n_connections = 0;
	healths_tenant_changed(world.healths, world.tenant_id, &world.tenant);
	assert_int_equal(admit(&world), BREAKER_PASS);
	trip(&world);
	healths_tenant_changed(world.healths, world.tenant_id, NULL);
	assert_int_equal(admit(&world), BREAKER_PASS);
	healths_free(&world.healths);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(which_failures_count),
		GATE_DB_TEST(a_refusal_says_why_and_until_when),
		GATE_DB_TEST(a_run_of_failures_is_told_once_and_its_end_too),
		GATE_DB_TEST(an_answer_of_what_was_down_asks_for_a_list),
		GATE_DB_TEST(failures_of_what_was_found_well_ask_for_a_list),
		GATE_DB_TEST(a_word_that_comes_late_is_not_taken),
		GATE_DB_TEST(a_word_about_older_settings_is_not_taken),
		GATE_DB_TEST(a_refused_grant_says_nothing_of_the_upstream),
		GATE_DB_TEST(new_settings_begin_anew),
		GATE_DB_TEST(the_last_answer_is_remembered),
		GATE_DB_TEST(of_all_workers_one_probes_in_a_second),
		GATE_DB_TEST(a_question_that_is_taken_back_gives_the_probe_back),
		GATE_DB_TEST(without_a_database_a_worker_probes_for_itself),
		GATE_DB_TEST(what_a_tenant_no_longer_has_is_forgotten),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
