/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/servers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define URL	   "https://as.example.com/token"
#define OTHER	   "https://other.example.com/token"
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

struct world {
	struct loop *loop;
	struct servers *servers;
};

static int set_up(void **state)
{
	static struct world world;

	world.loop = loop_new();
	world.servers = servers_new(world.loop);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	servers_free(&world->servers);
	loop_free(&world->loop);
	return 0;
}

static void ask(struct world *world, const char *url, bool answered)
{
	server_begin(world->servers, url);
	server_end(world->servers, url, answered);
}

static void one_that_does_not_answer_is_left_alone_and_no_other(void **state)
{
	struct world *world = *state;
	const char *busy[4];

	for (int i = 0; i < SERVER_FAILURES; i++) {
		assert_true(server_admits(world->servers, URL));
		ask(world, URL, false);
	}
	assert_false(server_admits(world->servers, URL));
	assert_true(server_admits(world->servers, OTHER));
	assert_int_equal(servers_busy(world->servers, 4, busy, 4), 1);
	assert_string_equal(busy[0], URL);
	assert_int_equal(servers_busy(world->servers, 4, busy, 0), 0);
}

static void an_answer_ends_the_run_of_failures(void **state)
{
	struct world *world = *state;

	for (int i = 0; i < SERVER_FAILURES - 1; i++)
		ask(world, URL, false);
	ask(world, URL, true);
	for (int i = 0; i < SERVER_FAILURES - 1; i++)
		ask(world, URL, false);
	assert_true(server_admits(world->servers, URL));
	ask(world, URL, false);
	assert_false(server_admits(world->servers, URL));
	ask(world, URL, true); /* one that was forced */
	assert_true(server_admits(world->servers, URL));
}

static void after_a_pause_one_question_is_let_through(void **state)
{
	struct world *world = *state;
	int64_t began = loop_now_ms(world->loop);

	for (int i = 0; i < SERVER_FAILURES; i++)
		ask(world, URL, false);
	while (!server_admits(world->servers, URL))
		assert_true(loop_now_ms(world->loop) - began < 10 * SERVER_PAUSE_MIN_MS);
	assert_in_range(loop_now_ms(world->loop) - began, SERVER_PAUSE_MIN_MS / 2,
			SERVER_PAUSE_MIN_MS + 100);
	assert_false(server_admits(world->servers, URL));
}

static void who_has_enough_to_do_is_busy(void **state)
{
	struct world *world = *state;
	const char *busy[4];

	server_begin(world->servers, URL);
	assert_int_equal(servers_busy(world->servers, 2, busy, 4), 0);
	server_begin(world->servers, URL);
	assert_int_equal(servers_busy(world->servers, 2, busy, 4), 1);
	server_end(world->servers, URL, true);
	assert_int_equal(servers_busy(world->servers, 2, busy, 4), 0);
	server_end(world->servers, URL, true);
	server_end(world->servers, URL, true); /* of one that is not known any more */
}

static void no_more_are_remembered_than_there_is_room_for(void **state)
{
	struct world *world = *state;
	char url[64];
	const char *busy[2 * SERVERS_MAX];

	for (int i = 0; i < SERVERS_MAX + 10; i++) {
		snprintf(url, sizeof(url), "https://%d.example.com/token", i);
		server_begin(world->servers, url);
	}
	assert_int_equal(servers_busy(world->servers, 1, busy, 2 * SERVERS_MAX), SERVERS_MAX);
	for (int i = 0; i < SERVERS_MAX + 10; i++) {
		snprintf(url, sizeof(url), "https://%d.example.com/token", i);
		server_end(world->servers, url, false);
	}
	/* Those that failed once make room. */
	server_begin(world->servers, URL);
	assert_int_equal(servers_busy(world->servers, 1, busy, 2 * SERVERS_MAX), 1);
	server_end(world->servers, URL, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_does_not_answer_is_left_alone_and_no_other),
		TEST(an_answer_ends_the_run_of_failures),
		TEST(after_a_pause_one_question_is_let_through),
		TEST(who_has_enough_to_do_is_busy),
		TEST(no_more_are_remembered_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
