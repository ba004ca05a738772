/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_LINKS_H
#define AUDIT_LINKS_H

/*
 * Where the chain of one spool stands: behind what was appended, and behind what need not be
 * replayed any more. Pure.
 *
 * The state is found again from a note and the records that follow it. Both may overlap: what lies
 * before the note changes nothing. Links alone do not tell it, for they hold no secret; anchors and
 * records of the state do.
 */

#include <stdbool.h>
#include <stdint.h>

#include "audit/anchor.h"
#include "audit/chain.h"
#include "audit/kind.h"
#include "base/span.h"

struct links {
	struct chain last;    /* behind the last record that was appended */
	struct chain settled; /* behind the last that is done */
	bool known;	      /* while replaying: last is right */
};

/* Replay, from an empty struct. */

/* What anchor_state_encode wrote; it is not believed. */
void links_state(struct links *links, struct span state);
/* A record that completes a row. */
void links_follow(struct links *links, const struct kind *kind, struct span record);
/* All was replayed. False: the state was not to be found, and a new chain begins. */
bool links_ready(struct links *links);

/* Appending: *next is what links->last shall be once the record is taken. */
struct chain_link links_next(const struct links *links, const uint8_t digest[SHA256_BYTES],
			     struct chain *next);
/* The row is done. */
void links_settle(struct links *links, const struct kind *kind, struct span record);
/* Records are lost: last becomes settled. What is left is to be followed anew. */
void links_roll_back(struct links *links);
void links_wipe(struct links *links);

#endif
