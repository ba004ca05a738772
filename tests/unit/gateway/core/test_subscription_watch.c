/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* Who hears of a change, and whose right to a stream has gone. */

#include "tests/unit/gateway/core/subscription_world.h"

/* --- lists ------------------------------------------------------------------------------------ */

static void who_sees_another_list_is_told_once(void **state)
{
	struct world *world = *state;
	struct listener everything = { 0 }, crm = { 0 }, wiki = { 0 };

	listen_modern(world, &everything, "");
	listen_modern(world, &crm, "crm");
	listen_modern(world, &wiki, "wiki");
	all_keys_are_good(world);
	change(world, TENANT, TOOL("2"), TOOL("1"));
	/* It waits for what else changes. */
	assert_int_equal(everything.changes, 0);
	change(world, TENANT, TOOL("3"), TOOL("1"));
	wire_until(world->loop, has_changed, &everything, "the change is heard");
	all_keys_are_good(world);
	settle(world);
	assert_int_equal(everything.changes, 1);
	assert_int_equal(crm.changes, 1);
	assert_int_equal(wiki.changes, 0);
	/* There and back again is no change. */
	change(world, TENANT, TOOL("4"), TOOL("1"));
	change(world, TENANT, TOOL("3"), TOOL("1"));
	all_keys_are_good(world);
	settle(world);
	assert_int_equal(everything.changes, 1);
	leave(&everything);
	leave(&crm);
	leave(&wiki);
}

static void a_change_of_another_tenant_is_not_heard(void **state)
{
	struct world *world = *state;
	struct listener here = { 0 };
	struct listener there = { .principal.tenant_id = OTHER_TENANT };

	listen_modern(world, &here, "");
	listen_modern(world, &there, "");
	settle(world);
	change(world, OTHER_TENANT, TOOL("2"), TOOL("1"));
	wire_until(world->loop, has_changed, &there, "the change is heard");
	assert_int_equal(here.changes, 0);
	leave(&here);
	leave(&there);
}

/* --- rights ----------------------------------------------------------------------------------- */

static void keys_are_looked_at_when_a_stream_opens_and_when_the_tenant_changes(void **state)
{
	struct world *world = *state;
	struct listener one = { 0 }, same = { 0 }, two = { 0 };

	listen_modern(world, &one, "");
	listen_modern(world, &same, "");
	listen_to(world, &two, "k2", MCP_LEGACY, "", "s2");
	wire_until(world->loop, keys_are_asked, world, "keys are looked at");
	assert_int_equal(world->check->n, 2); /* each once */
	assert_string_equal(world->check->tenant_id, TENANT);
	all_keys_are_good(world);
	sessions_say(world, false);
	settle(world);
	assert_int_equal(world->n_checks, 1);
	change(world, TENANT, TOOL("1"), TOOL("1"));
	keys_say(world, (const char *const[]){ "k2", NULL }, 0);
	expect_end(&one, SUBSCRIPTION_REVOKED);
	expect_end(&same, SUBSCRIPTION_REVOKED);
	assert_int_equal(two.ends, 0);
	leave(&two);
}

static void a_key_that_expires_ends_its_streams(void **state)
{
	struct world *world = *state;
	struct listener known = { .principal.expires_at_us = loop_unix_us() + 20000 };
	struct listener told = { 0 };

	listen_modern(world, &known, ""); /* before anybody is asked */
	expect_end(&known, SUBSCRIPTION_REVOKED);
	assert_true(loop_unix_us() >= known.principal.expires_at_us);
	listen_modern(world, &told, "");
	keys_say(world, (const char *const[]){ "k1", NULL }, loop_unix_us() + 60000);
	expect_end(&told, SUBSCRIPTION_REVOKED);
}

static void a_database_that_is_away_is_asked_again(void **state)
{
	const struct err away = { .code = ERR_UNAVAILABLE, .text = "away" };
	struct world *world = *state;
	struct listener listener = { 0 };
	struct identity_check check;
	struct session_stream_op streams;
	unsigned asks;

	listen_legacy(world, &listener, "s1");
	wire_until(world->loop, keys_are_asked, world, "keys are looked at");
	check = *world->check;
	*check.slot = NULL;
	free(world->check);
	world->check = NULL;
	check.done(check.ctx, NULL, 0, &away);
	streams = take_streams(world);
	asks = streams.streams[0].asks;
	streams.done(streams.ctx, NULL, 0, &away);
	assert_int_equal(listener.ends, 0);
	all_keys_are_good(world);
	assert_int_equal(sessions_say(world, false).asks, asks);
	assert_int_equal(listener.ends, 0);
	leave(&listener);
}

static void an_endpoint_that_goes_ends_its_streams_alone(void **state)
{
	struct world *world = *state;
	struct listener everything = { 0 }, crm = { 0 }, wiki = { 0 };

	listen_modern(world, &everything, "");
	listen_modern(world, &crm, "crm");
	listen_modern(world, &wiki, "wiki");
	change(world, TENANT, NULL, TOOL("1"));
	expect_end(&crm, SUBSCRIPTION_REMOVED);
	assert_int_equal(crm.changes, 0);
	assert_int_equal(everything.changes, 1);
	assert_int_equal(wiki.changes, 0);
	assert_int_equal(subscriptions_count(world->subscriptions), 2);
	subscriptions_changed(world->subscriptions, TENANT, NULL);
	expect_end(&everything, SUBSCRIPTION_REMOVED);
	expect_end(&wiki, SUBSCRIPTION_REMOVED);
}

/* --- sessions --------------------------------------------------------------------------------- */

static void a_session_is_told_if_its_row_says_so(void **state)
{
	struct world *world = *state;
	struct listener listener = { 0 };
	struct session_stream asked;
	uint8_t session[SHA256_BYTES];
	int64_t number;

	crypto_sha256("s1", 2, session);
	listen_legacy(world, &listener, "s1");
	/* What it missed while there was no stream. */
	asked = sessions_say(world, true);
	assert_memory_equal(asked.session, session, SHA256_BYTES);
	assert_int_equal(asked.asks, SESSION_STREAM_CLAIM | SESSION_STREAM_COMPARE);
	assert_true(asked.number > 0);
	assert_int_equal(listener.changes, 1);
	number = asked.number;
	/* And again later: a worker that was behind may have given it the old list. */
	asked = sessions_say(world, false);
	assert_int_equal(asked.asks, SESSION_STREAM_COMPARE);
	settle(world);
	assert_int_equal(world->n_looks, 2);

	change(world, TENANT, TOOL("2"), TOOL("1"));
	asked = sessions_say(world, false); /* it has listed its tools since */
	assert_int_equal(asked.asks, SESSION_STREAM_COMPARE | SESSION_STREAM_CHANGED);
	assert_int_equal(asked.number, number);
	assert_int_equal(listener.changes, 1);
	change(world, TENANT, TOOL("3"), TOOL("1"));
	sessions_say(world, true);
	assert_int_equal(listener.changes, 2);
	leave(&listener);
}

static void a_session_that_has_ended_ends_its_stream_at_a_hint(void **state)
{
	struct world *world = *state;
	struct listener gone = { 0 }, stays = { 0 }, modern = { 0 };
	struct session_stream_op was;
	struct session_stream_found found = { 0 };
	size_t at;

	listen_legacy(world, &gone, "s1");
	listen_legacy(world, &stays, "s2");
	listen_modern(world, &modern, "");
	sessions_say(world, false);
	subscriptions_hint(world->subscriptions, OTHER_TENANT);
	subscriptions_hint(world->subscriptions, "no tenant's id");
	settle(world);
	assert_int_equal(world->n_looks, 1);
	subscriptions_hint(world->subscriptions, NULL);
	was = take_streams(world);
	assert_int_equal(was.n, 2);
	crypto_sha256("s2", 2, found.session);
	at = memcmp(was.streams[0].session, found.session, SHA256_BYTES) == 0 ? 0 : 1;
	assert_int_equal(was.streams[at].asks, 0);
	found.newest = was.streams[at].number;
	was.done(was.ctx, &found, 1, NULL);
	expect_end(&gone, SUBSCRIPTION_REPLACED);
	assert_int_equal(stays.ends, 0);
	assert_int_equal(modern.ends, 0);
	leave(&stays);
	leave(&modern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBSCRIPTION_TEST(who_sees_another_list_is_told_once),
		SUBSCRIPTION_TEST(a_change_of_another_tenant_is_not_heard),
		SUBSCRIPTION_TEST(
			keys_are_looked_at_when_a_stream_opens_and_when_the_tenant_changes),
		SUBSCRIPTION_TEST(a_key_that_expires_ends_its_streams),
		SUBSCRIPTION_TEST(a_database_that_is_away_is_asked_again),
		SUBSCRIPTION_TEST(an_endpoint_that_goes_ends_its_streams_alone),
		SUBSCRIPTION_TEST(a_session_is_told_if_its_row_says_so),
		SUBSCRIPTION_TEST(a_session_that_has_ended_ends_its_stream_at_a_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
