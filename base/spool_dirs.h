/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPOOL_DIRS_H
#define BASE_SPOOL_DIRS_H

/*
 * Whose the directories of spools are. A process of slot 3 has `<prefix>3`, or, while its
 * predecessor still holds that, `<prefix>3.1`, …. One without an owner falls to the next process
 * of its slot, or to slot 0 if there is no such slot any more.
 */

#include <stddef.h>

#define SPOOL_DIR_BYTES	    512
#define SPOOL_DIRS_PER_SLOT 64
#define SPOOL_DIRS_MAX_SLOT 65535

struct spool_dirs {
	const char *data_dir;
	const char *prefix; /* "spool-" */
	unsigned slot;
	unsigned n_slots;
};

/* The path of this slot's n-th directory, whether or not it is there. */
void spool_dirs_path(const struct spool_dirs *dirs, unsigned n, char out[SPOOL_DIR_BYTES]);
/* Each directory that is there and falls to this slot, in no order. */
void spool_dirs_each(const struct spool_dirs *dirs, void (*each)(void *ctx, const char *path),
		     void *ctx);

#endif
