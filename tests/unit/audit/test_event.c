/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define CALL_ID	     "01920000-0000-7000-8000-000000000001"
#define TENANT_ID    "11111111-2222-3333-4444-555555555555"
#define STARTED_US   INT64_C(1795000000123456)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint8_t call_id[EVENT_UUID_BYTES] = { 0x01, 0x92, 0, 0, 0, 0, 0x70, 0,
						   0x80, 0,    0, 0, 0, 0, 0,	 1 };
static const uint8_t tenant_id[EVENT_UUID_BYTES] = {
	0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33,
	0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55
};

static const struct book_call full_call = {
	.call_id = CALL_ID,
	.started_us = STARTED_US,
	.tenant_id = TENANT_ID,
	.tenant = "demo",
	.user_id = "aaaaaaaa-0000-0000-0000-000000000001",
	.user_name = "ana",
	.api_key = "laptop",
	.connection_id = "bbbbbbbb-0000-0000-0000-000000000002",
	.connection = "crm",
	.client = {"claude/2.0",	  10},
	.method = { "tools/call",	  10},
	.tool = { "crm__get",     8 },
	.request_id = { "\"7\"",	 3 },
	.arguments = { "{ \"a\": 1 }", 10},
	.protocol_version = "2026-07-28",
	.session_id = "d1",
	.source_ip = "192.0.2.1",
	.trace_id = { "t1",	    2 },
	.span_id = { "s1",	   2 },
	.request_bytes = 345,
	.persona = "reader",
	.purpose = { "to look",	7 },
	.audit_level = "redacted",
};

static const uint8_t payload_digest[SHA256_BYTES] = { 0xdd, [SHA256_BYTES - 1] = 0xdd };
#define N_CALL_FIELDS	21
#define N_RESULT_FIELDS 11

static const struct book_result full_result = {
	.outcome = BOOK_TOOL_ERROR,
	.duration_us = 12345,
	.upstream_us = 0,
	.error_type = "tool_error",
	.error_message = {"no such thing", 13},
	.response_bytes = 0,
	.http_status = 200,
	.account = "ana@crm",
	.n_calls = 3,
	.upstream_status = 207,
	.payload_digest = payload_digest,
};

#define NODE_ID "cccccccc-0000-0000-0000-000000000003"

static void encode(struct buf *out, enum event_type type, const struct book_call *call,
		   const struct book_result *result)
{
	buf_init(out, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ type, call, result, NODE_ID }, out);
}

static void decode(const struct buf *payload, struct event *out)
{
	struct err err;

	assert_int_equal(event_decode(buf_span(payload), out, &err), 0);
}

static void assert_field(const struct event *event, enum event_field field, const char *text)
{
	struct span value = event->fields[field];

	assert_non_null(value.p);
	if (!span_is(value, text))
		print_error("%.*s != %s\n", (int)value.n, value.p, text);
	assert_true(span_is(value, text));
}

static void assert_number(const struct event *event, enum event_field field, int64_t expected)
{
	int64_t number = -1;

	assert_true(event_number(event, field, &number));
	assert_true(number == expected);
}

static void assert_call(const struct event *event)
{
	assert_field(event, FIELD_TENANT, "demo");
	assert_field(event, FIELD_USER_NAME, "ana");
	assert_field(event, FIELD_API_KEY, "laptop");
	assert_field(event, FIELD_CONNECTION, "crm");
	assert_field(event, FIELD_CLIENT, "claude/2.0");
	assert_field(event, FIELD_METHOD, "tools/call");
	assert_field(event, FIELD_TOOL, "crm__get");
	assert_field(event, FIELD_REQUEST_ID, "\"7\"");
	assert_field(event, FIELD_ARGUMENTS, "{\"a\":1}");
	assert_field(event, FIELD_PROTOCOL_VERSION, "2026-07-28");
	assert_field(event, FIELD_SESSION_ID, "d1");
	assert_field(event, FIELD_SOURCE_IP, "192.0.2.1");
	assert_field(event, FIELD_TRACE_ID, "t1");
	assert_field(event, FIELD_SPAN_ID, "s1");
	assert_number(event, FIELD_REQUEST_BYTES, 345);
	assert_field(event, FIELD_PERSONA, "reader");
	assert_field(event, FIELD_PURPOSE, "to look");
	assert_field(event, FIELD_AUDIT_LEVEL, "redacted");
	assert_memory_equal(event->fields[FIELD_NODE_ID].p, "\xcc\xcc\xcc\xcc", 4);
	assert_memory_equal(event->fields[FIELD_USER_ID].p, "\xaa\xaa\xaa\xaa", 4);
	assert_memory_equal(event->fields[FIELD_CONNECTION_ID].p, "\xbb\xbb\xbb\xbb", 4);
}

static void assert_result(const struct event *event)
{
	assert_number(event, FIELD_OUTCOME, BOOK_TOOL_ERROR);
	assert_number(event, FIELD_DURATION_US, 12345);
	assert_number(event, FIELD_UPSTREAM_US, 0);
	assert_number(event, FIELD_RESPONSE_BYTES, 0);
	assert_number(event, FIELD_HTTP_STATUS, 200);
	assert_field(event, FIELD_ERROR_TYPE, "tool_error");
	assert_field(event, FIELD_ERROR_MESSAGE, "no such thing");
	assert_field(event, FIELD_ACCOUNT, "ana@crm");
	assert_number(event, FIELD_N_CALLS, 3);
	assert_number(event, FIELD_UPSTREAM_STATUS, 207);
	assert_int_equal(event->fields[FIELD_PAYLOAD_DIGEST].n, sizeof(payload_digest));
	assert_memory_equal(event->fields[FIELD_PAYLOAD_DIGEST].p, payload_digest,
			    sizeof(payload_digest));
}

static size_t count_fields(const struct event *event)
{
	size_t n = 0;

	for (size_t i = 0; i < N_FIELDS; i++)
		n += event->fields[i].p != NULL;
	return n;
}

static void assert_head(const struct event *event)
{
	assert_memory_equal(event->call_id, call_id, sizeof(call_id));
	assert_true(event->started_us == STARTED_US);
	assert_memory_equal(event->tenant_id, tenant_id, sizeof(tenant_id));
}

static void an_entry_comes_back_as_it_was(void **state)
{
	struct event event;
	struct buf payload;

	(void)state;
	encode(&payload, EVENT_ENTRY, &full_call, &full_result);
	decode(&payload, &event);
	assert_head(&event);
	assert_call(&event);
	assert_result(&event);
	assert_int_equal(count_fields(&event), N_CALL_FIELDS + N_RESULT_FIELDS);
	assert_memory_equal(event_call_id(buf_span(&payload)), call_id, sizeof(call_id));
	buf_fini(&payload);
}

static void an_intent_has_no_result(void **state)
{
	struct event event;
	struct buf payload;
	int64_t number;

	(void)state;
	encode(&payload, EVENT_INTENT, &full_call, NULL);
	decode(&payload, &event);
	assert_head(&event);
	assert_call(&event);
	assert_int_equal(count_fields(&event), N_CALL_FIELDS);
	assert_false(event_number(&event, FIELD_OUTCOME, &number));
	buf_fini(&payload);
}

static void an_outcome_names_its_call_and_no_more(void **state)
{
	struct event event;
	struct buf payload;

	(void)state;
	encode(&payload, EVENT_OUTCOME, &full_call, &full_result);
	decode(&payload, &event);
	assert_head(&event);
	assert_result(&event);
	assert_int_equal(count_fields(&event), N_RESULT_FIELDS);
	buf_fini(&payload);
}

static void what_is_absent_stays_absent(void **state)
{
	static const struct book_call call = { .call_id = CALL_ID, .user_id = "no id" };
	static const struct book_result result = { .duration_us = -5, .upstream_us = -1 };
	static const uint8_t nil[EVENT_UUID_BYTES];
	struct event event;
	struct buf payload;

	(void)state;
	buf_init(&payload, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ EVENT_ENTRY, &call, &result, NULL }, &payload);
	decode(&payload, &event);
	assert_memory_equal(event.tenant_id, nil, sizeof(nil));
	assert_true(event.started_us == 0);
	assert_number(&event, FIELD_OUTCOME, BOOK_OK);
	assert_number(&event, FIELD_REQUEST_BYTES, 0);
	assert_number(&event, FIELD_RESPONSE_BYTES, 0);
	assert_int_equal(count_fields(&event), 3);
	buf_fini(&payload);
}

static void an_empty_text_is_not_an_absent_one(void **state)
{
	struct book_call call = { .call_id = CALL_ID, .tool = SPAN(""), .tenant = "" };
	struct event event;
	struct buf payload;

	(void)state;
	encode(&payload, EVENT_INTENT, &call, NULL);
	decode(&payload, &event);
	assert_field(&event, FIELD_TOOL, "");
	assert_field(&event, FIELD_TENANT, "");
	assert_null(event.fields[FIELD_METHOD].p);
	buf_fini(&payload);
}

static void assert_tool(struct span tool, const char *expected)
{
	struct book_call call = { .call_id = CALL_ID, .tool = tool };
	struct event event;
	struct buf payload;

	encode(&payload, EVENT_INTENT, &call, NULL);
	decode(&payload, &event);
	assert_field(&event, FIELD_TOOL, expected);
	buf_fini(&payload);
}

static void nul_and_bytes_that_are_no_utf_8_become_u_fffd(void **state)
{
	(void)state;
	assert_tool(SPAN("a\0b"), "a\xEF\xBF\xBD"
				  "b");
	assert_tool(SPAN("\0"), "\xEF\xBF\xBD");
	assert_tool(SPAN("\xff\xc3"), "\xEF\xBF\xBD\xEF\xBF\xBD");
	assert_tool(SPAN("\xed\xa0\x80z"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz");
	assert_tool(SPAN("\r\n\x1b[31m\xe2\x80\xa8"), "\r\n\x1b[31m\xe2\x80\xa8");
}

/* n copies of a character, then a tail. */
static char *repeated(const char *character, size_t n, const char *tail)
{
	size_t size = strlen(character);
	char *text = mem_new(n * size + strlen(tail) + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(text + i * size, character, size);
	memcpy(text + n * size, tail, strlen(tail));
	return text;
}

static void assert_cut(const char *character, size_t n, size_t n_kept, const char *tail)
{
	char *text = repeated(character, n, "");
	char *expected = repeated(character, n_kept, tail);

	assert_tool(span_of(text), expected);
	free(text);
	free(expected);
}

static void a_long_text_is_cut_between_characters_and_marked(void **state)
{
	(void)state;
	assert_cut("x", BOOK_MAX_TOOL, BOOK_MAX_TOOL, "");
	assert_cut("x", BOOK_MAX_TOOL + 1, BOOK_MAX_TOOL - 3, "…");
	assert_cut("x", 1 << 20, BOOK_MAX_TOOL - 3, "…");
	/* 128 of two bytes fill it; 126 and the mark do not. */
	assert_cut("é", BOOK_MAX_TOOL / 2, BOOK_MAX_TOOL / 2, "");
	assert_cut("é", BOOK_MAX_TOOL / 2 + 1, (BOOK_MAX_TOOL - 3) / 2, "…");
	/* 63 of four bytes and the mark are 255. */
	assert_cut("😀", BOOK_MAX_TOOL / 4, BOOK_MAX_TOOL / 4, "");
	assert_cut("😀", 1 << 18, (BOOK_MAX_TOOL - 3) / 4, "…");
}

static void what_mending_makes_longer_is_cut_too(void **state)
{
	char text[BOOK_MAX_TOOL] = { 0 };
	char *expected = repeated("\xEF\xBF\xBD", (BOOK_MAX_TOOL - 3) / 3, "…");

	(void)state;
	assert_tool((struct span){ text, sizeof(text) }, expected);
	free(expected);
}

static void every_text_has_a_limit_and_fills_no_more_than_the_record_may(void **state)
{
	char *big = repeated("\x01", 1 << 20, "");
	struct span span = span_of(big);
	struct book_call call = full_call;
	struct book_result result = full_result;
	struct event event;
	struct buf payload;

	(void)state;
	call.tenant = call.user_name = call.api_key = call.connection = big;
	call.client = call.method = call.tool = call.request_id = span;
	call.arguments = call.trace_id = call.span_id = span;
	call.protocol_version = call.session_id = call.source_ip = big;
	result.error_type = big;
	result.error_message = span;
	encode(&payload, EVENT_ENTRY, &call, &result);
	assert_true(payload.len <= EVENT_MAX_BYTES);
	decode(&payload, &event);
	assert_int_equal(event.fields[FIELD_TENANT].n, BOOK_MAX_TENANT);
	assert_int_equal(event.fields[FIELD_METHOD].n, BOOK_MAX_METHOD);
	assert_int_equal(event.fields[FIELD_CLIENT].n, BOOK_MAX_CLIENT);
	assert_int_equal(event.fields[FIELD_REQUEST_ID].n, BOOK_MAX_REQUEST_ID);
	assert_int_equal(event.fields[FIELD_ERROR_MESSAGE].n, BOOK_MAX_ERROR_MESSAGE);
	assert_field(&event, FIELD_ARGUMENTS, "{\"_invalid\":true,\"bytes\":1048576}");
	buf_fini(&payload);
	free(big);
}

static void no_secret_of_the_arguments_reaches_the_record(void **state)
{
	struct book_call call = full_call;
	struct buf payload;

	(void)state;
	call.arguments = SPAN("{\"password\":\"hunter2\",\"a\":\"tgk_hunter2\"}");
	encode(&payload, EVENT_INTENT, &call, NULL);
	assert_null(memmem(payload.data, payload.len, "hunter2", 7));
	buf_fini(&payload);
}

static void expect_refusal(struct span payload, enum err_code code)
{
	struct event event;
	struct err err;

	assert_int_equal(event_decode(payload, &event, &err), -1);
	assert_int_equal(err.code, code);
}

static void every_cut_of_a_record_is_refused_or_shorter_by_whole_fields(void **state)
{
	struct buf payload;
	size_t n_good = 0;

	(void)state;
	encode(&payload, EVENT_ENTRY, &full_call, &full_result);
	for (size_t n = 0; n < payload.len; n++) {
		/* A copy of its own, so that a sanitizer sees what is read behind it. */
		char *copy = mem_dup(payload.data, n + 1);
		struct event event;
		struct err err;

		copy = mem_resize(copy, n == 0 ? 1 : n, 1);
		if (event_decode((struct span){ copy, n }, &event, &err) == 0)
			n_good++;
		free(copy);
	}
	assert_int_equal(n_good, N_CALL_FIELDS + N_RESULT_FIELDS);
	buf_fini(&payload);
}

static void wrong_bytes_are_refused(void **state)
{
	/* What follows the head, and is refused. */
	static const struct span tails[] = {
		SPAN("\x01"),			       /* ends in a field's head */
		SPAN("\x01\0\x05tool"),		       /* shorter than it says */
		SPAN("\xff\0\x01x"),		       /* no such field */
		SPAN("\x09\0\x01x\x09\0\x01x"),	       /* twice */
		SPAN("\x09\0\x01x\x08\0\x01x"),	       /* not ascending */
		SPAN("\x09\0\x01\0"),		       /* NUL */
		SPAN("\x09\0\x01\xff"),		       /* no UTF-8 */
		SPAN("\0\0\x01x"),		       /* an id of one byte */
		SPAN("\x11\0\x01x"),		       /* a number of one byte */
		SPAN("\x11\0\x08\x80\0\0\0\0\0\0\0"),  /* a negative number */
		SPAN("\x12\0\x08\0\0\0\0\0\0\0\x0f"),  /* an outcome that there is not */
		SPAN("\x06\0\x41xxxxxxxxxxxxxxxxxxxxx" /* 65 bytes in a field of 64 */
		     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	};
	struct book_call call = { .call_id = CALL_ID };
	struct buf payload;

	(void)state;
	encode(&payload, EVENT_OUTCOME, &call, &full_result);
	for (size_t i = 0; i < COUNT(tails); i++) {
		struct buf wrong;

		buf_init(&wrong, EVENT_MAX_BYTES);
		buf_append(&wrong, payload.data, EVENT_HEAD_BYTES);
		buf_add_span(&wrong, tails[i]);
		expect_refusal(buf_span(&wrong), ERR_PARSE);
		buf_fini(&wrong);
	}
	expect_refusal((struct span){ payload.data, EVENT_HEAD_BYTES - 1 }, ERR_PARSE);
	expect_refusal((struct span){ NULL, 0 }, ERR_PARSE);
	payload.data[0] = 3;
	expect_refusal(buf_span(&payload), ERR_CONFLICT);
	payload.data[0] = 0;
	expect_refusal(buf_span(&payload), ERR_CONFLICT);
	buf_fini(&payload);
}

static void outcomes_have_the_words_of_the_table(void **state)
{
	(void)state;
	assert_string_equal(book_outcome_name(BOOK_OK), "ok");
	assert_string_equal(book_outcome_name(BOOK_CLIENT_CLOSED), "client_closed");
	assert_string_equal(book_outcome_name(BOOK_UNKNOWN), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_comes_back_as_it_was),
		cmocka_unit_test(an_intent_has_no_result),
		cmocka_unit_test(an_outcome_names_its_call_and_no_more),
		cmocka_unit_test(what_is_absent_stays_absent),
		cmocka_unit_test(an_empty_text_is_not_an_absent_one),
		cmocka_unit_test(nul_and_bytes_that_are_no_utf_8_become_u_fffd),
		cmocka_unit_test(a_long_text_is_cut_between_characters_and_marked),
		cmocka_unit_test(what_mending_makes_longer_is_cut_too),
		cmocka_unit_test(every_text_has_a_limit_and_fills_no_more_than_the_record_may),
		cmocka_unit_test(no_secret_of_the_arguments_reaches_the_record),
		cmocka_unit_test(every_cut_of_a_record_is_refused_or_shorter_by_whole_fields),
		cmocka_unit_test(wrong_bytes_are_refused),
		cmocka_unit_test(outcomes_have_the_words_of_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
