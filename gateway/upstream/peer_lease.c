/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of legacy upstreams that workers share: one row for each connection and scope, which is
 * the lock as well. While a worker opens the session the row bears its lease and no session; the
 * others look again until there is one, or until the lease has run out by Postgres' clock. No
 * transaction stays open meanwhile.
 */

#include <stdio.h>
#include <stdlib.h>

#include <utlist.h>

#include "gateway/upstream/upstream_priv.h"

#define TENANT "current_setting('app.tenant')::uuid"
#define OUR_ROW                                                                                    \
	"s.tenant_id = " TENANT " AND s.connection_id = $1::uuid AND s.scope = $3"                 \
	" AND s.settings_version = $2::bigint AND s.connected_version = $5::bigint"

/* What every statement here takes: $1 connection, $2 its settings_version, $3 scope, $4 lease, $5
 * connected_version of the grant. */
struct row {
	struct db_setting setting;
	char version[24];
	char connected[24];
	struct span params[8];
};

static void row_init(struct row *row, const struct peer *peer)
{
	row->setting = (struct db_setting){ "app.tenant", peer->key.tenant_id };
	snprintf(row->version, sizeof(row->version), "%lld", (long long)peer->key.version);
	row->params[0] = span_of(peer->key.connection_id);
	row->params[1] = span_of(row->version);
	row->params[2] = span_of(peer->key.scope);
	row->params[3] = span_of(peer->open.lease);
	snprintf(row->connected, sizeof(row->connected), "%lld",
		 (long long)peer->key.connected_version);
	row->params[4] = span_of(row->connected);
}

/* A session counts only for the settings and the grant that it was opened with: others mean
 * another address, credential or account. */
static const char look[] = "SELECT s.session_id, s.protocol_version, s.log_level,"
			   " coalesce(s.lease = $4::uuid, false) AS is_ours"
			   " FROM tollgate.upstream_sessions s WHERE " OUR_ROW;

static bool take_shared(struct peer *peer, const struct db_result *row)
{
	const char *session_id = db_text(row, 0, "session_id");
	const char *log_level = db_text(row, 0, "log_level");

	if (session_id == NULL)
		return false;
	peer_set_terms(peer, MCP_LEGACY, db_text(row, 0, "protocol_version"), session_id);
	if (log_level != NULL)
		peer->log_level = mcp_log_level(log_level);
	return true;
}

static void on_look_again(void *ctx)
{
	peer_run_step(ctx, OPEN_FIND);
}

static void look_again(struct peer *peer)
{
	struct loop *loop = peer->upstreams->loop;
	struct err err;

	if (loop_now_ms(loop) - peer->open.began_ms > UPSTREAM_OPEN_TIMEOUT_MS) {
		err_set(&err, ERR_UPSTREAM, "another worker has not opened its session within %d s",
			UPSTREAM_OPEN_TIMEOUT_MS / 1000);
		peer_finish_opening(peer, &err);
		return;
	}
	timer_start(loop, &peer->open.timer, peer->open.look_ms, on_look_again, peer);
	peer->open.look_ms = peer->open.look_ms * 3 / 2;
	if (peer->open.look_ms > UPSTREAM_LOOK_MAX_MS)
		peer->open.look_ms = UPSTREAM_LOOK_MAX_MS;
}

/* Without Postgres, or with an older version of the connection than Postgres has, this worker has
 * a session of its own. */
static void on_found(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct peer *peer = ctx;

	if (err != NULL || n != 2 || db_rows(results[1]) != 1) {
		peer_run_step(peer, OPEN_INITIALIZE);
	} else if (take_shared(peer, results[1])) {
		peer->adopted = true;
		peer_finish_opening(peer, NULL);
	} else if (db_bool(results[1], 0, "is_ours")) {
		peer->open.leased = true;
		peer_run_step(peer, OPEN_INITIALIZE);
	} else {
		look_again(peer);
	}
}

/* Takes the lease if there is no session that may be used and nobody else's lease. */
void peer_find_shared(struct peer *peer)
{
	static const char take[] =
		"INSERT INTO tollgate.upstream_sessions AS s (tenant_id, connection_id, scope,"
		" settings_version, connected_version, lease, lease_until, expires_at)"
		" SELECT " TENANT ", c.id, $3, $2::bigint, $5::bigint, $4::uuid,"
		" now() + make_interval(secs => $8::float8 / 1000),"
		" now() + make_interval(secs => $7::bigint)"
		" FROM tollgate.connections c WHERE c.tenant_id = " TENANT
		" AND c.id = $1::uuid AND c.settings_version >= $2::bigint"
		" ON CONFLICT (tenant_id, connection_id, scope) DO UPDATE SET"
		" settings_version = excluded.settings_version,"
		" connected_version = excluded.connected_version, session_id = NULL,"
		" protocol_version = NULL, log_level = NULL, lease = excluded.lease,"
		" lease_until = excluded.lease_until, created_at = now(),"
		" expires_at = excluded.expires_at"
		" WHERE (s.settings_version, s.connected_version)"
		" < (excluded.settings_version, excluded.connected_version) OR"
		" ((s.settings_version, s.connected_version)"
		" = (excluded.settings_version, excluded.connected_version)"
		" AND (s.session_id = $6 OR s.expires_at <= now() OR s.lease_until <= now()))";
	char lease_ms[24];
	char idle[24];
	struct row row;

	row_init(&row, peer);
	snprintf(lease_ms, sizeof(lease_ms), "%d", UPSTREAM_LEASE_MS);
	snprintf(idle, sizeof(idle), "%d", UPSTREAM_SESSION_IDLE_SECONDS);
	row.params[5] = span_of(peer->lost_session);
	row.params[6] = span_of(idle);
	row.params[7] = span_of(lease_ms);

	const struct db_statement statements[] = {
		{take,	row.params, 8},
		 { look, row.params, 5}
	};
	const struct db_tx tx = { &row.setting, 1, statements, 2 };

	db_start(peer->upstreams->db, &peer->open.query, &tx, on_found, peer);
}

static void end_own(struct peer *peer)
{
	note_end_session(&(struct note_to){ peer->upstreams, peer->open.tenant,
					    peer->open.connection, peer->key.subject,
					    &peer->terms },
			 0);
}

/* Our lease may have run out, and another worker been faster: then its session is used by both. */
static void on_shared(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct peer *peer = ctx;
	bool kept = err != NULL || n != 2 || db_affected(results[0]) == 1 ||
		    db_rows(results[1]) != 1 || db_text(results[1], 0, "session_id") == NULL;

	peer->open.leased = false;
	if (!kept) {
		end_own(peer);
		peer->adopted = take_shared(peer, results[1]);
	}
	peer_finish_opening(peer, NULL);
}

void peer_share(struct peer *peer)
{
	static const char update[] =
		"UPDATE tollgate.upstream_sessions s SET session_id = $6, protocol_version = $7,"
		" lease = NULL, lease_until = NULL WHERE " OUR_ROW " AND s.lease = $4::uuid";
	struct row row;

	if (peer->terms.session_id[0] == '\0' || !peer->open.leased) {
		peer_finish_opening(peer, NULL);
		return;
	}
	row_init(&row, peer);
	row.params[5] = span_of(peer->terms.session_id);
	row.params[6] = span_of(peer->terms.version);

	const struct db_statement statements[] = {
		{update, row.params, 7},
		   { look,  row.params, 5}
	};
	const struct db_tx tx = { &row.setting, 1, statements, 2 };

	db_start(peer->upstreams->db, &peer->open.query, &tx, on_shared, peer);
}

void release_free(struct release *release)
{
	DL_DELETE(release->upstreams->releases, release);
	db_cancel(&release->query);
	free(release);
}

static void on_released(void *ctx, const struct db_result *const *results, size_t n,
			const struct err *err)
{
	(void)results;
	(void)n;
	(void)err; /* then it runs out */
	release_free(ctx);
}

/* There is no session to share after all. */
void peer_release_lease(struct peer *peer)
{
	static const char drop[] =
		"DELETE FROM tollgate.upstream_sessions s WHERE " OUR_ROW " AND s.lease = $4::uuid";
	struct release *release;
	struct row row;

	if (!peer->open.leased)
		return;
	peer->open.leased = false;
	row_init(&row, peer);
	release = mem_new(sizeof(*release));
	release->upstreams = peer->upstreams;
	DL_APPEND(peer->upstreams->releases, release);
	db_query(peer->upstreams->db, &release->query, &row.setting, drop, row.params, 5,
		 on_released, release);
}

static void on_touched(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	(void)ctx;
	(void)results;
	(void)n;
	(void)err; /* the next use says it again */
}

void peer_touch(struct peer *peer)
{
	static const char update[] =
		"UPDATE tollgate.upstream_sessions s SET log_level = coalesce($4, s.log_level),"
		" expires_at = now() + make_interval(secs => $7::bigint) WHERE " OUR_ROW
		" AND s.session_id = $6";
	char idle[24];
	struct row row;

	if (peer->terms.session_id[0] == '\0')
		return;
	peer->touched_ms = loop_now_ms(peer->upstreams->loop);
	row_init(&row, peer);
	snprintf(idle, sizeof(idle), "%d", UPSTREAM_SESSION_IDLE_SECONDS);
	row.params[3] = peer->log_level >= 0 ? span_of(mcp_log_level_name(peer->log_level))
					     : (struct span){ 0 };
	row.params[5] = span_of(peer->terms.session_id);
	row.params[6] = span_of(idle);
	db_cancel(&peer->touch);
	db_query(peer->upstreams->db, &peer->touch, &row.setting, update, row.params, 7, on_touched,
		 peer);
}
