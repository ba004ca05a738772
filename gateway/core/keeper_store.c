/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/crypto.h"
#include "gateway/core/keeper_priv.h"

#define TENANT "current_setting('app.tenant')::uuid"

/* An unchanged catalog is not rewritten: each write makes every worker load the tenant again. What
 * the server says of itself is kept if this worker did not hear it ($10). */
static const char put_catalog[] =
	"INSERT INTO tollgate.catalogs AS c (tenant_id, connection_id, credential_identity,"
	" capabilities, era, protocol_version, server_name, server_version, instructions,"
	" tools, tools_count, hash, fetched_at)"
	" SELECT " TENANT ", id, '', '', $2, $3, $4, $5, $6, $7, $8::int, $9::bytea, now()"
	" FROM tollgate.connections WHERE tenant_id = " TENANT " AND id = $1::uuid"
	" ON CONFLICT (tenant_id, connection_id, credential_identity, capabilities) DO UPDATE SET"
	" era = excluded.era, protocol_version = excluded.protocol_version,"
	" server_name = CASE WHEN $10::boolean THEN excluded.server_name ELSE c.server_name END,"
	" server_version = CASE WHEN $10::boolean THEN excluded.server_version ELSE "
	"c.server_version END,"
	" instructions = CASE WHEN $10::boolean THEN excluded.instructions ELSE c.instructions END,"
	" tools = excluded.tools, tools_count = excluded.tools_count, hash = excluded.hash,"
	" fetched_at = now()"
	" WHERE (c.tools, c.era, c.protocol_version) IS DISTINCT FROM"
	" (excluded.tools, excluded.era, excluded.protocol_version)"
	" OR ($10::boolean AND (c.server_name, c.server_version, c.instructions) IS DISTINCT FROM"
	" (excluded.server_name, excluded.server_version, excluded.instructions))";

static const char put_healthy[] =
	"INSERT INTO tollgate.connection_status (tenant_id, connection_id, state, era,"
	" tools_count, last_success, updated_at)"
	" SELECT " TENANT ", id, 'ok', $2, $3::int, now(), now()"
	" FROM tollgate.connections WHERE tenant_id = " TENANT " AND id = $1::uuid"
	" ON CONFLICT (tenant_id, connection_id) DO UPDATE SET state = 'ok', era = excluded.era,"
	" tools_count = excluded.tools_count, last_success = now(), next_retry_at = NULL,"
	" updated_at = now()";

static const char put_state[] =
	"INSERT INTO tollgate.connection_status (tenant_id, connection_id, state, last_error,"
	" last_error_at, next_retry_at, updated_at)"
	" SELECT " TENANT ", id, $2, $3::text, CASE WHEN $3::text IS NOT NULL THEN now() END,"
	" now() + make_interval(secs => $4::double precision), now()"
	" FROM tollgate.connections WHERE tenant_id = " TENANT " AND id = $1::uuid"
	" ON CONFLICT (tenant_id, connection_id) DO UPDATE SET state = excluded.state,"
	" last_error = coalesce(excluded.last_error, connection_status.last_error),"
	" last_error_at = coalesce(excluded.last_error_at, connection_status.last_error_at),"
	" next_retry_at = excluded.next_retry_at, updated_at = now()";

void keeper_store_catalog(struct db *db, struct db_op **slot, const struct keeper_finding *finding,
			  db_done *done, void *ctx)
{
	const struct db_setting setting = { "app.tenant", finding->tenant_id };
	const struct upstream_facts *facts = finding->facts;
	uint8_t digest[SHA256_BYTES];
	char hash[2 + 2 * SHA256_BYTES + 1] = "\\x";
	char count[24];

	crypto_sha256(finding->tools.p, finding->tools.n, digest);
	hex_encode(digest, sizeof(digest), hash + 2);
	snprintf(count, sizeof(count), "%zu", finding->n_tools);

	const struct span era = span_of(mcp_era_name(facts->era));
	const struct span catalog[] = {
		span_of(finding->connection_id),
		era,
		span_of(facts->protocol_version),
		span_of(facts->server_name),
		span_of(facts->server_version),
		span_of(facts->instructions),
		finding->tools,
		span_of(count),
		span_of(hash),
		span_of(facts->introduced ? "true" : "false"),
	};
	const struct span healthy[] = { span_of(finding->connection_id), era, span_of(count) };
	const struct db_statement statements[] = {
		{put_catalog,  catalog, sizeof(catalog) / sizeof(catalog[0])},
		{ put_healthy, healthy, sizeof(healthy) / sizeof(healthy[0])},
	};
	const struct db_tx tx = { &setting, 1, statements, 2 };

	db_start(db, slot, &tx, done, ctx);
}

void keeper_store_state(struct db *db, struct db_op **slot, const char *tenant_id,
			const char *connection_id, const char *state, const char *problem,
			int64_t retry_ms, db_done *done, void *ctx)
{
	const struct db_setting setting = { "app.tenant", tenant_id };
	char retry[32];

	snprintf(retry, sizeof(retry), "%.3f", (double)retry_ms / 1000);

	const struct span params[] = {
		span_of(connection_id),
		span_of(state),
		span_of(problem),
		retry_ms >= 0 ? span_of(retry) : (struct span){ 0 },
	};

	db_query(db, slot, &setting, put_state, params, 4, done, ctx);
}
