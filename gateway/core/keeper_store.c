/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/crypto.h"
#include "gateway/core/keeper_priv.h"

#define TENANT	      "current_setting('app.tenant')::uuid"
#define OF_CONNECTION " WHERE tenant_id = " TENANT " AND connection_id = $1::uuid"

/* $1 the connection, $2 the number of the lease, $3 the settings that something was found out of.
 * It is written only while all of that holds. */
#define IS_HELD                                                                                    \
	" EXISTS (SELECT FROM tollgate.connection_status s WHERE s.tenant_id = " TENANT            \
	" AND s.connection_id = $1::uuid AND s.lease_number = $2::bigint)"
#define SERVES                                                                                     \
	" $3::bigint = (SELECT coalesce(p.settings_version, c.settings_version)"                   \
	" FROM tollgate.connections c LEFT JOIN tollgate.serving_connections p"                    \
	" ON p.tenant_id = c.tenant_id AND p.connection_id = c.id"                                 \
	" WHERE c.tenant_id = " TENANT " AND c.id = $1::uuid)"
#define IS_NEWEST                                                                                  \
	" $3::bigint = (SELECT c.settings_version FROM tollgate.connections c"                     \
	" WHERE c.tenant_id = " TENANT " AND c.id = $1::uuid)"

/* First of all, so that no edit comes in between, and locks are taken in the order of a delete. */
static const char lock_connection[] =
	"SELECT FROM tollgate.connections WHERE tenant_id = " TENANT " AND id = $1::uuid FOR SHARE";

/* If it is the newest settings that have been listed, the older ones have served. */
static const char end_trial[] =
	"DELETE FROM tollgate.serving_connections" OF_CONNECTION " AND" IS_HELD " AND" IS_NEWEST;

#define REFRESHED " refresh_done = greatest(refresh_done, $4::bigint)"

/* That it can be listed does not outweigh that calls fail, unless it could not be listed before:
 * then they failed for that reason. */
static const char put_healthy[] =
	"UPDATE tollgate.connection_status SET state ="
	" CASE WHEN state IN ('ok', 'degraded') AND settings_version = $3::bigint"
	" AND calls_failed_at > now() - interval '30 s'"
	" THEN 'degraded' ELSE 'ok' END, settings_version = $3::bigint, era = $5,"
	" tools_count = $6::int, last_success = now(), next_retry_at = NULL," REFRESHED
		OF_CONNECTION " AND lease_number = $2::bigint AND" SERVES;

/* An unchanged catalog is not rewritten: each write makes every worker load the tenant again. What
 * the server says of itself is kept if this worker did not hear it ($12). */
static const char put_catalog[] =
	"INSERT INTO tollgate.catalogs AS c (tenant_id, connection_id, credential_identity,"
	" capabilities, era, protocol_version, server_name, server_version, instructions,"
	" tools, tools_count, hash, fetched_at)"
	" SELECT " TENANT ", $1::uuid, '', '', $4, $5, $6, $7, $8, $9, $10::int, $11::bytea, now()"
	" WHERE" IS_HELD " AND" SERVES
	" ON CONFLICT (tenant_id, connection_id, credential_identity, capabilities) DO UPDATE SET"
	" era = excluded.era, protocol_version = excluded.protocol_version,"
	" server_name = CASE WHEN $12::boolean THEN excluded.server_name ELSE c.server_name END,"
	" server_version = CASE WHEN $12::boolean THEN excluded.server_version ELSE "
	"c.server_version END,"
	" instructions = CASE WHEN $12::boolean THEN excluded.instructions ELSE c.instructions END,"
	" tools = excluded.tools, tools_count = excluded.tools_count, hash = excluded.hash,"
	" fetched_at = now()"
	" WHERE (c.tools, c.era, c.protocol_version) IS DISTINCT FROM"
	" (excluded.tools, excluded.era, excluded.protocol_version)"
	" OR ($12::boolean AND (c.server_name, c.server_version, c.instructions) IS DISTINCT FROM"
	" (excluded.server_name, excluded.server_version, excluded.instructions))";

static const char put_state[] =
	"UPDATE tollgate.connection_status SET state = $5, settings_version = $3::bigint,"
	" last_error = coalesce($6, last_error),"
	" last_error_at = CASE WHEN $6 IS NULL THEN last_error_at ELSE now() END,"
	" next_retry_at = now() + make_interval(secs => $7::double precision),"
	" probed_at = now()," REFRESHED OF_CONNECTION " AND lease_number = $2::bigint AND" SERVES;

static const char put_trial[] =
	"UPDATE tollgate.serving_connections SET trial_error = $4, trial_error_at = now(),"
	" trial_retry_at = now() + make_interval(secs => $5::double precision)" OF_CONNECTION
	" AND" IS_HELD " AND" IS_NEWEST;

static const char put_refreshed[] = "UPDATE tollgate.connection_status SET" REFRESHED OF_CONNECTION
				    " AND lease_number = $2::bigint AND $3::bigint IS NOT NULL";

static const char put_well[] =
	"UPDATE tollgate.connection_status SET last_success = now()," REFRESHED OF_CONNECTION
	" AND lease_number = $2::bigint AND settings_version = $3::bigint";

/* The parameters that all of them begin with. */
struct place_texts {
	char lease_number[24];
	char settings_version[24];
	char refresh[24];
};
#define PLACE(place, texts)                                                                        \
	span_of((place)->connection_id), span_of((texts).lease_number),                            \
		span_of((texts).settings_version)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void write_number(char text[24], int64_t number)
{
	snprintf(text, 24, "%lld", (long long)number);
}

static struct place_texts texts_of(const struct keeper_place *place)
{
	struct place_texts texts = { .lease_number = "" };

	write_number(texts.lease_number, place->lease_number);
	write_number(texts.settings_version, place->settings_version);
	write_number(texts.refresh, place->refresh);
	return texts;
}

static void run(struct db *db, struct db_op **slot, const struct keeper_place *place,
		const struct db_statement *statements, size_t n, db_done *done, void *ctx)
{
	const struct db_setting setting = { "app.tenant", place->tenant_id };
	const struct db_tx tx = { &setting, 1, statements, n };

	db_start(db, slot, &tx, done, ctx);
}

void keeper_store_catalog(struct db *db, struct db_op **slot, const struct keeper_finding *finding,
			  db_done *done, void *ctx)
{
	const struct keeper_place *place = &finding->place;
	const struct upstream_facts *facts = finding->facts;
	const struct place_texts texts = texts_of(place);
	uint8_t digest[SHA256_BYTES];
	char hash[2 + 2 * SHA256_BYTES + 1] = "\\x";
	char count[24];

	crypto_sha256(finding->tools.p, finding->tools.n, digest);
	hex_encode(digest, sizeof(digest), hash + 2);
	write_number(count, (int64_t)finding->n_tools);

	const struct span era = span_of(mcp_era_name(facts->era));
	const struct span where[] = { PLACE(place, texts) };
	const struct span healthy[] = { PLACE(place, texts), span_of(texts.refresh), era,
					span_of(count) };
	const struct span catalog[] = {
		PLACE(place, texts),
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
	const struct db_statement statements[] = {
		{lock_connection, where,	  1		    },
		{ end_trial,	     where,   COUNT(where)	 },
		{ put_healthy,    healthy, COUNT(healthy)},
		{ put_catalog,    catalog, COUNT(catalog)},
	};

	run(db, slot, place, statements, COUNT(statements), done, ctx);
}

/* Absent: none is planned. */
static struct span retry_of(const struct keeper_problem *problem, char text[32])
{
	snprintf(text, 32, "%.3f", (double)problem->retry_ms / 1000);
	return problem->retry_ms >= 0 ? span_of(text) : (struct span){ 0 };
}

void keeper_store_state(struct db *db, struct db_op **slot, const struct keeper_problem *problem,
			db_done *done, void *ctx)
{
	const struct keeper_place *place = &problem->place;
	const struct place_texts texts = texts_of(place);
	char retry[32];
	const struct span params[] = {
		PLACE(place, texts),	span_of(texts.refresh),	  span_of(problem->state),
		span_of(problem->text), retry_of(problem, retry),
	};
	const struct db_statement statements[] = {
		{lock_connection, params, 1	     },
		{ put_state,	     params, COUNT(params)},
	};

	run(db, slot, place, statements, COUNT(statements), done, ctx);
}

void keeper_store_trial(struct db *db, struct db_op **slot, const struct keeper_problem *problem,
			db_done *done, void *ctx)
{
	const struct keeper_place *place = &problem->place;
	const struct place_texts texts = texts_of(place);
	char retry[32];
	const struct span params[] = { PLACE(place, texts), span_of(problem->text),
				       retry_of(problem, retry) };
	const struct span refreshed[] = { PLACE(place, texts), span_of(texts.refresh) };
	const struct db_statement statements[] = {
		{lock_connection, params,	   1		     },
		{ put_refreshed,	 refreshed, COUNT(refreshed)},
		{ put_trial,	     params,    COUNT(params)   },
	};

	run(db, slot, place, statements, COUNT(statements), done, ctx);
}

void keeper_store_well(struct db *db, struct db_op **slot, const struct keeper_place *place,
		       db_done *done, void *ctx)
{
	const struct place_texts texts = texts_of(place);
	const struct span params[] = { PLACE(place, texts), span_of(texts.refresh) };
	const struct db_statement statements[] = {
		{put_well, params, COUNT(params)}
	};

	run(db, slot, place, statements, COUNT(statements), done, ctx);
}
