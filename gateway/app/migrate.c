/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/migrate.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/db.h"
#include "base/mem.h"
#include "version.h"

#define CONNECT_TIMEOUT_MS 10000
/* Of one migration, waiting for another program's included. */
#define TEXT_TIMEOUT_MS INT64_C(900000)

/* Every round begins so, and locks anew: another program may have been faster. The number is for
 * the first round only: whoever may connect could hold it, and nobody else the table. */
#define BEGIN                                                                                      \
	"BEGIN ISOLATION LEVEL READ COMMITTED;"                                                    \
	"SET LOCAL search_path = pg_catalog, pg_temp;"
/* Of the catalogs themselves: what to_regclass has not found it may not find again behind a lock.
 */
#define KNOWS                                                                                      \
	"EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"             \
	" WHERE n.nspname = 'tollgate' AND c.relname = 'tollgate_migrations')"
#define LOCK                                                                                       \
	"DO $$BEGIN"                                                                               \
	" IF NOT " KNOWS " THEN PERFORM pg_advisory_xact_lock(4935230117); END IF;"                \
	" IF " KNOWS " THEN"                                                                       \
	"  LOCK TABLE tollgate.tollgate_migrations IN SHARE UPDATE EXCLUSIVE MODE;"                \
	" END IF; END$$;"
#define LOOK                                                                                       \
	"SELECT set_config('app.event',"                                                           \
	" '{\"via\":\"migrate\",\"client\":\"tollgate/" TOLLGATE_VERSION "\"}', true);"            \
	"SELECT to_regclass('tollgate.tollgate_migrations') IS NOT NULL AS found"
#define READ "SELECT version, name, sha256 FROM tollgate.tollgate_migrations ORDER BY version"

enum state {
	MIGRATE_CONNECTING,
	MIGRATE_BEGINNING,
	MIGRATE_READING,
	MIGRATE_APPLYING, /* list[at] */
};

struct migrate {
	struct migrate **slot;
	struct db_script *script;
	const struct migration *list;
	size_t n_list;
	bool dry_run;
	enum state state;
	size_t at;	/* while APPLYING */
	size_t applied; /* how many */
	char *text;	/* of list[at] with its frame */
	bool refused;	/* problem says why */
	struct err problem;
	void (*on_applied)(void *ctx, const struct migration *migration);
	void (*done)(void *ctx, size_t n, const struct err *err);
	void *ctx;
};

static void migrate_free(struct migrate *migrate)
{
	*migrate->slot = NULL;
	db_script_cancel(&migrate->script);
	free(migrate->text);
	free(migrate);
}

static void note_applied(struct migrate *migrate, const struct migration *migration)
{
	migrate->applied++;
	if (migrate->on_applied != NULL)
		migrate->on_applied(migrate->ctx, migration);
}

/* One row of tollgate_migrations against the migration that should stand there. */
static int check_row(const struct migrate *migrate, const struct db_result *rows, size_t row,
		     struct err *err)
{
	const char *name = db_text(rows, row, "name");
	const struct migration *ours;

	if (row >= migrate->n_list)
		return err_set(err, ERR_CONFLICT,
			       "the database has had migration %s, which this program does not "
			       "know: it is older than the schema; use the program that made it "
			       "or a newer one",
			       name);
	ours = &migrate->list[row];
	if (db_int(rows, row, "version") != ours->version)
		return err_set(err, ERR_CONFLICT,
			       "the database has had migration %s but not %s before it: the list "
			       "in tollgate.tollgate_migrations has a gap",
			       name, ours->name);
	if (strcmp(db_text(rows, row, "sha256"), ours->sha256) != 0)
		return err_set(err, ERR_CONFLICT,
			       "migration %s is not what the database has had under that number "
			       "(%s): a migration must not change once it is applied",
			       ours->name, name);
	return 0;
}

static const char *refuse(struct migrate *migrate, const struct err *err)
{
	migrate->refused = true;
	migrate->problem = *err;
	return NULL;
}

/* rows NULL: the database has had none. */
static const char *apply_next(struct migrate *migrate, const struct db_result *rows)
{
	size_t n = rows == NULL ? 0 : db_rows(rows);
	const struct migration *migration = &migrate->list[n];
	struct err err;

	for (size_t row = 0; row < n; row++) {
		if (check_row(migrate, rows, row, &err) < 0)
			return refuse(migrate, &err);
	}
	if (migrate->dry_run) {
		for (; n < migrate->n_list; n++)
			note_applied(migrate, &migrate->list[n]);
		return NULL;
	}
	if (n == migrate->n_list)
		return NULL;
	/* Name and sum are our own build's; embed.sh lets no quote into them. */
	free(migrate->text);
	migrate->text =
		mem_printf("%s\n;INSERT INTO tollgate.tollgate_migrations"
			   " (version, name, sha256) VALUES (%d, '%s', '%s');COMMIT",
			   migration->sql, migration->version, migration->name, migration->sha256);
	migrate->at = n;
	migrate->state = MIGRATE_APPLYING;
	return migrate->text;
}

static const char *on_next(void *ctx, const struct db_result *result)
{
	struct migrate *migrate = ctx;

	switch (migrate->state) {
	case MIGRATE_CONNECTING:
		break;
	case MIGRATE_BEGINNING:
		if (!db_bool(result, 0, "found"))
			return apply_next(migrate, NULL);
		migrate->state = MIGRATE_READING;
		return READ;
	case MIGRATE_READING:
		return apply_next(migrate, result);
	case MIGRATE_APPLYING:
		note_applied(migrate, &migrate->list[migrate->at]);
		break;
	}
	migrate->state = MIGRATE_BEGINNING;
	return migrate->dry_run ? BEGIN LOOK : BEGIN LOCK LOOK;
}

static void on_done(void *ctx, const struct err *err)
{
	struct migrate *migrate = ctx;
	void (*done)(void *, size_t, const struct err *) = migrate->done;
	struct err problem = migrate->problem;
	bool failed = err != NULL || migrate->refused;
	size_t applied = migrate->applied;

	if (err != NULL) {
		problem = *err;
		if (migrate->state == MIGRATE_APPLYING)
			err_prefix(&problem, "migration %s", migrate->list[migrate->at].name);
	}
	ctx = migrate->ctx;
	migrate_free(migrate);
	done(ctx, applied, failed ? &problem : NULL);
}

void migrate_start(struct loop *loop, struct migrate **slot, const struct migrate_params *params)
{
	struct migrate *migrate = mem_new(sizeof(*migrate));

	assert(*slot == NULL);
	*migrate = (struct migrate){
		.slot = slot,
		.list = params->list,
		.n_list = params->n,
		.dry_run = params->dry_run,
		.state = MIGRATE_CONNECTING,
		.on_applied = params->applied,
		.done = params->done,
		.ctx = params->ctx,
	};
	*slot = migrate;
	for (size_t i = 0; i < params->n; i++)
		assert(params->list[i].version == (int)i + 1);
	db_script_start(loop, &migrate->script,
			&(struct db_script_params){
				.conninfo = params->conninfo,
				.connect_timeout_ms = CONNECT_TIMEOUT_MS,
				.text_timeout_ms = TEXT_TIMEOUT_MS,
				.next = on_next,
				.done = on_done,
				.ctx = migrate,
			});
}

void migrate_cancel(struct migrate **slot)
{
	if (*slot != NULL)
		migrate_free(*slot);
}
