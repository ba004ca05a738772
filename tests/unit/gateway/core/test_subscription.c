/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* Streams come, are counted, and end. */

#include "tests/unit/gateway/core/subscription_world.h"

/* Between the snapshot of its call and its stream a tenant may change. */
static void who_comes_late_compares_with_the_newest_snapshot(void **state)
{
	struct world *world = *state;
	struct listener listener = { 0 }, crm = { 0 };

	change(world, TENANT, TOOL("2"), TOOL("1"));
	listen_modern(world, &listener, "");
	settle(world);
	assert_int_equal(listener.changes, 0);
	change(world, TENANT, TOOL("1"), TOOL("1"));
	wire_until(world->loop, has_changed, &listener, "the change is heard");
	change(world, TENANT, NULL, TOOL("1"));
	listen_modern(world, &crm, "crm");
	expect_end(&crm, SUBSCRIPTION_REMOVED);
	leave(&listener);
}

static void a_tenant_that_is_disabled_has_no_streams(void **state)
{
	struct world *world = *state;
	struct listener listener = { 0 };
	struct tenant *off = tenant_with(TENANT, TOOL("1"), TOOL("1"));

	listen_modern(world, &listener, "");
	off->enabled = false;
	subscriptions_changed(world->subscriptions, TENANT, off);
	expect_end(&listener, SUBSCRIPTION_REMOVED);
	tenant_unref(&off);
}

static void of_two_streams_of_a_session_the_older_ends(void **state)
{
	struct world *world = *state;
	struct listener older = { 0 }, newer = { 0 }, elsewhere = { 0 };
	struct session_stream_op was;
	struct session_stream_found found = { .newest = 7 };

	listen_legacy(world, &older, "s1");
	sessions_say(world, false);
	/* Here … */
	listen_legacy(world, &newer, "s1");
	expect_end(&older, SUBSCRIPTION_REPLACED);
	sessions_say(world, false);
	assert_int_equal(newer.ends, 0);
	/* … and on another worker, which its row shows. */
	listen_legacy(world, &elsewhere, "s2");
	was = take_streams(world);
	memcpy(found.session, was.streams[0].session, SHA256_BYTES);
	was.done(was.ctx, &found, 1, NULL);
	expect_end(&elsewhere, SUBSCRIPTION_REPLACED);
	leave(&newer);
}

/* --- limits and the end ----------------------------------------------------------------------- */

static void a_principal_has_so_many_and_no_more(void **state)
{
	struct world *world = *state;
	struct listener *many = mem_new_array(SUBSCRIPTIONS_PER_PRINCIPAL, sizeof(*many));
	const struct subscription_params modern = { .era = MCP_MODERN, .endpoint = "" };
	struct listener more = { 0 }, other = { 0 };
	struct err err;

	for (size_t i = 0; i < SUBSCRIPTIONS_PER_PRINCIPAL; i++)
		listen_modern(world, &many[i], "");
	assert_int_equal(try_listen(world, &more, "k1", &modern, &err), -1);
	assert_int_equal(err.code, ERR_RATE_LIMITED);
	assert_null(more.subscription);
	assert_int_equal(subscription_check(world->subscriptions, &more.principal, &err), -1);
	listen_to(world, &other, "k2", MCP_MODERN, "", NULL);
	leave(&many[0]);
	listen_modern(world, &more, "");
	leave(&more);
	leave(&other);
	for (size_t i = 1; i < SUBSCRIPTIONS_PER_PRINCIPAL; i++)
		leave(&many[i]);
	free(many);
}

static void a_worker_has_so_many_and_no_more(void **state)
{
	struct world *world = *state;
	struct listener *many = mem_new_array(SUBSCRIPTIONS_PER_WORKER, sizeof(*many));
	const struct subscription_params modern = { .era = MCP_MODERN, .endpoint = "" };
	struct listener more = { 0 };
	struct err err;
	char key[16];

	for (size_t i = 0; i < SUBSCRIPTIONS_PER_WORKER; i++) {
		snprintf(key, sizeof(key), "k%zu", i / SUBSCRIPTIONS_PER_PRINCIPAL);
		listen_to(world, &many[i], key, MCP_MODERN, "", NULL);
	}
	assert_int_equal(try_listen(world, &more, "other", &modern, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	for (size_t i = 0; i < SUBSCRIPTIONS_PER_WORKER; i++)
		leave(&many[i]);
	free(many);
}

static void a_drain_ends_all_and_takes_no_more(void **state)
{
	struct world *world = *state;
	const struct subscription_params modern = { .era = MCP_MODERN, .endpoint = "" };
	struct listener one = { 0 }, two = { 0 }, gone = { 0 }, late = { 0 };
	struct err err;

	listen_modern(world, &one, "crm");
	listen_legacy(world, &two, "s1");
	listen_modern(world, &gone, "");
	subscriptions_drain(world->subscriptions);
	assert_int_equal(subscriptions_count(world->subscriptions), 0);
	assert_int_equal(one.ends, 0);
	leave(&gone); /* while it is about to be told */
	expect_end(&one, SUBSCRIPTION_DRAINED);
	expect_end(&two, SUBSCRIPTION_DRAINED);
	assert_int_equal(gone.ends, 0);
	assert_int_equal(try_listen(world, &late, "k1", &modern, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBSCRIPTION_TEST(who_comes_late_compares_with_the_newest_snapshot),
		SUBSCRIPTION_TEST(a_tenant_that_is_disabled_has_no_streams),
		SUBSCRIPTION_TEST(of_two_streams_of_a_session_the_older_ends),
		SUBSCRIPTION_TEST(a_principal_has_so_many_and_no_more),
		SUBSCRIPTION_TEST(a_worker_has_so_many_and_no_more),
		SUBSCRIPTION_TEST(a_drain_ends_all_and_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
