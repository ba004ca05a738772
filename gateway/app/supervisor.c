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
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/listener.h"
#include "gateway/app/supervisor_priv.h"
#include "gateway/core/meters.h"
#include "version.h"

#define COMPANION_KILL_AFTER_MS 10000
/* How often the watchdog looks and gauges are set while nothing else happens. */
#define LOOK_MS 1000

const struct log_subject supervisor_subject = { .component = "supervisor" };

int64_t supervisor_now_ms(void)
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

static int bind_slot(struct supervisor *supervisor, unsigned slot, struct err *err)
{
	const struct config *config = supervisor->config;
	const char *const addresses[N_LISTENERS] = {
		[LISTENER_PUBLIC] = config->listen,
		[LISTENER_KEY] = config->key_listen,
		[LISTENER_OPS] = config->ops_listen,
	};
	int *listeners = supervisor->slots[slot].listeners;

	for (int kind = 0; kind < N_LISTENERS; kind++) {
		listeners[kind] =
			slot == 0 ? listener_bind(addresses[kind], err)
				  : listener_bind_again(supervisor->slots[0].listeners[kind], err);
		if (listeners[kind] < 0)
			return -1;
	}
	return 0;
}

char *supervisor_url_of(const struct supervisor *supervisor, const struct config *config)
{
	/* Paths are put behind it. */
	if (config->public_url != NULL && config->public_url[0] != '\0') {
		size_t n = strlen(config->public_url);

		return mem_strndup(config->public_url,
				   config->public_url[n - 1] == '/' ? n - 1 : n);
	}
	return mem_printf("http://127.0.0.1:%d", supervisor_port(supervisor, LISTENER_PUBLIC));
}

static struct child *child_add(struct supervisor *supervisor, const char *name)
{
	struct child *child = &supervisor->children[supervisor->n_children++];

	*child = (struct child){ .ready_fd = -1, .restart_at_ms = NEVER };
	snprintf(child->name, sizeof(child->name), "%s", name);
	return child;
}

static size_t count_workers(const struct config *config)
{
	int64_t n = config->workers > 0 ? config->workers : sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		n = 1;
	return n > MAX_WORKERS ? MAX_WORKERS : (size_t)n;
}

static int add_workers(struct supervisor *supervisor, struct err *err)
{
	size_t n = count_workers(supervisor->config);

	supervisor->n_workers = n;
	supervisor->n_leaving = MAX_LEAVING(n);
	supervisor->children = mem_new_array(
		supervisor_n_worker_children(supervisor) + MAX_COMPANIONS, sizeof(struct child));
	supervisor->slots = mem_new_array(n, sizeof(struct slot));
	for (size_t slot = 0; slot < n; slot++)
		memset(supervisor->slots[slot].listeners, -1, sizeof(supervisor->slots->listeners));
	for (unsigned slot = 0; slot < n; slot++) {
		char name[32];
		struct child *child;

		snprintf(name, sizeof(name), "worker %u", slot);
		child = child_add(supervisor, name);
		child->slot = slot;
		child->restart_at_ms = 0;
		if (bind_slot(supervisor, slot, err) < 0)
			return -1;
	}
	while (supervisor->n_children < supervisor_n_worker_children(supervisor))
		child_add(supervisor, "worker");
	return 0;
}

static void open_board(struct supervisor *supervisor)
{
	static const char *const version[] = { TOLLGATE_VERSION };

	supervisor->board =
		board_new(supervisor->n_workers, supervisor_n_worker_children(supervisor) + 1);
	supervisor->meter = meter_new(supervisor->board->metrics, BOARD_SUPERVISOR);
	meter_gauge(supervisor->meter, METER_BUILD_INFO, version, 1);
	meter_gauge(supervisor->meter, METER_RELOAD_OK, NULL, 1);
	meter_gauge(supervisor->meter, METER_RELOAD_TIME, NULL, time(NULL));
}

static void catch_signals(struct supervisor *supervisor)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &supervisor->before);
	supervisor->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct supervisor *supervisor_new(struct config *config, struct err *err)
{
	struct supervisor *supervisor = mem_new(sizeof(*supervisor));

	*supervisor = (struct supervisor){ .config = config, .lock_fd = -1, .signal_fd = -1 };
	notify_init(&supervisor->notify);
	if (lock_data_dir(supervisor, err) < 0 || add_workers(supervisor, err) < 0) {
		supervisor_free(&supervisor);
		return NULL;
	}
	open_board(supervisor);
	supervisor->public_url = supervisor_url_of(supervisor, config);
	supervisor->looked_ms = supervisor_now_ms();
	catch_signals(supervisor);
	return supervisor;
}

/* Or the kernel goes on to take connections that nobody will accept. */
static void close_listeners(struct supervisor *supervisor)
{
	for (size_t slot = 0; slot < supervisor->n_workers; slot++) {
		for (int kind = 0; kind < N_LISTENERS; kind++)
			child_close_fd(&supervisor->slots[slot].listeners[kind]);
	}
}

void supervisor_free(struct supervisor **supervisor)
{
	struct supervisor *was = *supervisor;

	*supervisor = NULL;
	if (was == NULL)
		return;
	if (was->slots != NULL)
		close_listeners(was);
	for (size_t i = 0; i < was->n_children; i++)
		child_close_fd(&was->children[i].ready_fd);
	child_close_fd(&was->signal_fd);
	child_close_fd(&was->lock_fd);
	notify_fini(&was->notify);
	meter_free(&was->meter);
	board_free(&was->board);
	if (was->hooks.release != NULL) {
		if (was->roll.candidate != NULL)
			was->hooks.release(was->hooks.ctx, was->roll.candidate);
		was->hooks.release(was->hooks.ctx, was->config);
	}
	free(was->children);
	free(was->slots);
	free(was->public_url);
	free(was);
}

int supervisor_port(const struct supervisor *supervisor, enum listener_kind kind)
{
	/* All slots have the same; a worker has closed those of the others. */
	for (size_t slot = 0; slot < supervisor->n_workers; slot++) {
		if (supervisor->slots[slot].listeners[kind] >= 0)
			return listener_port(supervisor->slots[slot].listeners[kind]);
	}
	return 0;
}

const char *supervisor_public_url(const struct supervisor *supervisor)
{
	return supervisor->public_url;
}

int supervisor_add_companion(struct supervisor *supervisor, const struct companion *companion,
			     struct err *err)
{
	size_t n = supervisor->n_children - supervisor_n_worker_children(supervisor);
	struct child *child;

	if (n == MAX_COMPANIONS)
		return err_set(err, ERR_INTERNAL, "too many companions");
	supervisor->companions[n] = *companion;
	child = child_add(supervisor, companion->name);
	child->companion = &supervisor->companions[n];
	if (child_start(supervisor, child, NULL) < 0)
		return err_set(err, ERR_INTERNAL, "%s cannot be started: %s", companion->name,
			       strerror(errno));
	return 0;
}

void supervisor_set_phase(struct supervisor *supervisor, enum phase phase)
{
	supervisor->phase = phase;
	if (phase != PHASE_RUNNING)
		supervisor->board->stopping = true;
}

void supervisor_stop_with(struct supervisor *supervisor, int exit_code)
{
	if (supervisor->phase != PHASE_RUNNING) {
		supervisor->hurried = true;
		return;
	}
	supervisor_set_phase(supervisor, PHASE_ANNOUNCING);
	supervisor->exit_code = exit_code;
	supervisor->hurried = exit_code != EXIT_OK;
}

static bool all_serve(const struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_workers; i++) {
		if (supervisor->children[i].state != CHILD_RUNNING)
			return false;
	}
	return true;
}

/* When something has to be done although nothing happens. */
static int64_t next_due_ms(const struct supervisor *supervisor)
{
	int64_t due = roll_due_ms(supervisor);

	for (size_t i = 0; i < supervisor->n_children; i++) {
		const struct child *child = &supervisor->children[i];

		if (child->state == CHILD_STOPPED && child->restart_at_ms < due)
			due = child->restart_at_ms;
	}
	return due;
}

/* Until something happens, at most until then. */
static void wait_for_events(struct supervisor *supervisor, int64_t until_ms)
{
	struct pollfd fds[MAX_WORKERS + 2] = {
		{supervisor->signal_fd, POLLIN, 0}
	};
	nfds_t n = 1;
	int64_t wait = until_ms - supervisor_now_ms();

	for (size_t i = 0; i < supervisor->n_children; i++) {
		const struct child *child = &supervisor->children[i];

		if (child->state == CHILD_STARTING && child->ready_fd >= 0)
			fds[n++] = (struct pollfd){ child->ready_fd, POLLIN, 0 };
	}
	if (wait < 0)
		wait = 0;
	if (wait > LOOK_MS)
		wait = LOOK_MS;
	(void)poll(fds, n, (int)wait);
}

static void take_signals(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;

	while (read(supervisor->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			supervisor->roll.wanted = true;
		else if (info.ssi_signo != SIGCHLD)
			supervisor_stop_with(supervisor, EXIT_OK);
	}
	children_reap(supervisor);
}

static void set_gauges(struct supervisor *supervisor)
{
	static const char *const states[] = {
		[BOARD_STARTING] = "starting",
		[BOARD_SERVING] = "serving",
		[BOARD_DRAINING] = "draining",
	};
	int64_t n[BOARD_DRAINING + 1] = { 0 };

	for (size_t i = 0; i < supervisor->board->n_seats; i++)
		n[supervisor->board->seats[i].state]++;
	for (int state = BOARD_STARTING; state <= BOARD_DRAINING; state++)
		meter_gauge(supervisor->meter, METER_WORKERS, &states[state], n[state]);
}

static void tell_sealed(struct supervisor *supervisor)
{
	struct board_report report;
	char text[128] = "STATUS=Serving";

	board_report(supervisor->board, supervisor_now_ms(), &report);
	meter_gauge(supervisor->meter, METER_SEALED, NULL, (int64_t)report.n_sealed);
	if (report.n_sealed == supervisor->n_sealed)
		return;
	supervisor->n_sealed = report.n_sealed;
	if (report.n_sealed > 0)
		snprintf(text, sizeof(text),
			 "STATUS=Sealed: %zu of %zu workers wait for the right keyring",
			 report.n_sealed, report.n_serving);
	notify_send(&supervisor->notify, text);
}

static void look(struct supervisor *supervisor, int64_t until_ms)
{
	wait_for_events(supervisor, until_ms);
	take_signals(supervisor);
	children_watch(supervisor);
	set_gauges(supervisor);
	tell_sealed(supervisor);
	notify_beat(&supervisor->notify, supervisor_now_ms());
}

static bool any_runs(const struct child *children, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (children[i].state != CHILD_STOPPED)
			return true;
	}
	return false;
}

static void signal_children(struct child *children, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct companion *companion = children[i].companion;

		children[i].restart_at_ms = NEVER;
		if (children[i].state != CHILD_STOPPED)
			kill(children[i].pid, companion != NULL ? companion->stop_signal : SIGTERM);
	}
}

/* Signals the children and waits; what is left after the time is killed. */
static void stop_children(struct supervisor *supervisor, struct child *children, size_t n,
			  int64_t timeout_ms)
{
	int64_t deadline = supervisor_now_ms() + timeout_ms;

	signal_children(children, n);
	while (any_runs(children, n)) {
		int64_t now = supervisor_now_ms();

		for (size_t i = 0; deadline <= now && i < n; i++) {
			if (children[i].state != CHILD_STOPPED) {
				log_warn(&supervisor_subject, "%s is killed: it does not stop",
					 children[i].name);
				kill(children[i].pid, SIGKILL);
			}
		}
		look(supervisor, deadline > now ? deadline : now + KILL_AFTER_MS);
	}
}

void supervisor_stop(struct supervisor *supervisor)
{
	size_t n_workers = supervisor_n_worker_children(supervisor);

	supervisor_stop_with(supervisor, EXIT_UNEXPECTED);
	supervisor_set_phase(supervisor, PHASE_STOPPING);
	close_listeners(supervisor);
	stop_children(supervisor, supervisor->children, n_workers,
		      supervisor->config->drain_timeout_ms + KILL_AFTER_MS);
	for (size_t i = supervisor->n_children; i > n_workers; i--)
		stop_children(supervisor, &supervisor->children[i - 1], 1, COMPANION_KILL_AFTER_MS);
}

static void take_ready(struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_workers; i++)
		(void)child_is_ready(&supervisor->children[i]);
	if (supervisor->served || !all_serve(supervisor))
		return;
	supervisor->served = true;
	notify_send(&supervisor->notify, "READY=1");
	if (supervisor->hooks.ready != NULL)
		supervisor->hooks.ready(supervisor->hooks.ctx);
}

static void turn(struct supervisor *supervisor, int64_t until_ms)
{
	int64_t due_ms;

	children_start_due(supervisor);
	if (supervisor->phase == PHASE_RUNNING)
		roll_advance(supervisor);
	due_ms = next_due_ms(supervisor);
	look(supervisor, due_ms < until_ms ? due_ms : until_ms);
	take_ready(supervisor);
}

/* While a balancer finds out that others have to serve now. A second signal ends the waiting. */
static void announce(struct supervisor *supervisor)
{
	int64_t until_ms = supervisor_now_ms() + supervisor->config->drain_delay_ms;

	notify_send(&supervisor->notify, "STOPPING=1");
	while (!supervisor->hurried && supervisor_now_ms() < until_ms)
		turn(supervisor, until_ms);
}

int supervisor_run(struct supervisor *supervisor, const struct supervisor_hooks *hooks)
{
	supervisor->hooks = *hooks;
	while (supervisor->phase == PHASE_RUNNING)
		turn(supervisor, NEVER);
	announce(supervisor);
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
