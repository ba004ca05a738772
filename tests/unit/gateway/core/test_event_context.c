/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/event_context.h"

static void what_is_known_is_written_and_nothing_else(void **state)
{
	struct arena *arena = arena_new();
	const char *const secrets[] = { "credential", "headers", NULL };
	const char *const none[] = { NULL };

	(void)state;
	assert_string_equal(event_context_write(&(struct event_context){ .event_id = NULL }, arena),
			    "{}");
	assert_string_equal(
		event_context_write(&(struct event_context){ .event_id = "e",
							     .action = "user.create",
							     .actor = "user:a\"b",
							     .role = "admin",
							     .user_id = "u",
							     .api_key = "k",
							     .actor_tenant_id = "t",
							     .actor_tenant = "acme",
							     .via = "api",
							     .client = "curl",
							     .source_ip = "192.0.2.1",
							     .node_id = "n",
							     .signin = "code",
							     .secrets = secrets },
				    arena),
		"{\"event_id\":\"e\",\"action\":\"user.create\",\"actor\":\"user:a\\\"b\","
		"\"role\":\"admin\",\"user_id\":\"u\",\"api_key\":\"k\",\"actor_tenant_id\":\"t\","
		"\"actor_tenant\":\"acme\",\"via\":\"api\",\"client\":\"curl\","
		"\"source_ip\":\"192.0.2.1\",\"node_id\":\"n\",\"signin\":\"code\","
		"\"secrets\":[\"credential\",\"headers\"]}");
	assert_string_equal(event_context_write(&(struct event_context){ .secrets = none }, arena),
			    "{\"secrets\":[]}");
	arena_free(&arena);
}

static void texts_are_cut_between_characters_and_made_valid(void **state)
{
	struct arena *arena = arena_new();
	char text[2 * EVENT_MAX_TEXT];

	(void)state;
	assert_null(event_text(arena, NULL));
	assert_string_equal(event_text(arena, ""), "");
	assert_string_equal(event_text(arena, "a\xff\xc3z\xc3\xa9"), "a??z\xc3\xa9");
	memset(text, 'x', sizeof(text));
	memcpy(text + EVENT_MAX_TEXT - 1, "\xc3\xa9", 2); /* across the limit */
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(strlen(event_text(arena, text)), EVENT_MAX_TEXT - 1);
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(strlen(event_text(arena, text)), EVENT_MAX_TEXT);
	memset(text, '\x80', sizeof(text) - 1);
	assert_int_equal(strlen(event_text(arena, text)), 0);
	arena_free(&arena);
}

static void secrets_in_what_anybody_may_write_are_taken_out(void **state)
{
	static const char key[] = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
	struct arena *arena = arena_new();
	char text[2 * EVENT_MAX_TEXT];

	(void)state;
	assert_null(event_foreign_text(arena, NULL));
	assert_string_equal(event_foreign_text(arena, "curl/8.5 \xff"), "curl/8.5 ?");
	assert_null(strstr(event_foreign_text(arena, key), "ghp_"));
	for (size_t before = 200; before < EVENT_MAX_TEXT; before += 9) {
		snprintf(text, sizeof(text), "%*s%s", (int)before, "", key);
		assert_null(strstr(event_foreign_text(arena, text), "ghp_"));
	}
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_is_written_and_nothing_else),
		cmocka_unit_test(texts_are_cut_between_characters_and_made_valid),
		cmocka_unit_test(secrets_in_what_anybody_may_write_are_taken_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
