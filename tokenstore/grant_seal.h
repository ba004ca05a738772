/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKENSTORE_GRANT_SEAL_H
#define TOKENSTORE_GRANT_SEAL_H

/*
 * The secrets of a grant, sealed with its tenant's data key and bound to table, column, row and
 * version: what was copied from elsewhere, or is of an older version, does not open.
 */

#include <stddef.h>

#include "base/seal.h"
#include "tokenstore/grant_store.h"

/* Borrowed. A store in memory that nothing leaves may do without: NULL in place of keys leaves
 * bytes as they are. */
struct grant_keys {
	const char *deployment;
	const struct seal_key *keys; /* oldest first: the last one seals */
	size_t n_keys;
};

/* Fills in the secrets of row->grant from its bytes; the caller wipes them with grant_wipe. On
 * failure there are none. ERR_INTERNAL. */
int grant_open(const struct grant_keys *keys, struct grant_row *row, struct err *err) MUST_CHECK;
/* The reverse: the bytes, in the arena, for row->id and row->grant.version. ERR_INTERNAL: the
 * tenant has no key. */
int grant_seal(const struct grant_keys *keys, struct arena *arena, struct grant_row *row,
	       struct err *err) MUST_CHECK;
void grant_wipe(struct grant *grant);

#endif
