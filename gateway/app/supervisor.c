/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/listener.h"

#define MAX_COMPANIONS 4
#define MAX_WORKERS    256
/* A child that lived shorter than STABLE_MS is restarted after a delay that doubles. */
#define RESTART_MIN_MS 50
#define RESTART_MAX_MS 5000
#define STABLE_MS      10000
/* After a worker's own drain timeout and grace. */
#define KILL_AFTER_MS		10000
#define COMPANION_KILL_AFTER_MS 10000

enum child_state {
	CHILD_STOPPED,	/* until restart_at_ms, or for good while stopping */
	CHILD_STARTING, /* a worker that has not said that it serves */
	CHILD_RUNNING,
};

struct child {
	char name[32];
	enum child_state state;
	pid_t pid;
	int64_t started_ms;
	int64_t restart_at_ms;
	int64_t delay_ms;
	int ready_fd;			   /* workers: readable once it serves */
	int listeners[N_LISTENERS];	   /* workers */
	unsigned slot;			   /* workers */
	const struct companion *companion; /* NULL: a worker */
};

struct supervisor {
	const struct config *config;
	int lock_fd;
	int signal_fd;
	sigset_t before; /* the signal mask that children get back */
	char *public_url;
	struct companion companions[MAX_COMPANIONS];
	size_t n_companions;
	struct child *children; /* workers, then companions */
	size_t n_workers;
	size_t n_children;
	bool stopping;
	int exit_code; /* once stopping */
};

static const struct log_subject subject = { .component = "supervisor" };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int lock_data_dir(struct supervisor *supervisor, struct err *err)
{
	const char *dir = supervisor->config->data_dir;
	char path[512];

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_INTERNAL, "data_dir %s: %s", dir, strerror(errno));
	snprintf(path, sizeof(path), "%s/lock", dir);
	supervisor->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (supervisor->lock_fd < 0)
		return err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
	if (flock(supervisor->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, ERR_CONFLICT, "data_dir %s is in use by another tollgate", dir);
	return 0;
}

static int bind_slot(struct supervisor *supervisor, struct child *child, struct err *err)
{
	const struct config *config = supervisor->config;
	const char *const addresses[N_LISTENERS] = {
		[LISTENER_PUBLIC] = config->listen,
		[LISTENER_KEY] = config->key_listen,
		[LISTENER_OPS] = config->ops_listen,
	};

	for (int kind = 0; kind < N_LISTENERS; kind++) {
		child->listeners[kind] =
			child->slot == 0
				? listener_bind(addresses[kind], err)
				: listener_bind_again(supervisor->children[0].listeners[kind], err);
		if (child->listeners[kind] < 0)
			return -1;
	}
	return 0;
}

static void make_public_url(struct supervisor *supervisor)
{
	const char *configured = supervisor->config->public_url;

	if (configured != NULL && configured[0] != '\0')
		supervisor->public_url = mem_strdup(configured);
	else
		supervisor->public_url = mem_printf("http://127.0.0.1:%d",
						    supervisor_port(supervisor, LISTENER_PUBLIC));
}

static struct child *child_add(struct supervisor *supervisor, const char *name)
{
	struct child *child = &supervisor->children[supervisor->n_children++];

	*child = (struct child){
		.ready_fd = -1, .listeners = {-1, -1, -1}
	};
	snprintf(child->name, sizeof(child->name), "%s", name);
	return child;
}

static int add_workers(struct supervisor *supervisor, struct err *err)
{
	int64_t n = supervisor->config->workers;

	if (n == 0)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	if (n < 1)
		n = 1;
	if (n > MAX_WORKERS)
		n = MAX_WORKERS;
	supervisor->n_workers = (size_t)n;
	supervisor->children = mem_new_array((size_t)n + MAX_COMPANIONS, sizeof(struct child));
	for (unsigned slot = 0; slot < supervisor->n_workers; slot++) {
		char name[32];
		struct child *child;

		snprintf(name, sizeof(name), "worker %u", slot);
		child = child_add(supervisor, name);
		child->slot = slot;
		if (bind_slot(supervisor, child, err) < 0)
			return -1;
	}
	return 0;
}

static void catch_signals(struct supervisor *supervisor)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, &supervisor->before);
	supervisor->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct supervisor *supervisor_new(const struct config *config, struct err *err)
{
	struct supervisor *supervisor = mem_new(sizeof(*supervisor));

	*supervisor = (struct supervisor){ .config = config, .lock_fd = -1, .signal_fd = -1 };
	if (lock_data_dir(supervisor, err) < 0 || add_workers(supervisor, err) < 0) {
		supervisor_free(&supervisor);
		return NULL;
	}
	make_public_url(supervisor);
	catch_signals(supervisor);
	return supervisor;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void supervisor_free(struct supervisor **supervisor)
{
	struct supervisor *was = *supervisor;

	*supervisor = NULL;
	if (was == NULL)
		return;
	for (size_t i = 0; i < was->n_children; i++) {
		close_fd(&was->children[i].ready_fd);
		for (int kind = 0; kind < N_LISTENERS; kind++)
			close_fd(&was->children[i].listeners[kind]);
	}
	close_fd(&was->signal_fd);
	close_fd(&was->lock_fd);
	free(was->children);
	free(was->public_url);
	free(was);
}

int supervisor_port(const struct supervisor *supervisor, enum listener_kind kind)
{
	return listener_port(supervisor->children[0].listeners[kind]);
}

const char *supervisor_public_url(const struct supervisor *supervisor)
{
	return supervisor->public_url;
}

/* In the child. What it must not keep: the signals, the lock, the other slots' sockets. */
static void become_child(struct supervisor *supervisor, const struct child *child)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, &supervisor->before, NULL);
	close_fd(&supervisor->signal_fd);
	close_fd(&supervisor->lock_fd);
	for (size_t i = 0; i < supervisor->n_workers; i++) {
		struct child *other = &supervisor->children[i];

		for (int kind = 0; other != child && kind < N_LISTENERS; kind++)
			close_fd(&other->listeners[kind]);
	}
}

static int worker_main(struct supervisor *supervisor, const struct child *child, int ready_fd)
{
	struct worker_params params = {
		.config = supervisor->config,
		.slot = child->slot,
		.ready_fd = ready_fd,
		.public_url = supervisor->public_url,
	};

	memcpy(params.listeners, child->listeners, sizeof(params.listeners));
	return worker_run(&params);
}

static int child_start(struct supervisor *supervisor, struct child *child)
{
	int ready[2] = { -1, -1 };
	pid_t pid;

	if (child->companion == NULL && pipe2(ready, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		become_child(supervisor, child);
		close_fd(&ready[0]);
		_exit(child->companion != NULL ? child->companion->run(child->companion->ctx)
					       : worker_main(supervisor, child, ready[1]));
	}
	close_fd(&ready[1]);
	if (pid < 0) {
		close_fd(&ready[0]);
		return -1;
	}
	child->pid = pid;
	child->started_ms = now_ms();
	child->ready_fd = ready[0];
	child->state = child->companion != NULL ? CHILD_RUNNING : CHILD_STARTING;
	return 0;
}

int supervisor_add_companion(struct supervisor *supervisor, const struct companion *companion,
			     struct err *err)
{
	struct companion *kept = &supervisor->companions[supervisor->n_companions];
	struct child *child;

	if (supervisor->n_companions == MAX_COMPANIONS)
		return err_set(err, ERR_INTERNAL, "too many companions");
	supervisor->n_companions++;
	*kept = *companion;
	child = child_add(supervisor, companion->name);
	child->companion = kept;
	if (child_start(supervisor, child) < 0)
		return err_set(err, ERR_INTERNAL, "%s cannot be started: %s", companion->name,
			       strerror(errno));
	return 0;
}

/* Restarts at once after a long life, later and later in a crash loop. */
static void plan_restart(struct child *child, int status)
{
	int64_t now = now_ms();

	if (now - child->started_ms >= STABLE_MS || child->delay_ms == 0)
		child->delay_ms = RESTART_MIN_MS;
	else if (child->delay_ms < RESTART_MAX_MS)
		child->delay_ms *= 2;
	child->restart_at_ms = now + child->delay_ms;
	log_warn(&subject, "%s ended (%s %d), restart in %lld ms", child->name,
		 WIFSIGNALED(status) ? "signal" : "exit",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		 (long long)child->delay_ms);
}

/* A worker that cannot even start with this configuration. */
static bool useless_to_restart(const struct child *child, int status)
{
	return child->state == CHILD_STARTING && WIFEXITED(status) &&
	       WEXITSTATUS(status) == EXIT_CONFIG;
}

static void stop_with(struct supervisor *supervisor, int exit_code)
{
	if (supervisor->stopping)
		return;
	supervisor->stopping = true;
	supervisor->exit_code = exit_code;
}

static void reap(struct supervisor *supervisor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < supervisor->n_children; i++) {
			struct child *child = &supervisor->children[i];

			if (child->state == CHILD_STOPPED || child->pid != pid)
				continue;
			if (useless_to_restart(child, status))
				stop_with(supervisor, EXIT_CONFIG);
			child->state = CHILD_STOPPED;
			close_fd(&child->ready_fd);
			if (!supervisor->stopping)
				plan_restart(child, status);
		}
	}
}

static void start_due(struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_children; i++) {
		struct child *child = &supervisor->children[i];

		if (child->state != CHILD_STOPPED || child->restart_at_ms > now_ms())
			continue;
		if (child_start(supervisor, child) < 0)
			child->restart_at_ms = now_ms() + RESTART_MAX_MS;
	}
}

static void take_ready(struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_workers; i++) {
		struct child *child = &supervisor->children[i];
		char byte;

		if (child->state != CHILD_STARTING || child->ready_fd < 0 ||
		    read(child->ready_fd, &byte, 1) != 1)
			continue;
		child->state = CHILD_RUNNING;
		close_fd(&child->ready_fd);
	}
}

static bool all_serve(const struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_workers; i++) {
		if (supervisor->children[i].state != CHILD_RUNNING)
			return false;
	}
	return true;
}

/* Until something happens, or the next restart is due. */
static void wait_for_events(struct supervisor *supervisor, int64_t limit_ms)
{
	struct pollfd fds[MAX_WORKERS + 1] = {
		{supervisor->signal_fd, POLLIN, 0}
	};
	nfds_t n = 1;
	int64_t wait = limit_ms;

	for (size_t i = 0; i < supervisor->n_children; i++) {
		const struct child *child = &supervisor->children[i];
		int64_t due = child->restart_at_ms - now_ms();

		if (child->state == CHILD_STARTING && child->ready_fd >= 0)
			fds[n++] = (struct pollfd){ child->ready_fd, POLLIN, 0 };
		if (child->state == CHILD_STOPPED && !supervisor->stopping &&
		    (wait < 0 || due < wait))
			wait = due < 0 ? 0 : due;
	}
	(void)poll(fds, n, (int)wait);
}

static void take_signals(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;

	while (read(supervisor->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			stop_with(supervisor, EXIT_OK);
	}
	reap(supervisor);
}

static bool any_runs(const struct child *children, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (children[i].state != CHILD_STOPPED)
			return true;
	}
	return false;
}

/* Signals the children and waits; what is left after the time is killed. */
static void stop_children(struct supervisor *supervisor, struct child *children, size_t n,
			  int64_t timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (size_t i = 0; i < n; i++) {
		if (children[i].state != CHILD_STOPPED)
			kill(children[i].pid, children[i].companion != NULL
						      ? children[i].companion->stop_signal
						      : SIGTERM);
	}
	while (any_runs(children, n)) {
		int64_t left = deadline - now_ms();

		for (size_t i = 0; left <= 0 && i < n; i++) {
			if (children[i].state != CHILD_STOPPED) {
				log_warn(&subject, "%s is killed: it does not stop",
					 children[i].name);
				kill(children[i].pid, SIGKILL);
			}
		}
		wait_for_events(supervisor, left > 0 ? left : KILL_AFTER_MS);
		take_signals(supervisor);
	}
}

/* Or the kernel goes on to take connections that nobody will accept. */
static void close_listeners(struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_workers; i++) {
		for (int kind = 0; kind < N_LISTENERS; kind++)
			close_fd(&supervisor->children[i].listeners[kind]);
	}
}

void supervisor_stop(struct supervisor *supervisor)
{
	stop_with(supervisor, EXIT_UNEXPECTED);
	close_listeners(supervisor);
	stop_children(supervisor, supervisor->children, supervisor->n_workers,
		      supervisor->config->drain_timeout_ms + KILL_AFTER_MS);
	for (size_t i = supervisor->n_children; i > supervisor->n_workers; i--)
		stop_children(supervisor, &supervisor->children[i - 1], 1, COMPANION_KILL_AFTER_MS);
}

int supervisor_run(struct supervisor *supervisor, void (*ready)(void *ctx), void *ctx)
{
	bool told = false;

	while (!supervisor->stopping) {
		start_due(supervisor);
		if (!told && all_serve(supervisor)) {
			told = true;
			ready(ctx);
		}
		wait_for_events(supervisor, -1);
		take_signals(supervisor);
		take_ready(supervisor);
	}
	supervisor_stop(supervisor);
	return supervisor->exit_code;
}

int run_in_child(int (*run)(void *ctx), void *ctx)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run(ctx));
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
