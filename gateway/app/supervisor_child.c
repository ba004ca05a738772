/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: how they start, how their end is noticed, and what makes it come. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/app/exit_codes.h"
#include "gateway/app/supervisor_priv.h"
#include "gateway/core/meters.h"

/* The watchdog looks at least so often; if it could not, it stood still itself, and what workers
 * were silent about meanwhile says nothing. */
#define LOOK_LATE_MS 3000
/* For a worker's loop to turn for the first time: it reads its spool before. */
#define START_HANG_MS 120000

void child_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* In the child. What it must not keep: the signals, the lock, the other slots' sockets. */
static void become_child(struct supervisor *supervisor, const struct child *child)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, &supervisor->before, NULL);
	child_close_fd(&supervisor->signal_fd);
	child_close_fd(&supervisor->lock_fd);
	notify_fini(&supervisor->notify);
	for (unsigned slot = 0; slot < supervisor->n_workers; slot++) {
		if (child->companion == NULL && child->slot == slot)
			continue;
		for (int kind = 0; kind < N_LISTENERS; kind++)
			child_close_fd(&supervisor->slots[slot].listeners[kind]);
	}
}

static int worker_main(struct supervisor *supervisor, const struct child *child,
		       const struct config *config, int ready_fd)
{
	struct worker_params params = {
		.config = config,
		.slot = child->slot,
		.n_slots = (unsigned)supervisor->n_workers,
		.board = supervisor->board,
		.seat = child->seat,
		.ready_fd = ready_fd,
		.public_url = supervisor_url_of(supervisor, config),
	};

	memcpy(params.listeners, supervisor->slots[child->slot].listeners,
	       sizeof(params.listeners));
	return worker_run(&params);
}

static int run_child(struct supervisor *supervisor, struct child *child,
		     const struct config *config, int ready_fd)
{
	become_child(supervisor, child);
	if (child->companion != NULL)
		return child->companion->run(child->companion->ctx);
	return worker_main(supervisor, child, config, ready_fd);
}

static int take_seat(struct supervisor *supervisor, struct child *child)
{
	child->seat = board_seat_find(supervisor->board);
	if (child->seat == 0) {
		errno = EAGAIN;
		return -1;
	}
	board_seat_take(supervisor->board, child->seat, child->slot);
	return 0;
}

static void leave_seat(struct supervisor *supervisor, struct child *child)
{
	if (child->seat != 0)
		board_seat_leave(supervisor->board, child->seat);
	child->seat = 0;
}

int child_start(struct supervisor *supervisor, struct child *child, const struct config *config)
{
	int ready[2] = { -1, -1 };
	pid_t pid = -1;

	if (child->companion == NULL &&
	    (take_seat(supervisor, child) < 0 || pipe2(ready, O_CLOEXEC | O_NONBLOCK) < 0))
		goto failed;
	pid = fork();
	if (pid == 0) {
		child_close_fd(&ready[0]);
		_exit(run_child(supervisor, child, config, ready[1]));
	}
	child_close_fd(&ready[1]);
	if (pid < 0)
		goto failed;
	child->pid = pid;
	child->hung = false;
	child->started_ms = supervisor_now_ms();
	child->ready_fd = ready[0];
	child->state = child->companion != NULL ? CHILD_RUNNING : CHILD_STARTING;
	return 0;
failed:
	child_close_fd(&ready[0]);
	leave_seat(supervisor, child);
	return -1;
}

void children_start_due(struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_children; i++) {
		struct child *child = &supervisor->children[i];
		int64_t now = supervisor_now_ms();

		if (child->state != CHILD_STOPPED || child->restart_at_ms > now)
			continue;
		if (child_start(supervisor, child, supervisor->config) < 0)
			child->restart_at_ms = now + RESTART_MAX_MS;
	}
}

bool child_is_ready(struct child *child)
{
	char byte;

	if (child->state != CHILD_STARTING || child->ready_fd < 0 ||
	    read(child->ready_fd, &byte, 1) != 1)
		return false;
	child->state = CHILD_RUNNING;
	child_close_fd(&child->ready_fd);
	return true;
}

void child_leave(struct supervisor *supervisor, struct child *child)
{
	kill(child->pid, SIGTERM);
	child->state = CHILD_LEAVING;
	child->kill_at_ms =
		supervisor_now_ms() + supervisor->config->drain_timeout_ms + KILL_AFTER_MS;
}

/* The end of a child. */

void supervisor_count(struct supervisor *supervisor, enum end_reason reason)
{
	static const char *const names[] = {
		[END_EXIT] = "exit",
		[END_SIGNAL] = "signal",
		[END_WATCHDOG] = "watchdog",
		[END_RELOAD] = "reload",
	};

	meter_count(supervisor->meter, METER_WORKER_RESTARTS, &names[reason], 1);
}

static void count_end(struct supervisor *supervisor, const struct child *child, int status)
{
	if (child->companion != NULL)
		return;
	if (child->hung)
		supervisor_count(supervisor, END_WATCHDOG);
	else
		supervisor_count(supervisor, WIFSIGNALED(status) ? END_SIGNAL : END_EXIT);
}

/* Restarts at once after a long life, later and later in a crash loop. */
static void plan_restart(struct child *child, int status)
{
	int64_t now = supervisor_now_ms();

	if (now - child->started_ms >= STABLE_MS || child->delay_ms == 0)
		child->delay_ms = RESTART_MIN_MS;
	else if (child->delay_ms < RESTART_MAX_MS)
		child->delay_ms *= 2;
	child->restart_at_ms = now + child->delay_ms;
	log_warn(&supervisor_subject, "%s ended (%s %d), restart in %lld ms", child->name,
		 WIFSIGNALED(status) ? "signal" : "exit",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		 (long long)child->delay_ms);
}

/* A worker that cannot even start with this configuration, before any served with it. */
static bool useless_to_restart(const struct supervisor *supervisor, const struct child *child,
			       int status)
{
	return !supervisor->served && child->state == CHILD_STARTING && WIFEXITED(status) &&
	       WEXITSTATUS(status) == EXIT_CONFIG;
}

static void child_ended(struct supervisor *supervisor, struct child *child, int status)
{
	bool leaving = child->state == CHILD_LEAVING;
	bool useless = useless_to_restart(supervisor, child, status);

	child->state = CHILD_STOPPED;
	child->restart_at_ms = NEVER;
	child_close_fd(&child->ready_fd);
	leave_seat(supervisor, child);
	if (useless)
		supervisor_stop_with(supervisor, EXIT_CONFIG);
	if (child == supervisor_successor(supervisor)) {
		roll_successor_ended(supervisor, status);
	} else if (!leaving && supervisor->phase != PHASE_STOPPING) {
		count_end(supervisor, child, status);
		plan_restart(child, status);
	}
}

void children_reap(struct supervisor *supervisor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < supervisor->n_children; i++) {
			struct child *child = &supervisor->children[i];

			if (child->state == CHILD_STOPPED || child->pid != pid)
				continue;
			child_ended(supervisor, child, status);
			break;
		}
	}
}

/* The watchdog. */

static bool hangs(const struct supervisor *supervisor, const struct child *child, int64_t now)
{
	int64_t beat = supervisor->board->seats[child->seat].beat_ms;
	int64_t limit = beat == 0 ? START_HANG_MS : supervisor->config->watchdog_timeout_ms;
	int64_t since = beat == 0 ? child->started_ms : beat;

	if (since < supervisor->watch_from_ms)
		since = supervisor->watch_from_ms;
	return now - since > limit;
}

static void kill_child(struct child *child, const char *why)
{
	log_warn(&supervisor_subject, "%s (pid %d) is killed: %s", child->name, (int)child->pid,
		 why);
	child->kill_at_ms = NEVER;
	kill(child->pid, SIGKILL); /* also one that is stopped */
}

void children_watch(struct supervisor *supervisor)
{
	int64_t now = supervisor_now_ms();

	if (now - supervisor->looked_ms > LOOK_LATE_MS)
		supervisor->watch_from_ms = now;
	supervisor->looked_ms = now;
	for (size_t i = 0; i < supervisor_n_worker_children(supervisor); i++) {
		struct child *child = &supervisor->children[i];

		if (child->state == CHILD_STOPPED || child->hung)
			continue;
		if (hangs(supervisor, child, now)) {
			child->hung = true;
			kill_child(child, "its loop does not turn");
		} else if (child->state == CHILD_LEAVING && child->kill_at_ms <= now) {
			kill_child(child, "it does not stop");
		}
	}
}
