/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_FLOOD_H
#define GATEWAY_CORE_FLOOD_H

/*
 * Which of many refusals are recorded one by one, and which are counted: the first of a source in
 * a window have records of their own, those above are merged into one that says how many it
 * stands for and is written when the window ends. None goes uncounted; what is counted and not yet
 * written is lost by nothing but the sudden death of the process.
 *
 * Memory is a fixed table. Sources that find no room in it share one entry for each kind, but never
 * those of two tenants: what is counted for one stands in no record of the other. Knows nothing of
 * what is recorded: the first of the merged is kept as bytes of the owner's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define FLOOD_WINDOW_MS	   10000
#define FLOOD_SOURCES	   1024 /* in the table */
#define FLOOD_PROBES	   8	/* places in it that a source may take */
#define FLOOD_KINDS	   16
#define FLOOD_SOURCE_BYTES 80 /* a longer one is cut */

struct flood;

struct flood_params {
	struct loop *loop;
	uint64_t own_per_window;   /* of one source and kind: records of their own */
	uint64_t total_per_window; /* of all together */
	size_t first_bytes;	   /* what is kept of the first of the merged */
	/* Writes what was merged; false: it cannot be written now and is offered again. `first` may
	 * be changed, and is not valid afterwards. */
	bool (*write)(void *ctx, void *first, uint64_t n);
	void *ctx;
};
struct flood *flood_new(const struct flood_params *params);
/* What is not written is lost: flood_flush comes before. */
void flood_free(struct flood **flood);

struct flood_verdict {
	bool merged; /* false: it has a record of its own */
	/* Merged: of first_bytes, zeroed and to be filled in if `fresh`. Valid until the loop
	 * turns. */
	void *first;
	bool fresh;
};
/* One more of this source and kind (below FLOOD_KINDS). What is merged is counted by this. */
/* tenant: the id of whose record it is, or NULL. A tenant that finds no room where another one was
 * before has records of its own. */
struct flood_verdict flood_note(struct flood *flood, const char *tenant, const char *source,
				unsigned kind);

/* Offers everything that is counted now. True if nothing is left. */
bool flood_flush(struct flood *flood);
/* How many are counted and not written. */
uint64_t flood_pending(const struct flood *flood);

#endif
