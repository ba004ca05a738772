/* SPDX-License-Identifier: Apache-2.0 */

/* Reloads: who is replaced when, and what happens when it cannot be. */

#include "tests/unit/gateway/app/supervisor_fixture.h"

static void a_reload_replaces_the_workers_one_by_one(void **state)
{
	struct fixture *f = *state;
	int first[2];
	int fd;

	start_daemon(f, 2, 0);
	await(&shared->ready, 1, "ready");
	first[0] = shared->pid[0];
	first[1] = shared->pid[1];
	reload_daemon(f);
	await(&shared->n_ended, 2, "both have left");
	/* Each has ended once; the first may have taken longer. */
	assert_int_equal(shared->ended[0] + shared->ended[1], 1);
	assert_int_equal(shared->stopping, 0);
	assert_int_equal(shared->starts[0], 2);
	assert_int_equal(shared->starts[1], 2);
	assert_int_not_equal(shared->pid[0], first[0]);
	assert_int_not_equal(shared->pid[1], first[1]);
	/* With the new configuration, but on the same sockets, and no more of them. */
	assert_int_equal(shared->timeout_ms[0][0], 1000);
	assert_int_equal(shared->timeout_ms[0][1], 2000);
	assert_int_equal(shared->timeout_ms[1][1], 2000);
	assert_int_equal(shared->starts[2], 0);
	fd = connect_to_daemon();
	(void)read_pid(fd);
	assert_int_equal(shared->ready, 1);
	/* A worker that dies later comes back with it too. */
	kill(shared->pid[0], SIGKILL);
	await(&shared->starts[0], 3, "it is replaced");
	assert_int_equal(shared->timeout_ms[0][2], 2000);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
	assert_int_equal(shared->stopping, 1);
}

static void a_worker_that_drains_and_its_successor_serve_side_by_side(void **state)
{
	struct fixture *f = *state;
	int fd;

	shared->behaviour[0] = LINGER;
	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	reload_daemon(f);
	await(&shared->lingering, 1, "the old one drains");
	assert_int_equal(shared->starts[0], 2);
	fd = connect_to_daemon();
	assert_int_equal(read_pid(fd), shared->pid[0]);
	/* Again and again, while it does. */
	reload_daemon(f);
	await(&shared->starts[0], 3, "the next one");
	shared->hear = 1;
	await(&shared->n_ended, 2, "they have drained");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
	assert_int_equal(shared->n_ended, 3);
}

static void a_configuration_that_is_wrong_changes_nothing(void **state)
{
	struct fixture *f = *state;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	await_ok(1);
	shared->bad_config = 1;
	reload_daemon(f);
	await(&shared->reloads, 1, "it has been asked");
	await_ok(0);
	assert_int_equal(shared->starts[0], 1);
	shared->bad_config = 0;
	reload_daemon(f);
	await(&shared->n_ended, 1, "the old one has left");
	await_ok(1);
	assert_int_equal(shared->timeout_ms[0][1], 2000);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void workers_that_cannot_start_with_it_leave_the_old_ones(void **state)
{
	struct fixture *f = *state;
	int fd, first;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	first = shared->pid[0];
	shared->behaviour[0] = NO_CONFIG;
	reload_daemon(f);
	await(&shared->starts[0], 2, "one is tried");
	await_ok(0);
	fd = connect_to_daemon();
	assert_int_equal(read_pid(fd), first);
	/* And it is the old configuration that counts. */
	shared->behaviour[0] = SERVE;
	kill(first, SIGKILL);
	await(&shared->starts[0], 3, "it is replaced");
	assert_int_equal(shared->timeout_ms[0][2], 1000);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void a_successor_that_crashes_is_tried_again(void **state)
{
	struct fixture *f = *state;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	shared->behaviour[0] = CRASH;
	reload_daemon(f);
	await(&shared->starts[0], 3, "two have crashed");
	shared->behaviour[0] = SERVE;
	await(&shared->n_ended, 1, "the old one has left");
	assert_int_equal(shared->timeout_ms[0][shared->starts[0] - 1], 2000);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_reload_replaces_the_workers_one_by_one),
		TEST(a_worker_that_drains_and_its_successor_serve_side_by_side),
		TEST(a_configuration_that_is_wrong_changes_nothing),
		TEST(workers_that_cannot_start_with_it_leave_the_old_ones),
		TEST(a_successor_that_crashes_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
