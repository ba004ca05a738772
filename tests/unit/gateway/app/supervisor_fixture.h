/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_APP_SUPERVISOR_FIXTURE_H
#define TESTS_UNIT_GATEWAY_APP_SUPERVISOR_FIXTURE_H

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
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/metrics.h"
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
	HANG,	     /* serves, and one day its loop stands still */
	SEALED,	     /* the same, and the board has it sealed */
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
	_Atomic int timeout_ms[MAX_SLOTS]
			      [MAX_STARTS]; /* of the configuration that it started with */
	_Atomic int reloads;
	_Atomic int announces;	   /* drain_delay is a minute */
	_Atomic int seen_stopping; /* a worker that was not told to stop sees that all will be */
	_Atomic int bad_config;	   /* reload refuses */
	_Atomic int hang;
	_Atomic int beats;    /* of all workers: silence counts after the first only */
	_Atomic int stopping; /* what a worker sees on the board when it is told to stop */
	_Atomic int ok; /* tollgate_config_last_reload_successful, as a worker reads it, plus 1 */
	_Atomic int refused; /* enum err_code of a supervisor that could not be made, plus 1 */
};
static struct shared *shared;

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void wait_a_moment(void)
{
	(void)poll(NULL, 0, 2);
}

/* --- in the workers --- */

static inline void note_end(int who)
{
	shared->ended[shared->n_ended++] = who;
}

static inline sigset_t stop_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	return signals;
}

static inline bool is_told_to_stop(void)
{
	const sigset_t signals = stop_signals();
	const struct timespec at_once = { 0 };

	return sigtimedwait(&signals, NULL, &at_once) > 0;
}

static inline void answer_one(int listener)
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

static inline int reload_ok(const struct board *board)
{
	const char *at;
	struct buf text;
	int ok = -1;

	buf_init(&text, 1 << 20);
	metrics_print(board->metrics, &text);
	at = strstr(buf_str(&text), "\ntollgate_config_last_reload_successful ");
	if (at != NULL)
		ok = at[strlen("\ntollgate_config_last_reload_successful ")] - '0';
	buf_fini(&text);
	return ok;
}

static inline void serve_until_stopped(const struct worker_params *params)
{
	struct board_seat *seat = &params->board->seats[params->seat];

	seat->state = BOARD_SERVING;
	while (!is_told_to_stop()) {
		if (shared->behaviour[params->slot] != HANG || !shared->hang) {
			seat->beat_ms = now_ms();
			shared->beats++;
		}
		shared->ok = reload_ok(params->board) + 1;
		shared->seen_stopping = params->board->stopping;
		if (shared->behaviour[params->slot] != SERVE_DEAF || shared->hear)
			answer_one(params->listeners[LISTENER_PUBLIC]);
		wait_a_moment();
	}
	seat->state = BOARD_DRAINING;
	shared->stopping = params->board->stopping;
}

static inline void linger(const struct worker_params *params)
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
	if (start < MAX_STARTS) {
		shared->started_ms[slot][start] = now_ms();
		shared->timeout_ms[slot][start] = (int)params->config->request_timeout_ms;
	}
	shared->pid[slot] = getpid();
	shared->url_is_right = strncmp(params->public_url, "http://127.0.0.1:", 17) == 0;
	shared->starts[slot]++;
	if (behaviour == CRASH)
		return 1;
	if (behaviour == NO_CONFIG)
		return EXIT_CONFIG;
	if (behaviour == SEALED) {
		params->board->seats[params->seat].sealed = SEAL_NO_KEYRING;
		params->board->seats[params->seat].state = BOARD_SERVING;
	}
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

static inline int companion_run(void *ctx)
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

static inline void on_ready(void *ctx)
{
	(void)ctx;
	shared->ready++;
}

static inline void configure(struct config *config, const char *dir, int workers,
			     const char *request_timeout)
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
	    config_set(config, "drain_timeout", "0", &err) < 0 ||
	    config_set(config, "watchdog_timeout", "2s", &err) < 0 ||
	    config_set(config, "drain_delay", shared->announces ? "60s" : "0", &err) < 0 ||
	    config_set(config, "request_timeout", request_timeout, &err) < 0)
		_exit(101);
}

/* The second configuration wants another port and another number of workers besides. */
static inline struct config *reload(void *ctx, struct err *err)
{
	struct config *config;

	if (++shared->reloads > 0 && shared->bad_config) {
		err_set(err, ERR_BAD_REQUEST, "workers is no number");
		return NULL;
	}
	config = mem_new(sizeof(*config));
	configure(config, ctx, 7, "2s");
	if (config_set(config, "listen", "127.0.0.1:1", err) < 0)
		_exit(105);
	return config;
}

static inline void release(void *ctx, struct config *config)
{
	(void)ctx;
	config_free(config);
	free(config);
}

static inline int daemon_run(char *dir, int workers, int companions)
{
	const struct supervisor_hooks hooks = {
		.ready = on_ready, .reload = reload, .release = release, .ctx = dir
	};

	int which[2] = { 0, 1 };
	struct supervisor *supervisor;
	struct config *config = mem_new(sizeof(*config));
	struct err err;
	int code;

	configure(config, dir, workers, "1s");
	supervisor = supervisor_new(config, &err);
	if (supervisor == NULL) {
		shared->refused = (int)err.code + 1;
		release(NULL, config);
		return 102;
	}
	shared->port = supervisor_port(supervisor, LISTENER_PUBLIC);
	for (int i = 0; i < companions; i++) {
		const struct companion companion = { i == 0 ? "a" : "b", companion_run, &which[i],
						     i == 0 ? SIGINT : SIGTERM };

		if (supervisor_add_companion(supervisor, &companion, &err) < 0)
			return 103;
	}
	code = supervisor_run(supervisor, &hooks);
	supervisor_free(&supervisor);
	return code;
}

static inline void start_daemon(struct fixture *f, int workers, int companions)
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

static inline int await_daemon(struct fixture *f)
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

static inline int stop_daemon(struct fixture *f, int signo)
{
	assert_int_equal(kill(f->daemon, signo), 0);
	return await_daemon(f);
}

static inline void await(_Atomic int *number, int at_least, const char *what)
{
	int64_t deadline = now_ms() + PATIENCE_MS;

	while (*number < at_least && now_ms() < deadline)
		wait_a_moment();
	if (*number < at_least)
		fail_msg("%s: %d of %d", what, *number, at_least);
}

/* A connected socket, or -1. */
static inline int try_to_connect(void)
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

static inline int connect_to_daemon(void)
{
	int fd = try_to_connect();

	assert_true(fd >= 0);
	return fd;
}

/* The pid of the worker that answers. */
static inline int read_pid(int fd)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	char text[16] = "";

	assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return (int)strtol(text, NULL, 10);
}

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline void reload_daemon(struct fixture *f)
{
	assert_int_equal(kill(f->daemon, SIGHUP), 0);
}

static inline void await_ok(int ok)
{
	int64_t deadline = now_ms() + PATIENCE_MS;

	while (shared->ok != ok + 1 && now_ms() < deadline)
		wait_a_moment();
	assert_int_equal(shared->ok, ok + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
