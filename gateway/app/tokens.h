/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_TOKENS_H
#define GATEWAY_APP_TOKENS_H

/* The upstream tokens of one worker: oauth/access.h on the tables, with the tenants that this
 * worker has in memory. */

#include <stdbool.h>
#include <stdint.h>

#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"

struct access;
struct tenants;
struct tokens;

struct tokens_params {
	struct loop *loop;
	struct db *db; /* as tollgate_app */
	struct tenants *tenants;
	const char *deployment;
	const char *node_id;
	const char *data_dir;
	unsigned slot;
	unsigned n_slots;
	bool fsync;
	int64_t refresh_grace_ms;
	int64_t stale_max_ms;
};
/* ERR_INTERNAL: the spool cannot be opened. */
struct tokens *tokens_new(const struct tokens_params *params, struct err *err) MUST_CHECK;
/* Before the tenants, and after whoever waits for a token. */
void tokens_free(struct tokens **tokens);
struct access *tokens_access(const struct tokens *tokens);
/* What a notification of grants says, or NULL: something may have been missed. */
void tokens_hint(struct tokens *tokens, const char *payload);

#endif
