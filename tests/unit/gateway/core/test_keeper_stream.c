/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

#include "tests/unit/gateway/core/keeper_world.h"

static struct upstream_watch *begin_stream(void **state, struct world *world)
{
	begin(state, world);
	add(world, "crm");
	answer(request(world, 1), "{\"tools\":[]}");
	return stream(world, 1);
}

static void open_stream(struct world *world, struct upstream_watch *watch)
{
	watch->events.opened(watch->ctx);
	answer(request(world, 2), "{\"tools\":[]}");
}

static void it_listens_once_listed_and_lists_again_once_it_listens(void **state)
{
	struct upstream_watch *watch;
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	assert_int_equal(world.nodes[0].upstreams.n_streams, 0);
	answer(request(&world, 1), "{\"tools\":[]}");
	watch = stream(&world, 1);
	assert_string_equal(watch->connection, "crm");
	gate_db_for(world.gate, 2 * KEEPER_RELIST_MS);
	assert_int_equal(world.nodes[0].upstreams.n, 1);
	watch->events.opened(watch->ctx);
	answer(request(&world, 2), "{\"tools\":[{\"name\":\"a\"}]}");
	await_status(&world, "crm", "ok|1|legacy");
	assert_int_equal(world.nodes[0].upstreams.n_streams, 1);
	end(&world);
}

static void changes_are_listed_at_once_but_one_list_runs_at_a_time(void **state)
{
	struct world world;
	struct upstream_watch *watch = begin_stream(state, &world);

	open_stream(&world, watch);
	await_status(&world, "crm", "ok|0|legacy");
	watch->events.changed(watch->ctx);
	request(&world, 3);
	for (int i = 0; i < 5; i++)
		watch->events.changed(watch->ctx);
	gate_db_for(world.gate, 2 * KEEPER_RELIST_MS);
	assert_int_equal(world.nodes[0].upstreams.n, 3);
	answer(request(&world, 3), "{\"tools\":[{\"name\":\"a\"}]}");
	answer(request(&world, 4), "{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\"}]}");
	await_status(&world, "crm", "ok|2|legacy");
	gate_db_for(world.gate, 2 * KEEPER_RELIST_MS);
	assert_int_equal(world.nodes[0].upstreams.n, 4);
	end(&world);
}

static void an_upstream_without_a_stream_is_polled(void **state)
{
	struct world world;
	struct upstream_watch *watch = begin_stream(state, &world);

	stream_end(watch, ERR_NOT_FOUND);
	poll_ms = 20;
	refresh(&world);
	for (size_t n = 2; n <= 4; n++)
		answer(request(&world, n), "{\"tools\":[]}");
	assert_int_equal(world.nodes[0].upstreams.n_streams, 1);
	end(&world);
}

static void a_stream_that_breaks_is_opened_again_later_and_later(void **state)
{
	struct world world;
	struct upstream_watch *watch = begin_stream(state, &world);
	int64_t ended_ms;

	open_stream(&world, watch);
	await_status(&world, "crm", "ok|0|legacy");
	ended_ms = loop_now_ms(world.gate->loop);
	stream_end(watch, ERR_UPSTREAM);
	/* It may be that it is down. */
	answer(request(&world, 3), "{\"tools\":[]}");
	watch = stream(&world, 2);
	assert_true(loop_now_ms(world.gate->loop) - ended_ms >= KEEPER_RETRY_MIN_MS / 2);
	ended_ms = loop_now_ms(world.gate->loop);
	stream_end(watch, ERR_UPSTREAM);
	stream(&world, 3);
	assert_true(loop_now_ms(world.gate->loop) - ended_ms >= KEEPER_RETRY_MIN_MS);
	assert_int_equal(world.nodes[0].upstreams.n, 3);
	end(&world);
}

static void it_does_not_listen_to_what_is_down(void **state)
{
	struct world world;
	struct upstream_watch *watch = begin_stream(state, &world);

	open_stream(&world, watch);
	await_status(&world, "crm", "ok|0|legacy");
	stream_end(watch, ERR_UPSTREAM);
	fail_with(request(&world, 3), ERR_UPSTREAM, "nobody is there");
	for (size_t n = 4; n <= 5; n++)
		fail_with(request(&world, n), ERR_UPSTREAM, "nobody is there");
	assert_int_equal(world.nodes[0].upstreams.n_streams, 1);
	answer(request(&world, 6), "{\"tools\":[]}");
	stream(&world, 2);
	end(&world);
}

static void an_edit_ends_the_stream(void **state)
{
	struct world world;
	struct upstream_watch *watch = begin_stream(state, &world);

	edit(&world, "crm", "enabled = false");
	await_status(&world, "crm", "disabled|0|legacy");
	assert_null(watch->slot);
	end(&world);
}

/* All that a poll would find out is known. */
static void an_answered_call_stands_for_a_poll_while_it_listens(void **state)
{
	struct world world;
	struct upstream_watch *watch = begin_stream(state, &world);

	world.answer_ms = loop_now_ms(world.gate->loop);
	poll_ms = 20;
	open_stream(&world, watch);
	await_status(&world, "crm", "ok|0|legacy");
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET last_success = NULL");
	await(&world, "SELECT last_success IS NOT NULL AS v FROM tollgate.connection_status", "t");
	assert_int_equal(world.nodes[0].upstreams.n, 2);
	world.answer_ms = loop_now_ms(world.gate->loop) - KEEPER_POLL_MS;
	request(&world, 3);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(it_listens_once_listed_and_lists_again_once_it_listens),
		GATE_DB_TEST(changes_are_listed_at_once_but_one_list_runs_at_a_time),
		GATE_DB_TEST(an_upstream_without_a_stream_is_polled),
		GATE_DB_TEST(a_stream_that_breaks_is_opened_again_later_and_later),
		GATE_DB_TEST(it_does_not_listen_to_what_is_down),
		GATE_DB_TEST(an_edit_ends_the_stream),
		GATE_DB_TEST(an_answered_call_stands_for_a_poll_while_it_listens),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
