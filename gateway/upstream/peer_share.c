/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of legacy upstreams that workers share: one row for each connection. */

#include <stdio.h>

#include "gateway/upstream/upstream_priv.h"

#define TENANT "current_setting('app.tenant')::uuid"

/* $1 connection, $2 its version. A session that was opened before the connection was last edited
 * belongs to another address or credential. */
#define SELECT_SHARED                                                                              \
	"SELECT s.session_id, s.protocol_version FROM tollgate.upstream_sessions s"                \
	" JOIN tollgate.connections c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id"     \
	" WHERE s.tenant_id = " TENANT " AND s.connection_id = $1::uuid AND s.principal = ''"      \
	" AND c.version = $2::bigint AND s.created_at >= c.updated_at"

/* The parameters of a statement about the session's row. */
struct row {
	struct db_setting setting;
	char version[24];
	struct span params[4];
};

static void row_init(struct row *row, const struct peer *peer)
{
	row->setting = (struct db_setting){ "app.tenant", peer->key.tenant_id };
	snprintf(row->version, sizeof(row->version), "%lld", (long long)peer->version);
	row->params[0] = span_of(peer->key.connection_id);
	row->params[1] = span_of(row->version);
}

/* The first row of the second statement, if it is there. */
static bool take_shared(struct peer *peer, const struct db_result *const *results, size_t n,
			const struct err *err)
{
	if (err != NULL || n != 2 || db_rows(results[1]) != 1)
		return false;
	peer_set_terms(peer, MCP_LEGACY, db_text(results[1], 0, "protocol_version"),
		       db_text(results[1], 0, "session_id"));
	return true;
}

/* Without Postgres this worker has a session of its own. */
static void on_found(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct peer *peer = ctx;

	if (take_shared(peer, results, n, err))
		peer_finish_opening(peer, NULL);
	else
		peer_run_step(peer, OPEN_INITIALIZE);
}

/* A session that was refused is struck off in the same transaction, for all workers. */
void peer_find_shared(struct peer *peer)
{
	static const char strike[] =
		"DELETE FROM tollgate.upstream_sessions WHERE tenant_id = " TENANT
		" AND connection_id = $1::uuid AND principal = '' AND session_id = $2";
	struct row row;

	row_init(&row, peer);

	const struct span refused[] = { row.params[0], span_of(peer->lost_session) };
	const struct db_statement statements[] = {
		{strike,	  refused,	   2},
		{ SELECT_SHARED, row.params, 2}
	};
	const struct db_tx tx = { &row.setting, 1, statements, 2 };

	db_start(peer->upstreams->db, &peer->open.query, &tx, on_found, peer);
}

/* Another worker may have been faster: then its session is used by both, and ours is left to
 * expire. */
static void on_shared(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct peer *peer = ctx;

	take_shared(peer, results, n, err);
	peer_finish_opening(peer, NULL);
}

void peer_share(struct peer *peer)
{
	static const char insert[] =
		"INSERT INTO tollgate.upstream_sessions AS s (tenant_id, connection_id, principal,"
		" session_id, protocol_version) SELECT " TENANT ", id, '', $3, $4"
		" FROM tollgate.connections WHERE tenant_id = " TENANT
		" AND id = $1::uuid AND version = $2::bigint"
		" ON CONFLICT (tenant_id, connection_id, principal) DO UPDATE SET"
		" session_id = excluded.session_id, protocol_version = excluded.protocol_version,"
		" log_level = NULL, created_at = now()"
		" WHERE s.created_at < (SELECT updated_at FROM tollgate.connections"
		" WHERE tenant_id = " TENANT " AND id = $1::uuid)";
	struct row row;

	if (peer->terms.session_id[0] == '\0') {
		peer_finish_opening(peer, NULL);
		return;
	}
	row_init(&row, peer);
	row.params[2] = span_of(peer->terms.session_id);
	row.params[3] = span_of(peer->terms.version);

	const struct db_statement statements[] = {
		{insert,	  row.params, 4},
		   { SELECT_SHARED, row.params, 2}
	};
	const struct db_tx tx = { &row.setting, 1, statements, 2 };

	db_start(peer->upstreams->db, &peer->open.query, &tx, on_shared, peer);
}
