/* SPDX-License-Identifier: Apache-2.0 */

/* What an upstream says, as this client can read it. */

#include "tests/unit/gateway/core/call_world.h"

#define RESULT(id, body) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":" body "}"

static void each_answer_has_its_outcome(void **state)
{
	static const struct {
		bool modern;
		enum mcp_era from;
		const char *result, *error;
		const char *outcome;
		const char *type;
		int status;
		const char *body; /* a part of it */
	} rows[] = {
		{false,					 MCP_LEGACY,  "{\"n\":12345678901234567890}", NULL,								   "ok",				 "",														     200,
		  RESULT("7","{\"n\":12345678901234567890}") },
		{ true,					    MCP_MODERN,						   "{\"resultType\":\"complete\",\"n\":1e400}",				 NULL, "ok", "",
		  200,RESULT(MODERN_ID,"{\"resultType\":\"complete\",\"n\":1e400}") },
		{ true, MCP_LEGACY,	    "{\"n\":1}",					 NULL,											     "ok",												       "",																						     200,
		  RESULT(MODERN_ID,"{\"resultType\":\"complete\",\"n\":1}") },
		{ false,			      MCP_MODERN, "{\"resultType\":\"complete\",\"n\":1}",			      NULL,											   "ok",											  "",																				  200,
		  RESULT("7","{\"n\":1}") },
		{ false,					  MCP_LEGACY,						 "{\"isError\":true}",								   NULL,																    "tool_error",																			      "tool_error",																												 200,
		  RESULT("7","{\"isError\":true}") },
		{ false,				 MCP_LEGACY,					 "{\"isError\":\"yes\"}",										 NULL,															      "ok",																			    "",																																	     200,"yes"},
		{ false,					 MCP_MODERN,						  "{\"resultType\":\"input_required\"}",									     NULL,		  "upstream_error",
		  "upstream_error",200,"crm answered with a result that this gateway"},
		{ false,			     MCP_LEGACY,					   "[]",								      NULL,											  "upstream_error",															"upstream_error",																																																														     200,
		  "\"isError\":true"																																																																																																							 },
		{ false,			     MCP_LEGACY,			     NULL,
		  "{\"code\":-32602,\"message\":\"no \\u0041\",\"data\":[1e400]}",																	     "protocol_error",
		  "-32602",																																			    200,
		  "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32602,"
		  "\"message\":\"no \\u0041\",\"data\":[1e400]}}"},
		{ true,			     MCP_LEGACY,						   NULL,									      "{\"code\":-32042,\"message\":\"open a page\"}",
		  "upstream_error",																	     "upstream_error",																															       200,"crm refused the call: open a page"																																																																																																 },
		{ false,			      MCP_LEGACY,			     NULL,						    "{\"code\":-32042,\"message\":\"open a page\"}",
		  "protocol_error","-32042",200,"\"code\":-32042"},
		{ true,			      MCP_MODERN,				    NULL,							    "{\"code\":-32020,\"message\":\"a header\"}",
		  "upstream_error",																				       "upstream_error",																																																								  200,
		  "\"isError\":true,\"resultType\":\"complete\""																																																																																																																																																																																																									 },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = rows[i].modern ? modern_call() : legacy_call();
		char outcome[64];

		send_call(world, &asks);
		upstream_answers(world, rows[i].from, rows[i].result, rows[i].error);
		snprintf(outcome, sizeof(outcome), "outcome %s\n", rows[i].outcome);
		expect_journal(world, outcome);
		assert_string_equal(world->error_type, rows[i].type);
		expect_end(world, rows[i].status);
		if (strstr(world->body, rows[i].body) == NULL)
			fail_msg("row %zu: %s", i, world->body);
	}
}

static void each_failure_is_a_result_that_the_model_can_read(void **state)
{
	static const struct {
		enum err_code code;
		const char *outcome;
		const char *text;
	} rows[] = {
		{ERR_TIMEOUT,	       "outcome timeout\n",	    "crm did not answer in time: why. Try again"},
		{ ERR_UNAUTHENTICATED, "outcome upstream_error\n",
		  "crm refused the gateway's credential"							 },
		{ ERR_UPSTREAM,	"outcome upstream_error\n", "crm cannot be used now: why."		   },
		{ ERR_FORBIDDEN,	 "outcome upstream_error\n", "crm cannot be used now: why."		    },
		{ ERR_TOO_LARGE,	 "outcome upstream_error\n", "crm cannot be used now: why."		    },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = legacy_call();
		char id[UUID_TEXT_BYTES];

		send_call(world, &asks);
		upstream_fails(world, rows[i].code, "why");
		snprintf(id, sizeof(id), "%s", world->recorded.call_id);
		expect_journal(world, rows[i].outcome);
		expect_end(world, 200);
		assert_non_null(strstr(world->body, rows[i].text));
		assert_non_null(strstr(world->body, "\"isError\":true"));
		assert_non_null(strstr(world->body, id));
	}
}

static void progress_bears_the_clients_token_in_its_own_type(void **state)
{
	static const struct {
		const char *token, *params, *expected;
	} rows[] = {
		{"0",		       "{\"progressToken\":5,\"progress\":1.50}",
		  "{\"progressToken\":0,\"progress\":1.50}"								     },
		{ "\"0\"",		   "{\"progress\":1,\"progressToken\":5}",
		  "{\"progress\":1,\"progressToken\":\"0\"}"								    },
		{ "12345678901234567890", "{}",					"{\"progressToken\":12345678901234567890}"},
		{ "1",		       NULL,				      NULL				      },
		{ "1",		       "[]",				      NULL				      },
		{ NULL,			"{\"progress\":1}",			    NULL					 },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = legacy_call();
		char expected[256] = "";

		asks.progress = rows[i].token;
		send_call(world, &asks);
		assert_int_equal(world->sent_progress, rows[i].token != NULL);
		upstream_notifies(world, "notifications/progress", rows[i].params);
		if (rows[i].expected != NULL)
			snprintf(expected, sizeof(expected),
				 "message {\"jsonrpc\":\"2.0\",\"method\":"
				 "\"notifications/progress\",\"params\":%s}\n",
				 rows[i].expected);
		expect_journal(world, expected);
		upstream_answers(world, MCP_LEGACY, "{}", NULL);
		expect_end(world, 200);
	}
}

static void log_messages_come_from_the_level_that_was_asked_for(void **state)
{
	static const struct {
		bool modern;
		const char *wanted; /* NULL: none asked for */
		const char *level;  /* of the message */
		bool passes;
	} rows[] = {
		{true,	NULL,      "emergency",		   false},
		{ true,	"warning", "warning",	      true },
		{ true,	"warning", "info",		   false},
		{ true,	"debug",	 "debug",		  true },
		{ true,	"warning", "strange",	      false},
		{ false, NULL,      "debug",		true },
		{ false, "error",	  "warning",		     false},
		{ false, "error",	  "alert",		   true },
		{ false, NULL,      "strange",		  false},
		{ false, NULL,      "infooooooooooooooooo", false},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = rows[i].modern ? modern_call() : legacy_call();
		char params[128];
		char expected[256];

		if (rows[i].modern)
			asks.log_level = rows[i].wanted;
		else
			world->session->log_level =
				rows[i].wanted != NULL ? mcp_log_level(rows[i].wanted) : -1;
		send_call(world, &asks);
		assert_string_equal(world->sent_level,
				    rows[i].wanted != NULL ? rows[i].wanted : "");
		snprintf(params, sizeof(params), "{\"level\":\"%s\",\"data\":{}}", rows[i].level);
		upstream_notifies(world, "notifications/message", params);
		snprintf(expected, sizeof(expected),
			 "message {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\","
			 "\"params\":%s}\n",
			 params);
		expect_journal(world, rows[i].passes ? expected : "");
		upstream_answers(world, MCP_LEGACY, "{}", NULL);
		expect_end(world, 200);
	}
}

static void log_messages_without_a_level_and_other_notifications_are_dropped(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();

	send_call(world, &asks);
	upstream_notifies(world, "notifications/message", "{\"data\":1}");
	upstream_notifies(world, "notifications/message", "{\"level\":3}");
	upstream_notifies(world, "notifications/tools/list_changed", "{}");
	expect_journal(world, "");
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_end(world, 200);
}

static void a_long_error_message_is_relayed_whole_and_recorded_cut(void **state)
{
	struct world *world = *state;
	struct asks asks = legacy_call();
	char error[3000];

	snprintf(error, sizeof(error), "{\"code\":1,\"message\":\"%02000d\"}", 0);
	send_call(world, &asks);
	upstream_answers(world, MCP_LEGACY, NULL, error);
	assert_int_equal(world->result.error_message.n, 1000);
	expect_end(world, 200);
	assert_non_null(strstr(world->body, error));
}

static void a_missing_capability_is_the_clients_only_if_the_client_lacks_it(void **state)
{
	static const char error[] = "{\"code\":-32021,\"message\":\"ask me\",\"data\":{"
				    "\"requiredCapabilities\":{\"sampling\":{}}}}";
	static const struct {
		const char *capabilities; /* NULL: a legacy client */
		const char *outcome;
		int status;
		const char *body; /* a part of it */
	} rows[] = {
		{"{}",			"outcome protocol_error\n", 400, error			       },
		{ "{\"roots\":{}}",    "outcome protocol_error\n", 400, error			   },
		{ "{\"sampling\":{}}", "outcome upstream_error\n", 200, "\"isError\":true"		   },
		{ NULL,		"outcome upstream_error\n", 200, "crm refused the call: ask me"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = rows[i].capabilities != NULL ? modern_call() : legacy_call();

		asks.capabilities = rows[i].capabilities;
		send_call(world, &asks);
		upstream_answers(world, MCP_MODERN, NULL, error);
		expect_journal(world, rows[i].outcome);
		expect_end(world, rows[i].status);
		if (strstr(world->body, rows[i].body) == NULL)
			fail_msg("row %zu: %s", i, world->body);
	}
}

static void whose_session_it_goes_on_is_as_the_connection_says(void **state)
{
	static const struct {
		enum session_scope scope;
		const char *legacy;
		const char *modern; /* has no session of its own */
	} rows[] = {
		{SESSION_SHARED,	  "",			      ""	 },
		{ SESSION_PRINCIPAL, "user:u-1",			 "user:u-1"},
		{ SESSION_CLIENT,	  "session:0123456789abcdef0123", "user:u-1"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int modern = 0; modern <= 1; modern++) {
			struct asks asks = modern == 1 ? modern_call() : legacy_call();

			world->tenant->connections[0].session_scope = rows[i].scope;
			send_call(world, &asks);
			assert_string_equal(world->sent_scope,
					    modern == 1 ? rows[i].modern : rows[i].legacy);
			upstream_answers(world, MCP_LEGACY, "{}", NULL);
			expect_end(world, 200);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(each_answer_has_its_outcome),
		CALL_TEST(each_failure_is_a_result_that_the_model_can_read),
		CALL_TEST(progress_bears_the_clients_token_in_its_own_type),
		CALL_TEST(log_messages_come_from_the_level_that_was_asked_for),
		CALL_TEST(log_messages_without_a_level_and_other_notifications_are_dropped),
		CALL_TEST(a_long_error_message_is_relayed_whole_and_recorded_cut),
		CALL_TEST(a_missing_capability_is_the_clients_only_if_the_client_lacks_it),
		CALL_TEST(whose_session_it_goes_on_is_as_the_connection_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
