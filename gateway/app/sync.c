/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/sync.h"

#define SCRIPT_TIMEOUT_MS 30000

struct waiting {
	struct loop *loop;
	sync_take *take;
	void *ctx;
	const char *text;
	size_t n;
	bool failed;
	struct err err;
};

static void settle(struct waiting *waiting, const struct err *err)
{
	waiting->failed = err != NULL;
	if (err != NULL)
		waiting->err = *err;
	loop_stop(waiting->loop);
}

static int result_of(const struct waiting *waiting, struct err *err)
{
	if (!waiting->failed)
		return 0;
	*err = waiting->err;
	return -1;
}

static void on_tx(void *ctx, const struct db_result *const *results, size_t n,
		  const struct err *err)
{
	struct waiting *waiting = ctx;

	if (err == NULL && waiting->take != NULL)
		waiting->take(waiting->ctx, results, n);
	settle(waiting, err);
}

int sync_tx(struct loop *loop, struct db *db, const struct db_tx *tx, sync_take *take, void *ctx,
	    struct err *err)
{
	struct waiting waiting = { .loop = loop, .take = take, .ctx = ctx };
	struct db_op *op = NULL;

	db_start(db, &op, tx, on_tx, &waiting);
	loop_run(loop);
	return result_of(&waiting, err);
}

static const char *next_text(void *ctx, const struct db_result *result)
{
	struct waiting *waiting = ctx;
	const char *text = waiting->text;

	(void)result;
	waiting->text = NULL;
	return text;
}

static void on_script(void *ctx, const struct err *err)
{
	settle(ctx, err);
}

int sync_script(struct loop *loop, const char *conninfo, const char *text, struct err *err)
{
	struct waiting waiting = { .loop = loop, .text = text };
	struct db_script *script = NULL;

	db_script_start(loop, &script,
			&(struct db_script_params){
				.conninfo = conninfo,
				.connect_timeout_ms = SCRIPT_TIMEOUT_MS,
				.text_timeout_ms = SCRIPT_TIMEOUT_MS,
				.next = next_text,
				.done = on_script,
				.ctx = &waiting,
			});
	loop_run(loop);
	return result_of(&waiting, err);
}

static void on_migrated(void *ctx, size_t n, const struct err *err)
{
	struct waiting *waiting = ctx;

	waiting->n = n;
	settle(waiting, err);
}

struct migrating {
	struct waiting waiting; /* first: on_migrated sees it */
	void (*applied)(void *ctx, const struct migration *migration);
	void *ctx;
};

static void on_applied(void *ctx, const struct migration *migration)
{
	struct migrating *migrating = ctx;

	if (migrating->applied != NULL)
		migrating->applied(migrating->ctx, migration);
}

int sync_migrate(struct loop *loop, const char *conninfo, bool dry_run,
		 void (*applied)(void *ctx, const struct migration *migration), void *ctx,
		 size_t *n, struct err *err)
{
	struct migrating migrating = { .waiting = { .loop = loop },
				       .applied = applied,
				       .ctx = ctx };
	struct migrate *migrate = NULL;

	migrate_start(loop, &migrate,
		      &(struct migrate_params){
			      .conninfo = conninfo,
			      .list = migrations,
			      .n = n_migrations,
			      .dry_run = dry_run,
			      .applied = on_applied,
			      .done = on_migrated,
			      .ctx = &migrating,
		      });
	loop_run(loop);
	*n = migrating.waiting.n;
	return result_of(&migrating.waiting, err);
}
