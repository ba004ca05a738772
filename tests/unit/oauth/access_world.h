/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_ACCESS_WORLD_H
#define TESTS_ACCESS_WORLD_H

/*
 * What tests of oauth/access share: grants in memory, an authorization server that answers what it
 * is told to, one tenant, and a record of what came of each operation.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oauth/access.h"
#include "oauth/access_priv.h"
#include "tests/fakes/as_world.h"
#include "tokenstore/grant_store.h"

#define TENANT	    "aaaaaaaa-0000-4000-8000-000000000001"
#define CONNECTION  "cccccccc-0000-4000-8000-000000000001"
#define NODE	    "11111111-0000-4000-8000-000000000001"
#define OTHER_NODE  "22222222-0000-4000-8000-000000000002"
#define GRACE_MS    30000
#define TEST(name)  cmocka_unit_test_setup_teardown(name, access_set_up, access_tear_down)
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define REPLY(access, refresh, expires)                                                            \
	"{\"access_token\":\"" access "\",\"token_type\":\"bearer\",\"refresh_token\":\"" refresh  \
	"\",\"expires_in\":" expires "}"

struct access_world {
	struct as_world *as;
	struct grant_store *store;
	struct access *access;
	struct grant_key key;
	bool tenant_there;
	size_t n_taken;	  /* and not given back */
	char *url;	  /* of the token endpoint; until the next play */
	const char *dir;  /* of the spool; NULL: none */
	const char *node; /* NULL: NODE */
};

struct seen {
	struct access_world *world;
	struct access_op *op; /* the slot */
	size_t dones;
	enum access_state state;
	char token[256];
	int64_t version;
	char why[256];
	char revocation[256];
	bool failed;
	struct err err;
};

static inline int64_t unix_s(void)
{
	return loop_unix_us() / 1000000;
}

static inline bool on_take(void *ctx, const char *tenant_id, struct access_tenant *out)
{
	struct access_world *world = ctx;

	assert_string_equal(tenant_id, TENANT);
	if (!world->tenant_there)
		return false;
	world->n_taken++;
	*out = (struct access_tenant){ .egress = world->as->world->egress, .held = world };
	return true;
}

static inline void on_give_back(void *ctx, struct access_tenant *tenant)
{
	struct access_world *world = ctx;

	assert_ptr_equal(tenant->held, world);
	world->n_taken--;
}

static inline void access_begin(struct access_world *world, bool background)
{
	const struct access_spool spool = { .data_dir = world->dir, .n_slots = 1, .fsync = false };
	struct err err;

	world->access = access_new(
		&(struct access_params){
			.loop = world->as->world->loop,
			.store = world->store,
			.client = world->as->world->client,
			.deployment = "test",
			.node_id = world->node != NULL ? world->node : NODE,
			.spool = world->dir != NULL ? &spool : NULL,
			.refresh_grace_ms = GRACE_MS,
			.stale_max_ms = 60000,
			.background = background,
			.take = on_take,
			.give_back = on_give_back,
			.ctx = world,
		},
		&err);
	assert_non_null(world->access);
}

static inline int access_set_up(void **state)
{
	struct access_world *world = mem_new(sizeof(*world));
	void *as;

	if (as_set_up(&as) != 0)
		return -1;
	world->as = as;
	world->store = grant_memory_new(world->as->world->loop);
	world->tenant_there = true;
	snprintf(world->key.tenant_id, sizeof(world->key.tenant_id), TENANT);
	snprintf(world->key.connection_id, sizeof(world->key.connection_id), CONNECTION);
	access_begin(world, false);
	*state = world;
	return 0;
}

static inline int access_tear_down(void **state)
{
	struct access_world *world = *state;
	void *as = world->as;

	access_free(&world->access);
	assert_int_equal(world->n_taken, 0);
	grant_store_free(&world->store);
	free(world);
	return as_tear_down(&as);
}

static inline void on_access(void *ctx, enum access_state state, const struct access_token *token,
			     const char *why, const struct err *err)
{
	struct seen *seen = ctx;

	assert_null(seen->op);
	seen->dones++;
	seen->state = state;
	seen->failed = err != NULL;
	seen->token[0] = seen->why[0] = '\0';
	if (err != NULL)
		seen->err = *err;
	assert_int_equal(token != NULL, err == NULL && state == ACCESS_READY);
	if (token != NULL) {
		snprintf(seen->token, sizeof(seen->token), "%s", token->authorization);
		seen->version = token->version;
	}
	if (why != NULL)
		snprintf(seen->why, sizeof(seen->why), "%s", why);
}

static inline bool is_done(void *ctx)
{
	const struct seen *seen = ctx;

	return seen->dones > 0;
}

static inline void wait_for(struct seen *seen)
{
	assert_non_null(seen->op);
	world_run_until(seen->world->as->world, is_done, seen);
	assert_int_equal(seen->dones, 1);
}

static inline struct seen ask(struct access_world *world)
{
	struct seen seen = { .world = world };

	access_start(world->access, &seen.op, &world->key, on_access, &seen);
	wait_for(&seen);
	return seen;
}

static inline struct seen refuse(struct access_world *world, int64_t version)
{
	struct seen seen = { .world = world };

	access_refused(world->access, &seen.op, &world->key, version, on_access, &seen);
	wait_for(&seen);
	return seen;
}

static inline struct seen renew(struct access_world *world)
{
	struct seen seen = { .world = world };

	access_renew(world->access, &seen.op, &world->key, "user:ana", on_access, &seen);
	wait_for(&seen);
	return seen;
}

static inline void on_put_done(void *ctx, const struct err *err)
{
	struct seen *seen = ctx;

	assert_null(seen->op);
	seen->dones++;
	seen->failed = err != NULL;
	if (err != NULL)
		seen->err = *err;
}

/* "a1" and "r1", unless the grant says otherwise. */
static inline struct grant grant_of(struct access_world *world, int64_t lifetime_s)
{
	return (struct grant){
		.key = world->key,
		.kind = GRANT_AUTHORIZATION_CODE,
		.issuer = "https://as.example.com",
		.token_url = as_text(world->as, "$O/token"),
		.client_id = "c1",
		.client_auth = "none",
		.access_token = {(char *)"a1",	2},
		.refresh_token = { (char *)"r1", 2},
		.expires_at = lifetime_s == 0 ? 0 : unix_s() + lifetime_s,
		.authenticated_by = "ana",
	};
}

static inline void put(struct access_world *world, const struct grant *grant)
{
	struct seen seen = { .world = world };
	const struct access_put what = { .grant = grant,
					 .event = "connect_completed",
					 .actor = "user:ana" };

	access_put(world->access, &seen.op, &what, on_put_done, &seen);
	wait_for(&seen);
	assert_false(seen.failed);
}

static inline void put_with_lifetime(struct access_world *world, int64_t lifetime_s)
{
	struct grant grant = grant_of(world, lifetime_s);

	put(world, &grant);
}

/* The types of all events so far, with a space between. */
static inline const char *events(struct access_world *world)
{
	static char text[2048];
	size_t n, at = 0;
	const struct grant_memory_event *list = grant_memory_events(world->store, &n);

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i == 0 ? "" : " ",
				       list[i].event.type);
	return text;
}

/* What the store has, by a request of one's own. */
struct row_seen {
	struct grant_op *op;
	bool done;
	bool found;
	size_t n_done;
	enum grant_state state;
	int64_t version, lease_number, next_refresh_at, failures;
	bool lost, busy;
	char access_token[64], refresh_token[64], last_error[256], scope[64];
	int64_t expires_at, refresh_expires_at;
};

static inline void copy_span(char *out, size_t room, struct span span)
{
	snprintf(out, room, "%.*s", (int)span.n, span.p != NULL ? span.p : "");
}

static inline void on_row(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct row_seen *seen = ctx;
	const struct grant_row *row = result->rows;

	assert_null(err);
	seen->done = true;
	seen->n_done = result->n_done;
	seen->found = result->n_rows > 0;
	if (!seen->found)
		return;
	seen->state = row->grant.state;
	seen->version = row->grant.version;
	seen->lease_number = row->lease_number;
	seen->next_refresh_at = row->next_refresh_at;
	seen->failures = row->failures;
	seen->lost = row->lost;
	seen->busy = row->busy;
	copy_span(seen->access_token, sizeof(seen->access_token), row->access_token);
	copy_span(seen->refresh_token, sizeof(seen->refresh_token), row->refresh_token);
	snprintf(seen->last_error, sizeof(seen->last_error), "%s",
		 row->grant.last_error != NULL ? row->grant.last_error : "");
	snprintf(seen->scope, sizeof(seen->scope), "%s",
		 row->grant.scope != NULL ? row->grant.scope : "");
	seen->expires_at = row->grant.expires_at;
	seen->refresh_expires_at = row->grant.refresh_expires_at;
}

static inline bool row_is_done(void *ctx)
{
	const struct row_seen *seen = ctx;

	return seen->done;
}

static inline struct row_seen store_do(struct access_world *world, struct grant_request request)
{
	struct row_seen seen = { .op = NULL };

	request.key = world->key;
	request.grace_ms = GRACE_MS;
	grant_start(world->store, &seen.op, &request, on_row, &seen);
	world_run_until(world->as->world, row_is_done, &seen);
	return seen;
}

static inline struct row_seen row_of(struct access_world *world)
{
	return store_do(world, (struct grant_request){ .verb = GRANT_LOAD });
}

/* The server takes a request, and answers it with "a2" and "r2" once the gate is opened. */
static inline void play_gated(struct access_world *world)
{
	static const struct peer_step steps[] = {
		{PEER_REQUEST, NULL, 0	},
		{ PEER_GATE,   NULL, 0   },
		{ PEER_SEND,
		  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
		  "\r\n" REPLY("a2", "r2", "3600"),
		  0 },
		{ PEER_CLOSE,	      NULL,		    0	      },
	};

	as_play_steps(world->as, steps);
}

static inline bool was_asked(void *ctx)
{
	struct access_world *world = ctx;

	return peer_requests(world->as->world->peer) > 0;
}

static inline size_t n_asked(struct access_world *world)
{
	const char *asked = as_asked(world->as);
	size_t n = 0;

	for (; (asked = strchr(asked, '\n')) != NULL; asked++)
		n++;
	return n;
}

#endif
