/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_RETENTION_H
#define GATEWAY_APP_RETENTION_H

/*
 * Drops the partitions of the book that are older than they need be: each is verified and sealed
 * first, its seal is outside of the database before it goes, and one that does not verify stays.
 * One after the other, once an hour; several gateways at it do no harm.
 */

#include <stdint.h>

#include "base/crypto.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "gateway/app/anchor_sink.h"

struct retention;

#define RETENTION_FIRST_MS 60000
#define RETENTION_SWEEP_MS 3600000
#define RETENTION_SINK_MS  10000

struct retention_params {
	struct loop *loop;
	const char *conninfo; /* of tollgate_app; connected to only during a sweep */
	struct anchor_sink *sink;
	struct meter *meter;	    /* or NULL */
	const uint8_t *seed;	    /* ED25519_SEED_BYTES; copied */
	int64_t call_days;	    /* 0: for ever */
	int64_t payload_days;	    /* likewise */
	int64_t first_ms, sweep_ms; /* to the first sweep, and between them */
	int64_t sink_wait_ms;	    /* until a seal is outside of the database */
	/* After each sweep; may be NULL. */
	void (*swept)(void *ctx, uint64_t n_dropped, uint64_t n_kept);
	void *ctx;
};
struct retention *retention_new(const struct retention_params *params);
void retention_free(struct retention **retention);

#endif
