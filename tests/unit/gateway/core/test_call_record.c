/* SPDX-License-Identifier: Apache-2.0 */

/* What the book hears of a call beside its outcome. */

#include "gateway/core/call_flood.h"
#include "tests/unit/gateway/core/call_world.h"

static void why_is_what_the_client_says_in_a_thousand_bytes(void **state)
{
	static const struct {
		const char *params;
		const char *purpose;
	} rows[] = {
		{"{\"name\":\"crm__get\",\"_meta\":{\"io.tollgate/purpose\":\"to \\u0041sk\"}}",
		  "to Ask"									  },
		{ "{\"name\":\"crm__get\",\"_meta\":{\"io.tollgate/purpose\":\"a\\u0000b\"}}",
		  "a?b"									     },
		{ "{\"name\":\"crm__get\",\"_meta\":{\"io.tollgate/purpose\":5}}",		   ""},
		{ "{\"name\":\"crm__get\",\"_meta\":{\"purpose\":\"other\"}}",		       ""},
		{ "{\"name\":\"crm__get\"}",						     ""},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = legacy_call();

		asks.params = rows[i].params;
		run_call(world, &asks);
		assert_string_equal(world->recorded_purpose, rows[i].purpose);
		durable(world);
		upstream_answers(world, MCP_LEGACY, "{}", NULL);
		expect_end(world, 200);
	}
}

static void the_account_is_that_of_the_token(void **state)
{
	static const char *const accounts[] = { "ana@example.com", NULL };
	struct world *world = *state;

	for (size_t i = 0; i < 2; i++) {
		for (int oauth = 0; oauth <= 1; oauth++) {
			static const struct connection_oauth settings = { .per_user = true };
			struct asks asks = legacy_call();

			world->tenant->connections[0].auth_mode = oauth ? AUTH_OAUTH : AUTH_BEARER;
			world->tenant->connections[0].oauth = &settings;
			world->token_in_memory = true;
			world->account = accounts[i];
			send_call(world, &asks);
			upstream_answers(world, MCP_LEGACY, "{}", NULL);
			assert_string_equal(world->recorded_account,
					    oauth && accounts[i] != NULL ? accounts[i] : "");
			assert_int_equal(world->result.upstream_status, 200);
			expect_end(world, 200);
		}
	}
	world->tenant->connections[0].auth_mode = AUTH_BEARER;
}

/* A service has no user: it is known by the name of its key. */
static void who_called_has_a_name(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	for (int service = 0; service <= 1; service++) {
		send_call(world, &asks);
		upstream_answers(world, MCP_LEGACY, "{}", NULL);
		assert_string_equal(world->recorded.user_name, service ? "laptop" : "ana");
		assert_string_equal(world->recorded.api_key, "AAAAAAAAAAAA");
		if (service)
			assert_null(world->recorded.user_id);
		else
			assert_string_equal(world->recorded.user_id, "u-1");
		expect_end(world, 200);
		free(world->principal->user_name);
		world->principal->user_name = NULL;
		world->principal->user_id[0] = '\0';
	}
}

/* A refused call of a flood has no row of its own, and its client the id of the one there is. */
static void a_flood_is_answered_without_rows(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();
	char first[UUID_TEXT_BYTES];

	world->gate.flood = call_flood_new(world->gate.loop, world->gate.book);
	asks.params = "{\"name\":\"crm__secret_x\"}";
	for (int i = 0; i < CALL_FLOOD_OWN; i++) {
		run_call(world, &asks);
		expect_journal(world, "entry denied\n");
		expect_end(world, 200);
	}
	run_call(world, &asks);
	expect_journal(world, "reply 200\n");
	assert_true(world->told_id);
	snprintf(first, sizeof(first), "%s", world->call_id);
	run_call(world, &asks);
	expect_journal(world, "reply 200\n");
	assert_true(world->told_id);
	assert_string_equal(world->call_id, first);
	assert_non_null(strstr(world->whole, first));
	call_flood_free(&world->gate.flood);
	expect_journal(world, "entry denied\n");
	assert_int_equal(world->result.n_calls, 2);
	assert_string_equal(world->recorded_id, first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(why_is_what_the_client_says_in_a_thousand_bytes),
		CALL_TEST(the_account_is_that_of_the_token),
		CALL_TEST(who_called_has_a_name),
		CALL_TEST(a_flood_is_answered_without_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
