/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_PARTITION_SEAL_H
#define AUDIT_PARTITION_SEAL_H

/*
 * What is left of a partition that was dropped: a signed statement of which links of which chains
 * were in it and of the MACs at the edges of each run of them, so that a chain can be followed
 * across the hole.
 *
 *   {"version":1,"log":…,"partition":…,"from":…,"to":…,"rows":…,"unchained":…,"sealed_at":…,
 *    "chains":[{"chain":…,"ranges":[[first,last,"MAC before first","MAC of last"],…]},…]}
 *
 * The signature is over its bytes, so they are kept as they are.
 */

#include <stdbool.h>
#include <stdint.h>

#include "audit/verify.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#define PARTITION_NAME_BYTES 64
/* Of a statement; a partition that is in more pieces is not dropped. */
#define PARTITION_SEAL_MAX_BYTES ((size_t)16 << 20)

struct partition_seal {
	char log[PARTITION_NAME_BYTES];
	char partition[PARTITION_NAME_BYTES];
	int64_t from_us, to_us, sealed_us;
	uint64_t rows, unchained;
};

/* Runs of links, of whatever chains. Zero-initialise. */
struct ranges {
	struct verify_range *items;
	size_t n, room;
};
#define RANGES_MAX 2000000 /* some 200 MB */
/* False: there are too many. */
bool ranges_add(struct ranges *ranges, const struct verify_range *range) MUST_CHECK;
/* Ascending by chain and place, and what touches is one. */
void ranges_sort(struct ranges *ranges);
/* Those of a chain, of sorted ones. Borrowed. */
const struct verify_range *ranges_find(const struct ranges *ranges, const uint8_t *chain,
				       size_t *n);
/* The first chain that is not less. False: there is none. */
bool ranges_chain(const struct ranges *ranges, const uint8_t from[CHAIN_ID_BYTES],
		  uint8_t out[CHAIN_ID_BYTES]);
void ranges_fini(struct ranges *ranges);

/* ranges are sorted. Check out->overflow. */
void partition_seal_write(const struct partition_seal *seal, const struct ranges *ranges,
			  struct buf *out);
void partition_seal_sign(const uint8_t seed[ED25519_SEED_BYTES], struct span statement,
			 uint8_t out[CHAIN_SIGNATURE_BYTES]);
bool partition_seal_verify(const uint8_t public_key[ED25519_PUBLIC_BYTES], struct span statement,
			   const uint8_t signature[CHAIN_SIGNATURE_BYTES]);
/* Adds its ranges. ERR_PARSE; what was added then stays. */
int partition_seal_read(struct span statement, struct partition_seal *out, struct ranges *ranges,
			struct err *err) MUST_CHECK;

#endif
