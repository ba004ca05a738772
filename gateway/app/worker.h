/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_WORKER_H
#define GATEWAY_APP_WORKER_H

/* One worker process: everything wired together around one loop. */

#include <stddef.h>

#include "gateway/app/config.h"
#include "gateway/core/board.h"
#include "gateway/http/exchange.h"

#define N_LISTENERS 3

struct worker_params {
	const struct config *config;
	unsigned slot; /* its spool and its sockets; slot 0 watches connections */
	unsigned n_slots;
	struct board *board;
	size_t seat;		    /* its own on the board */
	int listeners[N_LISTENERS]; /* by enum listener_kind: bound, listening */
	int ready_fd;		    /* one byte is written when it serves; then closed */
	const char *public_url;	    /* the one in the configuration, its port known */
};
/* Runs until SIGTERM or SIGINT has been obeyed. Returns the exit code of the process. */
int worker_run(const struct worker_params *params);

#endif
