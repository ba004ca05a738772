/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_HEALTH_H
#define GATEWAY_CORE_HEALTH_H

/*
 * How the upstreams fare, as the calls of this worker find out: a circuit breaker for each
 * connection, and a word to all workers (its row in connection_status) when calls begin to fail in
 * a row and when they succeed again.
 *
 * An upstream fares well if it answers, a tool's error and one of JSON-RPC included.
 */

#include <stdint.h>

#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"
#include "gateway/core/breaker.h"
#include "gateway/core/tenant.h"

struct healths; /* of all connections that this worker calls */
struct health_op;

#define HEALTH_RUN     3    /* failures in a row, and all are told */
#define HEALTH_TELL_MS 2000 /* from one word about a connection to the next */

struct healths *healths_new(struct loop *loop, struct db *db);
void healths_free(struct healths **healths);
/* The tenant's snapshot was replaced; NULL: the tenant has gone. Connections that it no longer has
 * are forgotten. */
void healths_tenant_changed(struct healths *healths, const char *tenant_id,
			    const struct tenant *tenant);

struct health_refusal {
	int64_t retry_ms;  /* until a call may try again */
	unsigned failures; /* among the last BREAKER_WINDOW calls */
	char last_error[sizeof(((struct err *)NULL)->text)];
};
/* BREAKER_PROBE: ask first (health_ask_start). *refusal is set for BREAKER_REFUSE only. */
enum breaker_verdict health_admit(struct healths *healths, const struct tenant *tenant,
				  const struct connection *connection,
				  struct health_refusal *refusal);

/* Of all workers only one may probe at a time, once in BREAKER_PROBE_MS. The probe has been put
 * back when granted is false. */
typedef void health_asked(void *ctx, bool granted);
void health_ask_start(struct healths *healths, struct health_op **slot, const struct tenant *tenant,
		      const struct connection *connection, health_asked *done, void *ctx);
/* Puts the probe back. */
void health_ask_cancel(struct health_op **slot);

/* A call that was let through has ended. err as of upstream_events.done, or NULL. */
void health_heard(struct healths *healths, const struct tenant *tenant,
		  const struct connection *connection, enum breaker_verdict as,
		  const struct err *err);
/* It was ended before anything came: nothing was learnt. */
void health_abandoned(struct healths *healths, const struct tenant *tenant,
		      const struct connection *connection, enum breaker_verdict as);
/* When a call was last answered here, as loop_now_ms; -1: never with these settings. */
int64_t health_last_answer_ms(const struct healths *healths, const char *tenant_id,
			      const struct connection *connection);

#endif
