/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/cancels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/gate_db.h"

#define MAX_RUNNING 4

/* A worker and the requests that it runs. */
struct worker {
	struct world *world;
	struct cancels *cancels;
	size_t n;
	struct {
		const char *tenant_id;
		struct cancel_key key;
		int64_t age_ms;
	} running[MAX_RUNNING];
	int lists;
	int n_cancelled;
	struct cancel_key cancelled;
	size_t repeats;	  /* of the second of them */
	bool starts_over; /* the cancelled one is looked for again, while it is told */
};

struct world {
	struct gate_db *gate;
	char acme[UUID_TEXT_BYTES], other[UUID_TEXT_BYTES];
	struct worker here, there;
};

struct written {
	struct cancel_op *op;
	int dones;
	enum err_code code; /* if it failed */
	bool failed;
};

static void list_running(void *ctx, const char *tenant_id, struct cancel_list *list)
{
	struct worker *worker = ctx;

	worker->lists++;
	for (size_t i = 0; i < worker->n; i++) {
		size_t times = i == 1 && worker->repeats > 0 ? worker->repeats : 1;

		if (tenant_id != NULL && strcmp(worker->running[i].tenant_id, tenant_id) != 0)
			continue;
		for (size_t at = 0; at < times; at++)
			cancel_list_add(list, worker->running[i].tenant_id, &worker->running[i].key,
					worker->running[i].age_ms);
	}
}

static void on_cancelled(void *ctx, const struct cancel_key *key)
{
	struct worker *worker = ctx;

	worker->n_cancelled++;
	worker->cancelled = *key;
	if (worker->starts_over)
		cancels_look(worker->cancels, NULL);
}

static struct cancel_key key_of(const char *tenant_id, const char *subject, const char *session,
				const char *id)
{
	struct principal principal = { .refs = 1 };
	struct cancel_key key;

	snprintf(principal.tenant_id, sizeof(principal.tenant_id), "%s", tenant_id);
	snprintf(principal.subject, sizeof(principal.subject), "%s", subject);
	cancel_key_of(&principal, session, span_of(id), &key);
	return key;
}

static struct cancel_key usual_key(const struct world *world, const char *id)
{
	return key_of(world->acme, "user:ana", "0123456789abcdef", id);
}

static void worker_init(struct worker *worker, struct world *world, struct db *db)
{
	*worker = (struct worker){ .world = world };
	worker->cancels = cancels_new(&(struct cancels_params){
		.loop = world->gate->loop,
		.db = db,
		.list = list_running,
		.cancelled = on_cancelled,
		.ctx = worker,
	});
}

static void begin(void **state, struct world *world)
{
	*world = (struct world){ .gate = *state };
	gate_db_tenant(world->gate, "acme", world->acme);
	gate_db_tenant(world->gate, "other", world->other);
	worker_init(&world->here, world, world->gate->app);
	worker_init(&world->there, world, world->gate->app);
}

static void end(struct world *world)
{
	cancels_free(&world->here.cancels);
	cancels_free(&world->there.cancels);
	assert_null(world->here.cancels);
	cancels_free(&world->here.cancels);
}

static void run(struct worker *worker, const char *tenant_id, struct cancel_key key)
{
	assert_true(worker->n < MAX_RUNNING);
	worker->running[worker->n].tenant_id = tenant_id;
	worker->running[worker->n].key = key;
	worker->n++;
}

static void on_written(void *ctx, const struct err *err)
{
	struct written *written = ctx;

	assert_null(written->op);
	written->dones++;
	written->failed = err != NULL;
	if (err != NULL)
		written->code = err->code;
}

static bool was_written(void *ctx)
{
	const struct written *written = ctx;

	return written->dones > 0;
}

static void cancel_it(struct worker *worker, const char *tenant_id, struct cancel_key key)
{
	struct written written = { 0 };

	cancels_start(worker->cancels, &written.op, tenant_id, &key, on_written, &written);
	assert_int_equal(written.dones, 0);
	gate_db_until(worker->world->gate, was_written, &written);
	assert_int_equal(written.dones, 1);
	assert_false(written.failed);
}

static const char *rows(struct world *world)
{
	return gate_db_ask(world->gate, "SELECT count(*) AS v FROM tollgate.cancellations");
}

static bool heard(void *ctx)
{
	const struct worker *worker = ctx;

	return worker->n_cancelled > 0;
}

static void expect_cancelled(struct worker *worker, struct cancel_key key)
{
	gate_db_until(worker->world->gate, heard, worker);
	assert_int_equal(worker->n_cancelled, 1);
	assert_memory_equal(worker->cancelled.digest, key.digest, sizeof(key.digest));
	worker->n_cancelled = 0;
}

/* Everything that a look starts has ended when a later statement has. */
static void expect_nothing(struct worker *worker)
{
	cancels_look(worker->cancels, NULL);
	gate_db_for(worker->world->gate, 50);
	assert_int_equal(worker->n_cancelled, 0);
}

static void a_key_stands_for_all_that_a_cancel_must_agree_in(void **state)
{
	const struct cancel_key key = key_of("t", "user:ana", "01", "7");
	const struct cancel_key others[] = {
		key_of("u", "user:ana", "01", "7"),	key_of("t", "user:bob", "01", "7"),
		key_of("t", "user:ana", "02", "7"),	key_of("t", "user:ana", "01", "8"),
		key_of("t", "user:ana", "01", "\"7\""), key_of("t", "user:ana", "01", "7.0"),
	};
	const struct cancel_key same = key_of("t", "user:ana", "01", "7");

	(void)state;
	assert_memory_equal(key.digest, same.digest, sizeof(key.digest));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_memory_not_equal(key.digest, others[i].digest, sizeof(key.digest));
}

static void what_one_worker_writes_the_other_takes_once(void **state)
{
	struct world world;
	struct cancel_key key;

	begin(state, &world);
	key = usual_key(&world, "\"a \\u0001 'b\\\\\"");
	run(&world.there, world.acme, usual_key(&world, "1"));
	run(&world.there, world.acme, key);
	cancel_it(&world.here, world.acme, key);
	assert_string_equal(rows(&world), "1");
	cancels_look(world.there.cancels, world.acme);
	assert_int_equal(world.there.n_cancelled, 0);
	expect_cancelled(&world.there, key);
	assert_string_equal(rows(&world), "0");
	expect_nothing(&world.there);
	expect_nothing(&world.here);
	end(&world);
}

static void who_runs_nothing_of_the_tenant_asks_nothing(void **state)
{
	struct world world;
	struct cancel_key key;

	begin(state, &world);
	key = usual_key(&world, "1");
	run(&world.there, world.other, key);
	cancel_it(&world.here, world.acme, key);
	cancels_look(world.there.cancels, world.acme);
	assert_int_equal(world.there.lists, 1);
	/* The key is another tenant's, as far as Postgres knows. */
	expect_nothing(&world.there);
	assert_string_equal(rows(&world), "1");
	end(&world);
}

static void an_older_cancel_is_not_of_a_request_that_started_later(void **state)
{
	struct world world;
	struct cancel_key key;

	begin(state, &world);
	key = usual_key(&world, "1");
	cancel_it(&world.here, world.acme, key);
	gate_db_do(world.gate, "UPDATE tollgate.cancellations"
			       " SET created_at = now() - interval '10 s'");
	run(&world.there, world.acme, key);
	world.there.running[0].age_ms = 8000;
	expect_nothing(&world.there);
	world.there.running[0].age_ms = 9500;
	cancels_look(world.there.cancels, NULL);
	expect_cancelled(&world.there, key);
	end(&world);
}

static void what_nobody_told_is_found_by_the_poll(void **state)
{
	struct world world;
	struct cancel_key key;
	int lists;

	begin(state, &world);
	key = usual_key(&world, "1");
	run(&world.there, world.acme, key);
	world.there.running[0].age_ms = 10000;
	cancels_expect(world.there.cancels);
	cancels_expect(world.there.cancels);
	cancel_it(&world.here, world.acme, key);
	expect_cancelled(&world.there, key);
	/* Nothing runs any more: one poll sees that, and is the last. */
	world.there.n = 0;
	lists = world.there.lists;
	gate_db_for(world.gate, 2 * CANCELS_POLL_MS + 200);
	assert_int_equal(world.there.lists, lists + 1);
	end(&world);
}

static void what_is_said_while_it_looks_makes_it_look_again(void **state)
{
	struct world world;
	struct cancel_key one;
	struct cancel_key two;

	begin(state, &world);
	one = usual_key(&world, "1");
	two = usual_key(&world, "2");
	run(&world.there, world.acme, one);
	cancel_it(&world.here, world.acme, one);
	cancel_it(&world.here, world.acme, two);
	cancels_look(world.there.cancels, world.acme);
	run(&world.there, world.acme, two);
	cancels_look(world.there.cancels, world.acme);
	cancels_look(world.there.cancels, world.acme);
	world.there.starts_over = true;
	gate_db_until(world.gate, heard, &world.there);
	while (world.there.n_cancelled < 2)
		gate_db_for(world.gate, 1);
	assert_memory_equal(world.there.cancelled.digest, two.digest, sizeof(two.digest));
	assert_string_equal(rows(&world), "0");
	end(&world);
}

/* The newest find no room, and nothing overflows. */
static void more_than_can_be_asked_for_at_once_is_cut(void **state)
{
	struct world world;
	struct cancel_key first;
	struct cancel_key last;

	begin(state, &world);
	first = usual_key(&world, "1");
	last = usual_key(&world, "2");
	run(&world.there, world.acme, first);
	run(&world.there, world.acme, usual_key(&world, "0"));
	run(&world.there, world.acme, last);
	world.there.repeats = CANCELS_MAX_LOOK;
	world.there.running[1].age_ms = INT32_MAX;
	cancel_it(&world.here, world.acme, first);
	cancel_it(&world.here, world.acme, last);
	cancels_look(world.there.cancels, NULL);
	expect_cancelled(&world.there, first);
	world.there.repeats = 1;
	cancels_look(world.there.cancels, NULL);
	expect_cancelled(&world.there, last);
	end(&world);
}

static struct db *hasty_pool(const struct gate_db *gate)
{
	return db_new(gate->loop, &(struct db_params){
					  .conninfo = gate->app_conninfo,
					  .max_connections = 1,
					  .connect_timeout_ms = 200,
					  .op_timeout_ms = 200,
					  .idle_ms = 60000,
					  .max_queued = 10,
				  });
}

static void without_a_database_it_says_so(void **state)
{
	struct world world;
	struct written written = { 0 };
	struct cancel_key key;
	struct db *db;

	begin(state, &world);
	db = hasty_pool(world.gate);
	cancels_free(&world.here.cancels);
	worker_init(&world.here, &world, db);
	key = usual_key(&world, "1");
	run(&world.here, world.acme, key);
	pg_cluster_halt(&world.gate->cluster);
	cancels_look(world.here.cancels, NULL);
	cancels_start(world.here.cancels, &written.op, world.acme, &key, on_written, &written);
	gate_db_until(world.gate, was_written, &written);
	assert_true(written.failed);
	assert_int_equal(written.code, ERR_UNAVAILABLE);
	assert_int_equal(world.here.n_cancelled, 0);
	end(&world);
	db_free(&db);
}

static void cancel_means_silence(void **state)
{
	struct world world;
	struct written written = { 0 };
	struct cancel_key key;

	begin(state, &world);
	key = usual_key(&world, "1");
	run(&world.there, world.acme, key);
	cancels_start(world.here.cancels, &written.op, world.acme, &key, on_written, &written);
	cancels_cancel(&written.op);
	assert_null(written.op);
	cancels_cancel(&written.op);
	/* With a look, a poll and a sweep under way. */
	cancels_expect(world.there.cancels);
	cancels_look(world.there.cancels, NULL);
	end(&world);
	gate_db_do(world.gate, "SELECT 1 AS v");
	assert_int_equal(written.dones, 0);
	assert_int_equal(world.there.n_cancelled, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_stands_for_all_that_a_cancel_must_agree_in),
		GATE_DB_TEST(what_one_worker_writes_the_other_takes_once),
		GATE_DB_TEST(who_runs_nothing_of_the_tenant_asks_nothing),
		GATE_DB_TEST(an_older_cancel_is_not_of_a_request_that_started_later),
		GATE_DB_TEST(what_nobody_told_is_found_by_the_poll),
		GATE_DB_TEST(what_is_said_while_it_looks_makes_it_look_again),
		GATE_DB_TEST(more_than_can_be_asked_for_at_once_is_cut),
		GATE_DB_TEST(without_a_database_it_says_so),
		GATE_DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
