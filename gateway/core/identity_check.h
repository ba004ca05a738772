/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_IDENTITY_CHECK_H
#define GATEWAY_CORE_IDENTITY_CHECK_H

/*
 * Whether keys that were verified once are still good: for what stays open longer than a call.
 * Knows ids of keys, not their secrets.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/db.h"

struct identity_check; /* the slot */

struct good_key {
	char id[UUID_TEXT_BYTES]; /* of the row: principal.api_key_id */
	int64_t expires_at_us;	  /* Unix microseconds; 0: never */
};
/* err NULL: those of the keys that are neither revoked nor expired, whose user and tenant are
 * enabled; sorted by id. Else ERR_UNAVAILABLE, and nothing is known. */
typedef void identity_check_done(void *ctx, const struct good_key *good, size_t n,
				 const struct err *err);
/* key_ids are of the tenant; they are copied. */
void identity_check_start(struct db *db, struct identity_check **slot, const char *tenant_id,
			  const char *const *key_ids, size_t n, identity_check_done *done,
			  void *ctx);
void identity_check_cancel(struct identity_check **slot);
/* Of what done was given; NULL: it is not among them. */
const struct good_key *good_key_find(const struct good_key *good, size_t n, const char *id);

#endif
