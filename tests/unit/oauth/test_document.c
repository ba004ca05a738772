/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static struct document open_ok(struct arena *arena, const char *text)
{
	struct document document = { 0 };
	struct err err;

	if (document_open(span_of(text), arena, &document, &err) < 0)
		fail_msg("%s", err.text);
	return document;
}

static void assert_no_document(const char *text, const char *why)
{
	struct arena *arena = arena_new();
	struct document document;
	struct err err = { 0 };

	assert_int_equal(document_open(span_of(text), arena, &document, &err), -1);
	assert_int_equal(err.code, ERR_UPSTREAM);
	if (strstr(err.text, why) == NULL)
		fail_msg("%s", err.text);
	arena_free(&arena);
}

static void only_an_object_is_a_document(void **state)
{
	(void)state;
	assert_no_document(NULL, "no JSON: empty");
	assert_no_document("", "no JSON");
	assert_no_document("<html>", "no JSON");
	assert_no_document("[]", "no JSON object");
	assert_no_document("\"x\"", "no JSON object");
	assert_no_document("null", "no JSON object");
	assert_no_document("{} {}", "no JSON");
	assert_no_document("\xef\xbb\xbf{}", "no JSON");
	assert_no_document("{\"a\":1,\"\\u0061\":2}", "no JSON");
	assert_no_document("{\"x\":{\"a\":1,\"a\":2}}", "no JSON");
	assert_no_document("{\"a\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}", "no JSON");
}

static void nodes_have_a_ceiling(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_add(&text, "{\"x\":[0");
	for (int i = 0; i < DOCUMENT_MAX_NODES; i++)
		buf_add(&text, ",0");
	buf_add(&text, "]}");
	assert_no_document(buf_str(&text), "no JSON");
	buf_fini(&text);
}

static void the_first_byte_tells_an_object_from_a_page(void **state)
{
	(void)state;
	assert_true(document_is_object(SPAN("{}")));
	assert_true(document_is_object(SPAN(" \r\n\t{ broken")));
	assert_false(document_is_object(SPAN("<!doctype html>{")));
	assert_false(document_is_object(SPAN("[{}]")));
	assert_false(document_is_object(SPAN("  ")));
	assert_false(document_is_object((struct span){ NULL, 0 }));
}

static void a_text_is_printable_ascii_within_its_ceiling(void **state)
{
	struct document document = open_ok(*state, "{\"a\":\"x y\",\"u\":\"\\u0061\",\"n\":null,"
						   "\"e\":\"\",\"i\":1,\"b\":\"\\n\",\"z\":"
						   "\"a\\u0000\",\"o\":\"\\u00e4\"}");
	const char *text;
	struct err err;

	assert_int_equal(document_text(&document, "a", 3, &text, &err), 0);
	assert_string_equal(text, "x y");
	assert_int_equal(document_text(&document, "u", 3, &text, &err), 0);
	assert_string_equal(text, "a");
	for (const char *name = "nex"; *name != '\0'; name++) {
		char key[] = { *name, '\0' };

		assert_int_equal(document_text(&document, key, 3, &text, &err), 0);
		assert_null(text);
	}
	assert_int_equal(document_text(&document, "a", 2, &text, &err), -1);
	assert_string_equal(err.text, "a is over 2 bytes");
	assert_int_equal(document_text(&document, "i", 3, &text, &err), -1);
	assert_string_equal(err.text, "i is no string");
	for (const char *name = "bzo"; *name != '\0'; name++) {
		char key[] = { *name, '\0' };

		assert_int_equal(document_text(&document, key, 9, &text, &err), -1);
		assert_non_null(strstr(err.text, "has a character that it may not have"));
	}
}

static void a_secret_has_no_spaces_and_is_never_quoted(void **state)
{
	struct document document =
		open_ok(*state, "{\"a\":\"s3cret\",\"b\":\"s3 cret\",\"e\":\"\",\"n\":null}");
	struct secret secret;
	struct err err;

	assert_int_equal(document_secret(&document, "a", 6, &secret, &err), 0);
	assert_string_equal(secret.reveal, "s3cret");
	assert_int_equal(secret.n, 6);
	secret_fini(&secret);
	assert_int_equal(document_secret(&document, "b", 9, &secret, &err), -1);
	assert_null(strstr(err.text, "s3"));
	assert_null(secret.reveal);
	assert_int_equal(document_secret(&document, "a", 5, &secret, &err), -1);
	assert_null(strstr(err.text, "s3"));
	assert_int_equal(document_secret(&document, "e", 9, &secret, &err), 0);
	assert_null(secret.reveal);
	assert_int_equal(document_secret(&document, "n", 9, &secret, &err), 0);
	assert_null(secret.reveal);
}

static void a_list_holds_strings_and_nothing_else(void **state)
{
	struct document document =
		open_ok(*state, "{\"l\":[\"a\",\"b\"],\"e\":[],\"n\":null,\"s\":\"a\","
				"\"m\":[\"a\",1],\"o\":{\"a\":\"b\"}}");
	struct document_list list;
	const char *joined;
	struct err err;

	assert_int_equal(document_list(&document, "l", 1, &list, &err), 0);
	assert_int_equal(list.n, 2);
	assert_true(document_list_has(&list, "b"));
	assert_false(document_list_has(&list, "c"));
	assert_int_equal(document_join(&document, &list, 3, &joined, &err), 0);
	assert_string_equal(joined, "a b");
	assert_int_equal(document_join(&document, &list, 2, &joined, &err), -1);
	assert_int_equal(document_list(&document, "e", 1, &list, &err), 0);
	assert_true(list.n == 0 && list.items != NULL);
	assert_int_equal(document_join(&document, &list, 2, &joined, &err), 0);
	assert_null(joined);
	assert_int_equal(document_list(&document, "n", 1, &list, &err), 0);
	assert_null(list.items);
	assert_int_equal(document_list(&document, "s", 1, &list, &err), -1);
	assert_string_equal(err.text, "s is no list");
	assert_int_equal(document_list(&document, "o", 1, &list, &err), -1);
	assert_int_equal(document_list(&document, "m", 1, &list, &err), -1);
	assert_string_equal(err.text, "an item: m is no string");
}

static void a_list_has_a_ceiling(void **state)
{
	struct document document;
	struct document_list list;
	struct buf text;
	struct err err;

	buf_init(&text, 1 << 20);
	buf_add(&text, "{\"l\":[\"a\"");
	for (int i = 0; i < DOCUMENT_MAX_ITEMS; i++)
		buf_add(&text, ",\"a\"");
	buf_add(&text, "]}");
	document = open_ok(*state, buf_str(&text));
	assert_int_equal(document_list(&document, "l", 1, &list, &err), -1);
	assert_string_equal(err.text, "l has more than 256 items");
	buf_fini(&text);
}

static int set_up(void **state)
{
	*state = arena_new();
	return 0;
}

static int tear_down(void **state)
{
	struct arena *arena = *state;

	arena_free(&arena);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_an_object_is_a_document),
		TEST(nodes_have_a_ceiling),
		TEST(the_first_byte_tells_an_object_from_a_page),
		TEST(a_text_is_printable_ascii_within_its_ceiling),
		TEST(a_secret_has_no_spaces_and_is_never_quoted),
		TEST(a_list_holds_strings_and_nothing_else),
		TEST(a_list_has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
