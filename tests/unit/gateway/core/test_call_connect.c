/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* How a client is told that an account has to be connected first, and its retry. */

#include "tests/unit/gateway/core/call_world.h"

#define URL_CAPABILITY "{\"elicitation\":{\"url\":{}}}"
#define FIRST	       "crm needs an account to be connected."

void __real_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
/* A test need not wait as long as a user may. */
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	__real_timer_start(loop, timer, delay_ms == 1000 ? 1 : delay_ms, cb, ctx);
}

static void give_key(struct world *world)
{
	world->tenant->keys = arena_alloc(world->tenant->arena, sizeof(struct seal_key));
	world->tenant->n_keys = 1;
	seal_key_random(world->tenant->keys, 1, 7);
}

static struct asks modern_with(const char *capabilities)
{
	struct asks asks = modern_call();

	asks.capabilities = capabilities;
	return asks;
}

/* A call without a grant, up to the answer. */
static void call_in_vain(struct world *world, const struct asks *asks, const char *why)
{
	run_call(world, asks);
	durable(world);
	credential_says(world, CREDENTIAL_NONE, why);
	connect_gives(world);
	buf_clear(&world->journal);
	expect_end(world, 200);
	assert_int_equal(world->result.outcome, BOOK_NEEDS_AUTH);
	assert_string_equal(world->error_type, "needs_auth");
	assert_string_equal(world->connect_url, LINK_URL);
}

static void each_client_is_told_in_the_form_that_it_understands(void **state)
{
	static const struct {
		const char *capabilities; /* NULL: legacy */
		bool elicits_url;	  /* legacy */
		const char *body;	  /* a part of it */
		const char *absent;	  /* no part of it */
	} rows[] = {
		{URL_CAPABILITY,	  false,
		  "\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{\"connect\":{"
		  "\"method\":\"elicitation/"
		  "create\",\"params\":{\"mode\":\"url\",\"url\":\"" LINK_URL
		  "\",\"message\":\"" FIRST "\"}}},\"requestState\":\"",
		  "-32042"										      },
		{ "{\"elicitation\":{}}", false,
		  FIRST " Open " LINK_URL " in a browser, then try again. (call ",		   "requestState"},
		{ "{}",			false, "\"isError\":true,\"resultType\":\"complete\"", "-32042"	},
		{ NULL,			true,
		  "\"error\":{\"code\":-32042,\"message\":\"" FIRST
		  "\",\"data\":{\"elicitations\":["
		  "{\"mode\":\"url\",\"url\":\"" LINK_URL "\",\"message\":\"" FIRST
		  "\",\"elicitationId\":\"a-1\"}]}}",					    "isError"	    },
		{ NULL,			false, FIRST " Open " LINK_URL " in a browser",	"-32042"	 },
	};
	struct world *world = *state;

	be_oauth(world);
	give_key(world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = rows[i].capabilities != NULL ? modern_with(rows[i].capabilities)
								: legacy_call();

		world->session->elicits_url = rows[i].elicits_url;
		call_in_vain(world, &asks, NULL);
		if (strstr(world->body, rows[i].body) == NULL ||
		    strstr(world->body, rows[i].absent) != NULL)
			fail_msg("row %zu: %s", i, world->body);
	}
}

static void without_a_key_to_seal_with_words_have_to_do(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_with(URL_CAPABILITY);

	be_oauth(world);
	call_in_vain(world, &asks, "it has expired");
	assert_non_null(strstr(world->body, "connected again: it has expired. Open " LINK_URL));
}

static void who_may_not_connect_it_is_told_who_may(void **state)
{
	static const struct {
		enum err_code code;
		enum book_outcome outcome;
		const char *text;
	} rows[] = {
		{ERR_FORBIDDEN,	 BOOK_NEEDS_AUTH,  FIRST " Ask an administrator to connect crm."},
		{ ERR_RATE_LIMITED, BOOK_NEEDS_AUTH,  "No more links are given: why not"		},
		{ ERR_UNAVAILABLE,  BOOK_UNAVAILABLE,
		  "That cannot be done now: why not. Try again"					},
	};
	struct world *world = *state;
	struct asks asks = modern_with(URL_CAPABILITY);

	be_oauth(world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run_call(world, &asks);
		durable(world);
		credential_says(world, CREDENTIAL_NONE, NULL);
		connect_fails(world, rows[i].code);
		assert_int_equal(world->result.outcome, rows[i].outcome);
		expect_end(world, 200);
		assert_non_null(strstr(world->body, rows[i].text));
		assert_non_null(strstr(world->body, "\"isError\":true"));
		assert_string_equal(world->connect_url, "");
	}
}

static void client_credentials_want_no_browser(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_with(URL_CAPABILITY);

	*be_oauth(world) = (struct connection_oauth){ .grant = OAUTH_GRANT_CLIENT_CREDENTIALS };
	run_call(world, &asks);
	durable(world);
	credential_says(world, CREDENTIAL_NONE, "invalid_client");
	expect_end(world, 200);
	assert_int_equal(world->result.outcome, BOOK_NEEDS_AUTH);
	assert_non_null(strstr(world->body, "no token: invalid_client. An administrator"));
}

static void on_tick(void *ctx)
{
	loop_stop(ctx);
}

/* Until the call has asked again. */
static void await_question(struct world *world)
{
	struct timer tick = { 0 };

	while (world->credential_op.pending.slot == NULL) {
		timer_start(world->loop, &tick, 1, on_tick, world->loop);
		loop_run(world->loop);
	}
}

/* --- the retry -------------------------------------------------------------------------------- */

static void state_of(struct world *world, char out[256])
{
	const char *at = strstr(world->body, "\"requestState\":\"");

	assert_non_null(at);
	snprintf(out, 256, "%s", at + strlen("\"requestState\":\""));
	*strchr(out, '"') = '\0';
}

/* What the client brings back. */
static const char *retry_params(struct world *world, const char *request_state, const char *action)
{
	return arena_printf(world->tenant->arena,
			    "{\"name\":\"crm__get\",\"arguments\":{\"a\":1e400},"
			    "\"inputResponses\":{\"connect\":{\"action\":\"%s\"}},"
			    "\"requestState\":\"%s\"}",
			    action, request_state);
}

static void a_retry_goes_on_as_soon_as_there_is_a_grant(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_with(URL_CAPABILITY);
	char request_state[256];

	be_oauth(world);
	give_key(world);
	call_in_vain(world, &asks, NULL);
	state_of(world, request_state);
	asks.params = retry_params(world, request_state, "accept");
	run_call(world, &asks);
	durable(world);
	/* The user is still signing in. */
	for (int i = 0; i < 3; i++) {
		credential_says(world, CREDENTIAL_NONE, NULL);
		await_question(world);
	}
	credential_says(world, CREDENTIAL_READY, NULL);
	assert_string_equal(world->sent_params,
			    "{\"name\":\"crm__get\",\"arguments\":{\"a\":1e400}}");
	upstream_answers(world, MCP_MODERN, "{}", NULL);
	buf_clear(&world->journal);
	expect_end(world, 200);
}

static void who_declines_is_not_asked_again(void **state)
{
	static const char *actions[] = { "decline", "cancel" };
	struct world *world = *state;

	be_oauth(world);
	give_key(world);
	for (size_t i = 0; i < 2; i++) {
		struct asks asks = modern_with(URL_CAPABILITY);
		char request_state[256];

		call_in_vain(world, &asks, NULL);
		state_of(world, request_state);
		asks.params = retry_params(world, request_state, actions[i]);
		run_call(world, &asks);
		durable(world);
		expect_journal(world, "intent\noutcome needs_auth\n");
		expect_end(world, 200);
		assert_non_null(strstr(world->body, "was declined"));
		assert_non_null(strstr(world->body, "\"isError\":true"));
	}
}

static void a_state_that_is_not_of_this_call_is_refused(void **state)
{
	struct world *world = *state;
	struct asks asks = modern_with(URL_CAPABILITY);
	char request_state[256];

	be_oauth(world);
	give_key(world);
	call_in_vain(world, &asks, NULL);
	state_of(world, request_state);
	for (int other = 0; other <= 2; other++) {
		if (other == 0)
			asks.params = arena_printf(world->tenant->arena,
						   "{\"name\":\"crm__get\",\"arguments\":{\"a\":2},"
						   "\"requestState\":\"%s\"}",
						   request_state);
		else if (other == 1)
			asks.params = retry_params(world, "AAAA", "accept");
		else
			asks.params = "{\"name\":\"crm__get\",\"requestState\":{}}";
		run_call(world, &asks);
		durable(world);
		expect_journal(world, "intent\noutcome protocol_error\n");
		expect_end(world, 400);
		assert_non_null(strstr(world->body, "\"code\":-32602"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(each_client_is_told_in_the_form_that_it_understands),
		CALL_TEST(without_a_key_to_seal_with_words_have_to_do),
		CALL_TEST(who_may_not_connect_it_is_told_who_may),
		CALL_TEST(client_credentials_want_no_browser),
		CALL_TEST(a_retry_goes_on_as_soon_as_there_is_a_grant),
		CALL_TEST(who_declines_is_not_asked_again),
		CALL_TEST(a_state_that_is_not_of_this_call_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
