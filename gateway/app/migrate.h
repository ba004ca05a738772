/* SPDX-License-Identifier: Apache-2.0 */
#ifndef APP_MIGRATE_H
#define APP_MIGRATE_H

/*
 * Brings a database to the schema that this program was built for.
 *
 * Each migration is one transaction with its row in tollgate.tollgate_migrations, under a
 * lock on that, so that two programs that start at once do not both apply it. What the database
 * has must be the beginning of what we carry, text for text; anything else is refused
 * (ERR_CONFLICT) with nothing changed.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"

struct migration {
	int version;	    /* 1, 2, 3 … */
	const char *name;   /* file name */
	const char *sha256; /* of the file, lower-case hex */
	const char *sql;
};
/* migrations/NNNN_*.sql, embedded by migrations/embed.sh. */
extern const struct migration migrations[];
extern const size_t n_migrations;

struct migrate; /* the slot */
struct migrate_params {
	const char *conninfo; /* a role that owns the schema; for a dry run any that may read it */
	const struct migration *list; /* borrowed until the end, ascending from 1 */
	size_t n;
	bool dry_run; /* changes nothing */
	/* Once for each migration that was applied or, in a dry run, would be. May be NULL. Must
	 * not cancel. */
	void (*applied)(void *ctx, const struct migration *migration);
	/* n: how many those were. When err is not NULL they are applied all the same. */
	void (*done)(void *ctx, size_t n, const struct err *err);
	void *ctx;
};
void migrate_start(struct loop *loop, struct migrate **slot, const struct migrate_params *params);
/* The migration that is being applied is rolled back, unless its COMMIT has arrived. */
void migrate_cancel(struct migrate **slot);

#endif
