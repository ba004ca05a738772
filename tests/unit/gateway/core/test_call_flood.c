/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/call_flood.h"

/* --- the book -------------------------------------------------------------------------------- */

static struct {
	bool refuses;
	size_t n_rows;
	int64_t n_calls;
	enum book_outcome outcome;
	char call_id[UUID_TEXT_BYTES];
	char tool[300];
	char message[64];
	char source[64];
	bool has_arguments;
	bool has_tenant;
	int http_status;
} book;

int book_entry(struct book *the, const struct book_call *call, const struct book_result *result,
	       struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
	       void *ctx, struct err *err)
{
	(void)the;
	(void)durable;
	(void)ctx;
	assert_null(wait);
	if (book.refuses)
		return err_set(err, ERR_UNAVAILABLE, "the disk is full");
	book.n_rows++;
	book.n_calls = result->n_calls;
	book.outcome = result->outcome;
	book.http_status = result->http_status;
	book.has_arguments = call->arguments.p != NULL;
	book.has_tenant = call->tenant_id != NULL;
	snprintf(book.call_id, sizeof(book.call_id), "%s", call->call_id);
	snprintf(book.tool, sizeof(book.tool), "%.*s", (int)call->tool.n,
		 call->tool.p != NULL ? call->tool.p : "");
	snprintf(book.message, sizeof(book.message), "%.*s", (int)result->error_message.n,
		 result->error_message.p);
	snprintf(book.source, sizeof(book.source), "%s", call->source_ip);
	return 0;
}

static struct call_flood *open_flood(struct loop **loop)
{
	memset(&book, 0, sizeof(book));
	*loop = loop_new();
	return call_flood_new(*loop, NULL);
}

/* One refused call; its id afterwards. */
struct one {
	const char *subject;
	const char *address;
	enum book_outcome outcome;
	const char *tool;
	char id[UUID_TEXT_BYTES];
};

static bool merges(struct call_flood *flood, struct one *one)
{
	const struct book_result result = {
		.outcome = one->outcome,
		.upstream_us = -1,
		.error_type = "-32000",
		.error_message = SPAN("no"),
		.http_status = 401,
	};
	struct book_call call = {
		.call_id = one->id,
		.started_us = 1,
		.source_ip = one->address,
		.tool = span_of(one->tool),
		.arguments = SPAN("{}"),
	};

	uuid_v7(1, one->id);
	return call_flood_merge(flood, one->subject, &call, &result, one->id);
}

static size_t fill_window(struct call_flood *flood, struct one one)
{
	size_t n = 0;

	while (!merges(flood, &one))
		n++;
	return n;
}

static void calls_above_the_rate_become_one_row_with_the_fields_of_the_first(void **state)
{
	struct loop *loop;
	struct call_flood *flood = open_flood(&loop);
	struct one one = { .address = "192.0.2.1", .outcome = BOOK_UNAUTHENTICATED, .tool = "a" };
	struct one first;

	(void)state;
	for (int i = 0; i < CALL_FLOOD_OWN; i++)
		assert_false(merges(flood, &one));
	one.tool = "first";
	assert_true(merges(flood, &one));
	first = one;
	one.tool = "later";
	for (int i = 0; i < 9; i++) {
		assert_true(merges(flood, &one));
		/* What its client quotes is found. */
		assert_string_equal(one.id, first.id);
	}
	assert_int_equal(book.n_rows, 0);
	call_flood_flush(flood);
	assert_int_equal(book.n_rows, 1);
	assert_int_equal(book.n_calls, 10);
	assert_int_equal(book.outcome, BOOK_UNAUTHENTICATED);
	assert_string_equal(book.call_id, first.id);
	assert_string_equal(book.tool, "first");
	assert_string_equal(book.message, "no");
	assert_string_equal(book.source, "192.0.2.1");
	assert_int_equal(book.http_status, 401);
	assert_false(book.has_arguments);
	assert_false(book.has_tenant);
	call_flood_free(&flood);
	loop_free(&loop);
}

static void only_what_was_refused_at_the_gate_is_merged(void **state)
{
	static const bool merged[] = {
		[BOOK_DENIED] = true,	    [BOOK_UNAUTHENTICATED] = true, [BOOK_MALFORMED] = true,
		[BOOK_RATE_LIMITED] = true, [BOOK_UNKNOWN] = false,
	};
	struct loop *loop;
	struct call_flood *flood = open_flood(&loop);

	(void)state;
	for (size_t i = 0; i < sizeof(merged) / sizeof(merged[0]); i++) {
		struct one one = { .subject = "key:1",
				   .address = "192.0.2.1",
				   .outcome = (enum book_outcome)i };
		int n = 0;

		while (n < 2 * CALL_FLOOD_OWN && !merges(flood, &one))
			n++;
		assert_int_equal(n, merged[i] ? CALL_FLOOD_OWN : 2 * CALL_FLOOD_OWN);
	}
	call_flood_free(&flood);
	loop_free(&loop);
	assert_false(call_flood_merge(NULL, NULL, NULL, NULL, NULL)); /* nothing is merged */
}

static void a_source_is_the_principal_or_the_network(void **state)
{
	struct loop *loop;
	struct call_flood *flood = open_flood(&loop);
	struct one one = { .address = "2001:db8:0:1::7", .outcome = BOOK_MALFORMED };

	(void)state;
	assert_int_equal(fill_window(flood, one), CALL_FLOOD_OWN);
	one.address = "2001:db8:0:1:ffff::1";
	assert_true(merges(flood, &one)); /* the same network of 64 bits */
	one.address = "2001:db8:0:2::7";
	assert_false(merges(flood, &one));
	one.subject = "user:1"; /* from wherever */
	assert_int_equal(fill_window(flood, one), CALL_FLOOD_OWN);
	one.address = "192.0.2.9";
	assert_true(merges(flood, &one));
	one.subject = NULL;
	assert_false(merges(flood, &one));
	call_flood_free(&flood);
	loop_free(&loop);
}

static void what_the_book_does_not_take_is_kept_and_written_at_the_end(void **state)
{
	struct loop *loop;
	struct call_flood *flood = open_flood(&loop);
	struct one one = { .address = "192.0.2.1", .outcome = BOOK_DENIED };
	char tool[400];

	(void)state;
	memset(tool, 't', sizeof(tool) - 1);
	tool[sizeof(tool) - 1] = '\0';
	one.tool = tool;
	fill_window(flood, one);
	book.refuses = true;
	call_flood_flush(flood);
	assert_int_equal(book.n_rows, 0);
	assert_true(merges(flood, &one));
	book.refuses = false;
	call_flood_free(&flood);
	assert_int_equal(book.n_rows, 1);
	assert_int_equal(book.n_calls, 2);
	assert_int_equal(strlen(book.tool), 255); /* the record keeps as much */
	loop_free(&loop);
	call_flood_free(&flood); /* NULL is nothing */
}

/* A key that ends behind what is kept is no less secret than a whole one. */
static void a_secret_is_not_cut_before_it_is_known_as_one(void **state)
{
	static const char key[] = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
	struct loop *loop;
	struct call_flood *flood = open_flood(&loop);
	struct one one = { .address = "192.0.2.1", .outcome = BOOK_DENIED };
	char tool[400];

	(void)state;
	for (size_t before = 200; before < 255; before += 9) {
		snprintf(tool, sizeof(tool), "%*s %s", (int)before, "", key);
		one.tool = tool;
		if (before == 200)
			fill_window(flood, one);
		assert_true(merges(flood, &one));
		call_flood_flush(flood);
		assert_true(strlen(book.tool) >= before);
		assert_null(strstr(book.tool, "ghp_"));
	}
	call_flood_free(&flood);
	loop_free(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_above_the_rate_become_one_row_with_the_fields_of_the_first),
		cmocka_unit_test(only_what_was_refused_at_the_gate_is_merged),
		cmocka_unit_test(a_source_is_the_principal_or_the_network),
		cmocka_unit_test(what_the_book_does_not_take_is_kept_and_written_at_the_end),
		cmocka_unit_test(a_secret_is_not_cut_before_it_is_known_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
