/* SPDX-License-Identifier: Apache-2.0 */

/* The pool: queue, cancel, and what happens when the server fails. */

#include <signal.h>

#include "tests/unit/base/db_fixture.h"

#define MANY 200

static bool all_ended(void *ctx)
{
	const struct shot *shots = ctx;

	for (size_t i = 0; i < MANY; i++) {
		if (shots[i].calls == 0)
			return false;
	}
	return true;
}

static void two_hundred_operations_share_four_connections(void **state)
{
	struct fixture *f = *state;
	struct shot *shots = mem_new_array(MANY, sizeof(*shots));
	struct shot shot;

	for (size_t i = 0; i < MANY; i++) {
		char number[16];
		char value[16];
		const struct span param = { number,
					    (size_t)snprintf(number, sizeof(number), "%zu", i) };
		const struct db_setting setting = { "app.tenant", value };

		snprintf(value, sizeof(value), "t%zu", i);
		db_query(f->db, &shots[i].op, &setting,
			 "SELECT $1 || current_setting('app.tenant') AS v, pg_sleep(0.002)", &param,
			 1, on_done, &shots[i]);
	}
	run_until(f, all_ended, shots);
	for (size_t i = 0; i < MANY; i++) {
		char expected[32];

		assert_false(shots[i].failed);
		assert_int_equal(shots[i].calls, 1);
		snprintf(expected, sizeof(expected), "%zut%zu", i, i);
		assert_string_equal(shots[i].v[0], expected);
	}
	free(shots);
	assert_string_equal(ask(f, &shot,
				"SELECT count(*) AS v FROM pg_stat_activity"
				" WHERE application_name = 'tollgate'"),
			    "4");
}

static void idle_connections_close_but_one_stays(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	struct shot shots[4];
	struct shot count;

	params.idle_ms = 50;
	use_pool(f, &params);
	for (size_t i = 0; i < 4; i++)
		shoot(f, &shots[i], "SELECT 1 AS v, pg_sleep(0.1)");
	for (size_t i = 0; i < 4; i++)
		finish_shot(f, &shots[i]);
	do {
		ask(f, &count,
		    "SELECT count(*) AS v, pg_sleep(0.01) FROM pg_stat_activity"
		    " WHERE application_name = 'tollgate'");
	} while (strcmp(count.v[0], "1") != 0);
	assert_true(db_up(f->db));
}

static void an_operation_cancelled_in_the_queue_never_runs(void **state)
{
	struct fixture *f = *state;
	struct shot first;
	struct shot second;
	struct shot third;

	use_connections(f, 1);
	ask(f, &first, "CREATE SEQUENCE taken");
	shoot(f, &first, "SELECT 1 AS v, pg_sleep(0.05)");
	shoot(f, &second, "SELECT nextval('taken') AS v");
	shoot(f, &third, "SELECT nextval('taken') AS v");
	db_cancel(&second.op);
	assert_null(second.op);
	db_cancel(&second.op);
	finish_shot(f, &third);
	assert_string_equal(third.v[0], "1");
	assert_int_equal(first.calls, 1);
	assert_int_equal(second.calls, 0);
}

static void a_connection_is_reused_after_a_cancel_once_it_is_drained(void **state)
{
	struct fixture *f = *state;
	struct shot slow;
	struct shot pid;
	struct shot next;

	use_connections(f, 1);
	ask(f, &pid, "SELECT pg_backend_pid() AS v");
	shoot(f, &slow, "SELECT repeat('x', 1000) AS v, pg_sleep(0.1) FROM generate_series(1, 2)");
	db_cancel(&slow.op);
	assert_string_equal(ask(f, &next, "SELECT pg_backend_pid() AS v"), pid.v[0]);
	assert_int_equal(slow.calls, 0);

	/* One that fails meanwhile, too. */
	shoot(f, &slow, "SELECT 1 / (random() * 0) AS v, pg_sleep(0.05)");
	db_cancel(&slow.op);
	assert_string_equal(ask(f, &next, "SELECT pg_backend_pid() AS v"), pid.v[0]);
	assert_int_equal(slow.calls, 0);
}

static void a_cancel_silences_an_end_that_is_already_known(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	struct shot refused;
	struct shot shot;

	params.max_queued = 0;
	use_pool(f, &params);
	shoot(f, &refused, "SELECT 1 AS v");
	db_cancel(&refused.op);
	run_until(f, is_up, f->db);
	ask(f, &shot, "SELECT 1 AS v");
	assert_int_equal(refused.calls, 0);
}

static void the_queue_has_a_ceiling(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	struct shot running;
	struct shot queued[2];
	struct shot refused;

	params.max_connections = 1;
	params.max_queued = 2;
	use_pool(f, &params);
	ask(f, &running, "SELECT 1 AS v");
	shoot(f, &running, "SELECT 1 AS v, pg_sleep(0.1)");
	shoot(f, &queued[0], "SELECT 'a' AS v");
	shoot(f, &queued[1], "SELECT 'b' AS v");
	shoot(f, &refused, "SELECT 'c' AS v");
	expect_failure(f, &refused, ERR_UNAVAILABLE, "");
	assert_int_equal(running.calls, 0);
	finish_shot(f, &queued[1]);
	assert_string_equal(queued[0].v[0], "a");
	assert_string_equal(queued[1].v[0], "b");
}

static void who_waits_too_long_for_a_connection_gives_up(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	const struct db_setting longer = { "statement_timeout", "5000" };
	struct shot running = { 0 };
	struct shot waiting;

	params.max_connections = 1;
	params.op_timeout_ms = 500;
	use_pool(f, &params);
	ask(f, &running, "SELECT 1 AS v");
	running = (struct shot){ 0 };
	db_query(f->db, &running.op, &longer, "SELECT 1 AS v, pg_sleep(0.8)", NULL, 0, on_done,
		 &running);
	shoot(f, &waiting, "SELECT 2 AS v");
	expect_failure(f, &waiting, ERR_UNAVAILABLE, "");
	assert_int_equal(running.calls, 0);
	finish_shot(f, &running);
	assert_false(running.failed);
}

struct chain {
	struct fixture *f;
	struct shot shot;
	struct db_op *next;
	int left;
};

static void on_link(void *ctx, const struct db_result *const *results, size_t n,
		    const struct err *err)
{
	struct chain *chain = ctx;

	assert_null(err);
	assert_null(chain->next);
	assert_int_equal(db_rows(results[n - 1]), 1);
	if (--chain->left > 0)
		db_query(chain->f->db, &chain->next, NULL, "SELECT 1 AS v", NULL, 0, on_link,
			 chain);
	else
		db_free(&chain->f->db);
}

static bool chain_ended(void *ctx)
{
	return ((struct chain *)ctx)->left == 0;
}

static void done_may_start_another_and_free_the_pool(void **state)
{
	struct fixture *f = *state;
	struct chain chain = { .f = f, .left = 5 };

	db_query(f->db, &chain.next, NULL, "SELECT 1 AS v", NULL, 0, on_link, &chain);
	run_until(f, chain_ended, &chain);
	assert_null(f->db);
}

static void freeing_the_pool_ends_what_was_cancelled(void **state)
{
	struct fixture *f = *state;
	struct shot shots[6];

	for (size_t i = 0; i < 6; i++)
		shoot(f, &shots[i], "SELECT 1 AS v, pg_sleep(5)");
	run_until(f, is_up, f->db);
	for (size_t i = 0; i < 6; i++)
		db_cancel(&shots[i].op);
	db_free(&f->db);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(shots[i].calls, 0);
}

static void a_terminated_backend_fails_its_operation_only(void **state)
{
	struct fixture *f = *state;
	struct shot slow;
	struct shot killer;
	struct shot after;

	shoot(f, &slow, "SELECT 'victim' AS v, pg_sleep(20)");
	do {
		ask(f, &killer,
		    "SELECT pg_terminate_backend(pid) AS v FROM pg_stat_activity"
		    " WHERE query LIKE '%victim%' AND pid <> pg_backend_pid()");
	} while (killer.rows[0] == 0);
	expect_failure(f, &slow, ERR_UNAVAILABLE, "sent");
	assert_string_equal(ask(f, &after, "SELECT 1 AS v"), "1");
	run_until(f, is_up, f->db);
}

/* Asks until another backend answers; up to then there may be no answer. */
static void expect_other_backend(struct fixture *f, const char *pid)
{
	int64_t started_ms = loop_now_ms(f->loop);
	struct shot shot;

	do {
		assert_true(loop_now_ms(f->loop) - started_ms < LIMIT_MS);
		shoot(f, &shot, "SELECT pg_backend_pid() AS v");
		finish_shot(f, &shot);
	} while (shot.failed || strcmp(shot.v[0], pid) == 0);
}

static void an_idle_connection_that_ends_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct shot before;
	char sql[LONG_TEXT + 40];

	use_connections(f, 1);
	ask(f, &before, "SELECT pg_backend_pid() AS v");
	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%s)", before.v[0]);
	assert_int_equal(pg_cluster_psql(&f->cluster, "postgres", sql), 0);
	expect_other_backend(f, before.v[0]);
	assert_true(db_up(f->db));
}

static void a_server_that_is_down_is_known_and_found_again(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	struct shot shot;
	int64_t started_ms;

	pg_cluster_halt(&f->cluster);
	params.op_timeout_ms = 300;
	use_pool(f, &params);
	assert_false(db_up(f->db));
	/* Nothing is known yet: the first waits in hope. */
	shoot(f, &shot, "SELECT 1 AS v");
	expect_failure(f, &shot, ERR_UNAVAILABLE, "");
	assert_non_null(strstr(shot.err.text, f->cluster.dir));

	/* By now it is known, and the answer comes at once, except while an attempt runs. */
	do {
		started_ms = loop_now_ms(f->loop);
		shoot(f, &shot, "SELECT 1 AS v");
		finish_shot(f, &shot);
		assert_true(shot.failed);
	} while (loop_now_ms(f->loop) - started_ms >= params.op_timeout_ms);
	assert_int_equal(shot.err.code, ERR_UNAVAILABLE);
	assert_string_equal(shot.err.tag, "");

	assert_int_equal(pg_cluster_restart(&f->cluster), 0);
	started_ms = loop_now_ms(f->loop);
	run_until(f, is_up, f->db);
	assert_true(loop_now_ms(f->loop) - started_ms <= 5500);
	assert_string_equal(ask(f, &shot, "SELECT 1 AS v"), "1");
}

static void an_operation_waits_for_a_server_that_is_just_starting(void **state)
{
	struct fixture *f = *state;
	struct shot shot;

	pg_cluster_halt(&f->cluster);
	use_connections(f, 4);
	shoot(f, &shot, "SELECT 1 AS v");
	pg_cluster_launch(&f->cluster);
	finish_shot(f, &shot);
	assert_false(shot.failed);
	assert_string_equal(shot.v[0], "1");
}

static void count_change(void *ctx)
{
	int *changes = ctx;

	(*changes)++;
}

static void a_killed_server_is_found_again_after_its_restart(void **state)
{
	struct fixture *f = *state;
	int changes = 0;
	struct shot running[4];
	struct shot waiting;
	struct shot after;

	for (size_t i = 0; i < 4; i++)
		shoot(f, &running[i], "SELECT 1 AS v, pg_sleep(0.1)");
	for (size_t i = 0; i < 4; i++)
		finish_shot(f, &running[i]);
	for (size_t i = 0; i < 4; i++)
		shoot(f, &running[i], "SELECT 1 AS v, pg_sleep(20)");
	shoot(f, &waiting, "SELECT 'waited' AS v");
	db_watch(f->db, count_change, &changes);
	pg_cluster_kill(&f->cluster);
	for (size_t i = 0; i < 4; i++)
		expect_failure(f, &running[i], ERR_UNAVAILABLE, "sent");
	assert_false(db_up(f->db));
	assert_true(changes > 0);
	changes = 0;
	assert_int_equal(waiting.calls, 0);
	assert_int_equal(pg_cluster_restart(&f->cluster), 0);
	finish_shot(f, &waiting);
	assert_string_equal(waiting.v[0], "waited");
	assert_true(db_up(f->db));
	assert_true(changes > 0);
	db_watch(f->db, NULL, NULL);
	assert_string_equal(ask(f, &after, "SELECT 1 AS v"), "1");
}

static void a_stopped_backend_is_given_up_and_the_pool_recovers(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	struct shot pid;
	struct shot hung;
	struct shot after;
	int64_t started_ms;
	pid_t first;
	pid_t second;

	params.max_connections = 1;
	params.op_timeout_ms = 500;
	use_pool(f, &params);
	ask(f, &pid, "SELECT pg_backend_pid() AS v");
	first = (pid_t)strtol(pid.v[0], NULL, 10);
	kill(first, SIGSTOP);
	started_ms = loop_now_ms(f->loop);
	shoot(f, &hung, "SELECT 1 AS v");
	expect_failure(f, &hung, ERR_TIMEOUT, "sent");
	assert_in_range(loop_now_ms(f->loop) - started_ms, 1000, 3000);
	assert_string_not_equal(ask(f, &after, "SELECT pg_backend_pid() AS v"), pid.v[0]);

	/* A cancelled one does not hold its connection for ever either. */
	second = (pid_t)strtol(after.v[0], NULL, 10);
	kill(second, SIGSTOP);
	shoot(f, &hung, "SELECT 1 AS v");
	db_cancel(&hung.op);
	expect_other_backend(f, after.v[0]);
	assert_int_equal(hung.calls, 0);
	kill(first, SIGCONT);
	kill(second, SIGCONT);
}

static void when_the_server_has_no_more_connections_the_pool_does_with_fewer(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	char conninfo[200];
	struct shot shots[MANY / 10];

	assert_int_equal(pg_cluster_psql(&f->cluster, "postgres",
					 "CREATE ROLE narrow LOGIN CONNECTION LIMIT 2"),
			 0);
	snprintf(conninfo, sizeof(conninfo), "%s user=narrow", f->cluster.conninfo);
	params.conninfo = conninfo;
	use_pool(f, &params);
	for (size_t i = 0; i < MANY / 10; i++)
		shoot(f, &shots[i], "SELECT 1 AS v, pg_sleep(0.02)");
	for (size_t i = 0; i < MANY / 10; i++) {
		finish_shot(f, &shots[i]);
		assert_false(shots[i].failed);
	}
	assert_true(db_up(f->db));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(two_hundred_operations_share_four_connections),
		DB_TEST(idle_connections_close_but_one_stays),
		DB_TEST(an_operation_cancelled_in_the_queue_never_runs),
		DB_TEST(a_connection_is_reused_after_a_cancel_once_it_is_drained),
		DB_TEST(a_cancel_silences_an_end_that_is_already_known),
		DB_TEST(the_queue_has_a_ceiling),
		DB_TEST(who_waits_too_long_for_a_connection_gives_up),
		DB_TEST(done_may_start_another_and_free_the_pool),
		DB_TEST(freeing_the_pool_ends_what_was_cancelled),
		DB_TEST(a_terminated_backend_fails_its_operation_only),
		DB_TEST(an_idle_connection_that_ends_is_replaced),
		DB_TEST(a_server_that_is_down_is_known_and_found_again),
		DB_TEST(an_operation_waits_for_a_server_that_is_just_starting),
		DB_TEST(a_killed_server_is_found_again_after_its_restart),
		DB_TEST(a_stopped_backend_is_given_up_and_the_pool_recovers),
		DB_TEST(when_the_server_has_no_more_connections_the_pool_does_with_fewer),
	};

	return cmocka_run_group_tests(tests, start_program, end_program);
}
