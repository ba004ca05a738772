/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/oauth/access_world.h"

#define GOOD_2 REPLY("a2", "r2", "3600")

static struct seen expired_and_asked(struct access_world *world, const struct as_answer *answers,
				     size_t n)
{
	as_play(world->as, answers, n);
	put_with_lifetime(world, -1);
	return ask(world);
}

static void an_expired_token_is_renewed_and_stored(void **state)
{
	static const struct as_answer good = { 200, NULL, GOOD_2 };
	struct access_world *world = *state;
	struct seen seen = expired_and_asked(world, &good, 1);
	struct row_seen row = row_of(world);

	assert_string_equal(seen.token, "Bearer a2");
	assert_int_equal(seen.version, 2);
	assert_string_equal(as_body(world->as, 0),
			    "grant_type=refresh_token&refresh_token=r1&client_id=c1");
	assert_string_equal(row.access_token, "a2");
	assert_string_equal(row.refresh_token, "r2");
	assert_int_equal(row.version, 2);
	assert_false(row.busy);
	assert_in_range(row.expires_at, unix_s() + 3590, unix_s() + 3600);
	/* At 80 % of its life, earlier by chance. */
	assert_in_range(row.next_refresh_at, unix_s() + 2600, unix_s() + 2880);
	assert_string_equal(events(world), "connect_completed refresh_succeeded");
}

/* What a reply leaves out stays as it was. */
static void what_a_reply_says_is_kept_and_what_it_does_not_say_stays(void **state)
{
	static const struct {
		const char *body;
		const char *refresh;
		const char *scope;
		bool expires, refresh_expires;
	} table[] = {
		{"{\"access_token\":\"a2\",\"token_type\":\"Bearer\"}",				 "r1", "read",       false,
		  true													     },
		{ "{\"access_token\":\"a2\",\"token_type\":\"Bearer\",\"expires_in\":\"60\"}",    "r1",
		  "read",											      true,	true },
		{ "{\"access_token\":\"a2\",\"token_type\":\"Bearer\",\"refresh_token\":\"r2\"}",
		  "r2",										  "read",	false, false},
		{ "{\"access_token\":\"a2\",\"token_type\":\"Bearer\",\"refresh_token\":\"r1\"}",
		  "r1",										  "read",	false, true },
		{ "{\"access_token\":\"a2\",\"token_type\":\"Bearer\",\"refresh_token\":\"r2\","
		  "\"refresh_expires_in\":60,\"scope\":\"read write\"}",	  "r2", "read write", false, true },
	};
	struct access_world *world = *state;

	for (size_t i = 0; i < COUNT(table); i++) {
		const struct as_answer answer = { 200, NULL, table[i].body };
		struct row_seen row;
		struct grant grant;

		as_play(world->as, &answer, 1);
		grant = grant_of(world, -1);
		grant.scope = "read";
		grant.refresh_expires_at = unix_s() + 1000;
		put(world, &grant);
		assert_string_equal(ask(world).token, "Bearer a2");
		row = row_of(world);
		assert_string_equal(row.refresh_token, table[i].refresh);
		assert_string_equal(row.scope, table[i].scope);
		assert_int_equal(row.expires_at != 0, table[i].expires);
		assert_int_equal(row.refresh_expires_at != 0, table[i].refresh_expires);
	}
}

static void what_the_grant_was_asked_with_goes_along(void **state)
{
	static const struct as_answer good[] = {
		{200,  NULL, GOOD_2},
		       { 200, NULL, GOOD_2}
	};
	struct access_world *world = *state;
	struct grant grant;

	as_play(world->as, good, 2);
	grant = grant_of(world, -1);
	grant.resource = "https://mcp.example.com/mcp";
	grant.audience = "api";
	grant.scope = "read write";
	grant.client_auth = "post";
	grant.client_secret = (struct secret){ (char *)"s3", 2 };
	put(world, &grant);
	ask(world);
	assert_string_equal(as_body(world->as, 0),
			    "grant_type=refresh_token&refresh_token=r1&resource=https%3A%2F%2F"
			    "mcp.example.com%2Fmcp&audience=api&client_id=c1&client_secret=s3");
	grant.kind = GRANT_CLIENT_CREDENTIALS;
	grant.refresh_token = (struct secret){ NULL, 0 };
	put(world, &grant);
	ask(world);
	assert_string_equal(as_body(world->as, 1),
			    "grant_type=client_credentials&scope=read+write&resource=https%3A%2F"
			    "%2Fmcp.example.com%2Fmcp&audience=api&client_id=c1&client_secret=s3");
}

/* --- failures -------------------------------------------------------------------------------- */

static void each_failure_means_what_it_says(void **state)
{
	static const struct {
		struct as_answer answer;
		enum grant_state state;
		const char *event;
	} table[] = {
		{{ 400, NULL, "{\"error\":\"invalid_grant\"}" },
		  GRANT_NEEDS_REAUTH,						"refresh_failed_revoked"  },
		{ { 401, NULL, "{\"error\":\"invalid_client\"}" },
		  GRANT_ACTIVE,						      "refresh_failed_client"	  },
		{ { 400, NULL, "{\"error\":\"invalid_scope\"}" },
		  GRANT_ACTIVE,						      "refresh_failed_client"	  },
		{ { 503, NULL, "{\"error\":\"invalid_grant\"}" },
		  GRANT_ACTIVE,						      "refresh_failed_transient"},
		{ { 429, "Retry-After: 7\r\n", "" },		     GRANT_ACTIVE, "refresh_failed_transient"},
		{ { 401, AS_HTML, "<html>a proxy says no</html>" },
		  GRANT_ACTIVE,						      "refresh_failed_transient"},
		{ { 302, "Location: /login\r\n", "" },		       GRANT_ACTIVE, "refresh_failed_transient"},
		{ { 200, NULL, "{\"error\":\"bad_refresh_token\"}" },
		  GRANT_NEEDS_REAUTH,						"refresh_failed_revoked"  },
		{ { 200, NULL, "{}" },				       GRANT_ACTIVE, "refresh_failed_transient"},
	};
	struct access_world *world = *state;

	for (size_t i = 0; i < COUNT(table); i++) {
		int64_t began_s = unix_s();
		struct seen seen = expired_and_asked(world, &table[i].answer, 1);
		struct row_seen row = row_of(world);
		const char *last = strrchr(events(world), ' ') + 1;

		assert_string_equal(last, table[i].event);
		assert_int_equal(row.state, table[i].state);
		assert_string_equal(row.access_token, "a1"); /* nothing is ever thrown away */
		assert_string_equal(row.refresh_token, "r1");
		assert_false(row.busy);
		assert_string_not_equal(row.last_error, "");
		assert_int_equal(seen.failed, table[i].state == GRANT_ACTIVE);
		if (seen.failed) {
			assert_int_equal(seen.err.code, ERR_UNAVAILABLE);
			assert_string_equal(seen.err.text, row.last_error);
			/* Whatever part of the second was over: it rests for one at least. */
			assert_in_range(row.next_refresh_at, began_s + 2, unix_s() + 15);
		} else {
			assert_int_equal(seen.state, ACCESS_NONE);
			assert_string_equal(seen.why, row.last_error);
			assert_int_equal(row.next_refresh_at, 0);
		}
		assert_int_equal(n_asked(world), 1);
	}
}

static void a_good_token_is_used_whatever_becomes_of_its_renewal(void **state)
{
	static const struct as_answer down = { 503, NULL, "" };
	struct access_world *world = *state;
	struct access_token token;
	struct seen seen;

	as_play(world->as, &down, 1);
	put_with_lifetime(world, 3600);
	seen = renew(world);
	assert_true(seen.failed);
	assert_int_equal(access_find(world->access, &world->key, &token), ACCESS_READY);
	assert_string_equal(ask(world).token, "Bearer a1");
}

static void after_a_failure_the_server_is_left_alone_for_a_while(void **state)
{
	static const struct as_answer down = { 503, NULL, "" };
	struct access_world *world = *state;
	struct seen seen = expired_and_asked(world, &down, 1);
	char text[256];

	snprintf(text, sizeof(text), "%s", seen.err.text);
	for (int i = 0; i < 5; i++) {
		seen = ask(world);
		assert_true(seen.failed);
		assert_string_equal(seen.err.text, text);
	}
	/* What another worker has found out counts too. */
	entry_forget(entry_find(world->access, &world->key));
	seen = ask(world);
	assert_true(seen.failed);
	assert_string_equal(seen.err.text, text);
	assert_int_equal(n_asked(world), 1);
	assert_string_equal(events(world), "connect_completed refresh_failed_transient");
}

static void what_cannot_be_renewed_needs_somebody_once_it_is_of_no_use(void **state)
{
	struct access_world *world = *state;
	struct grant grant;
	struct seen seen;

	as_play(world->as, NULL, 0);
	grant = grant_of(world, 0);
	grant.refresh_token = (struct secret){ NULL, 0 };
	put(world, &grant);
	assert_string_equal(ask(world).token, "Bearer a1");
	seen = renew(world);
	assert_int_equal(seen.state, ACCESS_NONE);
	assert_string_equal(seen.why, "it has no refresh token");
	assert_string_equal(ask(world).token, "Bearer a1");
	seen = refuse(world, 1);
	assert_int_equal(seen.state, ACCESS_NONE);
	assert_string_equal(seen.why,
			    "it has no refresh token, and the token is not good any more");
	assert_int_equal(row_of(world).state, GRANT_NEEDS_REAUTH);
	assert_string_equal(events(world), "connect_completed refresh_skipped_no_token");
	grant = grant_of(world, -1);
	grant.refresh_expires_at = unix_s() - 1;
	put(world, &grant);
	assert_string_equal(ask(world).why, "the refresh token has expired");
	assert_int_equal(row_of(world).state, GRANT_NEEDS_REAUTH);
	assert_string_equal(strrchr(events(world), ' ') + 1, "refresh_skipped_expired");
	assert_int_equal(n_asked(world), 0);
}

/* --- lost answers ---------------------------------------------------------------------------- */

static void a_lost_answer_is_asked_for_once_more(void **state)
{
	static const struct as_answer once[] = {
		{0,    NULL, NULL	},
		   { 200, NULL, GOOD_2}
	};
	static const struct as_answer used_up[] = {
		{0,    NULL, NULL				},
		   { 400, NULL, "{\"error\":\"invalid_grant\"}"}
	};
	static const struct as_answer twice[] = {
		{0,  NULL, NULL},
		   { 0, NULL, NULL}
	};
	struct access_world *world = *state;
	struct seen seen = expired_and_asked(world, once, 2);

	assert_string_equal(seen.token, "Bearer a2");
	assert_false(row_of(world).lost);
	seen = expired_and_asked(world, used_up, 2);
	assert_int_equal(seen.state, ACCESS_NONE);
	assert_int_equal(row_of(world).state, GRANT_NEEDS_REAUTH);
	assert_string_equal(strrchr(events(world), ' ') + 1, "refresh_lost");
	seen = expired_and_asked(world, twice, 2);
	assert_true(seen.failed);
	assert_int_equal(n_asked(world), 2);
	assert_int_equal(row_of(world).state, GRANT_ACTIVE);
	assert_true(row_of(world).lost);
	assert_string_equal(strrchr(events(world), ' ') + 1, "refresh_failed_transient");
}

/* --- others ---------------------------------------------------------------------------------- */

static struct grant_request lease_of(const char *owner, int64_t lease_ms)
{
	return (struct grant_request){
		.verb = GRANT_LEASE, .version = 1, .owner = owner, .lease_ms = lease_ms
	};
}

static void who_finds_it_leased_waits_for_what_comes_of_it(void **state)
{
	struct access_world *world = *state;
	struct seen seen = { .world = world };
	struct grant_row renewed = { .grant = { .expires_at = unix_s() + 3600 } };
	struct row_seen row;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, -1);
	row = store_do(world, lease_of(OTHER_NODE, 60000));
	assert_true(row.found);
	access_start(world->access, &seen.op, &world->key, on_access, &seen);
	assert_false(store_do(world, lease_of(NODE, 60000)).found);
	renewed.access_token = SPAN("a9");
	row = store_do(world, (struct grant_request){ .verb = GRANT_COMMIT,
						      .version = 1,
						      .lease_number = row.lease_number,
						      .row = &renewed,
						      .event = { .type = "refresh_succeeded" } });
	assert_int_equal(row.n_done, 1);
	access_notified(world->access, TENANT " " CONNECTION " 2 active ");
	wait_for(&seen);
	assert_string_equal(seen.token, "Bearer a9");
	assert_int_equal(n_asked(world), 0);
}

static void what_a_dead_node_had_sent_is_sent_again_when_its_leases_are_given_back(void **state)
{
	static const struct as_answer used_up = { 400, NULL, "{\"error\":\"invalid_grant\"}" };
	struct access_world *world = *state;
	struct seen seen = { .world = world };
	struct row_seen row;

	as_play(world->as, &used_up, 1);
	put_with_lifetime(world, -1);
	row = store_do(world, lease_of(OTHER_NODE, 60000));
	row = store_do(world, (struct grant_request){ .verb = GRANT_SENT,
						      .version = 1,
						      .lease_number = row.lease_number });
	assert_int_equal(row.n_done, 1);
	access_start(world->access, &seen.op, &world->key, on_access, &seen);
	store_do(world, (struct grant_request){ .verb = GRANT_RELEASE, .owner = OTHER_NODE });
	if (seen.dones == 0)
		wait_for(&seen);
	assert_int_equal(seen.state, ACCESS_NONE);
	assert_string_equal(events(world), "connect_completed refresh_lost");
}

static void what_comes_too_late_changes_nothing(void **state)
{
	struct access_world *world = *state;
	struct grant_row late = { .grant = { .expires_at = 1 } };
	struct grant_request commit = {
		.verb = GRANT_COMMIT,
		.version = 1,
		.row = &late,
		.event = { .type = "refresh_succeeded" },
		.dropped = { .type = "refresh_rotation_persistence_failed" },
	};
	struct row_seen row;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, 3600);
	late.access_token = SPAN("late");
	row = store_do(world, lease_of(OTHER_NODE, -1));
	commit.lease_number = row.lease_number;
	row = store_do(world, lease_of(NODE, 60000));
	assert_int_equal(row.lease_number, 2);
	store_do(world,
		 (struct grant_request){ .verb = GRANT_SENT, .version = 1, .lease_number = 2 });
	assert_int_equal(store_do(world, commit).n_done, 0);
	assert_string_equal(row_of(world).access_token, "a1");
	assert_string_equal(events(world), "connect_completed refresh_rotation_persistence_failed");
	/* As long as the next one has not sent anything, the answer is as good as ever. */
	store_do(world, (struct grant_request){ .verb = GRANT_RELEASE, .owner = NODE });
	assert_int_equal(store_do(world, commit).n_done, 1);
	assert_string_equal(row_of(world).access_token, "late");
	/* And once stored it is stored. */
	assert_int_equal(store_do(world, commit).n_done, 1);
	assert_int_equal(row_of(world).version, 2);
}

/* --- the background -------------------------------------------------------------------------- */

static bool is_renewed(void *ctx)
{
	return row_of(ctx).version == 2;
}

static void what_is_due_is_renewed_before_anybody_asks(void **state)
{
	static const struct as_answer good = { 200, NULL, GOOD_2 };
	struct access_world *world = *state;
	struct access_token token;

	as_play(world->as, &good, 1);
	put_with_lifetime(world, 2); /* due after half of it */
	ask(world);
	access_free(&world->access);
	access_begin(world, true);
	while (!is_renewed(world))
		;
	assert_int_equal(n_asked(world), 1);
	assert_string_equal(row_of(world).access_token, "a2");
	/* Nobody uses it here: it takes no room. */
	assert_int_equal(access_find(world->access, &world->key, &token), ACCESS_UNKNOWN);
	assert_null(entry_find(world->access, &world->key));
}

static void on_drained(void *ctx)
{
	(*(size_t *)ctx)++;
}

static bool has_drained(void *ctx)
{
	return *(size_t *)ctx > 0;
}

static void draining_waits_for_what_was_sent(void **state)
{
	struct access_world *world = *state;
	struct seen seen = { .world = world };
	size_t drained = 0;

	play_gated(world);
	put_with_lifetime(world, -1);
	access_start(world->access, &seen.op, &world->key, on_access, &seen);
	world_run_until(world->as->world, was_asked, world);
	access_cancel(&seen.op);
	access_drain(world->access, on_drained, &drained);
	row_of(world);
	assert_int_equal(drained, 0);
	peer_open_gate(world->as->world->peer);
	world_run_until(world->as->world, has_drained, &drained);
	assert_int_equal(drained, 1);
	assert_int_equal(row_of(world).version, 2);
}

static void a_lifetime_is_split_so_that_there_is_time_to_renew(void **state)
{
	static const struct {
		int64_t lifetime, least, most;
	} table[] = {
		{86400, 86400 - 17280 * 5 / 4, 86400 - 17280},
		{ 3600, 3600 - 900,	    3600 - 720   },
		{ 120,  120 - 37,		 120 - 30	  },
		{ 60,   24,			  30	     },
		{ 10,   4,			 5		   },
		{ 1,    1,			1		  },
	};
	struct access_world *world = *state;
	struct grant grant = grant_of(world, 0);

	for (size_t i = 0; i < COUNT(table); i++) {
		for (int n = 0; n < 50; n++) {
			grant.expires_at = 1000000 + table[i].lifetime;
			assert_in_range(refresh_due_at(&grant, 1000000), 1000000 + table[i].least,
					1000000 + table[i].most);
		}
	}
	grant.expires_at = 0;
	assert_int_equal(refresh_due_at(&grant, 1000000), 0);
	grant.expires_at = 1003600;
	grant.token_url = NULL;
	assert_int_equal(refresh_due_at(&grant, 1000000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_expired_token_is_renewed_and_stored),
		TEST(what_a_reply_says_is_kept_and_what_it_does_not_say_stays),
		TEST(what_the_grant_was_asked_with_goes_along),
		TEST(each_failure_means_what_it_says),
		TEST(a_good_token_is_used_whatever_becomes_of_its_renewal),
		TEST(after_a_failure_the_server_is_left_alone_for_a_while),
		TEST(what_cannot_be_renewed_needs_somebody_once_it_is_of_no_use),
		TEST(a_lost_answer_is_asked_for_once_more),
		TEST(who_finds_it_leased_waits_for_what_comes_of_it),
		TEST(what_a_dead_node_had_sent_is_sent_again_when_its_leases_are_given_back),
		TEST(what_comes_too_late_changes_nothing),
		TEST(what_is_due_is_renewed_before_anybody_asks),
		TEST(draining_waits_for_what_was_sent),
		TEST(a_lifetime_is_split_so_that_there_is_time_to_renew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
