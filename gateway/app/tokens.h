/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_TOKENS_H
#define GATEWAY_APP_TOKENS_H

/* The upstream tokens of one worker: oauth/access.h on the tables, with the tenants that this
 * worker has in memory, and what gets tokens where there are none. */

#include <stdbool.h>
#include <stdint.h>

#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"

struct access;
struct acquires;
struct credentials;
struct tenants;
struct tokens;
struct meter;
struct upstream_token;

struct tokens_params {
	struct loop *loop;
	struct db *db; /* as tollgate_app */
	struct tenants *tenants;
	struct meter *meter; /* NULL: nothing is measured */
	const char *deployment;
	const char *node_id;
	const char *data_dir;
	unsigned slot;
	unsigned n_slots;
	bool fsync;
	int64_t refresh_grace_ms;
	int64_t stale_max_ms;
	bool allow_http; /* authorization servers on loopback without TLS: development */
};
/* ERR_INTERNAL: the spool cannot be opened. */
struct tokens *tokens_new(const struct tokens_params *params, struct err *err) MUST_CHECK;
/* Before the tenants, and after whoever waits for a token. */
void tokens_free(struct tokens **tokens);
struct access *tokens_access(const struct tokens *tokens);
struct acquires *tokens_acquires(const struct tokens *tokens);
struct credentials *tokens_credentials(const struct tokens *tokens);
/* For upstreams_new. ctx points to a pointer to the tokens: as long as that is NULL there are
 * none. */
bool tokens_find(void *ctx, const char *tenant_id, const char *connection_id, const char *subject,
		 struct upstream_token *token);
/* What a notification of grants says, or NULL: something may have been missed. */
void tokens_hint(struct tokens *tokens, const char *payload);

#endif
