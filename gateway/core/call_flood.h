/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CALL_FLOOD_H
#define GATEWAY_CORE_CALL_FLOOD_H

/*
 * Refused calls that come faster than anybody reads are merged: one row with the fields of the
 * first and how many it stands for (n_calls), per source and outcome, at most FLOOD_WINDOW_MS after
 * it came. The first of each window have rows of their own. A source is the principal, or the
 * address (of IPv6 the network of 64 bits) where nobody was recognised.
 */

#include <stdbool.h>

#include "audit/book.h"
#include "base/crypto.h"
#include "base/loop.h"

struct call_flood;

#define CALL_FLOOD_OWN	 1000  /* refused calls of one source and outcome with rows of their own */
#define CALL_FLOOD_TOTAL 20000 /* of all */

/* Borrows both. */
struct call_flood *call_flood_new(struct loop *loop, struct book *book);
/* What is counted is written first, as far as the book takes it. */
void call_flood_free(struct call_flood **flood);
/*
 * True: the call is counted, and `call_id` becomes that of the row that stands for it. False: it is
 * to have a row of its own. subject NULL: nobody was recognised.
 */
bool call_flood_merge(struct call_flood *flood, const char *subject, const struct book_call *call,
		      const struct book_result *result, char call_id[UUID_TEXT_BYTES]);
/* Writes what is counted. Once before the book is flushed. */
void call_flood_flush(struct call_flood *flood);

#endif
