/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SUPERVISOR_H
#define GATEWAY_APP_SUPERVISOR_H

/*
 * The parent of the workers. It holds the lock on the data directory and the sockets: one
 * SO_REUSEPORT socket per worker slot and listener, so that a worker that dies, hangs or gets a new
 * configuration is replaced on its own queue of connections. It has no loop, no thread and no
 * secret.
 *
 * SIGTERM and SIGINT stop everything, SIGHUP loads the configuration again and replaces the
 * workers one by one.
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

struct supervisor_hooks {
	/* Once, when every slot is served. */
	void (*ready)(void *ctx);
	/* The configuration as it is written now, checked, or NULL with err. NULL: it never changes
	 * and SIGHUP only replaces the workers. */
	struct config *(*reload)(void *ctx, struct err *err);
	/* The supervisor does not need this one any more, whether reload made it or
	 * supervisor_new was given it. NULL: nothing is to be done. */
	void (*release)(void *ctx, struct config *config);
	void *ctx;
};

/* Locks the data directory and binds the listeners. Borrows config until it is released. */
struct supervisor *supervisor_new(struct config *config, struct err *err) MUST_CHECK;
void supervisor_free(struct supervisor **supervisor);
/* Ports as bound. */
int supervisor_port(const struct supervisor *supervisor, enum listener_kind kind);
/* The URL of the public listener: config's, or made from its address. Borrowed. */
const char *supervisor_public_url(const struct supervisor *supervisor);
/* Starts it at once. */
int supervisor_add_companion(struct supervisor *supervisor, const struct companion *companion,
			     struct err *err) MUST_CHECK;
/* Starts the workers and watches all children until SIGTERM or SIGINT; then stops everything.
 * Returns an exit code. */
int supervisor_run(struct supervisor *supervisor, const struct supervisor_hooks *hooks);

/* Stops what still runs: for a start that failed half way. */
void supervisor_stop(struct supervisor *supervisor);

/* Runs a function in a child process and waits for it: its exit code, or -1. */
int run_in_child(int (*run)(void *ctx), void *ctx);

#endif
