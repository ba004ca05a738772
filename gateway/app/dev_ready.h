/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_DEV_READY_H
#define GATEWAY_APP_DEV_READY_H

/* What a development gateway says once it is ready: to people, and to programs in dev.json. */

#include <time.h>

#include "gateway/app/dev_seed.h"
#include "gateway/app/supervisor.h"

struct dev_ready {
	const char *dir;
	const char *home; /* where the keys lie: dir, or that of the gateway that it is beside */
	bool is_beside;
	const struct dev_seed *seed; /* beside: its cluster and key files only */
	struct supervisor *supervisor;
	struct timespec started; /* CLOCK_MONOTONIC */
};

/* Writes the file whole or not at all, so that its existence means ready. */
int dev_ready_save(const struct dev_ready *ready, const char *path, struct err *err) MUST_CHECK;
void dev_ready_print(const struct dev_ready *ready);

#endif
