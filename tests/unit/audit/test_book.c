/* SPDX-License-Identifier: Apache-2.0 */

/* One row for each call, whatever happens to the process. */

#include <sys/resource.h>

#include "tests/unit/audit/book_fixture.h"

#define COUNT_ROWS "SELECT count(*) AS v FROM audit.call_log"

static const enum book_outcome outcomes[] = {
#define X(name, text) BOOK_##name,
	BOOK_OUTCOMES(X)
#undef X
};
#define N_OUTCOMES (sizeof(outcomes) / sizeof(outcomes[0]))

static void every_outcome_makes_one_row_as_entry_and_as_pair(void **state)
{
	struct desk *d = *state;
	struct call call;

	open_book(d);
	for (unsigned i = 0; i < N_OUTCOMES; i++) {
		struct book_result result = { .outcome = outcomes[i], .upstream_us = -1 };

		put_entry(d, call_number(&call, 2 * i), &result);
		put_intent(d, call_number(&call, 2 * i + 1));
		put_outcome(d, call_number(&call, 2 * i + 1), &result);
	}
	flush(d);
	expect(d, COUNT_ROWS, "30");
	for (unsigned i = 0; i < N_OUTCOMES; i++) {
		char *sql = mem_printf(
			"SELECT count(*) AS v FROM audit.call_log WHERE outcome = '%s' AND call_id "
			"IN"
			" ('00000000-0000-7000-8000-%012x', '00000000-0000-7000-8000-%012x')",
			book_outcome_name(outcomes[i]), 2 * i, 2 * i + 1);

		expect(d, sql, "2");
		free(sql);
	}
	expect(d, COUNT_ROWS " WHERE damaged", "0");
	expect(d, COUNT_ROWS " WHERE is_error", "22");
}

static const struct book_call full_call = {
	.call_id = "01920000-0000-7000-8000-000000000001",
	.started_us = INT64_C(1795000000123456),
	.tenant_id = "aaaaaaaa-0000-4000-8000-00000000000a",
	.tenant = "the tenant",
	.user_id = "bbbbbbbb-0000-4000-8000-00000000000b",
	.user_name = "the user",
	.api_key = "the key",
	.connection_id = "dddddddd-0000-4000-8000-00000000000d",
	.connection = "the connection",
	.client = {"the client/1",					      sizeof("the client/1") - 1	       },
	.method = { "the method",					       sizeof("the method") - 1		   },
	.tool = { "the \"\\tool\\\" {,}NULL",				      sizeof("the \"\\tool\\\" {,}NULL") - 1},
	.request_id = { "\"the \\\"id\"",					   sizeof("\"the \\\"id\"") - 1	       },
	.arguments = { "{\"a\": [\"b\\\\c\\\"d\", 1.50, null], \"token\": \"x\"}",
		       sizeof("{\"a\": [\"b\\\\c\\\"d\", 1.50, null], \"token\": \"x\"}") - 1			      },
	.protocol_version = "the version",
	.session_id = "the session",
	.source_ip = "2001:db8::1",
	.trace_id = { "the trace",						sizeof("the trace") - 1		   },
	.span_id = { "the span",						 sizeof("the span") - 1		},
	.request_bytes = 111,
	.persona = "the persona",
	.purpose = { "the purpose",					      sizeof("the purpose") - 1	      },
	.audit_level = "full",
};
static const uint8_t digest[SHA256_BYTES] = { 0xab, [SHA256_BYTES - 1] = 0xcd };
static const struct book_result full_result = {
	.outcome = BOOK_UPSTREAM_ERROR,
	.duration_us = 1234567,
	.upstream_us = 1000001,
	.error_type = "the type",
	.error_message = {"the message", sizeof("the message") - 1},
	.response_bytes = 222,
	.http_status = 502,
	.account = "the account",
	.n_calls = 7,
	.upstream_status = 503,
	.payload_digest = digest,
};
/* What holds of the row that they make. */
static const char *const columns[] = {
	"started_at = '2026-11-18T11:06:40.123456Z'",
	"tenant_id = 'aaaaaaaa-0000-4000-8000-00000000000a'",
	"tenant = 'the tenant'",
	"user_id = 'bbbbbbbb-0000-4000-8000-00000000000b'",
	"user_name = 'the user'",
	"client = 'the client/1'",
	"connection_id = 'dddddddd-0000-4000-8000-00000000000d'",
	"connection = 'the connection'",
	"tool = E'the \"\\\\tool\\\\\" {,}NULL'",
	"method = 'the method'",
	"outcome = 'upstream_error'",
	"duration_ms = 1234.567",
	"upstream_ms = 1000.001",
	"error_type = 'the type'",
	"error_message = 'the message'",
	"arguments::jsonb = E'{\"a\": [\"b\\\\\\\\c\\\\\"d\", 1.50, null], \"token\": "
	"\"[REDACTED]\"}'::jsonb",
	"request_bytes = 111",
	"response_bytes = 222",
	"protocol_version = 'the version'",
	"session_id = 'the session'",
	"request_id = E'\"the \\\\\"id\"'",
	"source_ip = '2001:db8::1'",
	"api_key = 'the key'",
	"trace_id = 'the trace'",
	"span_id = 'the span'",
	"call_id = '01920000-0000-7000-8000-000000000001'",
	"node_id = '" NODE_ID "'",
	"http_status = 502",
	"is_error",
	"NOT damaged",
	"retention_class = 'standard'",
	"persona = 'the persona'",
	"purpose = 'the purpose'",
	"audit_level = 'full'",
	"account = 'the account'",
	"n_calls = 7",
	"upstream_status = 503",
	"payload_digest = decode('ab' || repeat('00', 30) || 'cd', 'hex')",
	"reduction IS NULL",
};

static void every_member_lands_in_its_column(void **state)
{
	struct desk *d = *state;

	open_book(d);
	put_intent(d, &full_call);
	put_outcome(d, &full_call, &full_result);
	flush(d);
	expect(d, COUNT_ROWS, "1");
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		char *sql = mem_printf(COUNT_ROWS " WHERE %s", columns[i]);

		expect(d, sql, "1");
		free(sql);
	}
}

static void what_is_absent_is_null(void **state)
{
	struct desk *d = *state;
	const struct book_call call = { .call_id = "01920000-0000-7000-8000-000000000001",
					.started_us = loop_unix_us() };
	const struct book_result result = { .outcome = BOOK_MALFORMED,
					    .upstream_us = -1,
					    .duration_us = 10 };

	open_book(d);
	put_entry(d, &call, &result);
	flush(d);
	expect(d,
	       COUNT_ROWS
	       " WHERE tenant_id = '" UUID_NIL "' AND duration_ms = 0.01"
	       " AND num_nulls(tenant, user_id, user_name, client, connection_id,"
	       " connection, tool, method, upstream_ms, error_type, error_message,"
	       " arguments, protocol_version, session_id, request_id, source_ip, api_key,"
	       " trace_id, span_id, http_status) = 20"
	       " AND n_calls = 1 AND num_nulls(persona, account, purpose, audit_level,"
	       " upstream_status, payload_digest, reduction) = 7",
	       "1");
}

static void an_open_call_is_no_row_and_after_a_restart_unknown(void **state)
{
	struct desk *d = *state;
	struct call call;

	open_book(d);
	put_intent(d, call_number(&call, 1));
	put_calls(d, 2, 4);
	flush(d);
	expect(d, COUNT_ROWS, "2");
	reopen_book(d);
	flush(d);
	expect(d, COUNT_ROWS, "3");
	expect(d,
	       COUNT_ROWS " WHERE outcome = 'unknown' AND tool = 'crm__get' AND is_error"
			  " AND duration_ms IS NULL AND http_status IS NULL AND NOT damaged",
	       "1");
	reopen_book(d);
	flush(d);
	expect(d, COUNT_ROWS, "3");
}

static void an_outcome_whose_intent_is_lost_is_a_damaged_row(void **state)
{
	struct desk *d = *state;
	struct call call;

	open_book(d);
	put_outcome(d, call_number(&call, 1), &fine);
	flush(d);
	expect(d, COUNT_ROWS " WHERE damaged AND outcome = 'ok' AND tool IS NULL", "1");
}

static void what_was_written_twice_is_one_row(void **state)
{
	struct desk *d = *state;
	struct call call;

	open_book(d);
	put_calls(d, 1, 3);
	put_outcome(d, call_number(&call, 2), &fine);
	flush(d);
	put_calls(d, 1, 4);
	put_entry(d, call_number(&call, 2), &fine);
	flush(d);
	expect(d, COUNT_ROWS " WHERE NOT damaged AND tool = 'crm__get'", "3");
	expect(d, COUNT_ROWS, "3");
}

static void nothing_is_inserted_by_anyone_but_the_writer(void **state)
{
	struct desk *d = *state;

	open_book(d);
	look(d, "REVOKE INSERT ON audit.call_log FROM tollgate_audit_writer");
	put_calls(d, 1, 10);
	book_flush_start(d->book, &d->flush, 300, on_flushed, d);
	run_until(&d->base, was_flushed, d);
	assert_int_equal(book_backlog(d->book), 9);
	expect(d, COUNT_ROWS, "0");
	look(d, "GRANT INSERT ON audit.call_log TO tollgate_audit_writer");
	flush(d);
	expect(d, COUNT_ROWS, "9");
}

/* Waits. */

struct waited {
	struct spool_wait wait;
	int calls;
	bool failed;
	struct err err;
};

static void on_durable(void *ctx, const struct err *err)
{
	struct waited *waited = ctx;

	waited->calls++;
	waited->failed = err != NULL;
}

static bool has_been_told(void *ctx)
{
	const struct waited *waited = ctx;

	return waited->calls > 0;
}

static void each_record_says_when_it_is_durable(void **state)
{
	struct desk *d = *state;
	struct waited waits[3] = { 0 };
	struct call call;
	struct err err;

	open_book(d);
	assert_int_equal(book_intent(d->book, call_number(&call, 1), &waits[0].wait, on_durable,
				     &waits[0], &err),
			 0);
	assert_int_equal(book_outcome(d->book, call_number(&call, 1), &fine, &waits[1].wait,
				      on_durable, &waits[1], &err),
			 0);
	assert_int_equal(book_entry(d->book, call_number(&call, 2), &fine, &waits[2].wait,
				    on_durable, &waits[2], &err),
			 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(waits[i].calls, 0);
	run_until(&d->base, has_been_told, &waits[2]);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(waits[i].calls, 1);
		assert_false(waits[i].failed);
	}
	flush(d);
	expect(d, COUNT_ROWS, "2");
}

static bool is_refused(void *ctx)
{
	struct desk *d = ctx;
	struct call call;
	struct err err;

	for (unsigned n = 2; n < 100; n++) {
		call_number(&call, (unsigned)book_backlog(d->book) + 10);
		if (book_entry(d->book, &call.call, &fine, NULL, NULL, NULL, &err) < 0) {
			assert_int_equal(err.code, ERR_UNAVAILABLE);
			return true;
		}
	}
	return false;
}

static void a_full_spool_refuses_calls_until_postgres_is_back(void **state)
{
	struct desk *d = *state;
	struct call call;
	struct err err;
	uint64_t backlog;
	char count[32];

	d->spool_max_bytes = (size_t)512 << 10;
	pg_cluster_halt(&d->base.cluster);
	open_book(d);
	put_intent(d, call_number(&call, 1));
	run_until(&d->base, is_refused, d);
	assert_int_equal(book_intent(d->book, call_number(&call, 2), NULL, NULL, NULL, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	put_outcome(d, call_number(&call, 1), &fine);
	backlog = book_backlog(d->book);

	assert_int_equal(pg_cluster_restart(&d->base.cluster), 0);
	flush(d);
	snprintf(count, sizeof(count), "%" PRIu64, backlog);
	expect(d, COUNT_ROWS, count);
	run_for(&d->base, 500);
	put_intent(d, call_number(&call, 2));
}

static void a_spool_that_another_book_holds_is_refused(void **state)
{
	struct desk *d = *state;
	struct err err;

	open_book(d);
	assert_null(try_open(d, d->base.loop, d->writer, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
}

/* Flush. */

static void a_flush_of_nothing_ends_from_the_loop(void **state)
{
	struct desk *d = *state;

	open_book(d);
	flush(d);
	flush(d);
}

static void a_flush_ends_after_its_time_at_the_latest(void **state)
{
	struct desk *d = *state;
	int64_t began_ms;

	pg_cluster_halt(&d->base.cluster);
	open_book(d);
	put_calls(d, 1, 3);
	began_ms = loop_now_ms(d->base.loop);
	book_flush_start(d->book, &d->flush, 200, on_flushed, d);
	run_until(&d->base, was_flushed, d);
	assert_in_range(loop_now_ms(d->base.loop) - began_ms, 200, 5000);
	assert_int_equal(d->flushed, 1);
	assert_int_equal(book_backlog(d->book), 2);
}

static void cancel_means_silence(void **state)
{
	struct desk *d = *state;

	open_book(d);
	book_flush_start(d->book, &d->flush, 0, on_flushed, d);
	book_flush_cancel(&d->flush);
	assert_null(d->flush);
	book_flush_cancel(&d->flush);
	put_calls(d, 1, 2);
	book_flush_start(d->book, &d->flush, 0, on_flushed, d);
	book_flush_cancel(&d->flush);
	run_for(&d->base, 50);
	book_flush_start(d->book, &d->flush, 0, on_flushed, d);
	book_close(&d->book);
	assert_null(d->flush);
	run_for(&d->base, 50);
	assert_int_equal(d->flushed, 0);
}

static void on_flushed_close(void *ctx)
{
	struct desk *d = ctx;

	on_flushed(d);
	book_close(&d->book);
}

static void the_book_may_be_closed_when_a_flush_ends(void **state)
{
	struct desk *d = *state;

	open_book(d);
	put_calls(d, 1, 100);
	book_flush_start(d->book, &d->flush, LIMIT_MS, on_flushed_close, d);
	run_until(&d->base, was_flushed, d);
	assert_null(d->book);
	expect(d, COUNT_ROWS, "99");
}

static void what_is_closed_in_the_middle_comes_with_the_next_start(void **state)
{
	struct desk *d = *state;

	for (unsigned i = 0; i < 10; i++) {
		open_book(d);
		put_calls(d, 2000 * i, 2000 * (i + 1));
		run_for(&d->base, 3 * i);
		book_close(&d->book);
	}
	open_book(d);
	flush(d);
	expect(d, COUNT_ROWS " WHERE NOT damaged AND outcome = 'ok'", "20000");
	expect(d, COUNT_ROWS, "20000");
}

/* Twice a second may somebody else wake us: PostgreSQL's keep-alives, the checkpoint. */
static void an_idle_book_sleeps(void **state)
{
	struct desk *d = *state;
	struct rusage before;
	struct rusage after;

	open_book(d);
	put_calls(d, 1, 10);
	flush(d);
	run_for(&d->base, 600);
	getrusage(RUSAGE_SELF, &before);
	run_for(&d->base, 1000);
	getrusage(RUSAGE_SELF, &after);
	assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DESK_TEST(every_outcome_makes_one_row_as_entry_and_as_pair),
		DESK_TEST(every_member_lands_in_its_column),
		DESK_TEST(what_is_absent_is_null),
		DESK_TEST(an_open_call_is_no_row_and_after_a_restart_unknown),
		DESK_TEST(an_outcome_whose_intent_is_lost_is_a_damaged_row),
		DESK_TEST(what_was_written_twice_is_one_row),
		DESK_TEST(nothing_is_inserted_by_anyone_but_the_writer),
		DESK_TEST(each_record_says_when_it_is_durable),
		DESK_TEST(a_full_spool_refuses_calls_until_postgres_is_back),
		DESK_TEST(a_spool_that_another_book_holds_is_refused),
		DESK_TEST(a_flush_of_nothing_ends_from_the_loop),
		DESK_TEST(a_flush_ends_after_its_time_at_the_latest),
		DESK_TEST(cancel_means_silence),
		DESK_TEST(the_book_may_be_closed_when_a_flush_ends),
		DESK_TEST(what_is_closed_in_the_middle_comes_with_the_next_start),
		DESK_TEST(an_idle_book_sleeps),
	};

	return cmocka_run_group_tests(tests, start_desks, end_desks);
}
