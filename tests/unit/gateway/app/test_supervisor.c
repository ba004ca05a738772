/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/gateway/app/supervisor_fixture.h"

static void is_ready_once_when_every_worker_serves(void **state)
{
	struct fixture *f = *state;
	int starts;

	shared->behaviour[1] = CRASH;
	start_daemon(f, 2, 0);
	await(&shared->starts[0], 1, "the first worker starts");
	await(&shared->starts[1], 2, "the second one is started again");
	assert_int_equal(shared->ready, 0);
	shared->behaviour[1] = SERVE;
	await(&shared->ready, 1, "ready");
	assert_int_equal(shared->starts[0], 1);
	starts = shared->starts[1];
	kill(shared->pid[1], SIGKILL);
	await(&shared->starts[1], starts + 1, "it is replaced");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
	assert_int_equal(shared->ready, 1);
	assert_int_equal(shared->url_is_right, 1);
}

static void a_worker_that_dies_is_replaced_on_its_own_socket(void **state)
{
	struct fixture *f = *state;
	int first, waiting;

	shared->behaviour[0] = SERVE_DEAF;
	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	waiting = connect_to_daemon();
	first = shared->pid[0];
	kill(first, SIGKILL);
	await(&shared->starts[0], 2, "a new worker");
	assert_int_not_equal(shared->pid[0], first);
	shared->hear = 1;
	/* The connection was made while the first one lived, and outlived it. */
	assert_int_equal(read_pid(waiting), shared->pid[0]);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void a_crash_loop_is_slowed_down(void **state)
{
	static const int64_t delays_ms[] = { 50, 100, 200, 400 };
	struct fixture *f = *state;

	shared->behaviour[0] = CRASH;
	start_daemon(f, 1, 0);
	await(&shared->starts[0], 5, "starts");
	for (size_t i = 0; i < 4; i++) {
		int64_t gap = shared->started_ms[0][i + 1] - shared->started_ms[0][i];

		assert_true(gap >= delays_ms[i]);
	}
	assert_int_equal(shared->ready, 0);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void a_configuration_that_no_worker_can_start_with_ends_it(void **state)
{
	struct fixture *f = *state;

	shared->behaviour[1] = NO_CONFIG;
	start_daemon(f, 2, 1);
	assert_int_equal(await_daemon(f), EXIT_CONFIG);
	assert_int_equal(shared->starts[1], 1);
	assert_int_equal(shared->ready, 0);
}

static void a_worker_that_has_served_is_replaced_whatever_it_says(void **state)
{
	struct fixture *f = *state;

	shared->behaviour[0] = LATE_CONFIG;
	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	shared->behaviour[0] = SERVE;
	await(&shared->starts[0], 2, "it is replaced");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void stops_the_workers_before_their_companions(void **state)
{
	struct fixture *f = *state;

	start_daemon(f, 2, 2);
	await(&shared->ready, 1, "ready");
	await(&shared->companion_starts[1], 1, "the companions run");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
	assert_int_equal(shared->n_ended, 4);
	assert_int_equal(shared->ended[0] + shared->ended[1], 1); /* slots 0 and 1 */
	assert_int_equal(shared->ended[2], 'b');		  /* the last added first */
	assert_int_equal(shared->ended[3], 'a');
}

static void new_clients_are_refused_while_the_workers_drain(void **state)
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	struct fixture *f = *state;
	int fd;

	shared->behaviour[0] = LINGER;
	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	assert_int_equal(kill(f->daemon, SIGTERM), 0);
	await(&shared->lingering, 1, "the worker drains");
	while ((fd = try_to_connect()) >= 0 && now_ms() < deadline)
		close(fd);
	assert_int_equal(fd, -1);
	shared->hear = 1;
	assert_int_equal(await_daemon(f), EXIT_OK);
}

static void an_announced_end_is_served_until_a_second_signal(void **state)
{
	struct fixture *f = *state;
	int fd, first;

	shared->announces = 1;
	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	assert_int_equal(kill(f->daemon, SIGTERM), 0);
	await(&shared->seen_stopping, 1, "everybody knows");
	fd = connect_to_daemon();
	first = read_pid(fd);
	assert_int_equal(first, shared->pid[0]);
	/* Workers are still cared for. */
	kill(first, SIGKILL);
	await(&shared->starts[0], 2, "it is replaced");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
	assert_int_equal(shared->n_ended, 1);
}

static void an_interrupt_stops_it_too(void **state)
{
	struct fixture *f = *state;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	assert_int_equal(stop_daemon(f, SIGINT), EXIT_OK);
	assert_int_equal(shared->n_ended, 1);
}

static void a_companion_that_dies_is_started_again(void **state)
{
	struct fixture *f = *state;

	start_daemon(f, 1, 1);
	await(&shared->ready, 1, "ready");
	await(&shared->companion_starts[0], 1, "it runs");
	kill(shared->companion_pid[0], SIGKILL);
	await(&shared->companion_starts[0], 2, "it runs again");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void a_data_directory_is_of_one_daemon(void **state)
{
	struct fixture *f = *state;
	struct fixture second = *f;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	start_daemon(&second, 1, 0);
	assert_int_equal(await_daemon(&second), 102);
	assert_int_equal(shared->refused, (int)ERR_CONFLICT + 1);
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
	/* It is free again. */
	shared->ready = 0;
	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready again");
	assert_int_equal(stop_daemon(f, SIGTERM), EXIT_OK);
}

static void workers_die_with_a_daemon_that_is_killed(void **state)
{
	struct fixture *f = *state;
	int64_t deadline = now_ms() + PATIENCE_MS;
	int worker;

	start_daemon(f, 1, 0);
	await(&shared->ready, 1, "ready");
	worker = shared->pid[0];
	kill(f->daemon, SIGKILL);
	waitpid(f->daemon, NULL, 0);
	f->daemon = 0;
	/* Whoever adopts it reaps it in its own time: nothing but its port tells. */
	while (now_ms() < deadline) {
		char text[32];
		struct err err;
		int again;

		snprintf(text, sizeof(text), "127.0.0.1:%d", shared->port);
		again = listener_bind(text, &err);
		if (again >= 0) {
			close(again);
			return;
		}
		wait_a_moment();
	}
	fail_msg("worker %d lives on", worker);
}

/* As the service manager would: a socket in the directory of the daemon. */
static int open_manager(const struct fixture *f, char path[64])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(path, 64, "%s/notify", f->dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static void assert_hears(int manager, const char *beginning)
{
	char text[256] = "";

	assert_true(recv(manager, text, sizeof(text) - 1, 0) > 0);
	assert_int_equal(strncmp(text, beginning, strlen(beginning)), 0);
}

static void the_service_manager_hears_what_happens(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int manager = open_manager(f, path);

	start_daemon(f, 1, 0);
	assert_hears(manager, "READY=1");
	assert_int_equal(shared->starts[0], 1);
	unsetenv("NOTIFY_SOCKET");
	reload_daemon(f);
	assert_hears(manager, "RELOADING=1\nMONOTONIC_USEC=");
	assert_hears(manager, "READY=1");
	assert_int_equal(shared->starts[0], 2);
	assert_int_equal(kill(f->daemon, SIGTERM), 0);
	assert_hears(manager, "STOPPING=1");
	assert_int_equal(await_daemon(f), EXIT_OK);
	close(manager);
	unlink(path);
}

static void the_service_manager_hears_that_it_is_sealed(void **state)
{
	struct fixture *f = *state;
	char text[256] = "";
	char path[64];
	int manager = open_manager(f, path);

	shared->behaviour[0] = SEALED;
	start_daemon(f, 1, 0);
	assert_hears(manager, "STATUS=Sealed: 1 of 1 workers wait for the right keyring");
	assert_hears(manager, "READY=1");
	unsetenv("NOTIFY_SOCKET");
	shared->behaviour[0] = SERVE;
	reload_daemon(f);
	while (strcmp(text, "STATUS=Serving") != 0) {
		ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

		assert_true(n > 0);
		text[n] = '\0';
	}
	assert_int_equal(kill(f->daemon, SIGTERM), 0);
	assert_int_equal(await_daemon(f), EXIT_OK);
	close(manager);
	unlink(path);
}

static int return_seven(void *ctx)
{
	(void)ctx;
	return 7;
}

static int kill_self(void *ctx)
{
	(void)ctx;
	raise(SIGKILL);
	return 0;
}

static void a_function_in_a_child_gives_its_exit_code(void **state)
{
	(void)state;
	assert_int_equal(run_in_child(return_seven, NULL), 7);
	assert_int_equal(run_in_child(kill_self, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_ready_once_when_every_worker_serves),
		TEST(a_worker_that_dies_is_replaced_on_its_own_socket),
		TEST(a_crash_loop_is_slowed_down),
		TEST(a_configuration_that_no_worker_can_start_with_ends_it),
		TEST(a_worker_that_has_served_is_replaced_whatever_it_says),
		TEST(stops_the_workers_before_their_companions),
		TEST(new_clients_are_refused_while_the_workers_drain),
		TEST(an_announced_end_is_served_until_a_second_signal),
		TEST(an_interrupt_stops_it_too),
		TEST(a_companion_that_dies_is_started_again),
		TEST(a_data_directory_is_of_one_daemon),
		TEST(workers_die_with_a_daemon_that_is_killed),
		TEST(the_service_manager_hears_what_happens),
		TEST(the_service_manager_hears_that_it_is_sealed),
		TEST(a_function_in_a_child_gives_its_exit_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
