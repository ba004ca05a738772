/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each test is a daemon in a child process, with workers that do what the test says: the
 * worker_run here stands in the place of the real one. What they all know of each other lies in
 * memory that they share.
 */

#include "gateway/app/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/app/exit_codes.h"
#include "gateway/app/listener.h"

#define PATIENCE_MS 10000
#define MAX_SLOTS   4
#define MAX_STARTS  64
#define MAX_NAMES   8

enum behaviour {
	SERVE,	     /* says that it serves; answers each connection with its pid */
	SERVE_DEAF,  /* says that it serves, and accepts nothing until told */
	CRASH,	     /* ends at once */
	NO_CONFIG,   /* ends with EXIT_CONFIG before it serves */
	LATE_CONFIG, /* the same, after it has said that it serves */
	LINGER,	     /* once it is told to stop it closes its sockets, and stays until told */
};

struct shared {
	_Atomic int behaviour[MAX_SLOTS];
	_Atomic int starts[MAX_SLOTS];
	_Atomic int64_t started_ms[MAX_SLOTS][MAX_STARTS];
	_Atomic int pid[MAX_SLOTS];
	_Atomic int ready; /* how often the daemon said so */
	_Atomic int port;
	_Atomic int url_is_right;
	_Atomic int hear;      /* SERVE_DEAF may accept, LINGER may end */
	_Atomic int lingering; /* LINGER has closed its sockets */
	_Atomic int n_ended;
	_Atomic int ended[MAX_NAMES]; /* in order: slots, and 'a', 'b' for companions */
	_Atomic int companion_starts[2];
	_Atomic int companion_pid[2];
	_Atomic int refused; /* enum err_code of a supervisor that could not be made, plus 1 */
};
static struct shared *shared;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_a_moment(void)
{
	(void)poll(NULL, 0, 2);
}

/* --- in the workers --- */

static void note_end(int who)
{
	shared->ended[shared->n_ended++] = who;
}

static sigset_t stop_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	return signals;
}

static bool is_told_to_stop(void)
{
	const sigset_t signals = stop_signals();
	const struct timespec at_once = { 0 };

	return sigtimedwait(&signals, NULL, &at_once) > 0;
}

static void answer_one(int listener)
{
	char text[16];
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "%d", (int)getpid());
	if (write(fd, text, strlen(text)) < 0)
		_exit(100);
	close(fd);
}

static void serve_until_stopped(const struct worker_params *params)
{
	while (!is_told_to_stop()) {
		if (shared->behaviour[params->slot] == SERVE || shared->hear)
			answer_one(params->listeners[LISTENER_PUBLIC]);
		wait_a_moment();
	}
}

static void linger(const struct worker_params *params)
{
	for (int kind = 0; kind < N_LISTENERS; kind++)
		close(params->listeners[kind]);
	shared->lingering = 1;
	while (!shared->hear)
		wait_a_moment();
}

int worker_run(const struct worker_params *params)
{
	const sigset_t signals = stop_signals();
	unsigned slot = params->slot;
	int behaviour = shared->behaviour[slot];
	int start = shared->starts[slot];

	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (start < MAX_STARTS)
		shared->started_ms[slot][start] = now_ms();
	shared->pid[slot] = getpid();
	shared->url_is_right = strncmp(params->public_url, "http://127.0.0.1:", 17) == 0;
	shared->starts[slot]++;
	if (behaviour == CRASH)
		return 1;
	if (behaviour == NO_CONFIG)
		return EXIT_CONFIG;
	if (write(params->ready_fd, "r", 1) != 1)
		return 100;
	close(params->ready_fd);
	if (behaviour == LATE_CONFIG) {
		while (shared->ready == 0)
			wait_a_moment();
		return EXIT_CONFIG;
	}
	serve_until_stopped(params);
	if (behaviour == LINGER)
		linger(params);
	note_end((int)slot);
	return 0;
}

static int companion_run(void *ctx)
{
	const int *which = ctx;
	const sigset_t signals = stop_signals();

	sigprocmask(SIG_BLOCK, &signals, NULL);
	shared->companion_pid[*which] = getpid();
	shared->companion_starts[*which]++;
	while (!is_told_to_stop())
		wait_a_moment();
	note_end('a' + *which);
	return 0;
}

/* --- the daemon --- */

struct fixture {
	char dir[32];
	pid_t daemon;
};

static void on_ready(void *ctx)
{
	(void)ctx;
	shared->ready++;
}

static void configure(struct config *config, const char *dir, int workers)
{
	char number[16];
	struct err err;

	snprintf(number, sizeof(number), "%d", workers);
	config_init(config);
	if (config_set(config, "data_dir", dir, &err) < 0 ||
	    config_set(config, "workers", number, &err) < 0 ||
	    config_set(config, "listen", "127.0.0.1:0", &err) < 0 ||
	    config_set(config, "key_listen", "127.0.0.1:0", &err) < 0 ||
	    config_set(config, "ops_listen", "127.0.0.1:0", &err) < 0 ||
	    config_set(config, "drain_timeout", "0", &err) < 0)
		_exit(101);
}

static int daemon_run(const char *dir, int workers, int companions)
{
	int which[2] = { 0, 1 };
	struct supervisor *supervisor;
	struct config config;
	struct err err;
	int code;

	configure(&config, dir, workers);
	supervisor = supervisor_new(&config, &err);
	if (supervisor == NULL) {
		shared->refused = (int)err.code + 1;
		config_free(&config);
		return 102;
	}
	shared->port = supervisor_port(supervisor, LISTENER_PUBLIC);
	for (int i = 0; i < companions; i++) {
		const struct companion companion = { i == 0 ? "a" : "b", companion_run, &which[i],
						     i == 0 ? SIGINT : SIGTERM };

		if (supervisor_add_companion(supervisor, &companion, &err) < 0)
			return 103;
	}
	code = supervisor_run(supervisor, on_ready, NULL);
	supervisor_free(&supervisor);
	config_free(&config);
	return code;
}

static void start_daemon(struct fixture *f, int workers, int companions)
{
	f->daemon = fork();
	assert_true(f->daemon >= 0);
	if (f->daemon == 0) {
		/* What it says of its workers' ends belongs to nobody's output. */
		if (freopen("/dev/null", "we", stderr) == NULL)
			_exit(104);
		_exit(daemon_run(f->dir, workers, companions));
	}
}

static int await_daemon(struct fixture *f)
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	int status = 0;
	pid_t pid;

	while ((pid = waitpid(f->daemon, &status, WNOHANG)) == 0 && now_ms() < deadline)
		wait_a_moment();
	if (pid == 0)
		fail_msg("the daemon does not end");
	f->daemon = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int stop_daemon(struct fixture *f, int signo)
{
	assert_int_equal(kill(f->daemon, signo), 0);
	return await_daemon(f);
}

static void await(_Atomic int *number, int at_least, const char *what)
{
	int64_t deadline = now_ms() + PATIENCE_MS;

	while (*number < at_least && now_ms() < deadline)
		wait_a_moment();
	if (*number < at_least)
		fail_msg("%s: %d of %d", what, *number, at_least);
}

/* A connected socket, or -1. */
static int try_to_connect(void)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons((uint16_t)shared->port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int connect_to_daemon(void)
{
	int fd = try_to_connect();

	assert_true(fd >= 0);
	return fd;
}

/* The pid of the worker that answers. */
static int read_pid(int fd)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	char text[16] = "";

	assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return (int)strtol(text, NULL, 10);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/test_supervisor.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char lock[64];

	if (f->daemon > 0) {
		/* A test has failed: its children die with it. */
		kill(f->daemon, SIGKILL);
		waitpid(f->daemon, NULL, 0);
	}
	snprintf(lock, sizeof(lock), "%s/lock", f->dir);
	unlink(lock);
	rmdir(f->dir);
	munmap(shared, sizeof(*shared));
	free(f);
	return 0;
}

/* --- tests --- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
		TEST(an_interrupt_stops_it_too),
		TEST(a_companion_that_dies_is_started_again),
		TEST(a_data_directory_is_of_one_daemon),
		TEST(workers_die_with_a_daemon_that_is_killed),
		TEST(a_function_in_a_child_gives_its_exit_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
