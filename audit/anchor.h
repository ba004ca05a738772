/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_ANCHOR_H
#define AUDIT_ANCHOR_H

/*
 * Anchors as records of the spool and rows of audit.anchors. The record also holds the ratchet that
 * follows, so that the chain can go on behind it; the row does not.
 */

#include "audit/chain.h"
#include "audit/kind.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

extern const struct kind kind_anchors;

/* next: the chain as chain_anchor left it. */
void anchor_encode(const struct chain_anchor *anchor, const struct chain *next, struct buf *out);
/* Never trusts the bytes; next may be NULL. ERR_CONFLICT: of another version. ERR_PARSE: no such
 * record. */
int anchor_decode(struct span record, struct chain_anchor *out, struct chain *next,
		  struct err *err) MUST_CHECK;

/* The state of a chain as bytes: what the spool's checkpoint remembers, and records of the spool.
 */
#define ANCHOR_STATE_BYTES (1 + CHAIN_ID_BYTES + 8 + 8 + SHA256_BYTES + 8 + CHAIN_MAC_BYTES)
void anchor_state_encode(const struct chain *chain, uint8_t out[ANCHOR_STATE_BYTES]);
int anchor_state_decode(struct span bytes, struct chain *out, struct err *err) MUST_CHECK;

#endif
