/* SPDX-License-Identifier: Apache-2.0 */

/* How fast a full spool gets into PostgreSQL: complete calls of three days, as realistic as we can
 * make them, linked and anchored, into a private server that syncs as a real one does. */

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/book.h"
#include "audit/ledger.h"
#include "base/crypto.h"
#include "base/db.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/app/migrate.h"
#include "tests/fakes/pg.h"

#define FLOOR_ROWS_PER_S 20000
#define N_ROWS		 200000U
#define N_DAYS		 3
#define DAY_US		 INT64_C(86400000000)
#define SPOOL_BYTES	 ((size_t)1 << 30)
#define TIMEOUT_MS	 300000
#define WARM_UP_ROWS	 5000U

static const uint8_t seed[ED25519_SEED_BYTES] = { 1 };

struct bench {
	struct pg_cluster cluster;
	struct loop *loop;
	char dir[32];
	char spool[48];
	struct migrate *migrate;
	struct book_flush *flush;
	struct db_op *op;
	int backend;
};

static void fail(const char *what, const struct err *err)
{
	fprintf(stderr, "%s: %s\n", what, err != NULL ? err->text : "");
	exit(2);
}

static void on_migrated(void *ctx, size_t n, const struct err *err)
{
	struct bench *bench = ctx;

	(void)n;
	if (err != NULL)
		fail("migrate", err);
	loop_stop(bench->loop);
}

static void start_server(struct bench *bench)
{
	static const char *const settings[] = {
		"ALTER SYSTEM SET fsync = on",
		"ALTER SYSTEM SET full_page_writes = on",
		"ALTER SYSTEM SET synchronous_commit = on",
		"SELECT pg_reload_conf()",
	};
	char sql[256];

	if (pg_cluster_start(&bench->cluster) < 0)
		fail("no server", NULL);
	migrate_start(bench->loop, &bench->migrate,
		      &(struct migrate_params){ .conninfo = bench->cluster.conninfo,
						.list = migrations,
						.n = n_migrations,
						.done = on_migrated,
						.ctx = bench });
	loop_run(bench->loop);
	snprintf(sql, sizeof(sql),
		 "SELECT audit.ensure_partitions(current_date - %d, current_date + 1)", N_DAYS);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (pg_cluster_psql(&bench->cluster, "postgres", settings[i]) < 0)
			fail("no settings", NULL);
	}
	if (pg_cluster_psql(&bench->cluster, "postgres", sql) < 0)
		fail("no partitions", NULL);
}

/* Call number n. */
struct call {
	char id[UUID_TEXT_BYTES];
	char user_id[UUID_TEXT_BYTES];
	char user[48];
	char address[24];
	char arguments[512];
	char tool[48];
	struct book_call call;
};

static void make_call(struct call *c, unsigned n)
{
	static const char *const tools[] = { "search_contacts", "get_invoice", "list_issues",
					     "update_ticket", "run_query" };
	int64_t started_us = loop_unix_us() - (int64_t)(n % N_DAYS) * DAY_US;

	uuid_v7(started_us / 1000, c->id);
	snprintf(c->user_id, sizeof(c->user_id), "aaaaaaaa-0000-4000-8000-%012u", n % 500);
	snprintf(c->user, sizeof(c->user), "user%u@acme.example", n % 500);
	snprintf(c->address, sizeof(c->address), "192.0.2.%u", n % 250);
	snprintf(c->tool, sizeof(c->tool), "conn%u__%s", n % 20, tools[n % 5]);
	snprintf(c->arguments, sizeof(c->arguments),
		 "{\"query\":\"everybody who bought boat %u last year\",\"limit\":%u,"
		 "\"fields\":[\"name\",\"city\",\"email\",\"last_order\"],\"filter\":{\"country\":"
		 "\"NO\",\"since\":\"2026-01-%02u\",\"tags\":[\"vip\",\"newsletter\"]},"
		 "\"cursor\":null}",
		 n, n % 100, 1 + n % 28);
	c->call = (struct book_call){
		.call_id = c->id,
		.started_us = started_us,
		.tenant_id = "11111111-2222-4333-8444-555555555555",
		.tenant = "acme",
		.user_id = c->user_id,
		.user_name = c->user,
		.api_key = "laptop",
		.connection_id = "bbbbbbbb-0000-4000-8000-000000000002",
		.connection = "conn",
		.client = SPAN("claude-code/2.0.14"),
		.method = SPAN("tools/call"),
		.tool = span_of(c->tool),
		.request_id = SPAN("17"),
		.arguments = span_of(c->arguments),
		.protocol_version = "2026-07-28",
		.session_id = "b6b1f2a8f1d7f0f7c5d2f0a1",
		.source_ip = c->address,
		.trace_id = SPAN("0af7651916cd43dd8448eb211c80319c"),
		.span_id = SPAN("b7ad6b7169203331"),
		.request_bytes = 512,
		.persona = "sales",
		.audit_level = "redacted",
	};
}

static void append(struct ledger *ledger, struct buf *record, const struct event_source *source)
{
	const struct timespec a_moment = { .tv_nsec = 1000000 };
	struct err err;

	buf_clear(record);
	event_encode(source, record);
	while (ledger_append(ledger, source->type, buf_span(record), NULL, NULL, NULL, &err) < 0) {
		if (strstr(err.text, "keep up") == NULL)
			fail("append", &err);
		nanosleep(&a_moment, NULL);
	}
}

static void fill(struct bench *bench, unsigned n_rows)
{
	const struct book_result result = { .outcome = BOOK_OK,
					    .duration_us = 81234,
					    .upstream_us = 80000,
					    .response_bytes = 4096,
					    .http_status = 200,
					    .account = "ana@crm.example",
					    .upstream_status = 200 };
	struct ledger *ledger;
	struct buf record;
	struct call call;
	struct err err;

	ledger = ledger_open(&(struct ledger_params){ .loop = bench->loop,
						      .dir = bench->spool,
						      .max_bytes = SPOOL_BYTES },
			     &err);
	if (ledger == NULL)
		fail("spool", &err);
	buf_init(&record, EVENT_MAX_BYTES);
	for (unsigned n = 0; n < n_rows; n++) {
		make_call(&call, n);
		append(ledger, &record,
		       &(struct event_source){ EVENT_INTENT, &call.call, NULL,
					       "cccccccc-0000-4000-8000-000000000003" });
		append(ledger, &record,
		       &(struct event_source){ EVENT_OUTCOME, &call.call, &result, NULL });
		if (n % BOOK_EPOCH_LINKS == BOOK_EPOCH_LINKS - 1 &&
		    ledger_anchor(ledger, seed, &err) < 0)
			fail("anchor", &err);
	}
	buf_fini(&record);
	ledger_close(&ledger);
}

static void on_flushed(void *ctx)
{
	struct bench *bench = ctx;

	loop_stop(bench->loop);
}

static int64_t now_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void on_pid(void *ctx, const struct db_result *const *results, size_t n,
		   const struct err *err)
{
	struct bench *bench = ctx;

	(void)n;
	if (err != NULL)
		fail("pid", err);
	bench->backend = (int)db_int(results[0], 0, "pid");
	loop_stop(bench->loop);
}

/* CPU time of the one backend that writes the rows. */
static int64_t backend_us(struct bench *bench, struct db *db)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *file;

	db_query(db, &bench->op, NULL, "SELECT pg_backend_pid() AS pid", NULL, 0, on_pid, bench);
	loop_run(bench->loop);
	snprintf(path, sizeof(path), "/proc/%d/stat", bench->backend);
	file = fopen(path, "re");
	if (file == NULL ||
	    fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		   &system) != 2)
		fail("no CPU time of the backend", NULL);
	fclose(file);
	return (int64_t)(user + system) * 1000000 / sysconf(_SC_CLK_TCK);
}

/* Of what is in the spool. Returns microseconds. */
static int64_t drain(struct bench *bench, struct db *db, unsigned n_rows, int64_t *cpu_us)
{
	struct book_stats stats;
	struct book *book;
	int64_t took_us;
	struct err err;

	book = book_open(&(struct book_params){ .loop = bench->loop,
						.db = db,
						.spool_dir = bench->spool,
						.spool_max_bytes = SPOOL_BYTES,
						.fsync = true },
			 &err);
	if (book == NULL)
		fail("book", &err);
	*cpu_us = now_us(CLOCK_PROCESS_CPUTIME_ID);
	took_us = now_us(CLOCK_MONOTONIC);
	book_flush_start(book, &bench->flush, TIMEOUT_MS, on_flushed, bench);
	loop_run(bench->loop);
	took_us = now_us(CLOCK_MONOTONIC) - took_us;
	*cpu_us = now_us(CLOCK_PROCESS_CPUTIME_ID) - *cpu_us;
	book_stats(book, &stats);
	if (stats.backlog != 0 || stats.written != n_rows || stats.lost != 0)
		fail("not everything arrived", NULL);
	book_close(&book);
	return took_us;
}

static void remove_spool(const struct bench *bench)
{
	DIR *dir = opendir(bench->spool);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(bench->spool);
	rmdir(bench->dir);
}

int main(void)
{
	struct bench bench = { .loop = loop_new() };
	char conninfo[192];
	struct db *db;
	int64_t took_us, cpu_us, server_us, rate;

	log_configure(LOG_WARN, LOG_TEXT);
	snprintf(bench.dir, sizeof(bench.dir), "/tmp/bench_drain.XXXXXX");
	if (mkdtemp(bench.dir) == NULL)
		return 2;
	snprintf(bench.spool, sizeof(bench.spool), "%s/spool", bench.dir);
	start_server(&bench);
	snprintf(conninfo, sizeof(conninfo), "%s user=tollgate_audit_writer",
		 bench.cluster.conninfo);
	db = db_new(bench.loop, &(struct db_params){ .conninfo = conninfo,
						     .max_connections = 1,
						     .connect_timeout_ms = 5000,
						     .op_timeout_ms = 30000,
						     .idle_ms = 60000,
						     .max_queued = 100 });
	fill(&bench, WARM_UP_ROWS);
	drain(&bench, db, WARM_UP_ROWS, &cpu_us);
	fill(&bench, N_ROWS);
	server_us = backend_us(&bench, db);
	took_us = drain(&bench, db, N_ROWS, &cpu_us);
	server_us = backend_us(&bench, db) - server_us;
	rate = N_ROWS * INT64_C(1000000) / took_us;
	printf("%s audit_drain: %" PRId64 " rows/s, floor %d (%u calls of %d days; CPU for each"
	       " %.1f us here and %.1f us in PostgreSQL)\n",
	       rate >= FLOOR_ROWS_PER_S ? "ok" : "not ok", rate, FLOOR_ROWS_PER_S, N_ROWS, N_DAYS,
	       (double)cpu_us / N_ROWS, (double)server_us / N_ROWS);
	db_free(&db);
	loop_free(&bench.loop);
	pg_cluster_stop(&bench.cluster);
	remove_spool(&bench);
	return rate >= FLOOR_ROWS_PER_S ? 0 : 1;
}
