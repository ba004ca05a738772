/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that nobody will use again are ended at their upstreams: those of client sessions that
 * have ended, of users and keys that were removed, and those that were idle for long. Each row is
 * taken by one worker.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/log.h"
#include "gateway/upstream/upstream_priv.h"

/* One that waits for the configuration of its tenant. */
struct ended {
	struct ended *prev, *next;
	struct sweep *sweep;
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
	int64_t settings_version;
	struct peer_terms terms;
	struct tenants_op *loading;
};

struct sweep {
	struct upstreams *upstreams;
	struct tenants *tenants;
	struct timer timer;
	struct db_op *query;
	struct ended *ended;
};

static void ended_free(struct ended *ended)
{
	DL_DELETE(ended->sweep->ended, ended);
	tenants_cancel(&ended->loading);
	free(ended);
}

void sweep_free(struct sweep **sweep)
{
	struct sweep *was = *sweep;
	struct ended *ended;
	struct ended *next;

	*sweep = NULL;
	if (was == NULL)
		return;
	timer_stop(&was->timer);
	db_cancel(&was->query);
	DL_FOREACH_SAFE(was->ended, ended, next)
	{
		ended_free(ended);
	}
	free(was);
}

/* One that was opened for another version of the connection is unknown where it leads now. Of whose
 * token it was is not written down: where users have one each, theirs expires over there. */
static void end_session(const struct ended *ended, struct tenant *tenant)
{
	for (size_t i = 0; i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];

		if (strcmp(connection->id, ended->connection_id) == 0 &&
		    connection->settings_version == ended->settings_version &&
		    connection->invalid == NULL)
			note_end_session(&(struct note_to){ ended->sweep->upstreams, tenant,
							    connection, "", &ended->terms },
					 0);
	}
}

static void on_tenant(void *ctx, struct tenant *tenant, const struct err *err)
{
	struct ended *ended = ctx;

	/* Else it expires over there. */
	if (err == NULL)
		end_session(ended, tenant);
	ended_free(ended);
}

static void take_row(struct sweep *sweep, const struct db_result *rows, size_t row)
{
	struct ended *ended = mem_new(sizeof(*ended));

	*ended = (struct ended){
		.sweep = sweep,
		.settings_version = db_int(rows, row, "settings_version"),
		.terms.era = MCP_LEGACY,
	};
	snprintf(ended->tenant_id, sizeof(ended->tenant_id), "%s", db_text(rows, row, "tenant_id"));
	snprintf(ended->connection_id, sizeof(ended->connection_id), "%s",
		 db_text(rows, row, "connection_id"));
	snprintf(ended->terms.session_id, sizeof(ended->terms.session_id), "%s",
		 db_text(rows, row, "session_id"));
	snprintf(ended->terms.version, sizeof(ended->terms.version), "%s",
		 db_text(rows, row, "protocol_version"));
	DL_APPEND(sweep->ended, ended);
	tenants_start(sweep->tenants, &ended->loading, ended->tenant_id, on_tenant, ended);
}

static void look(void *ctx);

static void on_swept(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	static const struct log_subject subject = { .component = "upstream" };
	struct sweep *sweep = ctx;
	size_t rows = err == NULL && n == 1 ? db_rows(results[0]) : 0;

	if (err != NULL)
		log_debug(&subject, "ended sessions cannot be looked for: %s", err->text);
	for (size_t i = 0; i < rows; i++)
		take_row(sweep, results[0], i);
	timer_start(sweep->upstreams->loop, &sweep->timer,
		    rows == UPSTREAM_MAX_SWEPT ? 0 : UPSTREAM_SWEEP_MS, look, sweep);
}

static void look(void *ctx)
{
	struct sweep *sweep = ctx;
	char most[24];
	struct span params = { most, 0 };

	snprintf(most, sizeof(most), "%d", UPSTREAM_MAX_SWEPT);
	params = span_of(most);
	db_query(sweep->upstreams->db, &sweep->query, NULL,
		 "SELECT tenant_id, connection_id, settings_version, session_id,"
		 " protocol_version FROM tollgate.take_ended_upstream_sessions($1::int)",
		 &params, 1, on_swept, sweep);
}

void upstreams_sweep(struct upstreams *upstreams, struct tenants *tenants)
{
	struct sweep *sweep;

	sweep_free(&upstreams->sweep);
	if (tenants == NULL)
		return;
	sweep = mem_new(sizeof(*sweep));
	*sweep = (struct sweep){ .upstreams = upstreams, .tenants = tenants };
	upstreams->sweep = sweep;
	look(sweep);
}
