/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_EVENT_SEALER_H
#define AUDIT_EVENT_SEALER_H

/*
 * Brings events into the chain: takes ranges of them that nobody has sealed, digests them and
 * appends the seals to the book. One of all gateways at a time gets ranges; a range that it did not
 * finish is given out again.
 *
 * Looks when it is told that there may be some, and once a minute, because hints get lost.
 */

#include <stdint.h>

#include "audit/book.h"
#include "base/db.h"
#include "base/loop.h"

struct event_sealer;

/* From a hint to the look, so that one look is for many events. */
#define EVENT_SEALER_GATHER_MS 2000
#define EVENT_SEALER_LOOK_MS   60000

struct event_sealer_params {
	struct loop *loop;
	struct db *db; /* connected as tollgate_app */
	struct book *book;
};
struct event_sealer *event_sealer_new(const struct event_sealer_params *params);
void event_sealer_free(struct event_sealer **sealer);
/* There may be events. */
void event_sealer_hint(struct event_sealer *sealer);
/* Seals that are durable, since it was made. */
uint64_t event_sealer_n_sealed(const struct event_sealer *sealer);

#endif
