/* SPDX-License-Identifier: Apache-2.0 */

/* The way into PostgreSQL: outages, hostile bytes, rows that it refuses, days without partition. */

#include "audit/drain.h"

#include <sys/wait.h>

#include "tests/unit/audit/book_fixture.h"

#define COUNT_ROWS "SELECT count(*) AS v FROM audit.call_log"
#define BIG_BYTES  ((size_t)1 << 20)
#define DAY_US	   INT64_C(86400000000)

static void postgres_may_come_after_the_book(void **state)
{
	struct desk *d = *state;

	pg_cluster_halt(&d->base.cluster);
	open_book(d);
	put_calls(d, 0, 1234);
	run_for(&d->base, 200);
	assert_int_equal(book_backlog(d->book), 1234);
	assert_int_equal(pg_cluster_restart(&d->base.cluster), 0);
	flush(d);
	expect(d, COUNT_ROWS " WHERE NOT damaged AND outcome = 'ok'", "1234");
	expect(d, COUNT_ROWS, "1234");
}

static bool is_half_done(void *ctx)
{
	const struct desk *d = ctx;

	return book_backlog(d->book) < 15000;
}

static void a_killed_postgres_loses_no_row_and_doubles_none(void **state)
{
	struct desk *d = *state;

	open_book(d);
	for (unsigned i = 0; i < 3; i++) {
		put_calls(d, 20000 * i, 20000 * (i + 1));
		run_until(&d->base, is_half_done, d);
		pg_cluster_kill(&d->base.cluster);
		put_calls(d, 100000 + 100 * i, 100000 + 100 * (i + 1));
		run_for(&d->base, 50);
		assert_true(book_backlog(d->book) > 0);
		assert_int_equal(pg_cluster_restart(&d->base.cluster), 0);
		flush(d);
	}
	expect(d, COUNT_ROWS " WHERE NOT damaged AND outcome = 'ok'", "60300");
	expect(d, "SELECT count(DISTINCT call_id) AS v FROM audit.call_log", "60300");
	expect(d, COUNT_ROWS, "60300");
	assert_int_equal(book_lost(d->book), 0);
}

/* What its spool holds is sent again, because nobody could tell it that it had arrived. */
static void a_book_that_is_drained_twice_doubles_nothing(void **state)
{
	struct desk *d = *state;
	char *copy = mem_printf("%s.copy", d->dir);
	pid_t pid;

	pg_cluster_halt(&d->base.cluster);
	open_book(d);
	put_calls(d, 0, 700);
	book_close(&d->book);
	pid = fork();
	if (pid == 0) {
		execlp("cp", "cp", "-r", d->dir, copy, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(pg_cluster_restart(&d->base.cluster), 0);
	open_book(d);
	flush(d);
	book_close(&d->book);
	remove_dir(d->dir);
	assert_int_equal(rename(copy, d->dir), 0);
	open_book(d);
	assert_int_equal(book_backlog(d->book), 700);
	flush(d);
	expect(d, COUNT_ROWS " WHERE NOT damaged", "700");
	expect(d, COUNT_ROWS, "700");
	free(copy);
}

static struct span nested(char *text, size_t depth)
{
	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	return (struct span){ text, 2 * depth };
}

static void nothing_that_a_field_holds_loses_or_damages_a_row(void **state)
{
	struct desk *d = *state;
	char *big = mem_new(BIG_BYTES);
	char deep[128];
	const struct span values[] = {
		SPAN("\0"),
		SPAN("a\0b\0"),
		SPAN("\xff\xfe\xc0\x80\xed\xa0\x80\xf5"),
		SPAN("\r\n\t\x1b[2J\x7f\xc2\x9b\xe2\x80\xa8"),
		SPAN("{\"',\\}NULL"),
		SPAN("'); DROP TABLE audit.call_log; --"),
		SPAN("1e999999"),
		SPAN("[1e131072,-1e-16384,1e2147483648,1E+99999999999999999999]"),
		SPAN("{\"a\":\"\\ud800\"}"),
		SPAN("{\"a\\u0000\":\"\\u0000\\udc00\"}"),
		SPAN("{\"a\\u0000\":\"\\u0000\\ud83d\\ude00\"}"),
		SPAN("{\"a\":1,\"a\":2}"),
		SPAN(""),
		SPAN("\\"),
		SPAN("\""),
		nested(deep, 64),
		{big, BIG_BYTES},
	};
	struct call call;
	unsigned n = 0;
	char count[32];

	memset(big, 'x', BIG_BYTES);
	big[0] = big[BIG_BYTES - 1] = '"';
	open_book(d);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct book_result result = fine;

		call_number(&call, n++);
		call.call.client = call.call.method = call.call.tool = values[i];
		call.call.request_id = call.call.arguments = values[i];
		call.call.trace_id = call.call.span_id = values[i];
		result.error_message = values[i];
		put_entry(d, &call.call, &result);
		call_number(&call, n++);
		call.call.arguments = call.call.tool = values[i];
		put_intent(d, &call.call);
		put_outcome(d, &call.call, &result);
	}
	flush(d);
	snprintf(count, sizeof(count), "%u", n);
	expect(d, COUNT_ROWS " WHERE NOT damaged", count);
	expect(d, COUNT_ROWS " WHERE arguments IS NULL OR tool IS NULL", "0");
	expect(d, COUNT_ROWS " WHERE arguments::jsonb @> '{\"_invalid\": true}'", "24");
	expect(d,
	       COUNT_ROWS " WHERE arguments::jsonb @> '{\"_truncated\": true, \"bytes\": 1048576}'",
	       "2");
	expect(d, COUNT_ROWS " WHERE arguments::jsonb = '\"1e999999\"'", "2");
	expect(d, COUNT_ROWS " WHERE octet_length(tool) > 256 OR octet_length(method) > 128", "0");
	expect(d, COUNT_ROWS " WHERE tool LIKE '%…'", "2");
	free(big);
}

/* Source addresses are ours and always right; this one stands for whatever we did not think of. */
static void put_unfit(struct desk *d, unsigned n)
{
	struct call call;

	call_number(&call, n);
	call.call.source_ip = "nowhere";
	call.call.user_id = "bbbbbbbb-0000-4000-8000-00000000000b";
	call.call.request_bytes = 77;
	put_entry(d, &call.call, &fine);
}

static void a_row_that_postgres_refuses_is_stored_reduced_and_alone(void **state)
{
	struct desk *d = *state;

	open_book(d);
	put_calls(d, 0, 100);
	put_unfit(d, 100);
	put_calls(d, 101, 200);
	put_unfit(d, 200);
	put_calls(d, 201, 300);
	flush(d);
	expect(d, COUNT_ROWS, "300");
	expect(d, COUNT_ROWS " WHERE NOT damaged AND tool = 'crm__get' AND method IS NOT NULL",
	       "298");
	expect(d,
	       COUNT_ROWS " WHERE damaged AND outcome = 'ok' AND duration_ms = 1.5"
			  " AND upstream_ms = 1 AND http_status = 200 AND request_bytes = 77"
			  " AND user_id IS NOT NULL AND node_id IS NOT NULL"
			  " AND num_nulls(tenant, tool, method, source_ip, arguments) = 5",
	       "2");
	assert_int_equal(book_lost(d->book), 0);

	/* And one that comes alone. */
	put_unfit(d, 300);
	flush(d);
	put_calls(d, 301, 303);
	flush(d);
	expect(d, COUNT_ROWS " WHERE damaged", "3");
	expect(d, COUNT_ROWS, "303");
}

static void a_row_that_is_refused_even_reduced_holds_up_nobody(void **state)
{
	struct desk *d = *state;
	struct call call;

	look(d, "ALTER TABLE audit.call_log ADD CONSTRAINT unlucky CHECK (request_bytes <> 13)");
	open_book(d);
	put_calls(d, 0, 10);
	call_number(&call, 10);
	call.call.request_bytes = 13;
	put_entry(d, &call.call, &fine);
	put_calls(d, 11, 20);
	flush(d);
	look(d, "ALTER TABLE audit.call_log DROP CONSTRAINT unlucky");
	expect(d, COUNT_ROWS " WHERE NOT damaged", "19");
	expect(d, COUNT_ROWS, "19");
	assert_int_equal(book_lost(d->book), 1);
	reopen_book(d);
	flush(d);
	expect(d, COUNT_ROWS, "19");
}

static void put_on_day(struct desk *d, unsigned n, int64_t day_us)
{
	struct call call;

	call_number(&call, n);
	call.call.started_us = day_us + n;
	put_entry(d, &call.call, &fine);
}

static void missing_partitions_are_made(void **state)
{
	struct desk *d = *state;
	int64_t today_us = loop_unix_us() / DAY_US * DAY_US;

	open_book(d);
	put_calls(d, 0, 10);
	put_on_day(d, 10, 0);
	put_on_day(d, 11, DAY_US - 12);
	put_on_day(d, 12, today_us + 400 * DAY_US);
	put_on_day(d, 13, today_us - 1000 * DAY_US);
	put_on_day(d, 14, INT64_MAX - 100); /* the last day that there is */
	flush(d);
	put_on_day(d, 15, today_us + 401 * DAY_US);
	flush(d);
	expect(d, COUNT_ROWS, "16");
	expect(d, COUNT_ROWS " WHERE damaged", "0");
	expect(d, COUNT_ROWS " WHERE started_at < '1970-01-02'", "2");
	expect(d,
	       "SELECT count(*) AS v FROM pg_class WHERE relnamespace = 'audit_parts'::regnamespace"
	       " AND relname IN ('call_log_standard_19700101', 'call_log_standard_99991231')",
	       "2");
}

static void without_partition_rows_wait_until_one_may_be_made(void **state)
{
	struct desk *d = *state;

	look(d, "REVOKE EXECUTE ON FUNCTION audit.ensure_partitions(date, date)"
		" FROM tollgate_audit_writer");
	open_book(d);
	put_on_day(d, 5, 10 * DAY_US); /* the first, so that none goes without it */
	put_calls(d, 0, 5);
	book_flush_start(d->book, &d->flush, 300, on_flushed, d);
	run_until(&d->base, was_flushed, d);
	assert_int_equal(book_backlog(d->book), 6);
	look(d, "GRANT EXECUTE ON FUNCTION audit.ensure_partitions(date, date)"
		" TO tollgate_audit_writer");
	flush(d);
	expect(d, COUNT_ROWS " WHERE NOT damaged", "6");
	assert_int_equal(book_lost(d->book), 0);
}

/* 23514 for another reason than a missing partition, in the middle of many. */
static void a_check_that_fails_is_not_taken_for_a_missing_partition_for_ever(void **state)
{
	struct desk *d = *state;

	look(d, "ALTER TABLE audit.call_log ADD CONSTRAINT named CHECK (tool IS NULL OR"
		" call_id <> '00000000-0000-7000-8000-000000000003')");
	open_book(d);
	put_calls(d, 0, 6);
	flush(d);
	look(d, "ALTER TABLE audit.call_log DROP CONSTRAINT named");
	expect(d, COUNT_ROWS " WHERE NOT damaged", "5");
	expect(d, COUNT_ROWS " WHERE damaged AND call_id = '00000000-0000-7000-8000-000000000003'",
	       "1");
}

static bool a_row_has_come(void *ctx)
{
	const struct desk *d = ctx;

	return book_backlog(d->book) == 0;
}

static void rows_come_by_themselves_and_soon(void **state)
{
	struct desk *d = *state;
	int64_t began_ms;

	open_book(d);
	put_calls(d, 0, 1);
	run_until(&d->base, a_row_has_come, d);
	/* Connected by now. */
	began_ms = loop_now_ms(d->base.loop);
	put_calls(d, 1, 2);
	run_until(&d->base, a_row_has_come, d);
	assert_in_range(loop_now_ms(d->base.loop) - began_ms, 18, 1000);
	expect(d, COUNT_ROWS, "2");
	put_calls(d, 2, 5002);
	run_until(&d->base, a_row_has_come, d);
	expect(d, COUNT_ROWS, "5002");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DESK_TEST(postgres_may_come_after_the_book),
		DESK_TEST(a_killed_postgres_loses_no_row_and_doubles_none),
		DESK_TEST(a_book_that_is_drained_twice_doubles_nothing),
		DESK_TEST(nothing_that_a_field_holds_loses_or_damages_a_row),
		DESK_TEST(a_row_that_postgres_refuses_is_stored_reduced_and_alone),
		DESK_TEST(a_row_that_is_refused_even_reduced_holds_up_nobody),
		DESK_TEST(missing_partitions_are_made),
		DESK_TEST(without_partition_rows_wait_until_one_may_be_made),
		DESK_TEST(a_check_that_fails_is_not_taken_for_a_missing_partition_for_ever),
		DESK_TEST(rows_come_by_themselves_and_soon),
	};

	return cmocka_run_group_tests(tests, start_desks, end_desks);
}
