/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/key_walk.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/app/operator.h"
#include "gateway/app/sync.h"
#include "gateway/core/event_context.h"
#include "tokenstore/keyring.h"

#define TENANT "current_setting('app.tenant')::uuid"
/* A worker beats every 15 s; one that has been silent for four of them is gone. */
#define STALE "interval '60 seconds'"

/* --- asking ---------------------------------------------------------------------------------- */

static const char *copy_text(struct key_walk *walk, const struct db_result *rows, size_t row,
			     const char *column)
{
	const char *text = db_text(rows, row, column);

	return text != NULL ? arena_strdup(walk->arena, text) : NULL;
}

static struct span copy_bytes(struct arena *arena, const struct db_result *rows, size_t row,
			      const char *column)
{
	size_t n;
	char *bytes = db_bytes(rows, row, column, &n);
	struct span copy = { arena_dup(arena, bytes, n), n };

	free(bytes);
	return copy;
}

static struct span bytea(struct arena *arena, struct span bytes)
{
	char *text = arena_alloc(arena, 2 + 2 * bytes.n + 1);

	text[0] = '\\';
	text[1] = 'x';
	hex_encode(bytes.p, bytes.n, text + 2);
	return (struct span){ text, 2 + 2 * bytes.n };
}

static struct span number(struct arena *arena, uint64_t value)
{
	return span_of(arena_printf(arena, "%" PRIu64, value));
}

/* Of one tenant, or of all if tenant is NULL. */
static int ask(struct key_walk *walk, const struct key_tenant *tenant,
	       const struct db_statement *statement, sync_take *take, void *ctx, struct err *err)
{
	const struct db_setting settings[] = {
		{
			EVENT_CONTEXT_SETTING,
			walk->operator},
			{ "app.tenant", tenant != NULL ? tenant->id : NULL },
	};
	const struct db_tx tx = { settings, tenant != NULL ? 2 : 1, statement, 1 };

	return sync_tx(walk->loop, walk->db, &tx, take, ctx, err);
}

static void take_affected(void *ctx, const struct db_result *const *results, size_t n)
{
	assert(n == 1);
	*(bool *)ctx = db_affected(results[0]) == 1;
}

/* --- the deployment -------------------------------------------------------------------------- */

static void take_deployment(void *ctx, const struct db_result *const *results, size_t n)
{
	struct key_walk *walk = ctx;

	assert(n == 1);
	walk->deployment = copy_text(walk, results[0], 0, "deployment");
	walk->key_check = copy_text(walk, results[0], 0, "key_check");
}

static void take_tenants(void *ctx, const struct db_result *const *results, size_t n)
{
	struct key_walk *walk = ctx;

	assert(n == 1);
	walk->n_tenants = db_rows(results[0]);
	walk->tenants = arena_alloc(walk->arena, (walk->n_tenants + 1) * sizeof(*walk->tenants));
	for (size_t i = 0; i < walk->n_tenants; i++)
		walk->tenants[i] = (struct key_tenant){ copy_text(walk, results[0], i, "id"),
							copy_text(walk, results[0], i, "name") };
}

int key_walk_open(struct key_walk *walk, struct arena *arena, const struct config *config,
		  struct err *err)
{
	static const struct db_statement deployment = {
		.sql = "SELECT tollgate.setting('deployment_id') AS deployment,"
		       " tollgate.setting('key_check') AS key_check"
	};
	static const struct db_statement tenants = {
		.sql = "SELECT id, name FROM tollgate.list_tenants()"
	};

	*walk = (struct key_walk){ .arena = arena, .operator= operator_context(arena, "keyring") };
	if (config->database_url == NULL || config->database_url[0] == '\0')
		return err_set(err, ERR_BAD_REQUEST, "database_url is not set");
	walk->loop = loop_new();
	walk->db = db_new(walk->loop, &(struct db_params){
					      .conninfo = config->database_url,
					      .max_connections = 1,
					      .connect_timeout_ms = config->db_timeout_ms,
					      .op_timeout_ms = config->db_timeout_ms,
					      .idle_ms = config->db_timeout_ms,
					      .max_queued = 1,
				      });
	if (ask(walk, NULL, &deployment, take_deployment, walk, err) < 0 ||
	    ask(walk, NULL, &tenants, take_tenants, walk, err) < 0)
		return err_prefix(err, "the database");
	return 0;
}

void key_walk_close(struct key_walk *walk)
{
	db_free(&walk->db);
	loop_free(&walk->loop);
}

int key_walk_check(const struct key_walk *walk, const struct keyring *keyring, struct err *err)
{
	uint8_t check[SHA256_BYTES];
	char ours[2 * SHA256_BYTES + 1];

	keyring_check_value(keyring, check);
	hex_encode(check, sizeof(check), ours);
	if (walk->key_check == NULL || strcmp(walk->key_check, ours) == 0)
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "keyring_file is not the keyring that this database is bound to");
}

/* --- data keys ------------------------------------------------------------------------------- */

struct taking_keys {
	struct key_walk *walk;
	struct data_key *keys;
	size_t n;
};

static void take_keys(void *ctx, const struct db_result *const *results, size_t n)
{
	struct taking_keys *taking = ctx;

	assert(n == 1);
	taking->n = db_rows(results[0]);
	taking->keys = arena_alloc(taking->walk->arena, (taking->n + 1) * sizeof(*taking->keys));
	for (size_t i = 0; i < taking->n; i++) {
		struct data_key *key = &taking->keys[i];
		uint64_t named;
		struct err ignored;

		key->dek_id = (uint64_t)db_int(results[0], i, "dek_id");
		key->wrapped = copy_bytes(taking->walk->arena, results[0], i, "wrapped");
		if (seal_ids(key->wrapped, &key->kek_id, &named, &ignored) < 0)
			key->kek_id = 0;
	}
}

int key_walk_data_keys(struct key_walk *walk, const struct key_tenant *tenant,
		       struct data_key **keys, size_t *n, struct err *err)
{
	static const struct db_statement statement = {
		.sql = "SELECT dek_id, wrapped FROM tollgate.data_keys WHERE tenant_id = " TENANT
		       " ORDER BY dek_id"
	};
	struct taking_keys taking = { .walk = walk };

	if (ask(walk, tenant, &statement, take_keys, &taking, err) < 0)
		return -1;
	*keys = taking.keys;
	*n = taking.n;
	return 0;
}

int key_walk_rewrap(struct key_walk *walk, const struct key_tenant *tenant,
		    const struct data_key *old, uint32_t kek_id, struct span wrapped, bool *done,
		    struct err *err)
{
	const struct span params[] = { number(walk->arena, old->dek_id),
				       number(walk->arena, kek_id), bytea(walk->arena, wrapped),
				       bytea(walk->arena, old->wrapped) };
	const struct db_statement statement = {
		"UPDATE tollgate.data_keys SET kek_id = $2::bigint, wrapped = $3::bytea"
		" WHERE tenant_id = " TENANT " AND dek_id = $1::bigint AND wrapped = $4::bytea",
		params, 4
	};

	return ask(walk, tenant, &statement, take_affected, done, err);
}

int key_walk_add(struct key_walk *walk, const struct key_tenant *tenant, const struct data_key *key,
		 struct err *err)
{
	const struct span params[] = { number(walk->arena, key->dek_id),
				       number(walk->arena, key->kek_id),
				       bytea(walk->arena, key->wrapped) };
	const struct db_statement statement = {
		"INSERT INTO tollgate.data_keys (tenant_id, dek_id, kek_id, wrapped)"
		" VALUES (" TENANT ", $1::bigint, $2::bigint, $3::bytea)",
		params, 3
	};

	return ask(walk, tenant, &statement, NULL, NULL, err);
}

/* --- sealed values --------------------------------------------------------------------------- */

struct batch {
	struct arena *arena; /* of its own: values may be many and large */
	const struct sealed_column *column;
	struct sealed_value *values;
	size_t n;
};

static void take_values(void *ctx, const struct db_result *const *results, size_t n)
{
	struct batch *batch = ctx;

	assert(n == 1);
	batch->n = db_rows(results[0]);
	batch->values = arena_alloc(batch->arena, (batch->n + 1) * sizeof(*batch->values));
	for (size_t i = 0; i < batch->n; i++)
		batch->values[i] = (struct sealed_value){
			.column = batch->column,
			.row = arena_strdup(batch->arena, db_text(results[0], i, "at")),
			.version = db_int(results[0], i, "version"),
			.sealed = copy_bytes(batch->arena, results[0], i, "sealed"),
		};
}

/* The next ones in the order of their rows, so that what is added or goes meanwhile shifts none. */
static int fetch(struct key_walk *walk, const struct key_tenant *tenant, struct batch *batch,
		 const char *after, struct err *err)
{
	const struct sealed_column *column = batch->column;
	const struct span params[] = { span_of(after), number(batch->arena, KEY_WALK_BATCH) };
	const struct db_statement statement = {
		arena_printf(batch->arena,
			     "SELECT %s AS at, %s AS version, %s AS sealed FROM tollgate.%s"
			     " WHERE tenant_id = " TENANT " AND %s IS NOT NULL"
			     " AND (%s) COLLATE \"C\" > $1 ORDER BY (%s) COLLATE \"C\""
			     " LIMIT $2::bigint",
			     column->row, column->version, column->column, column->table,
			     column->column, column->row, column->row),
		params, 2
	};

	return ask(walk, tenant, &statement, take_values, batch, err);
}

static int visit_batch(const struct batch *batch, const struct key_tenant *tenant,
		       key_walk_visit *visit, void *ctx, struct err *err)
{
	for (size_t i = 0; i < batch->n; i++) {
		if (visit(ctx, tenant, &batch->values[i], err) < 0)
			return -1;
	}
	return 0;
}

int key_walk_values(struct key_walk *walk, const struct key_tenant *tenant,
		    const struct sealed_column *column, key_walk_visit *visit, void *ctx,
		    struct err *err)
{
	char *after = mem_strdup("");
	bool more = true;
	int ret = 0;

	while (more && ret == 0) {
		struct batch batch = { .arena = arena_new(), .column = column };

		ret = fetch(walk, tenant, &batch, after, err);
		if (ret == 0)
			ret = visit_batch(&batch, tenant, visit, ctx, err);
		more = batch.n == KEY_WALK_BATCH;
		if (more) {
			free(after);
			after = mem_strdup(batch.values[batch.n - 1].row);
		}
		arena_free(&batch.arena);
	}
	free(after);
	return ret;
}

struct seal_place key_walk_place(const struct key_walk *walk, const struct key_tenant *tenant,
				 const struct sealed_value *value)
{
	return (struct seal_place){
		.deployment = walk->deployment,
		.tenant = tenant->id,
		.table = value->column->as,
		.column = value->column->column,
		.row = value->row,
		.version = value->version,
	};
}

int key_walk_reseal(struct key_walk *walk, const struct key_tenant *tenant,
		    const struct sealed_value *old, struct span sealed, bool *done, struct err *err)
{
	const struct sealed_column *column = old->column;
	struct arena *arena = arena_new();
	const struct span params[] = { span_of(old->row), number(arena, (uint64_t)old->version),
				       bytea(arena, sealed), bytea(arena, old->sealed) };
	const struct db_statement statement = {
		arena_printf(arena,
			     "UPDATE tollgate.%s SET %s = $3::bytea WHERE tenant_id = " TENANT
			     " AND (%s) = $1 AND %s = $2::bigint AND %s = $4::bytea",
			     column->table, column->column, column->row, column->version,
			     column->column),
		params, 4
	};
	int ret = ask(walk, tenant, &statement, take_affected, done, err);

	arena_free(&arena);
	return ret;
}

/* --- workers --------------------------------------------------------------------------------- */

struct taking_workers {
	struct key_walk *walk;
	struct key_worker *workers;
	size_t n;
};

static void take_workers(void *ctx, const struct db_result *const *results, size_t n)
{
	struct taking_workers *taking = ctx;

	assert(n == 1);
	taking->n = db_rows(results[0]);
	taking->workers =
		arena_alloc(taking->walk->arena, (taking->n + 1) * sizeof(*taking->workers));
	for (size_t i = 0; i < taking->n; i++)
		taking->workers[i] = (struct key_worker){
			.host = copy_text(taking->walk, results[0], i, "host"),
			.pid = db_int(results[0], i, "pid"),
			.has_key = db_bool(results[0], i, "has_key"),
			.wraps = db_bool(results[0], i, "wraps"),
		};
}

int key_walk_workers(struct key_walk *walk, uint32_t key_id, struct key_worker **workers, size_t *n,
		     struct err *err)
{
	const struct span param = number(walk->arena, key_id);
	const struct db_statement statement = {
		"SELECT host, pid, $1::bigint = ANY (key_ids) AS has_key,"
		" coalesce(primary_key_id = $1::bigint, false) AS wraps FROM tollgate.nodes"
		" WHERE heartbeat_at > now() - " STALE " ORDER BY host, pid",
		&param, 1
	};
	struct taking_workers taking = { .walk = walk };

	if (ask(walk, NULL, &statement, take_workers, &taking, err) < 0)
		return -1;
	*workers = taking.workers;
	*n = taking.n;
	return 0;
}
