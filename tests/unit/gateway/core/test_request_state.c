/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/request_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1800000000

static struct seal_key keys[2];
static struct tenant tenant = { .id = "t-1", .keys = keys, .n_keys = 2 };

static int make_keys(void **state)
{
	(void)state;
	seal_key_random(&keys[0], 1, 1);
	seal_key_random(&keys[1], 1, 2);
	return 0;
}

static struct request_state a_state(void)
{
	return (struct request_state){
		.tenant = &tenant,
		.deployment = "d",
		.principal = "user:1",
		.connection_id = "c-1",
		.method = "tools/call",
		.tool = "get",
		.arguments = SPAN("{\"a\":1}"),
	};
}

static void write_text(const struct request_state *state, char out[256])
{
	struct buf text;

	buf_init(&text, 256);
	assert_int_equal(request_state_write(state, NOW, &text), 0);
	snprintf(out, 256, "%s", buf_str(&text));
	buf_fini(&text);
}

static void it_is_good_for_its_call_until_it_expires(void **state)
{
	const struct request_state mine = a_state();
	char text[256];
	struct err err;

	(void)state;
	write_text(&mine, text);
	assert_int_equal(request_state_check(&mine, text, NOW, &err), 0);
	assert_int_equal(request_state_check(&mine, text, NOW + REQUEST_STATE_LIFETIME_S, &err), 0);
	assert_int_equal(request_state_check(&mine, text, NOW + REQUEST_STATE_LIFETIME_S + 1, &err),
			 -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
}

static void what_an_older_key_sealed_still_opens(void **state)
{
	const struct request_state mine = a_state();
	char text[256];
	struct err err;

	(void)state;
	tenant.n_keys = 1;
	write_text(&mine, text);
	tenant.n_keys = 2;
	assert_int_equal(request_state_check(&mine, text, NOW, &err), 0);
}

static void it_is_good_for_no_other_call(void **state)
{
	struct tenant other_tenant = { .id = "t-2", .keys = keys, .n_keys = 2 };
	struct request_state others[9];
	char text[256];
	struct err err;

	(void)state;
	for (size_t i = 0; i < 9; i++)
		others[i] = a_state();
	others[0].tenant = &other_tenant;
	others[1].deployment = "e";
	others[2].principal = "user:2";
	others[3].connection_id = "c-2";
	others[4].method = "prompts/get";
	others[5].tool = "put";
	others[6].arguments = SPAN("{\"a\":2}");
	others[7].arguments = (struct span){ 0 };
	others[8].method = "tools/callget"; /* with the tool it makes the same text */
	others[8].tool = "";
	for (size_t i = 0; i < 9; i++) {
		const struct request_state mine = a_state();

		write_text(&mine, text);
		assert_int_equal(request_state_check(&others[i], text, NOW, &err), -1);
		assert_int_equal(err.code, ERR_INVALID_PARAMS);
		write_text(&others[i], text);
		assert_int_equal(request_state_check(&mine, text, NOW, &err), -1);
	}
}

static void no_byte_of_it_may_change(void **state)
{
	const struct request_state mine = a_state();
	char text[256];
	struct err err;

	(void)state;
	write_text(&mine, text);
	for (size_t i = 0; i < strlen(text); i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(request_state_check(&mine, text, NOW, &err), -1);
		assert_int_equal(err.code, ERR_INVALID_PARAMS);
		text[i] = was;
	}
	text[strlen(text) - 4] = '\0';
	assert_int_equal(request_state_check(&mine, text, NOW, &err), -1);
}

static void nonsense_is_none_of_ours(void **state)
{
	static const char *const texts[] = { "", "A", "====", "\xff", "AAAA" };
	const struct request_state mine = a_state();
	char longer[1024];
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(request_state_check(&mine, texts[i], NOW, &err), -1);
	memset(longer, 'A', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(request_state_check(&mine, longer, NOW, &err), -1);
	write_text(&mine, longer);
	memcpy(longer + strlen(longer), "AAAA", sizeof("AAAA"));
	assert_int_equal(request_state_check(&mine, longer, NOW, &err), -1);
}

static void without_a_key_there_is_none(void **state)
{
	struct request_state mine = a_state();
	struct tenant keyless = { .id = "t-1" };
	struct buf text;

	(void)state;
	mine.tenant = &keyless;
	buf_init(&text, 256);
	assert_int_equal(request_state_write(&mine, NOW, &text), -1);
	assert_int_equal(text.len, 0);
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_good_for_its_call_until_it_expires),
		cmocka_unit_test(what_an_older_key_sealed_still_opens),
		cmocka_unit_test(it_is_good_for_no_other_call),
		cmocka_unit_test(no_byte_of_it_may_change),
		cmocka_unit_test(nonsense_is_none_of_ours),
		cmocka_unit_test(without_a_key_there_is_none),
	};

	return cmocka_run_group_tests(tests, make_keys, NULL);
}
