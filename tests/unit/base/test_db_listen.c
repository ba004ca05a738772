/* SPDX-License-Identifier: Apache-2.0 */

/* The connection that LISTENs. */

#include "tests/unit/base/db_fixture.h"

#define MAX_HEARD 64

struct ear {
	struct db_listener *listener;
	int connected;
	int n_heard;
	char heard[MAX_HEARD][LONG_TEXT];
	int wanted_heard;
	int wanted_connected;
	bool free_when_connected;
	bool free_when_notified;
};

static void on_notified(void *ctx, const char *channel, const char *payload)
{
	struct ear *ear = ctx;

	assert_non_null(ear->listener);
	assert_in_range(ear->n_heard, 0, MAX_HEARD - 1);
	snprintf(ear->heard[ear->n_heard], LONG_TEXT, "%s=%s", channel, payload);
	ear->n_heard++;
	if (ear->free_when_notified)
		db_listener_free(&ear->listener);
	/* Ours for the rest of the call, whatever becomes of the listener. */
	assert_true(strlen(channel) + strlen(payload) > 0);
}

static void on_connected(void *ctx)
{
	struct ear *ear = ctx;

	assert_non_null(ear->listener);
	ear->connected++;
	if (ear->free_when_connected)
		db_listener_free(&ear->listener);
}

static void listen_to(struct fixture *f, struct ear *ear, const char *conninfo)
{
	static const char *const channels[] = { "config", "Odd \"name\"" };

	ear->listener =
		db_listener_new(f->loop, &(struct db_listener_params){ .conninfo = conninfo,
								       .channels = channels,
								       .n_channels = 2,
								       .retry_ms = 50,
								       .notified = on_notified,
								       .connected = on_connected,
								       .ctx = ear });
	assert_int_equal(ear->connected, 0);
}

static bool satisfied(void *ctx)
{
	const struct ear *ear = ctx;

	return ear->n_heard >= ear->wanted_heard && ear->connected >= ear->wanted_connected;
}

static void hears_each_notification_once_and_in_order(void **state)
{
	struct fixture *f = *state;
	struct ear ear = { .wanted_connected = 1 };
	struct shot shot;

	listen_to(f, &ear, f->cluster.conninfo);
	run_until(f, satisfied, &ear);
	ask(f, &shot, "SELECT pg_notify('config', i::text) AS v FROM generate_series(1, 40) i");
	ask(f, &shot, "SELECT pg_notify('other', 'x') AS v");
	ask(f, &shot, "SELECT pg_notify('Odd \"name\"', '') AS v");
	ear.wanted_heard = 41;
	run_until(f, satisfied, &ear);
	assert_int_equal(ear.n_heard, 41);
	assert_string_equal(ear.heard[0], "config=1");
	assert_string_equal(ear.heard[39], "config=40");
	assert_string_equal(ear.heard[40], "Odd \"name\"=");
	assert_int_equal(ear.connected, 1);
	db_listener_free(&ear.listener);
	db_listener_free(&ear.listener);
}

static void tells_when_it_has_connected_again(void **state)
{
	struct fixture *f = *state;
	struct ear ear = { .wanted_connected = 1 };
	struct shot shot;

	listen_to(f, &ear, f->cluster.conninfo);
	run_until(f, satisfied, &ear);
	ask(f, &shot,
	    "SELECT pg_terminate_backend(pid) AS v FROM pg_stat_activity WHERE query LIKE "
	    "'LISTEN%'");
	assert_string_equal(shot.v[0], "t");
	ear.wanted_connected = 2;
	run_until(f, satisfied, &ear);
	ask(f, &shot, "SELECT pg_notify('config', 'again') AS v");
	ear.wanted_heard = 1;
	run_until(f, satisfied, &ear);
	assert_string_equal(ear.heard[0], "config=again");
	db_listener_free(&ear.listener);
}

static void survives_a_killed_server(void **state)
{
	struct fixture *f = *state;
	struct ear ear = { .wanted_connected = 1 };

	listen_to(f, &ear, f->cluster.conninfo);
	run_until(f, satisfied, &ear);
	pg_cluster_kill(&f->cluster);
	run_until(f, is_down, f->db);
	assert_int_equal(pg_cluster_restart(&f->cluster), 0);
	ear.wanted_connected = 2;
	run_until(f, satisfied, &ear);
	db_listener_free(&ear.listener);
}

static void may_be_freed_in_its_own_callbacks(void **state)
{
	struct fixture *f = *state;
	struct ear first = { .wanted_connected = 1, .free_when_connected = true };
	struct ear second = { .wanted_connected = 1, .free_when_notified = true };
	struct shot shot;

	listen_to(f, &first, f->cluster.conninfo);
	run_until(f, satisfied, &first);
	assert_null(first.listener);
	listen_to(f, &second, f->cluster.conninfo);
	run_until(f, satisfied, &second);
	ask(f, &shot, "SELECT pg_notify('config', i::text) AS v FROM generate_series(1, 5) i");
	second.wanted_heard = 1;
	run_until(f, satisfied, &second);
	assert_null(second.listener);
	assert_int_equal(second.n_heard, 1);
}

/* At every stage: looking up, dialing, subscribing, backing off. */
static void may_be_freed_at_any_time(void **state)
{
	static const char *const conninfos[] = { NULL, "host=/nowhere", "host=localhost port=1",
						 "nonsense" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(conninfos) / sizeof(conninfos[0]); i++) {
		for (int delay_ms = 0; delay_ms < 12; delay_ms++) {
			struct ear ear = { 0 };

			listen_to(f, &ear,
				  conninfos[i] == NULL ? f->cluster.conninfo : conninfos[i]);
			run_for(f, delay_ms);
			db_listener_free(&ear.listener);
			assert_int_equal(ear.n_heard, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(hears_each_notification_once_and_in_order),
		DB_TEST(tells_when_it_has_connected_again),
		DB_TEST(survives_a_killed_server),
		DB_TEST(may_be_freed_in_its_own_callbacks),
		DB_TEST(may_be_freed_at_any_time),
	};

	return cmocka_run_group_tests(tests, start_program, end_program);
}
