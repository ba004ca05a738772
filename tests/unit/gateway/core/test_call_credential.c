/* SPDX-License-Identifier: Apache-2.0 */

/* Calls to an OAuth connection: with a token, or not at all; and when it is refused, once more. */

#include "tests/unit/gateway/core/call_world.h"

#define FOUND(subject) "token of crm for " subject ", refused 0\n"

/* A call over OAuth that bore the token of version 41, which the upstream refuses. */
static void refuse_call(struct world *world, int status, const char *challenge)
{
	struct asks asks = legacy_call();

	be_oauth(world);
	world->token_in_memory = true;
	send_call(world, &asks);
	upstream_refuses(world, status, challenge, 41);
}

static void without_oauth_nobody_is_asked(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	run_call(world, &asks);
	durable(world);
	expect_journal(world, "intent\nsend tools/call to crm\n");
	assert_string_equal(world->sent_subject, "");
	upstream_fails(world, ERR_UNAUTHENTICATED, "no");
	expect_end(world, 200);
	assert_non_null(strstr(world->body, "An administrator has to check the connection"));
}

static void a_token_in_memory_is_used_at_once(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	for (int per_user = 0; per_user <= 1; per_user++) {
		be_oauth(world)->per_user = per_user == 1;
		world->token_in_memory = true;
		run_call(world, &asks);
		durable(world);
		expect_journal(world, "intent\nsend tools/call to crm\n");
		assert_string_equal(world->sent_subject, per_user == 1 ? "user:u-1" : "");
		upstream_answers(world, MCP_LEGACY, "{}", NULL);
		expect_journal(world, "outcome ok\n");
		expect_end(world, 200);
	}
}

static void one_that_is_not_there_is_waited_for_after_the_record(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	be_oauth(world);
	run_call(world, &asks);
	expect_journal(world, "intent\n");
	durable(world);
	expect_journal(world, FOUND("user:u-1"));
	credential_says(world, CREDENTIAL_READY, NULL);
	expect_journal(world, "send tools/call to crm\n");
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
}

static void what_no_person_can_mend_asks_none(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	be_oauth(world);
	run_call(world, &asks);
	durable(world);
	credential_fails(world, ERR_UNAVAILABLE);
	expect_journal(world, "intent\n" FOUND("user:u-1") "outcome unavailable\n");
	expect_end(world, 200);
	assert_non_null(strstr(world->body, "\"isError\":true"));
	assert_non_null(strstr(world->body, "it does not answer. Try again later"));
	assert_string_equal(world->connect_url, "");
	assert_int_equal(world->n_abandoned, 1);
	assert_int_equal(world->n_heard, 0);
}

static void a_service_key_is_told_that_it_is_no_user(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	be_oauth(world);
	world->principal->user_id[0] = '\0';
	run_call(world, &asks);
	durable(world);
	expect_journal(world, "intent\noutcome needs_auth\n");
	expect_end(world, 200);
	assert_non_null(strstr(world->body, "a service key belongs to no user"));
}

static void a_refused_token_is_renewed_and_the_call_sent_once_more(void **state)
{
	static const struct {
		int status;
		const char *challenge;
	} rows[] = {
		{401,  ""				   },
		{ 401, "Bearer"				},
		{ 401, "Bearer error=\"insufficient_scope\""},
		{ 401, "\""				 },
		{ 403, "Bearer error=\"invalid_token\""	},
	};
	struct world *world = *state;
	struct asks asks = legacy_call();

	be_oauth(world);
	world->token_in_memory = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world->n_heard = 0;
		send_call(world, &asks);
		upstream_refuses(world, rows[i].status, rows[i].challenge, 41);
		expect_journal(world, "token of crm for user:u-1, refused 41\n");
		credential_says(world, CREDENTIAL_READY, NULL);
		expect_journal(world, "send tools/call to crm\n");
		upstream_answers(world, MCP_LEGACY, "{\"n\":1}", NULL);
		expect_journal(world, "outcome ok\n");
		expect_end(world, 200);
		assert_int_equal(world->n_heard, 1);
		assert_true(world->heard_well);
	}
}

static void never_twice(void **state)
{
	struct world *world = *state;

	refuse_call(world, 401, "Bearer");
	credential_says(world, CREDENTIAL_READY, NULL);
	buf_clear(&world->journal);
	upstream_refuses(world, 401, "Bearer", 42);
	expect_journal(world, "link to crm, scope as it is\n");
	connect_gives(world);
	expect_journal(world, "outcome needs_auth\n");
	expect_end(world, 200);
	assert_int_equal(world->n_heard, 1);
	assert_false(world->heard_well);
	assert_non_null(
		strstr(world->body, "crm may need its account to be connected again: it takes "));
}

static void a_token_that_was_gone_when_it_was_to_be_sent_is_got_again(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	be_oauth(world);
	world->token_in_memory = true;
	send_call(world, &asks);
	upstream_fails(world, ERR_UNAUTHENTICATED, "there is no token for it");
	expect_journal(world, "token of crm for user:u-1, refused 0\n");
	credential_says(world, CREDENTIAL_NONE, NULL);
	expect_journal(world, "link to crm, scope as it is\n");
	connect_gives(world);
	expect_end(world, 200);
	assert_int_equal(world->n_heard, 0);
	assert_int_equal(world->n_abandoned, 1);
}

static void a_renewal_that_fails_for_now_asks_nobody_to_connect(void **state)
{
	struct world *world = *state;

	refuse_call(world, 401, "");
	credential_fails(world, ERR_TIMEOUT);
	expect_journal(world, "token of crm for user:u-1, refused 41\noutcome unavailable\n");
	expect_end(world, 200);
}

static void one_that_fails_for_good_does(void **state)
{
	struct world *world = *state;

	refuse_call(world, 401, "");
	world->token_in_memory = false;
	credential_says(world, CREDENTIAL_NONE, "access was taken back");
	connect_gives(world);
	expect_journal(world, "token of crm for user:u-1, refused 41\nlink to crm, scope as it is\n"
			      "outcome needs_auth\n");
	expect_end(world, 200);
	assert_non_null(strstr(world->body,
			       "crm needs its account to be connected again: access was "
			       "taken back. Open " LINK_URL));
	assert_string_equal(world->connect_url, LINK_URL);
}

static void one_that_was_renewed_and_is_refused_may_need_it(void **state)
{
	struct world *world = *state;

	refuse_call(world, 401, "");
	credential_says(world, CREDENTIAL_NONE, "it was renewed a moment ago");
	connect_gives(world);
	expect_end(world, 200);
	assert_non_null(strstr(world->body,
			       "crm may need its account to be connected again: it was "
			       "renewed a moment ago. Open " LINK_URL));
}

static void a_scope_that_is_missing_is_asked_for(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	be_oauth(world);
	world->token_in_memory = true;
	send_call(world, &asks);
	upstream_refuses(world, 403, "Bearer error=\"insufficient_scope\", scope=\"a b\"", 41);
	expect_journal(world, "link to crm, scope a b\n");
	connect_gives(world);
	expect_journal(world, "outcome needs_auth\n");
	expect_end(world, 200);
	send_call(world, &asks);
	upstream_refuses(world, 403, "Bearer error=\"insufficient_scope\"", 41);
	expect_journal(world, "link to crm, scope as it is\n");
	connect_gives(world);
	expect_end(world, 200);
	assert_non_null(
		strstr(world->body, "crm needs its account to be connected again: it asks "));
}

static void another_refusal_is_the_accounts(void **state)
{
	struct world *world = *state;

	refuse_call(world, 403, "");
	expect_journal(world, "outcome upstream_error\n");
	expect_end(world, 200);
	assert_non_null(strstr(world->body, "does not let the connected account do this"));
	/* Of what the upstream has said to us the client gets nothing. */
	assert_string_equal(world->authenticate, "");
}

static void a_client_that_leaves_takes_the_waiting_along(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_call();

	be_oauth(world);
	run_call(world, &asks);
	durable(world);
	call_client_gone(world->call);
	expect_journal(world, "intent\n" FOUND("user:u-1") "cancel token\noutcome client_closed\n");
	durable(world);
	assert_int_equal(call_count(&world->gate), 0);
	run_call(world, &asks);
	durable(world);
	credential_says(world, CREDENTIAL_NONE, NULL);
	buf_clear(&world->journal);
	call_client_gone(world->call);
	expect_journal(world, "cancel link\noutcome client_closed\n");
	durable(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(without_oauth_nobody_is_asked),
		CALL_TEST(a_token_in_memory_is_used_at_once),
		CALL_TEST(one_that_is_not_there_is_waited_for_after_the_record),
		CALL_TEST(what_no_person_can_mend_asks_none),
		CALL_TEST(a_service_key_is_told_that_it_is_no_user),
		CALL_TEST(a_refused_token_is_renewed_and_the_call_sent_once_more),
		CALL_TEST(never_twice),
		CALL_TEST(a_token_that_was_gone_when_it_was_to_be_sent_is_got_again),
		CALL_TEST(a_renewal_that_fails_for_now_asks_nobody_to_connect),
		CALL_TEST(one_that_fails_for_good_does),
		CALL_TEST(one_that_was_renewed_and_is_refused_may_need_it),
		CALL_TEST(a_scope_that_is_missing_is_asked_for),
		CALL_TEST(another_refusal_is_the_accounts),
		CALL_TEST(a_client_that_leaves_takes_the_waiting_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
