/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_SUBSCRIPTION_WORLD_H
#define TESTS_UNIT_GATEWAY_CORE_SUBSCRIPTION_WORLD_H

/*
 * What the tests of subscription*.c share: listeners, a tenant, and a database that answers when it
 * is told. Included once in a program, which wraps timer_start.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gateway/core/identity_check.h"
#include "gateway/core/principal.h"
#include "gateway/core/session_stream.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "tests/fakes/wire.h"

#define TENANT	     "11111111-1111-4111-8111-111111111111"
#define OTHER_TENANT "22222222-2222-4222-8222-222222222222"
#define MAX_ASKED    8
/* What takes seconds takes this long here: longer than the debounce. */
#define LONG_MS 120

/* --- the database, as far as it is asked ------------------------------------------------------ */

struct identity_check {
	struct identity_check **slot;
	identity_check_done *done;
	void *ctx;
	char tenant_id[UUID_TEXT_BYTES];
	char key_ids[MAX_ASKED][UUID_TEXT_BYTES];
	size_t n;
};

struct session_stream_op {
	struct session_stream_op **slot;
	session_stream_done *done;
	void *ctx;
	struct session_stream streams[MAX_ASKED];
	size_t n;
};

struct db_op {
	struct db_op **slot;
	db_done *done;
	void *ctx;
	uint8_t session[SHA256_BYTES];
	uint8_t list[SHA256_BYTES];
};

struct world {
	struct loop *loop;
	struct subscriptions *subscriptions;
	struct identity_check *check;
	struct session_stream_op *streams;
	struct db_op *note;
	size_t n_checks, n_looks, n_notes;
};

static inline struct world *the_world(struct world *set)
{
	static struct world *the;

	if (set != NULL)
		the = set;
	return the;
}

void identity_check_start(struct db *db, struct identity_check **slot, const char *tenant_id,
			  const char *const *key_ids, size_t n, identity_check_done *done,
			  void *ctx)
{
	struct world *world = the_world(NULL);
	struct identity_check *check = mem_new(sizeof(*check));

	(void)db;
	assert_null(*slot);
	assert_true(n > 0 && n <= MAX_ASKED);
	*check = (struct identity_check){ .slot = slot, .done = done, .ctx = ctx, .n = n };
	snprintf(check->tenant_id, sizeof(check->tenant_id), "%s", tenant_id);
	for (size_t i = 0; i < n; i++)
		snprintf(check->key_ids[i], sizeof(check->key_ids[i]), "%s", key_ids[i]);
	*slot = check;
	world->check = check;
	world->n_checks++;
}

void identity_check_cancel(struct identity_check **slot)
{
	if (*slot == NULL)
		return;
	the_world(NULL)->check = NULL;
	free(*slot);
	*slot = NULL;
}

const struct good_key *good_key_find(const struct good_key *good, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(good[i].id, id) == 0)
			return &good[i];
	}
	return NULL;
}

void session_stream_start(struct db *db, struct session_stream_op **slot, const char *tenant_id,
			  const struct session_stream *streams, size_t n, session_stream_done *done,
			  void *ctx)
{
	struct world *world = the_world(NULL);
	struct session_stream_op *op = mem_new(sizeof(*op));

	(void)db;
	assert_null(*slot);
	assert_string_equal(tenant_id, TENANT);
	assert_true(n > 0 && n <= MAX_ASKED);
	*op = (struct session_stream_op){ .slot = slot, .done = done, .ctx = ctx, .n = n };
	memcpy(op->streams, streams, n * sizeof(*streams));
	*slot = op;
	world->streams = op;
	world->n_looks++;
}

void session_stream_cancel(struct session_stream_op **slot)
{
	if (*slot == NULL)
		return;
	the_world(NULL)->streams = NULL;
	free(*slot);
	*slot = NULL;
}

void session_listed(struct db *db, struct db_op **slot, const char *tenant_id,
		    const uint8_t session[SHA256_BYTES], const uint8_t list[SHA256_BYTES],
		    db_done *done, void *ctx)
{
	struct world *world = the_world(NULL);
	struct db_op *note = mem_new(sizeof(*note));

	(void)db;
	assert_null(*slot);
	assert_string_equal(tenant_id, TENANT);
	*note = (struct db_op){ .slot = slot, .done = done, .ctx = ctx };
	memcpy(note->session, session, SHA256_BYTES);
	memcpy(note->list, list, SHA256_BYTES);
	*slot = note;
	world->note = note;
	world->n_notes++;
}

void db_cancel(struct db_op **slot)
{
	if (*slot == NULL)
		return;
	the_world(NULL)->note = NULL;
	free(*slot);
	*slot = NULL;
}

/* Seconds, in a test. */
void __real_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	bool is_long = delay_ms == SUBSCRIPTION_RETRY_MS || delay_ms == SUBSCRIPTION_SETTLE_MS;

	__real_timer_start(loop, timer, is_long ? LONG_MS : delay_ms, cb, ctx);
}

/* --- tenants and who listens to them ---------------------------------------------------------- */

/* Connections crm and wiki, each with one tool whose text is given; NULL: it is disabled. */
static inline struct tenant *tenant_with(const char *id, const char *crm, const char *wiki)
{
	static const char *all[] = { "*" };
	const char *texts[] = { crm, wiki };
	static const char *const names[] = { "crm", "wiki" };
	struct arena *arena = arena_new();
	struct tenant *tenant = arena_alloc(arena, sizeof(*tenant));

	*tenant = (struct tenant){ .refs = 1,
				   .arena = arena,
				   .id = id,
				   .name = "acme",
				   .enabled = true,
				   .n_connections = 2 };
	tenant->connections = arena_alloc(arena, 2 * sizeof(struct connection));
	for (size_t i = 0; i < 2; i++) {
		struct tool *tool = arena_alloc(arena, sizeof(*tool));

		*tool = (struct tool){ .name = "get",
				       .exposed = arena_printf(arena, "%s__get", names[i]),
				       .text = span_of(texts[i] != NULL ? texts[i] : "{}") };
		tenant->connections[i] = (struct connection){ .name = names[i],
							      .enabled = texts[i] != NULL,
							      .tools_allow = all,
							      .n_tools_allow = 1,
							      .tools = tool,
							      .n_tools = 1 };
	}
	return tenant;
}

#define TOOL(title) "{\"name\":\"get\",\"title\":\"" title "\"}"

static inline void change(struct world *world, const char *id, const char *crm, const char *wiki)
{
	struct tenant *tenant = tenant_with(id, crm, wiki);

	subscriptions_changed(world->subscriptions, id, tenant);
	tenant_unref(&tenant);
}

struct listener {
	struct world *world;
	struct subscription *subscription;
	int changes, ends;
	enum subscription_end why;
	struct principal principal;
};

static inline void on_changed(void *ctx)
{
	struct listener *listener = ctx;

	assert_non_null(listener->subscription);
	listener->changes++;
}

static inline void on_ended(void *ctx, enum subscription_end why)
{
	struct listener *listener = ctx;

	assert_null(listener->subscription);
	listener->ends++;
	listener->why = why;
}

static inline int try_listen(struct world *world, struct listener *listener, const char *key,
			     const struct subscription_params *what, struct err *err)
{
	struct subscription_params params = *what;
	struct principal *principal = &listener->principal;

	listener->world = world;
	principal->refs = 1;
	if (principal->tenant_id[0] == '\0')
		snprintf(principal->tenant_id, sizeof(principal->tenant_id), "%s", TENANT);
	snprintf(principal->api_key_id, sizeof(principal->api_key_id), "%s", key);
	snprintf(principal->subject, sizeof(principal->subject), "key:%s", key);
	params.principal = principal;
	params.tenant = tenant_with(principal->tenant_id, TOOL("1"), TOOL("1"));
	params.changed = on_changed;
	params.ended = on_ended;
	params.ctx = listener;

	int ret = subscription_start(world->subscriptions, &listener->subscription, &params, err);

	tenant_unref(&params.tenant);
	assert_int_equal(listener->ends, 0);
	return ret;
}

static inline void listen_to(struct world *world, struct listener *listener, const char *key,
			     enum mcp_era era, const char *endpoint, const char *session_id)
{
	const struct subscription_params what = { .era = era,
						  .endpoint = endpoint,
						  .session_id = session_id };
	struct err err;

	assert_int_equal(try_listen(world, listener, key, &what, &err), 0);
	assert_non_null(listener->subscription);
}

static inline void listen_modern(struct world *world, struct listener *listener,
				 const char *endpoint)
{
	listen_to(world, listener, "k1", MCP_MODERN, endpoint, NULL);
}

static inline void listen_legacy(struct world *world, struct listener *listener,
				 const char *session_id)
{
	listen_to(world, listener, "k1", MCP_LEGACY, "", session_id);
}

static inline void leave(struct listener *listener)
{
	subscription_cancel(&listener->subscription);
	assert_null(listener->subscription);
	assert_int_equal(listener->principal.refs, 1);
}

/* --- what the database says ------------------------------------------------------------------- */

static inline bool keys_are_asked(void *ctx)
{
	return ((struct world *)ctx)->check != NULL;
}

static inline bool sessions_are_asked(void *ctx)
{
	return ((struct world *)ctx)->streams != NULL;
}

/* keys: those that are still good, NULL-terminated; the first expires then. */
static inline void keys_say(struct world *world, const char *const *keys, int64_t expires_at_us)
{
	struct good_key good[MAX_ASKED] = { 0 };
	struct identity_check was;
	size_t n = 0;

	wire_until(world->loop, keys_are_asked, world, "keys are looked at");
	for (; keys[n] != NULL; n++)
		snprintf(good[n].id, sizeof(good[n].id), "%s", keys[n]);
	good[0].expires_at_us = expires_at_us;
	was = *world->check;
	*was.slot = NULL;
	free(world->check);
	world->check = NULL;
	was.done(was.ctx, good, n, NULL);
}

static inline void all_keys_are_good(struct world *world)
{
	keys_say(world, (const char *const[]){ "k1", "k2", "k3", NULL }, 0);
}

static inline struct session_stream_op take_streams(struct world *world)
{
	struct session_stream_op was;

	wire_until(world->loop, sessions_are_asked, world, "sessions are looked at");
	was = *world->streams;
	*was.slot = NULL;
	free(world->streams);
	world->streams = NULL;
	return was;
}

/* Every session that was asked about is there, and its stream the newest; who compares is told. */
static inline struct session_stream sessions_say(struct world *world, bool tell)
{
	struct session_stream_op was = take_streams(world);
	struct session_stream_found found[MAX_ASKED] = { 0 };

	for (size_t i = 0; i < was.n; i++) {
		memcpy(found[i].session, was.streams[i].session, SHA256_BYTES);
		found[i].newest = was.streams[i].number;
		found[i].tell = tell && (was.streams[i].asks & SESSION_STREAM_COMPARE) != 0;
	}
	was.done(was.ctx, found, was.n, NULL);
	return was.streams[0];
}

static inline void settle(struct world *world)
{
	wire_for(world->loop, 2 * SUBSCRIPTION_DEBOUNCE_MS);
}

static inline bool has_changed(void *ctx)
{
	return ((struct listener *)ctx)->changes > 0;
}

static inline bool has_ended(void *ctx)
{
	return ((struct listener *)ctx)->ends > 0;
}

static inline void expect_end(struct listener *listener, enum subscription_end why)
{
	wire_until(listener->world->loop, has_ended, listener, "the stream ends");
	assert_int_equal(listener->ends, 1);
	assert_int_equal(listener->why, why);
	assert_int_equal(listener->principal.refs, 1);
}

static inline int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));

	world->loop = loop_new();
	world->subscriptions = subscriptions_new(world->loop, NULL);
	*state = the_world(world);
	return 0;
}

static inline int tear_down(void **state)
{
	struct world *world = *state;

	assert_int_equal(subscriptions_count(world->subscriptions), 0);
	subscriptions_free(&world->subscriptions);
	assert_null(world->check);
	assert_null(world->streams);
	assert_null(world->note);
	loop_free(&world->loop);
	free(world);
	return 0;
}

#define SUBSCRIPTION_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
