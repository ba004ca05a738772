/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGHUP: the configuration is read again, and each worker is replaced by one that uses it, slot
 * by slot. A successor is started on the slot's sockets; once it serves, the old one drains. The
 * new configuration counts from the moment that the first worker serves with it; whatever goes
 * wrong before leaves everything as it was.
 */

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/mem.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/supervisor_priv.h"
#include "gateway/core/meters.h"

/* For a successor to serve. Without Postgres it cannot: then the old worker, which knows
 * something, is worth more than the new one. */
#define SERVE_WITHIN_MS 30000
/* A successor that crashes is tried again so often. */
#define MAX_TRIES 5

static void notify_reloading(const struct supervisor *supervisor)
{
	char text[80];

	/* Type=notify-reload wants the time; an older manager ignores it. */
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld000",
		 (long long)supervisor_now_ms());
	notify_send(&supervisor->notify, text);
}

static void release(const struct supervisor *supervisor, struct config *config)
{
	if (config != NULL && supervisor->hooks.release != NULL)
		supervisor->hooks.release(supervisor->hooks.ctx, config);
}

static void end(struct supervisor *supervisor, bool worked)
{
	struct roll *roll = &supervisor->roll;

	release(supervisor, roll->candidate);
	roll->candidate = NULL;
	roll->state = ROLL_IDLE;
	meter_gauge(supervisor->meter, METER_RELOAD_OK, NULL, worked);
	notify_send(&supervisor->notify, "READY=1");
}

static void fail(struct supervisor *supervisor, const char *why)
{
	bool changed = supervisor->roll.candidate == NULL && supervisor->roll.at > 0;

	log_error(&supervisor_subject, "the reload has failed: %s; %s", why,
		  changed ? "some workers go on as they were until the next"
			  : "everything goes on as it was");
	end(supervisor, false);
}

/* What a socket or a lock stands for cannot change while they are held. */
static const struct fixed_setting {
	const char *name;
	size_t at;
} fixed_settings[] = {
	{"data_dir",    offsetof(struct config, data_dir)	},
	{ "listen",	    offsetof(struct config, listen)    },
	{ "key_listen", offsetof(struct config, key_listen)},
	{ "ops_listen", offsetof(struct config, ops_listen)},
};

static void keep_fixed(const struct supervisor *supervisor, struct config *candidate)
{
	const struct config *running = supervisor->config;

	for (size_t i = 0; i < sizeof(fixed_settings) / sizeof(fixed_settings[0]); i++) {
		const char *const *was =
			(const char *const *)((const char *)running + fixed_settings[i].at);
		const char **now = (const char **)((char *)candidate + fixed_settings[i].at);

		if (strcmp(*was, *now) != 0)
			log_warn(&supervisor_subject,
				 "%s has changed: ignored until the gateway is restarted",
				 fixed_settings[i].name);
		*now = arena_strdup(candidate->arena, *was);
	}
	if (candidate->workers != running->workers)
		log_warn(&supervisor_subject,
			 "workers has changed: ignored until the gateway is restarted");
	candidate->workers = running->workers;
}

static void begin(struct supervisor *supervisor)
{
	struct roll *roll = &supervisor->roll;
	struct err err;

	*roll = (struct roll){ .state = ROLL_WAITING };
	notify_reloading(supervisor);
	if (supervisor->hooks.reload != NULL) {
		roll->candidate = supervisor->hooks.reload(supervisor->hooks.ctx, &err);
		if (roll->candidate == NULL) {
			fail(supervisor, err.text);
			return;
		}
		keep_fixed(supervisor, roll->candidate);
	}
	log_info(&supervisor_subject, "reloading: %zu workers are replaced one by one",
		 supervisor->n_workers);
}

static struct child *free_place(struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->n_leaving; i++) {
		struct child *child = &supervisor->children[supervisor->n_workers + i];

		if (child->state == CHILD_STOPPED)
			return child;
	}
	return NULL;
}

static void start_successor(struct supervisor *supervisor)
{
	struct child *successor = supervisor_successor(supervisor);
	struct roll *roll = &supervisor->roll;
	int64_t now = supervisor_now_ms();

	if (now < roll->due_ms)
		return;
	successor->slot = roll->at;
	memcpy(successor->name, supervisor->children[roll->at].name, sizeof(successor->name));
	/* Both ends: the old worker needs a place to leave from. */
	if (free_place(supervisor) == NULL ||
	    child_start(supervisor, successor,
			roll->candidate != NULL ? roll->candidate : supervisor->config) < 0) {
		roll->due_ms = now + RESTART_MIN_MS;
		return;
	}
	roll->state = ROLL_STARTING;
	roll->due_ms = now + SERVE_WITHIN_MS;
}

/* The first worker serves with it. */
static void commit(struct supervisor *supervisor)
{
	struct config *old = supervisor->config;

	if (supervisor->roll.candidate == NULL)
		return;
	supervisor->config = supervisor->roll.candidate;
	supervisor->roll.candidate = NULL;
	free(supervisor->public_url);
	supervisor->public_url = supervisor_url_of(supervisor, supervisor->config);
	meter_gauge(supervisor->meter, METER_RELOAD_TIME, NULL, time(NULL));
	release(supervisor, old);
}

static void forget(struct child *child)
{
	child->state = CHILD_STOPPED;
	child->restart_at_ms = NEVER;
	child->pid = 0;
	child->seat = 0;
	child->ready_fd = -1;
}

/* The old worker may have died meanwhile: then its slot only waited for a restart. */
static void hand_over(struct supervisor *supervisor)
{
	struct child *successor = supervisor_successor(supervisor);
	struct child *current = &supervisor->children[supervisor->roll.at];

	if (current->state == CHILD_STARTING || current->state == CHILD_RUNNING) {
		struct child *place = free_place(supervisor);

		assert(place != NULL); /* start_successor has seen to it */
		*place = *current;
		child_leave(supervisor, place);
		supervisor_count(supervisor, END_RELOAD);
	}
	*current = *successor;
	current->delay_ms = 0;
	forget(successor);
}

static void next_slot(struct supervisor *supervisor)
{
	struct roll *roll = &supervisor->roll;

	commit(supervisor);
	hand_over(supervisor);
	roll->at++;
	roll->n_tries = 0;
	roll->due_ms = 0;
	roll->state = ROLL_WAITING;
	if (roll->at < supervisor->n_workers)
		return;
	log_info(&supervisor_subject, "reloaded");
	end(supervisor, true);
}

static void give_up(struct supervisor *supervisor)
{
	struct child *successor = supervisor_successor(supervisor);

	kill(successor->pid, SIGKILL);
	fail(supervisor, "a worker did not serve in time with it");
}

void roll_successor_ended(struct supervisor *supervisor, int status)
{
	struct roll *roll = &supervisor->roll;

	if (roll->state != ROLL_STARTING || supervisor->phase != PHASE_RUNNING)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CONFIG) {
		fail(supervisor, "a worker cannot start with it");
	} else if (++roll->n_tries == MAX_TRIES) {
		fail(supervisor, "a worker dies with it");
	} else {
		roll->state = ROLL_WAITING;
		roll->due_ms = supervisor_now_ms() + (RESTART_MIN_MS << roll->n_tries);
	}
}

void roll_advance(struct supervisor *supervisor)
{
	struct roll *roll = &supervisor->roll;
	struct child *successor = supervisor_successor(supervisor);

	/* One that was given up has to be gone first, and the first start has to be over. */
	if (roll->state == ROLL_IDLE && roll->wanted && supervisor->served &&
	    successor->state == CHILD_STOPPED)
		begin(supervisor);
	if (roll->state == ROLL_STARTING && child_is_ready(successor))
		next_slot(supervisor);
	else if (roll->state == ROLL_STARTING && roll->due_ms <= supervisor_now_ms())
		give_up(supervisor);
	if (roll->state == ROLL_WAITING)
		start_successor(supervisor);
}

int64_t roll_due_ms(const struct supervisor *supervisor)
{
	return supervisor->roll.state == ROLL_IDLE ? NEVER : supervisor->roll.due_ms;
}
