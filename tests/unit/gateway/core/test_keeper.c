/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

#include "tests/unit/gateway/core/keeper_world.h"

#define LEASED                                                                                     \
	"SELECT string_agg(n::text, '|' ORDER BY n) AS v FROM (SELECT count(*) AS n"               \
	" FROM tollgate.connection_status GROUP BY lease_node) s"

static void add_many(struct world *world, int n)
{
	char name[20];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		add(world, name);
	}
}

static size_t n_running(const struct node *node)
{
	size_t n = 0;

	for (size_t i = 0; i < node->upstreams.n; i++)
		n += node->upstreams.requests[i].slot != NULL;
	return n;
}

static bool all_run(void *ctx)
{
	const struct world *world = ctx;

	return n_running(&world->nodes[0]) + n_running(&world->nodes[1]) == world->wanted;
}

/* Until so many lists run, of both nodes together. */
static void await_running(struct world *world, size_t n)
{
	world->wanted = n;
	gate_db_until(world->gate, all_run, world);
}

static void on_released(void *ctx)
{
	bool *released = ctx;

	*released = true;
}

static bool second_has_both(void *ctx)
{
	const struct world *world = ctx;

	return n_running(&world->nodes[1]) == 2 && n_running(&world->nodes[0]) == 0;
}

static void each_connection_is_watched_by_one_of_two_nodes(void **state)
{
	struct world world;

	begin(state, &world);
	node_begin(&world, &world.nodes[1]);
	gate_db_for(world.gate, 2 * KEEPER_LOOK_MS);
	add_many(&world, 6);
	await_running(&world, 6);
	await(&world, LEASED, "3|3");
	gate_db_for(world.gate, 4 * KEEPER_LOOK_MS);
	assert_int_equal(world.nodes[0].upstreams.n, 3);
	assert_int_equal(world.nodes[1].upstreams.n, 3);
	end(&world);
}

static void what_a_node_gives_back_is_taken_over_at_once(void **state)
{
	struct world world;
	bool released = false;

	begin(state, &world);
	add_many(&world, 2);
	await_running(&world, 2);
	node_begin(&world, &world.nodes[1]);
	gate_db_for(world.gate, 2 * KEEPER_LOOK_MS);
	assert_int_equal(world.nodes[1].upstreams.n, 0);
	keeper_release(world.nodes[0].keeper, on_released, &released);
	assert_int_equal(n_running(&world.nodes[0]), 0);
	await_running(&world, 2);
	assert_true(released);
	assert_int_equal(n_running(&world.nodes[1]), 2);
	end(&world);
}

static void what_a_successor_takes_is_let_go(void **state)
{
	struct world world;

	begin(state, &world);
	add_many(&world, 2);
	await_running(&world, 2);
	/* As the next worker of the same slot does. */
	gate_db_do(world.gate, "DELETE FROM tollgate.nodes");
	node_begin(&world, &world.nodes[1]);
	gate_db_until(world.gate, second_has_both, &world);
	assert_int_equal(n_running(&world.nodes[0]), 0);
	end(&world);
}

static void what_a_dead_node_has_watched_is_taken_over(void **state)
{
	struct world world;
	int64_t died_ms;

	begin(state, &world);
	add_many(&world, 2);
	await_running(&world, 2);
	node_begin(&world, &world.nodes[1]);
	died_ms = loop_now_ms(world.gate->loop);
	node_end(&world.nodes[0]);
	await_running(&world, 2);
	assert_int_equal(n_running(&world.nodes[1]), 2);
	assert_in_range(loop_now_ms(world.gate->loop) - died_ms, KEEPER_LEASE_MS - KEEPER_RENEW_MS,
			KEEPER_LEASE_MS + 2 * KEEPER_RENEW_MS);
	world.nodes[0] = (struct node){ 0 };
	end(&world);
}

static void a_node_without_a_row_watches_nothing(void **state)
{
	struct world world;

	begin(state, &world);
	add_many(&world, 1);
	await_running(&world, 1);
	gate_db_do(world.gate, "DELETE FROM tollgate.nodes");
	await_running(&world, 0);
	end(&world);
}

/* The server is away: another node may reach it, and take what this one can no longer renew. */
static void a_node_that_cannot_renew_stops_in_time(void **state)
{
	struct world world;
	int64_t last_ms;

	begin(state, &world);
	add_many(&world, 1);
	await_running(&world, 1);
	pg_cluster_halt(&world.gate->cluster);
	last_ms = loop_now_ms(world.gate->loop);
	await_running(&world, 0);
	assert_true(loop_now_ms(world.gate->loop) - last_ms <= KEEPER_LEASE_MS);
	assert_int_equal(pg_cluster_restart(&world.gate->cluster), 0);
	await_running(&world, 1);
	end(&world);
}

static void a_connection_that_goes_takes_its_lease_along(void **state)
{
	struct world world;

	begin(state, &world);
	add_many(&world, 2);
	await_running(&world, 2);
	gate_db_do(world.gate, "DELETE FROM tollgate.connections WHERE name = 'c0'");
	await_running(&world, 1);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	await_running(&world, 0);
	end(&world);
}

static void tenants_are_loaded_as_they_are_needed(void **state)
{
	struct world world;
	char idle[UUID_TEXT_BYTES];

	begin(state, &world);
	gate_db_tenant(world.gate, "idle", idle);
	add_many(&world, 1);
	await_running(&world, 1);
	assert_null(tenants_find(world.nodes[0].tenants, idle));
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(each_connection_is_watched_by_one_of_two_nodes),
		GATE_DB_TEST(what_a_node_gives_back_is_taken_over_at_once),
		GATE_DB_TEST(what_a_successor_takes_is_let_go),
		GATE_DB_TEST(what_a_dead_node_has_watched_is_taken_over),
		GATE_DB_TEST(a_node_without_a_row_watches_nothing),
		GATE_DB_TEST(a_node_that_cannot_renew_stops_in_time),
		GATE_DB_TEST(a_connection_that_goes_takes_its_lease_along),
		GATE_DB_TEST(tenants_are_loaded_as_they_are_needed),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
