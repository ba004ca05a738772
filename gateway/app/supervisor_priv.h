/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SUPERVISOR_PRIV_H
#define GATEWAY_APP_SUPERVISOR_PRIV_H

/*
 * What the files supervisor*.c share: supervisor.c (its life, and the end of everybody's),
 * supervisor_child.c (processes: their start and their death), supervisor_roll.c (a new
 * configuration, and the workers that follow one by one).
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/app/notify.h"
#include "gateway/app/supervisor.h"
#include "gateway/core/board.h"

#define MAX_COMPANIONS 4
#define MAX_WORKERS    256
/* Workers that drain while their successors serve, beside one for each slot: a reload waits until
 * an old one has ended rather than that more of them pile up. */
#define MAX_LEAVING(n_workers) (2 * (n_workers) + 2)
/* A child that lived shorter than STABLE_MS is restarted after a delay that doubles. */
#define RESTART_MIN_MS 50
#define RESTART_MAX_MS 5000
#define STABLE_MS      10000
/* After a worker's own drain timeout and grace. */
#define KILL_AFTER_MS 10000
#define NEVER	      INT64_MAX

enum child_state {
	CHILD_STOPPED,	/* until restart_at_ms */
	CHILD_STARTING, /* a worker that has not said that it serves */
	CHILD_RUNNING,
	CHILD_LEAVING, /* a worker that was told to drain; killed at kill_at_ms */
};

/* Why a worker was replaced: the label of tollgate_worker_restarts_total. */
enum end_reason { END_EXIT, END_SIGNAL, END_WATCHDOG, END_RELOAD };

struct child {
	char name[32];
	enum child_state state;
	pid_t pid;
	int64_t started_ms;
	int64_t restart_at_ms; /* STOPPED; NEVER: it is not wanted */
	int64_t delay_ms;
	int64_t kill_at_ms;
	bool hung; /* the watchdog has killed it */
	/* Workers. */
	unsigned slot;
	size_t seat;			   /* on the board; 0 while STOPPED */
	int ready_fd;			   /* readable once it serves */
	const struct companion *companion; /* NULL: a worker */
};

struct slot {
	int listeners[N_LISTENERS];
};

enum roll_state {
	ROLL_IDLE,
	ROLL_WAITING,  /* until due_ms, and for a free seat */
	ROLL_STARTING, /* the successor; given up at due_ms */
};

struct roll {
	enum roll_state state;
	bool wanted;		  /* SIGHUP has come since it was last looked at */
	struct config *candidate; /* until the first worker serves with it; NULL: no change */
	unsigned at;		  /* the slot whose worker is replaced */
	unsigned n_tries;
	int64_t due_ms;
};

enum phase {
	PHASE_RUNNING,
	PHASE_ANNOUNCING, /* /readyz says no, everything else goes on */
	PHASE_STOPPING,
};

struct supervisor {
	struct config *config; /* what workers are started with */
	struct supervisor_hooks hooks;
	int lock_fd;
	int signal_fd;
	sigset_t before; /* the signal mask that children get back */
	char *public_url;
	struct board *board;
	struct meter *meter;
	struct notify notify;
	struct companion companions[MAX_COMPANIONS];
	struct slot *slots;
	/* The current worker of each slot, then those that leave, then the successor, then the
	 * companions. */
	struct child *children;
	size_t n_workers; /* and slots */
	size_t n_leaving; /* places */
	size_t n_children;
	struct roll roll;
	enum phase phase;
	size_t n_sealed;       /* workers, as was last told */
	bool served;	       /* every slot has been served once */
	bool hurried;	       /* told to stop twice */
	int exit_code;	       /* once not RUNNING */
	int64_t looked_ms;     /* when the watchdog last looked */
	int64_t watch_from_ms; /* silence before does not count */
};

extern const struct log_subject supervisor_subject;

int64_t supervisor_now_ms(void);
static inline struct child *supervisor_successor(struct supervisor *supervisor)
{
	return &supervisor->children[supervisor->n_workers + supervisor->n_leaving];
}
/* Workers of all kinds stand before the companions. */
static inline size_t supervisor_n_worker_children(const struct supervisor *supervisor)
{
	return supervisor->n_workers + supervisor->n_leaving + 1;
}
void supervisor_set_phase(struct supervisor *supervisor, enum phase phase);
void supervisor_stop_with(struct supervisor *supervisor, int exit_code);
/* A copy of what clients call the gateway with this configuration. */
char *supervisor_url_of(const struct supervisor *supervisor, const struct config *config);

/* supervisor_child.c */
void child_close_fd(int *fd);
/* A worker needs a seat and, if config is NULL, takes the supervisor's. 0, or -1 with errno. */
int child_start(struct supervisor *supervisor, struct child *child, const struct config *config);
/* Starts what is due. */
void children_start_due(struct supervisor *supervisor);
/* True once, when a starting worker says that it serves. */
bool child_is_ready(struct child *child);
void child_leave(struct supervisor *supervisor, struct child *child);
void children_reap(struct supervisor *supervisor);
/* Kills workers that hang, and those that were to have left. */
void children_watch(struct supervisor *supervisor);
void supervisor_count(struct supervisor *supervisor, enum end_reason reason);

/* supervisor_roll.c */
void roll_advance(struct supervisor *supervisor);
/* The successor has ended before it served. */
void roll_successor_ended(struct supervisor *supervisor, int status);
/* When roll_advance has to be called again; NEVER: when something happens. */
int64_t roll_due_ms(const struct supervisor *supervisor);

#endif
