/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SUPERVISOR_H
#define GATEWAY_APP_SUPERVISOR_H

/*
 * The parent of the workers. It holds the lock on the data directory and the sockets: one
 * SO_REUSEPORT socket per worker slot and listener, so that a worker that dies is replaced on
 * its own queue of connections. It has no loop, no thread and no secret.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "gateway/app/config.h"
#include "gateway/app/worker.h"

struct supervisor;

/* A process beside the workers, for `dev`: run is called in the child and returns its exit code.
 * It is restarted like a worker, and stopped after the workers, last added first. */
struct companion {
	const char *name;
	int (*run)(void *ctx);
	void *ctx;
	int stop_signal;
};

/* Locks the data directory and binds the listeners. Borrows config. */
struct supervisor *supervisor_new(const struct config *config, struct err *err) MUST_CHECK;
void supervisor_free(struct supervisor **supervisor);
/* Ports as bound. */
int supervisor_port(const struct supervisor *supervisor, enum listener_kind kind);
/* The URL of the public listener: config's, or made from its address. Borrowed. */
const char *supervisor_public_url(const struct supervisor *supervisor);
/* Starts it at once. */
int supervisor_add_companion(struct supervisor *supervisor, const struct companion *companion,
			     struct err *err) MUST_CHECK;
/* Starts the workers and watches all children until SIGTERM or SIGINT; then stops everything.
 * ready runs once, when every worker serves. Returns an exit code. */
int supervisor_run(struct supervisor *supervisor, void (*ready)(void *ctx), void *ctx);

/* Stops what still runs: for a start that failed half way. */
void supervisor_stop(struct supervisor *supervisor);

/* Runs a function in a child process and waits for it: its exit code, or -1. */
int run_in_child(int (*run)(void *ctx), void *ctx);

#endif
