/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/error_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define SECRET	"p@ss w0rd"
#define ESCAPED "p%40ss+w0rd"

static const char form[] = "grant_type=refresh_token&scope=read+write&resource=https%3A%2F%2Fh&"
			   "refresh_token=rt-12345&client_secret=" ESCAPED "&empty=&bare";

static struct error_reply read_with(const char *text, const struct error_sent *sent)
{
	struct arena *arena = arena_new();
	struct document document;
	struct error_reply reply;
	struct err err;

	if (document_open(span_of(text), arena, &document, &err) < 0)
		fail_msg("%s", err.text);
	error_reply_read(&document, sent, &reply);
	arena_free(&arena);
	return reply;
}

static void code_and_description_are_read(void **state)
{
	struct error_reply reply = read_with("{\"error\":\"invalid_grant\",\"error_description\":"
					     "\"Token expired\"}",
					     NULL);

	(void)state;
	assert_true(reply.present);
	assert_string_equal(reply.code, "invalid_grant");
	assert_string_equal(reply.description, "Token expired");
	reply = read_with("{\"error\":null,\"error_description\":3}", NULL);
	assert_false(reply.present);
	assert_string_equal(reply.code, "");
	assert_string_equal(reply.description, "");
}

static void a_code_that_is_none_is_present_and_empty(void **state)
{
	static const char *const texts[] = {
		"{\"error\":{\"code\":401}}",
		"{\"error\":\"two words\"}",
		"{\"error\":\"<script>\"}",
		"{\"error\":\"a\\u0000\"}",
		"{\"error\":\"\"}",
		"{\"error\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct error_reply reply = read_with(texts[i], NULL);

		assert_true(reply.present);
		assert_string_equal(reply.code, "");
	}
}

static void a_description_becomes_short_printable_ascii(void **state)
{
	struct error_reply reply = read_with("{\"error\":\"e\",\"error_description\":"
					     "\"a\\nb\\u001b[31m\\u0000\\u00e4<b>\"}",
					     NULL);
	char text[256];

	(void)state;
	assert_string_equal(reply.description, "a b?[31m??\?<b>");
	snprintf(text, sizeof(text), "{\"error\":\"e\",\"error_description\":\"%0120d\"}", 0);
	reply = read_with(text, NULL);
	assert_int_equal(strlen(reply.description), ERROR_DESCRIPTION_BYTES - 1);
}

static void what_repeats_a_secret_is_left_out(void **state)
{
	struct secret secret = secret_new("k3y", 3);
	const struct error_sent sent = {
		.form = {form, sizeof(form) - 1},
		.authorization = SPAN("Basic dXNlcjprM3k="),
		.secret = &secret,
	};
	static const char *const repeats[] = {
		"bad token rt-12345!", "secret " SECRET, "secret " ESCAPED, "key k3y",
		"dXNlcjprM3k= is bad",
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(repeats) / sizeof(repeats[0]); i++) {
		struct error_reply reply;

		assert_true(error_repeats(&sent, span_of(repeats[i])));
		snprintf(text, sizeof(text), "{\"error\":\"e\",\"error_description\":\"%s\"}",
			 repeats[i]);
		reply = read_with(text, &sent);
		assert_string_equal(reply.code, "e");
		assert_string_equal(reply.description, "");
	}
	/* cut or not: the whole text counts */
	snprintf(text, sizeof(text), "{\"error\":\"rt-12345\",\"error_description\":\"%085d%s\"}",
		 0, "rt-12345");
	assert_string_equal(read_with(text, &sent).description, "");
	assert_string_equal(read_with(text, &sent).code, "");
	secret_fini(&secret);
}

/* What is done follows from the code, whatever a short secret is called. */
static void a_short_secret_hides_no_code(void **state)
{
	struct secret secret = secret_new("grant", 5);
	const struct error_sent sent = { .secret = &secret };
	struct error_reply reply = read_with("{\"error\":\"invalid_grant\","
					     "\"error_description\":\"no such grant\"}",
					     &sent);

	(void)state;
	assert_string_equal(reply.code, "invalid_grant");
	assert_string_equal(reply.description, "");
	secret_fini(&secret);
}

static void what_is_no_secret_may_be_repeated(void **state)
{
	const struct error_sent sent = {
		.form = {form, sizeof(form) - 1}
	};

	(void)state;
	assert_false(error_repeats(&sent, SPAN("scope read+write of https%3A%2F%2Fh refused")));
	assert_false(error_repeats(&sent, SPAN("unknown grant refresh_token")));
	assert_false(error_repeats(&sent, SPAN("")));
	assert_false(error_repeats(&(struct error_sent){ 0 }, SPAN("x")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_and_description_are_read),
		cmocka_unit_test(a_code_that_is_none_is_present_and_empty),
		cmocka_unit_test(a_description_becomes_short_printable_ascii),
		cmocka_unit_test(what_repeats_a_secret_is_left_out),
		cmocka_unit_test(a_short_secret_hides_no_code),
		cmocka_unit_test(what_is_no_secret_may_be_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
