/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_TOKENSTORE_GRANT_WORLD_H
#define TESTS_UNIT_TOKENSTORE_GRANT_WORLD_H

/* A tenant with a connection in a database, the store of its grants, and one that is asked and
 * waited for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/gate_db.h"
#include "tokenstore/grant_seal.h"
#include "tokenstore/grant_store.h"

#define CONNECTION  "cccccccc-0000-4000-8000-000000000001"
#define NODE	    "11111111-0000-4000-8000-000000000001"
#define OTHER	    "22222222-0000-4000-8000-000000000002"
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

struct world {
	struct gate_db *gate;
	struct grant_store *store;
	struct seal_key key;
	struct grant_key grant_key;
};

struct answer {
	struct grant_op *op;
	bool done;
	bool failed;
	enum err_code code;
	struct arena *arena;
	struct grant_row *row; /* the first */
	size_t n_rows, n_done, n_changed;
	bool needs_reauth;
	size_t changed[8];
};

static inline void begin(void **state, struct world *world)
{
	char tenant[UUID_TEXT_BYTES];

	*world = (struct world){ .gate = *state };
	world->store = grant_pg_new(world->gate->app);
	gate_db_tenant(world->gate, "acme", tenant);
	seal_key_random(&world->key, 1, 1);
	snprintf(world->grant_key.tenant_id, sizeof(world->grant_key.tenant_id), "%s", tenant);
	snprintf(world->grant_key.connection_id, sizeof(world->grant_key.connection_id),
		 CONNECTION);
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url) VALUES"
		   " ('%s', '" CONNECTION "', 'crm', 'https://x/mcp')",
		   tenant);
	gate_db_do(world->gate, "DELETE FROM audit.auth_event_log");
}

static inline void end(struct world *world)
{
	grant_store_free(&world->store);
}

static inline void on_answer(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct answer *answer = ctx;

	assert_null(answer->op);
	answer->done = true;
	answer->failed = err != NULL;
	if (err != NULL) {
		answer->code = err->code;
		return;
	}
	answer->n_rows = result->n_rows;
	answer->n_done = result->n_done;
	answer->needs_reauth = result->needs_reauth;
	answer->n_changed = result->n_changed;
	for (size_t i = 0; i < result->n_changed && i < COUNT(answer->changed); i++)
		answer->changed[i] = result->changed[i];
	if (result->n_rows > 0)
		answer->row = grant_row_dup(answer->arena, &result->rows[0]);
}

static inline bool is_done(void *ctx)
{
	const struct answer *answer = ctx;

	return answer->done;
}

static inline struct answer *ask(struct world *world, struct arena *arena,
				 struct grant_request request)
{
	struct answer *answer = arena_alloc(arena, sizeof(*answer));

	*answer = (struct answer){ .arena = arena };
	request.key = world->grant_key;
	if (request.grace_ms == 0)
		request.grace_ms = 30000;
	grant_start(world->store, &answer->op, &request, on_answer, answer);
	gate_db_until(world->gate, is_done, answer);
	return answer;
}

static inline struct grant_keys keys_of(const struct world *world)
{
	return (struct grant_keys){ "test", &world->key, 1 };
}

static inline struct secret plain(const char *text)
{
	return (struct secret){ (char *)text, strlen(text) };
}

/* A grant with everything, sealed for its version. */
static inline struct grant_row *full_row(struct world *world, struct arena *arena, int64_t version)
{
	const struct grant_keys keys = keys_of(world);
	struct grant_row *row = arena_alloc(arena, sizeof(*row));
	struct err err;

	*row = (struct grant_row){
		.grant = {
			.key = world->grant_key,
			.kind = GRANT_AUTHORIZATION_CODE,
			.issuer = "https://as.example.com",
			.token_url = "https://as.example.com/token",
			.revocation_url = "https://as.example.com/revoke",
			.client_id = "c1",
			.client_auth = "post",
			.client_secret = plain("s3cret"),
			.resource = "https://mcp.example.com/",
			.audience = "api",
			.scope = "read write",
			.access_token = plain("access-1"),
			.refresh_token = plain("refresh-1"),
			.expires_at = 2000000000,
			.refresh_expires_at = 2100000000,
			.account = "ana@example.com",
			.authenticated_by = "ana",
			.authenticated_at = 1700000000,
			.version = version,
		},
		.id = "99999999-0000-4000-8000-000000000001",
		.next_refresh_at = 1900000000,
	};
	assert_int_equal(grant_seal(&keys, arena, row, &err), 0);
	return row;
}

static const struct grant_event connected = {
	.type = "connect_completed",
	.actor = "user:ana",
	.attempt_id = "77777777-0000-4000-8000-000000000001",
	.error_code = "x",
	.detail = "{\"a\":1}",
};

static inline void store(struct world *world, struct arena *arena)
{
	struct answer *answer = ask(world, arena,
				    (struct grant_request){ .verb = GRANT_PUT,
							    .row = full_row(world, arena, 1),
							    .event = connected });

	assert_int_equal(answer->n_done, 1);
}

static inline struct grant_row *load(struct world *world, struct arena *arena)
{
	return ask(world, arena, (struct grant_request){ .verb = GRANT_LOAD })->row;
}

static inline const char *types(struct world *world)
{
	return gate_db_ask(world->gate, "SELECT string_agg(type, ' ' ORDER BY at, type) AS v"
					" FROM audit.auth_event_log");
}

#endif
