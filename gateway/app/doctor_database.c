/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of PostgreSQL, as the program itself reaches it. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "gateway/app/doctor.h"
#include "gateway/app/sync.h"
#include "tokenstore/keyring.h"

#define APP_ROLE    "tollgate_app"
#define WRITER_ROLE "tollgate_audit_writer"
/* Beside db_connections: the drain, the one that listens, and two that read the record. */
#define CONNECTIONS_PER_WORKER 4
#define CLOCK_WARN_US	       INT64_C(1000000)
#define CLOCK_FAIL_US	       INT64_C(30000000)
#define PARTITIONS_WARN_DAYS   2
#define MAX_TENANTS	       200
#define NOT_REACHED	       "not looked at: the database does not answer"
#define NOT_MIGRATED	       "not looked at: the schema is not that of this program"
#define STALE		       "interval '60 seconds'" /* four heartbeats */

/* One query and what a check makes of its first row. */
struct question {
	struct doctor *doctor;
	struct finding *finding;
	void (*judge)(struct doctor *doctor, struct finding *finding, const struct db_result *rows);
};

static void on_answer(void *ctx, const struct db_result *const *results, size_t n)
{
	const struct question *question = ctx;

	assert(n == 1);
	question->judge(question->doctor, question->finding, results[0]);
}

static int ask_in(struct doctor *doctor, struct db *db, const struct db_setting *setting,
		  const char *sql, sync_take *take, void *ctx, struct err *err)
{
	const struct db_statement statement = { .sql = sql };
	const struct db_tx tx = { setting, setting != NULL ? 1 : 0, &statement, 1 };

	return sync_tx(doctor->loop, db, &tx, take, ctx, err);
}

static void ask(struct doctor *doctor, struct finding *finding, const char *sql,
		void (*judge)(struct doctor *doctor, struct finding *finding,
			      const struct db_result *rows))
{
	struct question question = { doctor, finding, judge };
	struct err err;

	if (ask_in(doctor, doctor->db, NULL, sql, on_answer, &question, &err) < 0)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "see the log of PostgreSQL, and run tollgate migrate", "%s", err.text);
}

static bool is_reached(struct doctor *doctor, struct finding *finding)
{
	if (!doctor->reached)
		doctor_found(doctor, finding, VERDICT_WARN, "see database", NOT_REACHED);
	return doctor->reached;
}

static bool is_migrated(struct doctor *doctor, struct finding *finding)
{
	if (is_reached(doctor, finding) && !doctor->migrated)
		doctor_found(doctor, finding, VERDICT_WARN, "see migrations", NOT_MIGRATED);
	return doctor->reached && doctor->migrated;
}

/* --- reaching it ----------------------------------------------------------------------------- */

static struct db *open_db(struct doctor *doctor, const char *conninfo)
{
	return db_new(doctor->loop, &(struct db_params){
					    .conninfo = conninfo,
					    .max_connections = 1,
					    .connect_timeout_ms = doctor->config.db_timeout_ms,
					    .op_timeout_ms = doctor->config.db_timeout_ms,
					    .idle_ms = doctor->config.db_timeout_ms,
					    .max_queued = 1,
				    });
}

static void judge_version(struct doctor *doctor, struct finding *finding,
			  const struct db_result *rows)
{
	doctor->reached = true;
	doctor_found(doctor, finding, VERDICT_OK, NULL, "PostgreSQL %s answers",
		     db_text(rows, 0, "version"));
}

static void check_database(struct doctor *doctor, struct finding *finding)
{
	struct question question = { doctor, finding, judge_version };
	struct err err;

	if (doctor->config.database_url == NULL || doctor->config.database_url[0] == '\0')
		return doctor_found(doctor, finding, VERDICT_FAIL, "set database_url",
				    "it is not set");
	doctor->db = open_db(doctor, doctor->config.database_url);
	if (ask_in(doctor, doctor->db, NULL, "SELECT current_setting('server_version') AS version",
		   on_answer, &question, &err) < 0)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "see that PostgreSQL runs, and that database_url is right", "%s",
			     err.text);
}

static void judge_role(struct doctor *doctor, struct finding *finding, const struct db_result *rows)
{
	const char *name = db_text(rows, 0, "name");

	if (db_bool(rows, 0, "above"))
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "connect as " APP_ROLE ": row level security does not bind this role",
			     "%s is a superuser, or bypasses row level security", name);
	else if (strcmp(name, APP_ROLE) != 0)
		doctor_found(doctor, finding, VERDICT_WARN, "connect as " APP_ROLE,
			     "database_url connects as %s", name);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "database_url connects as %s",
			     name);
}

static void check_role(struct doctor *doctor, struct finding *finding)
{
	if (is_reached(doctor, finding))
		ask(doctor, finding,
		    "SELECT rolname AS name, rolsuper OR rolbypassrls AS above FROM pg_roles"
		    " WHERE rolname = current_user",
		    judge_role);
}

static void judge_writer(struct doctor *doctor, struct finding *finding,
			 const struct db_result *rows)
{
	if (!db_bool(rows, 0, "may"))
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "connect as " WRITER_ROLE ", and run tollgate migrate",
			     "drain_database_url connects as %s, which may not write the book",
			     db_text(rows, 0, "name"));
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "drain_database_url connects as %s",
			     db_text(rows, 0, "name"));
}

static void check_drain(struct doctor *doctor, struct finding *finding)
{
	struct question question = { doctor, finding, judge_writer };
	struct db *db;
	struct err err;

	if (!is_migrated(doctor, finding))
		return;
	if (doctor->config.drain_database_url == NULL)
		return doctor_found(doctor, finding, VERDICT_FAIL, "set drain_database_url",
				    "it is not set");
	db = open_db(doctor, doctor->config.drain_database_url);
	if (ask_in(doctor, db, NULL,
		   "SELECT current_user AS name,"
		   " has_table_privilege('audit.call_log', 'INSERT') AS may",
		   on_answer, &question, &err) < 0)
		doctor_found(doctor, finding, VERDICT_FAIL, "see that drain_database_url is right",
			     "%s", err.text);
	db_free(&db);
}

/* --- the schema ------------------------------------------------------------------------------ */

static void check_migrations(struct doctor *doctor, struct finding *finding)
{
	struct err err;
	size_t n = 0;

	if (!is_reached(doctor, finding))
		return;
	if (sync_migrate(doctor->loop, doctor->config.database_url, true, NULL, NULL, &n, &err) < 0)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "use the program that the schema was made by, or a newer one", "%s",
			     err.text);
	else if (n > 0)
		doctor_found(doctor, finding, VERDICT_FAIL, "run tollgate migrate",
			     "%zu of %zu are missing", n, n_migrations);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "all %zu are applied",
			     n_migrations);
	doctor->migrated = finding->verdict == VERDICT_OK;
}

static void judge_key(struct doctor *doctor, struct finding *finding, const struct db_result *rows)
{
	const char *stored = db_text(rows, 0, "key_check");
	uint8_t check[SHA256_BYTES];
	char ours[2 * SHA256_BYTES + 1];

	keyring_check_value(doctor->keyring, check);
	hex_encode(check, sizeof(check), ours);
	if (stored == NULL)
		doctor_found(doctor, finding, VERDICT_OK, NULL,
			     "the first start will bind the database to it");
	else if (strcmp(stored, ours) != 0)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "put the keyring of this deployment back: without it nothing that is "
			     "sealed opens, and no API key is good",
			     "keyring_file is not the one that this database is bound to");
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "it is that of this database");
}

static void check_key(struct doctor *doctor, struct finding *finding)
{
	if (!is_migrated(doctor, finding))
		return;
	if (doctor->keyring == NULL)
		doctor_found(doctor, finding, VERDICT_WARN, "see keyring",
			     "not looked at: there is no keyring");
	else
		ask(doctor, finding, "SELECT tollgate.setting('key_check') AS key_check",
		    judge_key);
}

static void judge_security(struct doctor *doctor, struct finding *finding,
			   const struct db_result *rows)
{
	if (db_int(rows, 0, "open") > 0)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "find out who altered it: ALTER TABLE … FORCE ROW LEVEL SECURITY",
			     "%lld tables do not force row level security, %s first",
			     (long long)db_int(rows, 0, "open"), db_text(rows, 0, "first"));
	else if (db_int(rows, 0, "public") > 0)
		doctor_found(doctor, finding, VERDICT_FAIL, "find out who made them: DROP POLICY …",
			     "%lld policies are for everybody",
			     (long long)db_int(rows, 0, "public"));
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "it is forced on all %lld tables",
			     (long long)db_int(rows, 0, "all"));
}

static void check_security(struct doctor *doctor, struct finding *finding)
{
	static const char sql[] =
		"WITH ours AS (SELECT c.oid, c.relname, relrowsecurity AND relforcerowsecurity AS "
		"shut"
		" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE n.nspname IN ('tollgate', 'audit', 'audit_parts') AND c.relkind IN ('r', "
		"'p'))"
		" SELECT count(*) AS all, count(*) FILTER (WHERE NOT shut) AS open,"
		" min(relname) FILTER (WHERE NOT shut) AS first,"
		" (SELECT count(*) FROM pg_policy p JOIN ours o ON o.oid = p.polrelid"
		" WHERE 0 = ANY (p.polroles)) AS public FROM ours";

	if (is_migrated(doctor, finding))
		ask(doctor, finding, sql, judge_security);
}

static void judge_partitions(struct doctor *doctor, struct finding *finding,
			     const struct db_result *rows)
{
	int64_t ahead = db_int(rows, 0, "ahead");

	if (db_text(rows, 0, "ahead") == NULL || ahead < 0)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "start a gateway, which makes them, or look into its log",
			     "the book has no partition for today");
	else if (ahead < PARTITIONS_WARN_DAYS)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "look into the log of the gateway, which makes them every hour",
			     "the book has partitions for %lld more days only", (long long)ahead);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL,
			     "the book has partitions for %lld more days", (long long)ahead);
}

static void check_partitions(struct doctor *doctor, struct finding *finding)
{
	if (is_migrated(doctor, finding))
		ask(doctor, finding,
		    "SELECT min(last) AS ahead FROM (SELECT max(to_date(right(c.relname, 8),"
		    " 'YYYYMMDD')) - (now() AT TIME ZONE 'UTC')::date AS last"
		    " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
		    " JOIN pg_inherits p ON p.inhrelid = i.inhparent"
		    " WHERE p.inhparent = 'audit.call_log'::regclass GROUP BY i.inhparent) classes",
		    judge_partitions);
}

/* --- the server ------------------------------------------------------------------------------ */

static void judge_settings(struct doctor *doctor, struct finding *finding,
			   const struct db_result *rows)
{
	int64_t wanted = doctor->workers * (doctor->config.db_connections + CONNECTIONS_PER_WORKER);
	int64_t has = db_int(rows, 0, "connections");

	if (!db_bool(rows, 0, "durable"))
		doctor_found(doctor, finding, doctor->dev_dir != NULL ? VERDICT_WARN : VERDICT_FAIL,
			     "set fsync, full_page_writes and synchronous_commit to on",
			     "it may lose rows of the book that it has confirmed");
	else if (wanted > has)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "raise max_connections, or lower workers or db_connections",
			     "the workers may open %lld connections, and it takes %lld",
			     (long long)wanted, (long long)has);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL,
			     "durable; the workers may open %lld of its %lld connections",
			     (long long)wanted, (long long)has);
}

static void check_settings(struct doctor *doctor, struct finding *finding)
{
	if (is_reached(doctor, finding))
		ask(doctor, finding,
		    "SELECT current_setting('fsync')::bool"
		    " AND current_setting('full_page_writes')::bool"
		    " AND current_setting('synchronous_commit') <> 'off' AS durable,"
		    " current_setting('max_connections')::int"
		    " - current_setting('superuser_reserved_connections')::int AS connections",
		    judge_settings);
}

static void judge_clock(struct doctor *doctor, struct finding *finding,
			const struct db_result *rows)
{
	int64_t apart_us = llabs(db_int(rows, 0, "now_us") - loop_unix_us());
	enum verdict verdict = apart_us >= CLOCK_FAIL_US   ? VERDICT_FAIL
			       : apart_us >= CLOCK_WARN_US ? VERDICT_WARN
							   : VERDICT_OK;

	doctor_found(doctor, finding, verdict,
		     verdict == VERDICT_OK ? NULL : "let both follow a time server",
		     "the clocks of this machine and of the database are %lld ms apart",
		     (long long)apart_us / 1000);
}

static void check_clock(struct doctor *doctor, struct finding *finding)
{
	if (is_reached(doctor, finding))
		ask(doctor, finding,
		    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us",
		    judge_clock);
}

/* --- what it holds --------------------------------------------------------------------------- */

static void judge_nodes(struct doctor *doctor, struct finding *finding,
			const struct db_result *rows)
{
	if (db_int(rows, 0, "stale") > 0)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "see whether a gateway was killed or has lost the database; the rows "
			     "go after an hour",
			     "workers alive: %lld; not heard of for a minute: %lld",
			     (long long)db_int(rows, 0, "alive"),
			     (long long)db_int(rows, 0, "stale"));
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "workers alive: %lld",
			     (long long)db_int(rows, 0, "alive"));
}

static void check_nodes(struct doctor *doctor, struct finding *finding)
{
	if (is_migrated(doctor, finding))
		ask(doctor, finding,
		    "SELECT count(*) FILTER (WHERE heartbeat_at > now() - " STALE ") AS alive,"
		    " count(*) FILTER (WHERE heartbeat_at <= now() - " STALE ") AS stale"
		    " FROM tollgate.nodes",
		    judge_nodes);
}

/* Connections are seen one tenant at a time, like everything. */
struct census {
	struct arena *arena;
	const char *tenants[MAX_TENANTS];
	size_t n_tenants;
	int64_t n, n_unhealthy;
};

static void take_tenants(void *ctx, const struct db_result *const *results, size_t n)
{
	struct census *census = ctx;

	assert(n == 1);
	for (size_t i = 0; i < db_rows(results[0]) && census->n_tenants < MAX_TENANTS; i++)
		census->tenants[census->n_tenants++] =
			arena_strdup(census->arena, db_text(results[0], i, "id"));
}

static void take_counts(void *ctx, const struct db_result *const *results, size_t n)
{
	struct census *census = ctx;

	assert(n == 1);
	census->n += db_int(results[0], 0, "n");
	census->n_unhealthy += db_int(results[0], 0, "unhealthy");
}

/* In every tenant; sql counts n and unhealthy. */
static int count_all(struct doctor *doctor, struct census *census, const char *sql, struct err *err)
{
	if (ask_in(doctor, doctor->db, NULL, "SELECT id FROM tollgate.list_tenants() WHERE enabled",
		   take_tenants, census, err) < 0)
		return -1;
	for (size_t i = 0; i < census->n_tenants; i++) {
		const struct db_setting setting = { "app.tenant", census->tenants[i] };

		if (ask_in(doctor, doctor->db, &setting, sql, take_counts, census, err) < 0)
			return -1;
	}
	return 0;
}

static void check_connections(struct doctor *doctor, struct finding *finding)
{
	static const char sql[] =
		"SELECT count(*) AS n, count(*) FILTER (WHERE s.state IN"
		" ('degraded', 'unreachable', 'auth_failed', 'invalid')) AS unhealthy"
		" FROM tollgate.connections c LEFT JOIN tollgate.connection_status s"
		" ON s.tenant_id = c.tenant_id AND s.connection_id = c.id WHERE c.enabled";
	struct census census = { .arena = doctor->arena };
	struct err err;

	if (!is_migrated(doctor, finding))
		return;
	if (count_all(doctor, &census, sql, &err) < 0)
		doctor_found(doctor, finding, VERDICT_WARN, "see the log of PostgreSQL", "%s",
			     err.text);
	else if (census.n_unhealthy > 0)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "tollgate connections status says why, tenant by tenant",
			     "%lld of %lld are not healthy", (long long)census.n_unhealthy,
			     (long long)census.n);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL,
			     "connections: %lld, tenants: %zu, none unhealthy", (long long)census.n,
			     census.n_tenants);
}

static void check_accounts(struct doctor *doctor, struct finding *finding)
{
	static const char sql[] =
		"SELECT count(*) AS n, count(*) FILTER (WHERE g.state = 'needs_reauth'"
		" OR g.last_error IS NOT NULL) AS unhealthy FROM tollgate.grants g"
		" JOIN tollgate.connections c ON c.tenant_id = g.tenant_id AND c.id = "
		"g.connection_id"
		" WHERE g.state <> 'disconnected' AND c.enabled AND c.auth_mode = 'oauth'";
	struct census census = { .arena = doctor->arena };
	struct err err;

	if (!is_migrated(doctor, finding))
		return;
	if (count_all(doctor, &census, sql, &err) < 0)
		doctor_found(doctor, finding, VERDICT_WARN, "see the log of PostgreSQL", "%s",
			     err.text);
	else if (census.n_unhealthy > 0)
		doctor_found(
			doctor, finding, VERDICT_WARN,
			"tollgate accounts list says which and why; tollgate connect NAME "
			"connects one again",
			"%lld of %lld cannot be renewed, or somebody has to connect them again",
			(long long)census.n_unhealthy, (long long)census.n);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%lld connected by OAuth",
			     (long long)census.n);
}

const struct check doctor_database_checks[] = {
	{"database",	      check_database   },
	{ "role",	  check_role	     },
	{ "migrations",	check_migrations },
	{ "drain_role",	check_drain	    },
	{ "keyring_match", check_key	     },
	{ "row_security",  check_security	 },
	{ "postgres",      check_settings   },
	{ "clock",	   check_clock      },
	{ "partitions",	check_partitions },
	{ "nodes",	   check_nodes      },
	{ "connections",	 check_connections},
	{ "accounts",      check_accounts   },
	{ NULL,		NULL	     },
};
