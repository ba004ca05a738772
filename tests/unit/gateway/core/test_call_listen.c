/* SPDX-License-Identifier: Apache-2.0 */

/* The call that stays open. */

#include "tests/unit/gateway/core/call_world.h"

#define FILTER	  "{\"notifications\":{\"toolsListChanged\":true}}"
#define STAMP(id) "\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":" id "}"
#define ACK(id)                                                                                    \
	"message {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","    \
	"\"params\":{" STAMP(id) ",\"notifications\":{\"toolsListChanged\":true}}}\n"
#define CHANGED(id)                                                                                \
	"message {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\","            \
	"\"params\":{" STAMP(id) "}}\n"

static struct asks listen_with(const char *id, const char *params)
{
	return (struct asks){
		.modern = true, .id = id, .method = "subscriptions/listen", .params = params
	};
}

static void open_stream(struct world *world, const struct asks *asks)
{
	run_call(world, asks);
	expect_journal(world, "intent\n");
	durable(world);
}

static void is_written_down_before_it_is_acknowledged(void **state)
{
	struct world *world = *state;
	struct asks asks = listen_with("7", FILTER);

	run_call(world, &asks);
	expect_journal(world, "intent\n");
	assert_int_equal(world->recorded.method.n, strlen("subscriptions/listen"));
	assert_true(span_is(world->recorded.request_id, "7"));
	durable(world);
	expect_journal(world, "listen at '' as modern\n" ACK("7"));
	list_changes(world);
	list_changes(world);
	expect_journal(world, CHANGED("7") CHANGED("7"));
	call_client_gone(world->call);
	expect_journal(world, "cancel subscription\noutcome client_closed\n");
	assert_int_equal(world->result.http_status, 0);
	durable(world);
	assert_int_equal(world->finishes, 0);
	assert_int_equal(call_count(&world->gate), 0);
}

static void holds_no_snapshot_while_it_is_open(void **state)
{
	struct world *world = *state;
	struct asks asks = listen_with("\"x\"", FILTER);

	asks.endpoint = "crm";
	run_call(world, &asks);
	assert_string_equal(world->recorded_connection, "crm");
	durable(world);
	assert_int_equal(world->tenant->refs, 1);
	expect_journal(world, "intent\nlisten at 'crm' as modern\n" ACK("\"x\""));
	stream_ends(world, SUBSCRIPTION_REMOVED);
	expect_end(world, 200);
}

static void every_end_has_its_answer_and_its_outcome(void **state)
{
	static const struct {
		enum subscription_end why;
		const char *record;
		const char *body;
	} rows[] = {
		{SUBSCRIPTION_DRAINED,	"outcome drained\n",
		  "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"resultType\":\"complete\"," STAMP(
			  "0") "}}"			    },
		{ SUBSCRIPTION_REVOKED, "outcome denied\n",
		  "{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":-32000,\"message\":"
		  "\"the API key is no longer valid\"}}"},
		{ SUBSCRIPTION_REMOVED, "outcome denied\n",
		  "{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":-32000,\"message\":"
		  "\"Not found\"}}"			    },
	};
	struct world *world = *state;
	struct asks asks = listen_with("0", FILTER);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_stream(world, &asks);
		buf_clear(&world->journal);
		stream_ends(world, rows[i].why);
		expect_journal(world, rows[i].record);
		assert_int_equal(world->result.http_status, 200);
		expect_end(world, 200);
		assert_string_equal(world->body, rows[i].body);
	}
}

static void what_was_not_asked_for_is_not_sent(void **state)
{
	static const char *const rows[] = {
		"{\"notifications\":{}}",
		"{\"notifications\":{\"toolsListChanged\":false,\"promptsListChanged\":true,"
		"\"resourcesListChanged\":true,\"resourceSubscriptions\":[\"x\"],\"taskIds\":[],"
		"\"else\":7}}",
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = listen_with("1", rows[i]);

		open_stream(world, &asks);
		expect_journal(world,
			       "listen at '' as modern\n"
			       "message {\"jsonrpc\":\"2.0\",\"method\":"
			       "\"notifications/subscriptions/acknowledged\",\"params\":{" STAMP(
				       "1") ",\"notifications\":{}}}\n");
		list_changes(world);
		expect_journal(world, "");
		stream_ends(world, SUBSCRIPTION_DRAINED);
		expect_end(world, 200);
	}
}

static void filters_that_cannot_be_read_are_refused(void **state)
{
	static const char *const rows[] = {
		NULL,
		"{}",
		"{\"notifications\":[]}",
		"{\"notifications\":null}",
		"{\"notifications\":{\"toolsListChanged\":1}}",
		"{\"notifications\":{\"promptsListChanged\":\"true\"}}",
		"{\"notifications\":{\"resourceSubscriptions\":\"x\"}}",
		"{\"notifications\":{\"taskIds\":{}}}",
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asks asks = listen_with("1", rows[i]);

		run_call(world, &asks);
		expect_journal(world, "entry protocol_error\n");
		expect_end(world, 400);
		assert_non_null(strstr(world->body, "\"code\":-32602"));
	}
}

static void one_too_many_is_refused_before_and_after_its_record(void **state)
{
	static const struct {
		struct err err;
		const char *entry, *outcome;
		int status;
	} rows[] = {
		{{ .code = ERR_RATE_LIMITED, .text = "too many" },
		  "entry rate_limited\n", "outcome rate_limited\n",
		  429},
		{ { .code = ERR_UNAVAILABLE, .text = "stopping" },
		  "entry unavailable\n",  "outcome unavailable\n",
		  503},
	};
	struct world *world = *state;
	struct asks asks = listen_with("1", FILTER);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world->no_check = &rows[i].err;
		run_call(world, &asks);
		expect_journal(world, rows[i].entry);
		expect_end(world, rows[i].status);
		assert_int_equal(world->retry_after_s, 2);
		world->no_check = NULL;
		world->no_start = &rows[i].err;
		open_stream(world, &asks);
		expect_journal(world, rows[i].outcome);
		expect_end(world, rows[i].status);
		assert_non_null(strstr(world->body, rows[i].err.text));
		world->no_start = NULL;
	}
}

static void a_legacy_client_has_no_such_method(void **state)
{
	struct world *world = *state;
	struct asks asks = { .id = "1", .method = "subscriptions/listen", .params = FILTER };

	run_call(world, &asks);
	expect_end(world, 200);
	assert_non_null(strstr(world->body, "\"code\":-32601"));
}

static void a_client_that_leaves_before_the_record_hears_nothing(void **state)
{
	struct world *world = *state;
	struct asks asks = listen_with("1", FILTER);

	run_call(world, &asks);
	call_client_gone(world->call);
	expect_journal(world, "intent\noutcome client_closed\n");
	durable(world);
	assert_int_equal(call_count(&world->gate), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(is_written_down_before_it_is_acknowledged),
		CALL_TEST(holds_no_snapshot_while_it_is_open),
		CALL_TEST(every_end_has_its_answer_and_its_outcome),
		CALL_TEST(what_was_not_asked_for_is_not_sent),
		CALL_TEST(filters_that_cannot_be_read_are_refused),
		CALL_TEST(one_too_many_is_refused_before_and_after_its_record),
		CALL_TEST(a_legacy_client_has_no_such_method),
		CALL_TEST(a_client_that_leaves_before_the_record_hears_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
