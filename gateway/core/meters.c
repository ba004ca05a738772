/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/meters.h"

#include <stddef.h>
#include <string.h>

/* How many series a worker has room for. */
#define BY_TOOL	       4096
#define BY_TOOL_CALL   2048
#define BY_CONNECTION  1024
#define BY_GRANT_EVENT 2048
#define BY_TENANT      512
#define BY_FEW	       16

/* docs/operations.md shows the same rows; a test compares them. */
/* clang-format off */
/* Columns: name, type, merge, labels, series, divisor, help. */
const struct metric gate_metrics[N_GATE_METRICS] = {
	[METER_BUILD_INFO] =
	{ "tollgate_build_info", METRIC_GAUGE, METRIC_MAX, "version", 1, 1,
	  "Always 1; the version of the program is its label." },
	[METER_SERVER_SECONDS] =
	{ "mcp_server_operation_duration_seconds", METRIC_HISTOGRAM, METRIC_SUM,
	  "tenant mcp_method_name gen_ai_tool_name error_type", BY_TOOL, METRIC_SECONDS,
	  "Requests of MCP clients, until the answer was released." },
	[METER_CLIENT_SECONDS] =
	{ "mcp_client_operation_duration_seconds", METRIC_HISTOGRAM, METRIC_SUM,
	  "tenant connection mcp_method_name error_type", BY_CONNECTION, METRIC_SECONDS,
	  "Requests to upstream MCP servers." },
	[METER_TOOL_CALLS] =
	{ "tollgate_tool_calls_total", METRIC_COUNTER, METRIC_SUM,
	  "tenant connection outcome", BY_TOOL_CALL, 1,
	  "Tool calls by their outcome in the book." },
	[METER_INFLIGHT] =
	{ "tollgate_inflight_requests", METRIC_GAUGE, METRIC_SUM, NULL, 0, 1,
	  "Requests of MCP clients that are being worked on." },
	[METER_SESSION_SECONDS] =
	{ "mcp_server_session_duration_seconds", METRIC_HISTOGRAM, METRIC_SUM, "tenant", BY_TENANT,
	  METRIC_SECONDS, "Sessions of clients, from initialize until the client ended them." },
	[METER_CONNECTION_UP] =
	{ "tollgate_connection_up", METRIC_GAUGE, METRIC_MAX, "tenant connection", BY_CONNECTION, 1,
	  "1 if the upstream's tools were listed at the last attempt." },
	[METER_ACCOUNTS] =
	{ "tollgate_accounts", METRIC_GAUGE, METRIC_SUM, "tenant connection state",
	  3 * BY_CONNECTION, 1, "Accounts at upstreams: active, needs_reauth or disconnected." },
	[METER_REFRESHES] =
	{ "tollgate_oauth_refresh_total", METRIC_COUNTER, METRIC_SUM, "tenant connection result",
	  BY_GRANT_EVENT, 1, "Renewals of upstream tokens by what came of them." },
	[METER_ATTEMPTS] =
	{ "tollgate_oauth_attempts_total", METRIC_COUNTER, METRIC_SUM, "tenant connection result",
	  BY_GRANT_EVENT, 1, "Attempts to connect an account: started, completed or failed." },
	[METER_AUDIT_QUEUE] =
	{ "tollgate_audit_queue_length", METRIC_GAUGE, METRIC_SUM, NULL, 0, 1,
	  "Complete rows of the book that are not in Postgres yet." },
	[METER_AUDIT_OLDEST] =
	{ "tollgate_audit_queue_oldest_seconds", METRIC_GAUGE, METRIC_MAX, NULL, 0, 1000,
	  "Age of the oldest of these rows." },
	[METER_AUDIT_SPOOL_BYTES] =
	{ "tollgate_audit_spool_bytes", METRIC_GAUGE, METRIC_SUM, NULL, 0, 1,
	  "Size of the spools on disk." },
	[METER_AUDIT_ROOM] =
	{ "tollgate_audit_spool_state", METRIC_GAUGE, METRIC_MAX, NULL, 0, 1,
	  "Room of the spools: 0 enough, 1 tight, 2 none, 3 failed." },
	[METER_AUDIT_REFUSED] =
	{ "tollgate_audit_refused_total", METRIC_COUNTER, METRIC_SUM, "reason", BY_FEW, 1,
	  "Calls refused because their row had no room: soft, hard, disk, failed." },
	[METER_AUDIT_WRITTEN] =
	{ "tollgate_audit_written_total", METRIC_COUNTER, METRIC_SUM, NULL, 0, 1,
	  "Rows of the book that Postgres has taken." },
	[METER_AUDIT_LOST] =
	{ "tollgate_audit_lost_total", METRIC_COUNTER, METRIC_SUM, NULL, 0, 1,
	  "Records that could not be read, or rows refused even reduced." },
	[METER_PARTITIONS_DROPPED] =
	{ "tollgate_audit_partitions_dropped_total", METRIC_COUNTER, METRIC_SUM, NULL, 0, 1,
	  "Partitions of the book that were past their time, and sealed." },
	[METER_PARTITIONS_KEPT] =
	{ "tollgate_audit_partitions_kept_total", METRIC_COUNTER, METRIC_SUM, NULL, 0, 1,
	  "Attempts to drop one that ended with it kept: it does not verify, or its seal could not be written." },
	[METER_ANCHOR_SINK_FAILED] =
	{ "tollgate_audit_anchor_sink_failed_total", METRIC_COUNTER, METRIC_SUM, NULL, 0, 1,
	  "Attempts to write an anchor outside of the database that failed." },
	[METER_DB_UP] =
	{ "tollgate_db_up", METRIC_GAUGE, METRIC_MIN, NULL, 0, 1,
	  "1 while Postgres answers all workers." },
	[METER_DB_CONNECTIONS] =
	{ "tollgate_db_pool_connections", METRIC_GAUGE, METRIC_SUM, "state", BY_FEW, 1,
	  "Connections to Postgres: busy or idle." },
	[METER_DB_WAITING] =
	{ "tollgate_db_pool_waiting", METRIC_GAUGE, METRIC_SUM, NULL, 0, 1,
	  "Transactions that wait for a connection." },
	[METER_DB_WAIT_SECONDS] =
	{ "tollgate_db_pool_wait_seconds", METRIC_HISTOGRAM, METRIC_SUM, NULL, 0, METRIC_SECONDS,
	  "How long transactions waited for a connection, in whole milliseconds." },
	[METER_SPANS] =
	{ "tollgate_trace_spans_total", METRIC_COUNTER, METRIC_SUM, "result", BY_FEW, 1,
	  "Spans: exported, dropped on the way, or rejected by the collector." },
	[METER_HTTP_CONNECTIONS] =
	{ "tollgate_http_connections", METRIC_GAUGE, METRIC_SUM, NULL, 0, 1,
	  "Open connections of clients." },
	[METER_HTTP_REFUSED] =
	{ "tollgate_http_refused_total", METRIC_COUNTER, METRIC_SUM, "reason", BY_FEW, 1,
	  "Requests refused by the HTTP server, which are in no book." },
	[METER_WORKERS] =
	{ "tollgate_workers", METRIC_GAUGE, METRIC_SUM, "state", BY_FEW, 1,
	  "Worker processes: starting, serving or draining." },
	[METER_WORKER_RESTARTS] =
	{ "tollgate_worker_restarts_total", METRIC_COUNTER, METRIC_SUM, "reason", BY_FEW, 1,
	  "Workers that were replaced: exit, signal, watchdog, reload." },
	[METER_LOOP_LAG] =
	{ "tollgate_loop_lag_seconds", METRIC_HISTOGRAM, METRIC_SUM, NULL, 0, METRIC_SECONDS,
	  "How late the loop of a worker was, measured every second." },
	[METER_RELOAD_OK] =
	{ "tollgate_config_last_reload_successful", METRIC_GAUGE, METRIC_MIN, NULL, 0, 1,
	  "0 if the last reload kept the old configuration." },
	[METER_RELOAD_TIME] =
	{ "tollgate_config_last_reload_success_timestamp_seconds", METRIC_GAUGE, METRIC_MAX, NULL, 0, 1,
	  "When the configuration in use was loaded." },
	[METER_SEALED] =
	{ "tollgate_sealed", METRIC_GAUGE, METRIC_MAX, NULL, 0, 1,
	  "Workers that serve nobody because they lack the right keyring." },
	[METER_KEYRING_OK] =
	{ "tollgate_keyring_last_load_successful", METRIC_GAUGE, METRIC_MIN, NULL, 0, 1,
	  "0 if the keyring file that is there now cannot be used." },
};
/* clang-format on */

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

void meter_call(struct meter *meter, const struct meter_call *call)
{
	const char *outcome = book_outcome_name(call->outcome);
	const char *tenant = or_empty(call->tenant);
	const char *connection = or_empty(call->connection);
	const char *error_type = call->outcome == BOOK_OK ? "" : outcome;
	const char *method = call->method != NULL ? call->method : METRIC_OTHER;
	const char *tool = call->tool != NULL ? call->tool : METRIC_OTHER;

	if (meter == NULL)
		return;
	meter_observe(
		meter, METER_SERVER_SECONDS,
		(const char *const[]){ tenant, method, call->is_tool_call ? tool : "", error_type },
		call->duration_us);
	if (call->upstream_us >= 0)
		meter_observe(meter, METER_CLIENT_SECONDS,
			      (const char *const[]){ tenant, connection, method, error_type },
			      call->upstream_us);
	if (call->is_tool_call)
		meter_count(meter, METER_TOOL_CALLS,
			    (const char *const[]){ tenant, connection, outcome }, 1);
}

static const struct {
	const char *type;
	enum gate_metric metric;
	const char *result;
} grant_events[] = {
	{"connect_started",			     METER_ATTEMPTS,  "started"   },
	{ "connect_completed",		       METER_ATTEMPTS,  "completed" },
	{ "connect_failed",			    METER_ATTEMPTS,  "failed"    },
	{ "refresh_succeeded",		       METER_REFRESHES, "ok"	     },
	{ "refresh_failed_transient",	      METER_REFRESHES, "transient" },
	{ "refresh_failed_client",		   METER_REFRESHES, "client"    },
	{ "refresh_failed_revoked",		    METER_REFRESHES, "revoked"   },
	{ "refresh_lost",			  METER_REFRESHES, "lost"	  },
	{ "refresh_skipped_expired",	     METER_REFRESHES, "skipped"	},
	{ "refresh_skipped_no_token",	      METER_REFRESHES, "skipped"	 },
	{ "refresh_rotation_persistence_failed", METER_REFRESHES, "not_stored"},
};

void meter_grant_event(struct meter *meter, const char *tenant, const char *connection,
		       const char *type)
{
	for (size_t i = 0; i < sizeof(grant_events) / sizeof(grant_events[0]); i++) {
		if (strcmp(grant_events[i].type, type) != 0)
			continue;
		meter_count(meter, grant_events[i].metric,
			    (const char *const[]){ tenant, connection, grant_events[i].result }, 1);
		return;
	}
}
