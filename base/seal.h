/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

/*
 * Values sealed at rest: AES-256-GCM in the wire form
 *
 *   0x01 | alg u8 (1 = AES-256-GCM) | kek_id u32 | dek_id u64 | nonce 12 | ciphertext | tag 16
 *
 * (integers big-endian). The associated data are a length-prefixed list: "tollgate-col-v1",
 * deployment, tenant, table, column, row, version, and the 14 bytes of prefix, so a value moved
 * to another place, or with a changed prefix, does not open.
 *
 * Knows nothing of where keys or values are kept: tokenstore/keyring.h loads them.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/secret.h"

#define SEAL_PREFIX_BYTES   14
#define SEAL_OVERHEAD_BYTES (SEAL_PREFIX_BYTES + GCM_NONCE_BYTES + GCM_TAG_BYTES)

/* A data key: one per tenant, wrapped by a key-encryption key while at rest. */
struct seal_key {
	uint32_t kek_id;
	uint64_t dek_id;
	uint8_t bytes[AES_KEY_BYTES];
};

/* Where a value stands. All borrowed, none NULL. */
struct seal_place {
	const char *deployment;
	const char *tenant;
	const char *table;
	const char *column;
	const char *row;
	int64_t version;
};

void seal_key_random(struct seal_key *key, uint32_t kek_id, uint64_t dek_id);
/* Appends the sealed form of plain to out; aborts if out has no room. */
void seal(const struct seal_key *key, const struct seal_place *place, struct span plain,
	  struct buf *out);
/* ERR_INTERNAL "does not open": wrong key, wrong place or changed bytes, never which. */
int seal_open(const struct seal_key *key, const struct seal_place *place, struct span sealed,
	      struct secret *plain, struct err *err) MUST_CHECK;
/* The ids in a sealed value's prefix: hints for finding the key. */
int seal_ids(struct span sealed, uint32_t *kek_id, uint64_t *dek_id, struct err *err) MUST_CHECK;
/* That of the keys which the prefix names. NULL with ERR_INTERNAL: it is none of them, or no sealed
 * value. */
const struct seal_key *seal_find_key(const struct seal_key *keys, size_t n_keys, struct span sealed,
				     struct err *err) MUST_CHECK;

#endif
