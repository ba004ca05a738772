/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/oauth/access_world.h"

static enum access_state find(struct access_world *world, struct access_token *token)
{
	return access_find(world->access, &world->key, token);
}

static void what_was_loaded_once_is_found_in_memory(void **state)
{
	struct access_world *world = *state;
	struct access_token token;
	struct seen seen;

	as_play(world->as, NULL, 0);
	assert_int_equal(find(world, &token), ACCESS_UNKNOWN);
	put_with_lifetime(world, 3600);
	assert_int_equal(find(world, &token), ACCESS_UNKNOWN);
	seen = ask(world);
	assert_int_equal(seen.state, ACCESS_READY);
	assert_string_equal(seen.token, "Bearer a1");
	assert_int_equal(seen.version, 1);
	assert_int_equal(find(world, &token), ACCESS_READY);
	assert_string_equal(token.authorization, "Bearer a1");
	assert_int_equal(token.version, 1);
	assert_int_equal(n_asked(world), 0);
}

static void who_never_connected_has_none(void **state)
{
	struct access_world *world = *state;
	struct access_token token;
	struct seen seen = ask(world);

	assert_false(seen.failed);
	assert_int_equal(seen.state, ACCESS_NONE);
	assert_string_equal(seen.why, "");
	assert_int_equal(find(world, &token), ACCESS_NONE);
	as_play(world->as, NULL, 0);
	put_with_lifetime(world, 0);
	assert_int_equal(find(world, &token), ACCESS_UNKNOWN);
	assert_string_equal(ask(world).token, "Bearer a1");
}

static void what_is_known_too_long_is_read_again_or_is_nothing(void **state)
{
	static const struct grant_row ended = { .next_refresh_at = 0 };
	struct access_world *world = *state;
	struct access_token token;
	struct seen seen;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, 3600);
	ask(world);
	entry_find(world->access, &world->key)->confirmed_ms -= 60001;
	assert_int_equal(find(world, &token), ACCESS_UNKNOWN);
	assert_string_equal(ask(world).token, "Bearer a1");
	assert_int_equal(find(world, &token), ACCESS_READY);
	/* Somebody else has ended it, and nobody could say so. */
	entry_find(world->access, &world->key)->confirmed_ms -= 60001;
	store_do(world, (struct grant_request){ .verb = GRANT_DISCONNECT,
						.version = 1,
						.row = &ended,
						.event = { .type = "disconnected" } });
	seen = ask(world);
	assert_int_equal(seen.state, ACCESS_NONE);
}

static void without_expires_in_it_is_good_until_the_upstream_refuses_it(void **state)
{
	static const struct as_answer good = { 200, NULL, REPLY("a2", "r2", "3600") };
	struct access_world *world = *state;
	struct access_token token;

	as_play(world->as, &good, 1);
	put_with_lifetime(world, 0);
	assert_int_equal(row_of(world).next_refresh_at, 0);
	ask(world);
	assert_int_equal(find(world, &token), ACCESS_READY);
	assert_string_equal(refuse(world, 1).token, "Bearer a2");
	assert_int_equal(n_asked(world), 1);
}

static void a_refused_version_is_renewed_once_whoever_reports_it(void **state)
{
	static const struct as_answer good[] = {
		{200,  NULL, REPLY("a2", "r2", "3600")},
		{ 200, NULL, REPLY("a3", "r3", "3600")},
	};
	struct access_world *world = *state;
	struct seen seen[64];

	as_play(world->as, good, 2);
	put_with_lifetime(world, 3600);
	ask(world);
	for (size_t i = 0; i < COUNT(seen); i++) {
		seen[i] = (struct seen){ .world = world };
		access_refused(world->access, &seen[i].op, &world->key, 1, on_access, &seen[i]);
	}
	for (size_t i = 0; i < COUNT(seen); i++) {
		if (seen[i].dones == 0)
			wait_for(&seen[i]);
		assert_string_equal(seen[i].token, "Bearer a2");
		assert_int_equal(seen[i].version, 2);
	}
	/* One who is late has it without asking. */
	assert_string_equal(refuse(world, 1).token, "Bearer a2");
	assert_int_equal(n_asked(world), 1);
	assert_string_equal(events(world), "connect_completed refresh_succeeded");
}

static void what_was_renewed_a_moment_ago_is_not_renewed_because_it_is_refused_too(void **state)
{
	static const struct as_answer good = { 200, NULL, REPLY("a2", "r2", "3600") };
	struct access_world *world = *state;
	struct access_token token;
	struct seen seen;

	as_play(world->as, &good, 1);
	put_with_lifetime(world, 3600);
	ask(world);
	refuse(world, 1);
	seen = refuse(world, 2);
	assert_int_equal(seen.state, ACCESS_NONE);
	assert_string_equal(seen.why, "the upstream refuses a token that was renewed a moment ago");
	assert_int_equal(n_asked(world), 1);
	assert_int_equal(find(world, &token), ACCESS_READY);
	assert_int_equal(row_of(world).state, GRANT_ACTIVE);
}

static void but_it_is_when_it_has_expired(void **state)
{
	static const struct as_answer good[] = {
		{200,  NULL, REPLY("a2", "r2", "1")   },
		{ 200, NULL, REPLY("a3", "r3", "3600")},
	};
	struct access_world *world = *state;
	struct seen seen;

	as_play(world->as, good, 2);
	put_with_lifetime(world, 3600);
	ask(world);
	assert_string_equal(refuse(world, 1).token, "Bearer a2");
	do
		seen = ask(world);
	while (strcmp(seen.token, "Bearer a2") == 0);
	assert_string_equal(seen.token, "Bearer a3");
}

static void those_who_wait_are_told_one_by_one_and_may_leave(void **state)
{
	static const struct as_answer good = { 200, NULL, REPLY("a2", "r2", "3600") };
	struct access_world *world = *state;
	struct seen seen[3] = { { .world = world }, { .world = world }, { .world = world } };

	as_play(world->as, &good, 1);
	put_with_lifetime(world, -1);
	for (size_t i = 0; i < 3; i++)
		access_start(world->access, &seen[i].op, &world->key, on_access, &seen[i]);
	access_cancel(&seen[1].op);
	assert_null(seen[1].op);
	access_cancel(&seen[1].op);
	wait_for(&seen[0]);
	if (seen[2].dones == 0)
		wait_for(&seen[2]);
	assert_string_equal(seen[0].token, "Bearer a2");
	assert_string_equal(seen[2].token, "Bearer a2");
	assert_int_equal(seen[1].dones, 0);
}

static void a_renewal_goes_on_when_nobody_waits_for_it_any_more(void **state)
{
	struct access_world *world = *state;
	struct seen gone = { .world = world };

	play_gated(world);
	put_with_lifetime(world, -1);
	access_start(world->access, &gone.op, &world->key, on_access, &gone);
	world_run_until(world->as->world, was_asked, world);
	access_cancel(&gone.op);
	peer_open_gate(world->as->world->peer);
	while (row_of(world).version == 1)
		;
	assert_int_equal(gone.dones, 0);
	assert_string_equal(ask(world).token, "Bearer a2");
	assert_int_equal(n_asked(world), 1);
}

static void a_tenant_is_waited_for(void **state)
{
	struct access_world *world = *state;
	struct seen seen = { .world = world };
	struct grant grant;

	as_play(world->as, NULL, 0);
	grant = grant_of(world, 3600);
	put(world, &grant);
	world->tenant_there = false;
	access_start(world->access, &seen.op, &world->key, on_access, &seen);
	row_of(world);
	assert_int_equal(seen.dones, 0);
	access_tenant_loaded(world->access, OTHER_NODE);
	row_of(world);
	assert_int_equal(seen.dones, 0);
	world->tenant_there = true;
	access_tenant_loaded(world->access, TENANT);
	wait_for(&seen);
	assert_string_equal(seen.token, "Bearer a1");
}

/* --- disconnecting --------------------------------------------------------------------------- */

static void on_gone(void *ctx, const char *revocation, const struct err *err)
{
	struct seen *seen = ctx;

	assert_null(seen->op);
	seen->dones++;
	seen->failed = err != NULL;
	assert_int_equal(revocation == NULL, err != NULL);
	if (err != NULL)
		seen->err = *err;
	else
		snprintf(seen->revocation, sizeof(seen->revocation), "%s", revocation);
}

static struct seen disconnect(struct access_world *world)
{
	struct seen seen = { .world = world };

	access_disconnect(world->access, &seen.op, &world->key,
			  &(struct access_asker){ .actor = "user:ana" }, on_gone, &seen);
	wait_for(&seen);
	return seen;
}

static void a_disconnected_grant_is_revoked_and_forgotten(void **state)
{
	static const struct {
		struct as_answer answer;
		const char *revocation;
		const char *event;
	} table[] = {
		{{ 200, NULL, "" },  "revoked",			"revocation_succeeded"},
		{ { 503, NULL, "" },
		  "failed: the revocation endpoint answered 503", "revocation_failed"   },
	};
	struct access_world *world = *state;
	struct access_token token;

	for (size_t i = 0; i < COUNT(table); i++) {
		struct grant grant;
		struct seen seen;
		char wanted[128];

		as_play(world->as, &table[i].answer, 1);
		grant = grant_of(world, 3600);
		grant.revocation_url = as_text(world->as, "$O/revoke");
		put(world, &grant);
		ask(world);
		seen = disconnect(world);
		assert_false(seen.failed);
		assert_string_equal(seen.revocation, table[i].revocation);
		assert_non_null(strstr(as_body(world->as, 0), "token=r1&token_type_hint=refresh"));
		assert_int_equal(row_of(world).state, GRANT_DISCONNECTED);
		assert_string_equal(row_of(world).access_token, "");
		assert_string_equal(row_of(world).refresh_token, "");
		assert_int_not_equal(find(world, &token), ACCESS_READY);
		assert_string_equal(ask(world).why, "it was disconnected");
		snprintf(wanted, sizeof(wanted), "disconnected %s", table[i].event);
		assert_non_null(strstr(events(world), wanted));
	}
}

static void without_an_endpoint_it_is_forgotten_all_the_same(void **state)
{
	struct access_world *world = *state;
	struct seen seen;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, 3600);
	assert_string_equal(disconnect(world).revocation, "none");
	seen = disconnect(world);
	assert_true(seen.failed);
	assert_int_equal(seen.err.code, ERR_NOT_FOUND);
	/* And may be connected again. */
	put_with_lifetime(world, 3600);
	assert_string_equal(ask(world).token, "Bearer a1");
	assert_int_equal(row_of(world).version, 3);
}

/* --- what changes elsewhere ------------------------------------------------------------------ */

static void notify(struct access_world *world, const char *format, ...)
{
	char payload[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(payload, sizeof(payload), format, ap);
	va_end(ap);
	access_notified(world->access, payload);
}

static void another_version_or_state_is_looked_at_and_nothing_else(void **state)
{
	static const struct {
		const char *said;
		bool forgotten;
	} table[] = {
		{TENANT " " CONNECTION " 1 active ",		      false},
		{ TENANT " " CONNECTION " 1 active user:" NODE,		false},
		{ TENANT " " NODE " 2 active ",				false},
		{ "nonsense",					    false},
		{ "",						    false},
		{ TENANT " " CONNECTION " -2 active ",		       false},
		{ TENANT " " CONNECTION " 99999999999999999999 active ", false},
		{ TENANT " " CONNECTION " 2 active ",		      true },
		{ TENANT " " CONNECTION " 1 needs_reauth ",		    true },
		{ TENANT " " CONNECTION " 1 gone ",			    true },
	};
	struct access_world *world = *state;
	struct access_token token;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, 3600);
	for (size_t i = 0; i < COUNT(table); i++) {
		ask(world);
		notify(world, "%s", table[i].said);
		assert_int_equal(find(world, &token),
				 table[i].forgotten ? ACCESS_UNKNOWN : ACCESS_READY);
	}
}

static bool is_forgotten(void *ctx)
{
	struct access_world *world = ctx;
	struct access_token token;

	return find(world, &token) == ACCESS_UNKNOWN;
}

static void what_nobody_told_is_found_out(void **state)
{
	struct access_world *world = *state;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, 3600);
	ask(world);
	assert_int_equal(
		store_do(world, (struct grant_request){ .verb = GRANT_DISCONNECT,
							.version = 1,
							.event = { .type = "disconnected" } })
			.n_done,
		1);
	assert_false(is_forgotten(world));
	access_hint(world->access, TENANT);
	world_run_until(world->as->world, is_forgotten, world);
}

/* --- bounds ---------------------------------------------------------------------------------- */

static void memory_holds_no_more_than_its_limit(void **state)
{
	struct access_world *world = *state;
	struct grant grant = grant_of(world, 3600);
	struct access_token token;

	for (unsigned i = 0; i < ACCESS_MAX_GRANTS + 10; i++) {
		snprintf(grant.key.connection_id, sizeof(grant.key.connection_id),
			 "cccccccc-0000-4000-8000-%012u", i);
		entry_put(entry_get(world->access, &grant.key), &grant);
	}
	assert_in_range(world->access->n_entries, ACCESS_MAX_GRANTS - 10, ACCESS_MAX_GRANTS + 1);
	assert_int_equal(access_find(world->access, &grant.key, &token), ACCESS_READY);
	snprintf(grant.key.connection_id, sizeof(grant.key.connection_id),
		 "cccccccc-0000-4000-8000-%012u", 0);
	assert_int_equal(access_find(world->access, &grant.key, &token), ACCESS_UNKNOWN);
}

static void long_tokens_make_room_for_each_other(void **state)
{
	struct access_world *world = *state;
	struct grant grant = grant_of(world, 3600);
	char *token = mem_new(TOKEN_MAX_BYTES + 1);

	memset(token, 'x', TOKEN_MAX_BYTES);
	grant.access_token = (struct secret){ token, TOKEN_MAX_BYTES };
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(grant.key.connection_id, sizeof(grant.key.connection_id),
			 "cccccccc-0000-4000-8000-%012u", i);
		entry_put(entry_get(world->access, &grant.key), &grant);
	}
	free(token);
	assert_true(world->access->n_bytes <= ACCESS_MAX_BYTES + TOKEN_MAX_BYTES + 16);
	assert_true(world->access->n_entries > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_loaded_once_is_found_in_memory),
		TEST(who_never_connected_has_none),
		TEST(what_is_known_too_long_is_read_again_or_is_nothing),
		TEST(without_expires_in_it_is_good_until_the_upstream_refuses_it),
		TEST(a_refused_version_is_renewed_once_whoever_reports_it),
		TEST(what_was_renewed_a_moment_ago_is_not_renewed_because_it_is_refused_too),
		TEST(but_it_is_when_it_has_expired),
		TEST(those_who_wait_are_told_one_by_one_and_may_leave),
		TEST(a_renewal_goes_on_when_nobody_waits_for_it_any_more),
		TEST(a_tenant_is_waited_for),
		TEST(a_disconnected_grant_is_revoked_and_forgotten),
		TEST(without_an_endpoint_it_is_forgotten_all_the_same),
		TEST(another_version_or_state_is_looked_at_and_nothing_else),
		TEST(what_nobody_told_is_found_out),
		TEST(memory_holds_no_more_than_its_limit),
		TEST(long_tokens_make_room_for_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
