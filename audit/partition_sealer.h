/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_PARTITION_SEALER_H
#define AUDIT_PARTITION_SEALER_H

/* Makes the seal of a partition that is about to be dropped, having verified it: every epoch that a
 * link in it belongs to. Reads only. */

#include <stdint.h>

#include "audit/partition_seal.h"
#include "audit/verify.h"
#include "base/db.h"
#include "base/loop.h"
#include "base/span.h"

struct partition_sealer;

struct sealed_partition {
	struct partition_seal seal;
	struct span statement;
	uint8_t signature[CHAIN_SIGNATURE_BYTES];
};

struct partition_sealer_params {
	struct loop *loop;
	struct db *db;
	const struct db_setting *setting; /* of each transaction, or NULL */
	const uint8_t *seed;		  /* ED25519_SEED_BYTES */
	struct partition_seal seal;	  /* log, partition, from_us, to_us, sealed_us */
	/* err ERR_CONFLICT: it does not verify, for what was found first; sealed is valid during
	 * the call. */
	void (*done)(void *ctx, const struct sealed_partition *sealed, const struct err *err);
	void *ctx;
};
/* Links in so many chains at most. */
#define PARTITION_MAX_CHAINS 10000

void partition_sealer_start(struct partition_sealer **slot,
			    const struct partition_sealer_params *params);
void partition_sealer_cancel(struct partition_sealer **slot);

#endif
