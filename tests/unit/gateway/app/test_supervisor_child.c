/* SPDX-License-Identifier: Apache-2.0 */

/* The watchdog. */

#include "tests/unit/gateway/app/supervisor_fixture.h"

static void a_worker_that_hangs_is_killed_and_replaced(void **state)
{
	struct fixture *f = *state;
	int first;

	shared->behaviour[0] = HANG;
	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	await(&shared->beats, 1, "its loop turns");
	first = shared->pid[0];
	shared->hang = 1;
	await(&shared->starts[0], 2, "it is replaced");
	assert_int_not_equal(shared->pid[0], first);
	shared->hang = 0;
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void a_worker_that_is_stopped_is_killed_and_replaced(void **state)
{
	struct fixture *f = *state;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	await(&shared->beats, 1, "its loop turns");
	assert_int_equal(kill(shared->pid[0], SIGSTOP), 0);
	await(&shared->starts[0], 2, "it is replaced");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

/* As a laptop that sleeps: for whoever wakes up first, everybody else seems to hang. */
static void who_stood_still_itself_accuses_nobody(void **state)
{
	struct fixture *f = *state;
	int64_t until;
	int status;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	await(&shared->beats, 1, "its loop turns");
	assert_int_equal(kill(f->daemon, SIGSTOP), 0);
	assert_int_equal(waitpid(f->daemon, &status, WUNTRACED), f->daemon);
	assert_int_equal(kill(shared->pid[0], SIGSTOP), 0);
	until = now_ms() + 4000; /* that this time passes is what the test is about */
	while (now_ms() < until)
		wait_a_moment();
	assert_int_equal(kill(f->daemon, SIGCONT), 0);
	until = now_ms() + 300;
	while (now_ms() < until)
		wait_a_moment();
	assert_int_equal(kill(shared->pid[0], SIGCONT), 0);
	until = now_ms() + 2500;
	while (now_ms() < until)
		wait_a_moment();
	assert_int_equal(shared->starts[0], 1);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_worker_that_hangs_is_killed_and_replaced),
		TEST(a_worker_that_is_stopped_is_killed_and_replaced),
		TEST(who_stood_still_itself_accuses_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
