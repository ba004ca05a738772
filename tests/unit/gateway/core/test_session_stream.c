/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/session_stream.h"
#include "tests/fakes/gate_db.h"

#define CLAIM	(SESSION_STREAM_CLAIM | SESSION_STREAM_COMPARE)
#define COMPARE SESSION_STREAM_COMPARE
#define CHANGED (SESSION_STREAM_COMPARE | SESSION_STREAM_CHANGED)
#define ONE	1001
#define TWO	1002

struct world {
	struct gate_db *gate;
	char tenant[UUID_TEXT_BYTES];
	struct session_stream_op *op;
	struct db_op *note;
	int dones;
	struct session_stream_found found[4];
	size_t n;
	bool failed;
};

static void begin(void **state, struct world *world)
{
	*world = (struct world){ .gate = *state };
	gate_db_tenant(world->gate, "acme", world->tenant);
}

/* A session that was last seen so long ago. */
static void add_session(struct world *world, const char *id, const char *ago)
{
	gate_db_do(
		world->gate,
		"INSERT INTO tollgate.mcp_sessions (tenant_id, id_hash, principal,"
		" protocol_version, last_seen_at, expires_at) VALUES ('%s', sha256('%s'), 'p',"
		" '2025-11-25', now() - interval '%s', now() + interval '7 days' - interval '%s')",
		world->tenant, id, ago, ago);
}

static void on_done(void *ctx, const struct session_stream_found *found, size_t n,
		    const struct err *err)
{
	struct world *world = ctx;

	assert_null(world->op);
	world->dones++;
	world->failed = err != NULL;
	world->n = n;
	if (n > 0)
		memcpy(world->found, found, n * sizeof(*found));
}

static bool has_ended(void *ctx)
{
	return ((struct world *)ctx)->dones > 0;
}

static struct session_stream ask(const char *id, int64_t number, unsigned asks, const char *list)
{
	struct session_stream stream = { .number = number, .asks = asks };

	crypto_sha256(id, strlen(id), stream.session);
	crypto_sha256(list, strlen(list), stream.list);
	return stream;
}

static void look(struct world *world, const struct session_stream *streams, size_t n)
{
	world->dones = 0;
	session_stream_start(world->gate->app, &world->op, world->tenant, streams, n, on_done,
			     world);
	assert_int_equal(world->dones, 0);
	gate_db_until(world->gate, has_ended, world);
	assert_false(world->failed);
}

/* Of the session s1. */
static void expect(struct world *world, const struct session_stream *stream, int64_t newest,
		   bool tell)
{
	look(world, stream, 1);
	assert_int_equal(world->n, 1);
	assert_memory_equal(world->found[0].session, stream->session, SHA256_BYTES);
	assert_int_equal(world->found[0].newest, newest);
	assert_int_equal(world->found[0].tell, tell);
}

static void on_listed(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	(void)results;
	(void)n;
	assert_null(err);
	((struct world *)ctx)->dones++;
}

static void listed(struct world *world, const char *id, const char *list)
{
	struct session_stream what = ask(id, ONE, 0, list);

	world->dones = 0;
	session_listed(world->gate->app, &world->note, world->tenant, what.session, what.list,
		       on_listed, world);
	gate_db_until(world->gate, has_ended, world);
}

static void who_changes_the_row_tells_the_client(void **state)
{
	struct world world;
	struct session_stream claim = ask("s1", ONE, CLAIM, "a");
	struct session_stream same = ask("s1", ONE, COMPARE, "a");
	struct session_stream changed = ask("s1", ONE, CHANGED, "b");

	begin(state, &world);
	add_session(&world, "s1", "0");
	/* It was given no list yet, so it has missed nothing. */
	expect(&world, &claim, ONE, false);
	expect(&world, &changed, ONE, true);
	expect(&world, &changed, ONE, false);
	expect(&world, &same, ONE, true); /* nor does it matter which way the list goes */
	listed(&world, "s1", "c");
	expect(&world, &same, ONE, true);
	listed(&world, "s1", "b");
	expect(&world, &changed, ONE, false);
}

static void what_changed_without_a_stream_is_told_to_the_next(void **state)
{
	struct world world;
	struct session_stream claim = ask("s1", ONE, CLAIM, "b");

	begin(state, &world);
	add_session(&world, "s1", "0");
	listed(&world, "s1", "a");
	expect(&world, &claim, ONE, true);
	expect(&world, &claim, ONE, false);
}

static void only_the_newest_stream_tells(void **state)
{
	struct world world;
	struct session_stream older = ask("s1", ONE, CLAIM, "a");
	struct session_stream newer = ask("s1", TWO, CLAIM, "a");
	struct session_stream changed = ask("s1", ONE, CHANGED, "b");

	begin(state, &world);
	add_session(&world, "s1", "0");
	expect(&world, &older, ONE, false);
	expect(&world, &newer, TWO, false);
	expect(&world, &changed, TWO, false);
	changed = ask("s1", TWO, CHANGED, "b");
	expect(&world, &changed, TWO, true);
}

static void a_session_that_is_not_there_is_not_found(void **state)
{
	struct world world;
	struct session_stream streams[4] = {
		ask("gone", ONE, CLAIM, "a"),
		ask("s1", TWO, CLAIM, "a"),
		ask("expired", ONE, CLAIM, "a"),
		ask("foreign", ONE, CLAIM, "a"),
	};

	begin(state, &world);
	add_session(&world, "foreign", "0");
	gate_db_tenant(world.gate, "other", world.tenant);
	add_session(&world, "s1", "0");
	add_session(&world, "expired", "7 days");
	look(&world, streams, 4);
	assert_int_equal(world.n, 1);
	assert_int_equal(world.found[0].newest, TWO);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT count(*) AS v FROM tollgate.mcp_sessions"
					" WHERE stream IS NOT NULL"),
			    "1");
}

static const char *seen(struct world *world)
{
	return gate_db_ask(world->gate,
			   "SELECT concat_ws(' ', last_seen_at > now() - interval '1 minute',"
			   " expires_at > now() + interval '6 days 23 hours') AS v"
			   " FROM tollgate.mcp_sessions");
}

static void an_open_stream_keeps_its_session(void **state)
{
	struct world world;
	struct session_stream claim = ask("s1", ONE, CLAIM, "a");
	struct session_stream visit = ask("s1", ONE, 0, "a");
	struct session_stream old = ask("s1", TWO, 0, "a");

	begin(state, &world);
	add_session(&world, "s1", "3 days");
	expect(&world, &claim, ONE, false);
	assert_string_equal(seen(&world), "t t");
	gate_db_do(world.gate, "UPDATE tollgate.mcp_sessions"
			       " SET last_seen_at = now() - interval '30 minutes'");
	expect(&world, &visit, ONE, false);
	assert_string_equal(seen(&world), "f t"); /* not written for so little */
	gate_db_do(world.gate, "UPDATE tollgate.mcp_sessions"
			       " SET last_seen_at = now() - interval '2 hours'");
	expect(&world, &old, ONE, false);
	assert_string_equal(seen(&world), "f t");
	expect(&world, &visit, ONE, false);
	assert_string_equal(seen(&world), "t t");
}

static void cancel_means_silence(void **state)
{
	struct world world;
	struct session_stream claim = ask("s1", ONE, CLAIM, "a");

	begin(state, &world);
	session_stream_start(world.gate->app, &world.op, world.tenant, &claim, 1, on_done, &world);
	session_stream_cancel(&world.op);
	assert_null(world.op);
	session_stream_cancel(&world.op);
	gate_db_for(world.gate, 50);
	assert_int_equal(world.dones, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(who_changes_the_row_tells_the_client),
		GATE_DB_TEST(what_changed_without_a_stream_is_told_to_the_next),
		GATE_DB_TEST(only_the_newest_stream_tells),
		GATE_DB_TEST(a_session_that_is_not_there_is_not_found),
		GATE_DB_TEST(an_open_stream_keeps_its_session),
		GATE_DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
