/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/gate_db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "gateway/app/migrate.h"
#include "tokenstore/keyring.h"

static void on_tick(void *ctx)
{
	struct gate_db *gate = ctx;

	if (gate->holds(gate->ctx) || loop_now_ms(gate->loop) > gate->give_up_at_ms)
		loop_stop(gate->loop);
	else
		timer_start(gate->loop, &gate->tick, 1, on_tick, gate);
}

void gate_db_until(struct gate_db *gate, bool (*holds)(void *ctx), void *ctx)
{
	gate->holds = holds;
	gate->ctx = ctx;
	gate->give_up_at_ms = loop_now_ms(gate->loop) + GATE_WAIT_MS;
	timer_start(gate->loop, &gate->tick, 0, on_tick, gate);
	loop_run(gate->loop);
	timer_stop(&gate->tick);
	assert_true(holds(ctx));
}

static void on_enough(void *ctx)
{
	loop_stop(ctx);
}

void gate_db_for(struct gate_db *gate, int64_t ms)
{
	timer_start(gate->loop, &gate->tick, ms, on_enough, gate->loop);
	loop_run(gate->loop);
}

struct asked {
	struct gate_db *gate;
	struct db_op *op;
	bool ended;
	bool failed;
	size_t affected;
};

static void on_answer(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct asked *asked = ctx;
	struct gate_db *gate = asked->gate;
	const char *v = NULL;

	asked->ended = true;
	asked->failed = err != NULL;
	if (err != NULL) {
		print_error("%s %s\n", err->tag, err->text);
		return;
	}
	asked->affected = db_affected(results[n - 1]);
	if (db_rows(results[n - 1]) == 0) {
		snprintf(gate->answer, sizeof(gate->answer), "none");
		return;
	}
	v = db_text(results[n - 1], 0, "v");
	snprintf(gate->answer, sizeof(gate->answer), "%s", v != NULL ? v : "NULL");
}

static bool has_ended(void *ctx)
{
	const struct asked *asked = ctx;

	return asked->ended;
}

static void ask(struct gate_db *gate, const char *format, va_list args) ERR_PRINTF(2, 0);
static void ask(struct gate_db *gate, const char *format, va_list args)
{
	struct asked asked = { .gate = gate };
	char *sql = NULL;

	assert_true(vasprintf(&sql, format, args) >= 0);
	db_query(gate->admin, &asked.op, NULL, sql, NULL, 0, on_answer, &asked);
	gate_db_until(gate, has_ended, &asked);
	if (asked.failed)
		print_error("%s\n", sql);
	free(sql);
	assert_false(asked.failed);
}

const char *gate_db_ask(struct gate_db *gate, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	ask(gate, format, args);
	va_end(args);
	return gate->answer;
}

void gate_db_do(struct gate_db *gate, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	ask(gate, format, args);
	va_end(args);
}

static void on_provisioned(void *ctx, const struct db_result *const *results, size_t n,
			   const struct err *err)
{
	struct asked *asked = ctx;

	asked->ended = true;
	asked->failed = err != NULL;
	if (err != NULL)
		print_error("%s %s\n", err->tag, err->text);
	else
		asked->affected = db_affected(results[n - 1]);
}

size_t gate_db_provision(struct gate_db *gate, const struct provision *provision)
{
	struct asked asked = { .gate = gate };
	const struct db_tx tx = provision_tx(provision);

	db_start(gate->app, &asked.op, &tx, on_provisioned, &asked);
	gate_db_until(gate, has_ended, &asked);
	assert_false(asked.failed);
	return asked.affected;
}

void gate_db_tenant(struct gate_db *gate, const char *name, char id[UUID_TEXT_BYTES])
{
	struct arena *arena = arena_new();
	struct provision provision;

	uuid_v4(id);
	provision_init(&provision, arena, id);
	provision_tenant(&provision, gate->keyring, GATE_DEPLOYMENT,
			 &(struct tenant_row){ name, true, "{\"allow\":[]}" });
	gate_db_provision(gate, &provision);
	arena_free(&arena);
}

struct migrating {
	struct migrate *slot;
	struct loop *loop;
	bool failed;
};

static void on_migrated(void *ctx, size_t n, const struct err *err)
{
	struct migrating *migrating = ctx;

	(void)n;
	migrating->failed = err != NULL;
	if (err != NULL)
		print_error("%s\n", err->text);
	loop_stop(migrating->loop);
}

static int migrate(const struct gate_db *gate)
{
	struct migrating migrating = { .loop = loop_new() };

	migrate_start(migrating.loop, &migrating.slot,
		      &(struct migrate_params){
			      .conninfo = gate->cluster.conninfo,
			      .list = migrations,
			      .n = n_migrations,
			      .done = on_migrated,
			      .ctx = &migrating,
		      });
	loop_run(migrating.loop);
	loop_free(&migrating.loop);
	return migrating.failed ? -1 : 0;
}

static int make_keyring(struct gate_db *gate)
{
	struct err err;
	char path[64];
	int ret = -1;

	snprintf(gate->dir, sizeof(gate->dir), "/tmp/gate-XXXXXX");
	if (mkdtemp(gate->dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/keyring", gate->dir);
	if (keyring_create(path, &err) == 0) {
		gate->keyring = keyring_load(path, &err);
		ret = gate->keyring != NULL ? 0 : -1;
		unlink(path);
	}
	rmdir(gate->dir);
	return ret;
}

int gate_db_start_program(void **state)
{
	struct gate_db *gate = mem_new(sizeof(*gate));

	*state = gate;
	log_configure(LOG_ERROR, LOG_TEXT);
	if (pg_cluster_start(&gate->cluster) < 0)
		return -1;
	gate->app_conninfo = mem_printf("host=%s port=5432 user=tollgate_app dbname=postgres",
					gate->cluster.dir);
	return make_keyring(gate) < 0 || migrate(gate) < 0 ? -1 : 0;
}

int gate_db_end_program(void **state)
{
	struct gate_db *gate = *state;

	pg_cluster_stop(&gate->cluster);
	keyring_free(&gate->keyring);
	free(gate->app_conninfo);
	free(gate);
	return 0;
}

static struct db *pool(struct gate_db *gate, const char *conninfo)
{
	return db_new(gate->loop, &(struct db_params){
					  .conninfo = conninfo,
					  .max_connections = 4,
					  .connect_timeout_ms = 5000,
					  .op_timeout_ms = 10000,
					  .idle_ms = 60000,
					  .max_queued = 1000,
				  });
}

int gate_db_start_test(void **state)
{
	struct gate_db *gate = *state;

	if (gate->cluster.postmaster == 0 && pg_cluster_restart(&gate->cluster) < 0)
		return -1;
	gate->loop = loop_new();
	gate->app = pool(gate, gate->app_conninfo);
	gate->admin = pool(gate, gate->cluster.conninfo);
	gate_db_do(gate, "TRUNCATE tollgate.tenants CASCADE");
	return 0;
}

int gate_db_end_test(void **state)
{
	struct gate_db *gate = *state;

	timer_stop(&gate->tick);
	db_free(&gate->app);
	db_free(&gate->admin);
	loop_free(&gate->loop);
	return 0;
}
