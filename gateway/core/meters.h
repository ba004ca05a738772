/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_METERS_H
#define GATEWAY_CORE_METERS_H

/* The metrics of the gateway: the one table of their names, and how a call is measured. */

#include <stdint.h>

#include "audit/book.h"
#include "base/metrics.h"

enum gate_metric {
	METER_BUILD_INFO,
	METER_SERVER_SECONDS,
	METER_CLIENT_SECONDS,
	METER_TOOL_CALLS,
	METER_INFLIGHT,
	METER_SESSION_SECONDS,
	METER_CONNECTION_UP,
	METER_ACCOUNTS,
	METER_REFRESHES,
	METER_ATTEMPTS,
	METER_AUDIT_QUEUE,
	METER_AUDIT_OLDEST,
	METER_AUDIT_SPOOL_BYTES,
	METER_AUDIT_ROOM,
	METER_AUDIT_REFUSED,
	METER_AUDIT_WRITTEN,
	METER_AUDIT_LOST,
	METER_ANCHOR_SINK_FAILED,
	METER_PARTITIONS_DROPPED,
	METER_PARTITIONS_KEPT,
	METER_DB_UP,
	METER_DB_CONNECTIONS,
	METER_DB_WAITING,
	METER_DB_WAIT_SECONDS,
	METER_SPANS,
	METER_HTTP_CONNECTIONS,
	METER_HTTP_REFUSED,
	METER_WORKERS,
	METER_WORKER_RESTARTS,
	METER_LOOP_LAG,
	METER_RELOAD_OK,
	METER_RELOAD_TIME,
	METER_SEALED,
	METER_KEYRING_OK,
	N_GATE_METRICS,
};
extern const struct metric gate_metrics[N_GATE_METRICS];

/* A call that has ended. Texts may be NULL: unknown. */
struct meter_call {
	const char *tenant;
	const char *connection;
	const char *method; /* of the methods table, or NULL */
	const char *tool; /* as clients see it, if it was found and has a label of its own; NULL */
	bool is_tool_call;
	enum book_outcome outcome;
	int64_t duration_us;
	int64_t upstream_us; /* -1: nothing left the gate */
};
void meter_call(struct meter *meter, const struct meter_call *call);

/* A change of a grant, by its type in audit.auth_events: attempts to connect and renewals count,
 * all else is nothing. */
void meter_grant_event(struct meter *meter, const char *tenant, const char *connection,
		       const char *type);

#endif
