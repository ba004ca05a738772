/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */
#include "gateway/http/api_audit.h"

#include "tests/unit/gateway/http/api_fixture.h"

/* The time between two questions passes when a test says so. */
static loop_cb *due;
static void *due_ctx;
static int64_t due_ms;

void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	(void)loop;
	(void)timer;
	due = cb;
	due_ctx = ctx;
	due_ms = delay_ms;
}

static const struct fake_column nothing[] = {
	{"place_call", NULL	     },
	{ "until",	   "10:20:15"},
};
static const struct fake_column rows[] = {
	{"place_us",      "1795176000000001"},
	{ "place_tenant", OWN_TENANT	     },
	{ "place_call",	ROW_ID	       },
	{ "until",	   "10:30:"	    },
	{ "stored_in",    "15"		    },
};

static void see(struct exchange *exchange, const struct fake_column *columns, size_t n)
{
	exchange->columns = columns;
	exchange->n_columns = n;
}

static struct exchange *begin(const char *last_event_id)
{
	struct exchange *exchange = request("GET", "/audit/tail");

	due = NULL;
	exchange->last_event_id = last_event_id;
	see(exchange, nothing, COUNT(nothing));
	ask(exchange);
	return exchange;
}

static void room(struct exchange *exchange)
{
	void (*tell)(void *ctx) = exchange->room;

	assert_non_null(tell);
	exchange->room = NULL;
	tell(exchange->room_ctx);
}

static void pass_time(void)
{
	loop_cb *cb = due;

	assert_non_null(cb);
	due = NULL;
	cb(due_ctx);
}

/* The id of the last event that was sent. */
static const char *last_id(const struct exchange *exchange, char out[AUDIT_MARK_BYTES])
{
	const char *at = exchange->answer, *next;

	for (const char *from = at; (next = strstr(from, "id: ")) != NULL; from = next + 1)
		at = next + strlen("id: ");
	snprintf(out, AUDIT_MARK_BYTES, "%.*s", (int)strcspn(at, "\n"), at);
	return out;
}

static void begins_with_this_moment(void **state)
{
	struct exchange *exchange = begin(NULL);
	char id[AUDIT_MARK_BYTES];
	struct audit_mark mark;
	struct err err;

	(void)state;
	assert_string_equal(exchange->params[19], "NULL");
	answer_rows(1);
	assert_int_equal(exchange->status, 200);
	assert_memory_equal(exchange->answer, "retry: 1000\n\n:\nid: ", 19);
	assert_int_equal(audit_mark_parse(last_id(exchange, id), &mark, &err), 0);
	assert_string_equal(mark.before, "10:20:15");
	assert_string_equal(mark.until, "");
	room(exchange);
	assert_int_equal(due_ms, 1000);
	pass_time();
	assert_string_equal(exchange->params[19], "10:20:15");
	assert_string_equal(exchange->params[20], "NULL");
	end(exchange);
}

static void each_row_says_where_to_go_on(void **state)
{
	struct exchange *exchange = begin(NULL);
	char id[AUDIT_MARK_BYTES];
	struct audit_mark mark;
	struct err err;
	char *event;

	(void)state;
	answer_rows(1);
	room(exchange);
	pass_time();
	exchange->answer[0] = '\0';
	see(exchange, rows, COUNT(rows));
	answer_rows(1);
	event = strstr(exchange->answer, "event: call\nid: ");
	assert_non_null(event);
	snprintf(id, sizeof(id), "%.*s", (int)strcspn(event + 16, "\n"), event + 16);
	assert_int_equal(audit_mark_parse(id, &mark, &err), 0);
	assert_string_equal(mark.before, "10:20:15");
	assert_string_equal(mark.until, "10:30:");
	assert_string_equal(mark.stored_in, "15");
	assert_string_equal(mark.call_id, ROW_ID);
	assert_int_equal(audit_mark_parse(last_id(exchange, id), &mark, &err), 0);
	assert_string_equal(mark.before, "10:30:");
	assert_string_equal(mark.until, "");
	end(exchange);

	/* Who was cut behind that row goes on behind it, with the same snapshots. */
	exchange = begin(NULL);
	end(exchange);
	mark = (struct audit_mark){ "10:20:15", "10:30:", "15", ROW_ID };
	audit_mark_write(&mark, id);
	exchange = begin(id);
	assert_string_equal(exchange->params[19], "10:20:15");
	assert_string_equal(exchange->params[20], "10:30:");
	assert_string_equal(exchange->params[21], "15");
	assert_string_equal(exchange->params[22], ROW_ID);
	end(exchange);
}

static void a_mark_that_is_none_is_refused(void **state)
{
	struct exchange *exchange = begin("12345");

	(void)state;
	check_problem(exchange, 400, "bad_request");
	assert_int_equal(exchange->n_queries, 0);
	end(exchange);
}

static void asks_nothing_of_a_database_for_who_does_not_read(void **state)
{
	struct exchange *exchange = begin(NULL);

	(void)state;
	answer_rows(1);
	assert_null(due);
	assert_int_equal(exchange->n_queries, 1);
	end(exchange);
}

static void outlives_a_database_that_is_away(void **state)
{
	struct exchange *exchange = begin(NULL);

	(void)state;
	answer_failure(ERR_UNAVAILABLE, "");
	check_problem(exchange, 503, "unavailable");
	end(exchange);

	exchange = begin(NULL);
	answer_rows(1);
	room(exchange);
	pass_time();
	answer_failure(ERR_UNAVAILABLE, "");
	assert_int_equal(exchange->stream, STREAM_OPEN);
	assert_int_equal(due_ms, 1000);
	pass_time();
	assert_string_equal(exchange->params[19], "10:20:15");
	end(exchange);
}

static struct exchange *running(void)
{
	struct exchange *exchange = begin(NULL);

	answer_rows(1);
	room(exchange);
	exchange->answer[0] = '\0';
	return exchange;
}

static void ends_with_its_key(void **state)
{
	struct exchange *exchange = running();
	struct err err;

	(void)state;
	exchange->found = IDENTITY_REFUSED;
	pass_time();
	assert_int_equal(exchange->stream, STREAM_ENDED);
	assert_non_null(
		strstr(exchange->answer, "event: end\ndata: {\"code\":\"unauthenticated\""));
	end(exchange);

	/* A role that was lowered. */
	exchange = running();
	exchange->role = ROLE_USER;
	pass_time();
	assert_int_equal(exchange->stream, STREAM_ENDED);
	assert_non_null(strstr(exchange->answer, "\"code\":\"forbidden\""));
	end(exchange);

	/* One that has to be looked up. */
	exchange = running();
	exchange->found = IDENTITY_UNKNOWN;
	pass_time();
	assert_int_equal(exchange->n_queries, 1);
	*exchange->identity_slot = NULL;
	err_set(&err, ERR_UNAVAILABLE, "later");
	exchange->identified(exchange->identity_ctx, NULL, &err);
	assert_int_equal(exchange->stream, STREAM_OPEN);
	pass_time();
	*exchange->identity_slot = NULL;
	err_set(&err, ERR_UNAUTHENTICATED, "the API key is not valid");
	exchange->identified(exchange->identity_ctx, NULL, &err);
	assert_int_equal(exchange->stream, STREAM_ENDED);
	end(exchange);
}

static void ends_with_its_worker(void **state)
{
	struct exchange *exchange = running();

	(void)state;
	audit_streams_drain(exchange->app.audit_streams);
	assert_int_equal(exchange->stream, STREAM_ENDED);
	assert_non_null(strstr(exchange->answer, "\"code\":\"unavailable\""));
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_with_this_moment),
		cmocka_unit_test(each_row_says_where_to_go_on),
		cmocka_unit_test(a_mark_that_is_none_is_refused),
		cmocka_unit_test(asks_nothing_of_a_database_for_who_does_not_read),
		cmocka_unit_test(outlives_a_database_that_is_away),
		cmocka_unit_test(ends_with_its_key),
		cmocka_unit_test(ends_with_its_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
