/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SYNC_H
#define GATEWAY_APP_SYNC_H

/* For commands that do one thing after the other: each runs its loop until the thing is done.
 * Never in a worker. */

#include "base/db.h"
#include "base/loop.h"
#include "gateway/app/migrate.h"

typedef void sync_take(void *ctx, const struct db_result *const *results, size_t n);

/* take may be NULL; the results are valid during it. */
int sync_tx(struct loop *loop, struct db *db, const struct db_tx *tx, sync_take *take, void *ctx,
	    struct err *err) MUST_CHECK;
/* One text of statements on a connection of its own, outside a transaction. */
int sync_script(struct loop *loop, const char *conninfo, const char *text,
		struct err *err) MUST_CHECK;
/* All migrations of this program; *n: how many were applied or, dry, would be. */
int sync_migrate(struct loop *loop, const char *conninfo, bool dry_run,
		 void (*applied)(void *ctx, const struct migration *migration), void *ctx,
		 size_t *n, struct err *err) MUST_CHECK;

#endif
