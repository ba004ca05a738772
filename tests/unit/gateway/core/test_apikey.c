/* SPDX-License-Identifier: Apache-2.0 */

#include "gateway/core/apikey.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tokenstore/keyring.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define ROUNDS	    200

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static struct keyring *some_keyring(void)
{
	char dir[] = "/tmp/test_apikey.XXXXXX", path[64];
	struct keyring *keyring;
	struct err err;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/keyring.json", dir);
	assert_int_equal(keyring_create(path, &err), 0);
	keyring = keyring_load(path, &err);
	assert_non_null(keyring);
	unlink(path);
	rmdir(dir);
	return keyring;
}

static int set_up(void **state)
{
	*state = some_keyring();
	return 0;
}

static int tear_down(void **state)
{
	struct keyring *keyring = *state;

	keyring_free(&keyring);
	return 0;
}

static bool parses(const char *text)
{
	struct apikey_parts parts;

	return apikey_parse(text, &parts) == 0;
}

static void a_new_key_parses_into_its_id_and_mac(void **state)
{
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t mac[SHA256_BYTES];
		struct apikey_parts parts;
		struct secret text;
		struct apikey key;

		apikey_new(*state, &key, &text);
		assert_int_equal(text.n, APIKEY_CHARS);
		assert_int_equal(apikey_parse(text.reveal, &parts), 0);
		assert_string_equal(parts.id, key.id);
		assert_int_equal(strlen(parts.id), APIKEY_ID_CHARS);
		assert_int_equal(strlen(parts.secret), APIKEY_SECRET_CHARS);
		apikey_mac(*state, &parts, mac);
		assert_true(crypto_equal(mac, key.mac, sizeof(mac)));
		secret_fini(&text);
	}
}

static void a_new_key_matches_the_published_expression(void **state)
{
	struct secret text;
	struct apikey key;
	regex_t regex;

	assert_int_equal(regcomp(&regex, "^" APIKEY_REGEX "$", REG_EXTENDED | REG_NOSUB), 0);
	for (int i = 0; i < ROUNDS; i++) {
		apikey_new(*state, &key, &text);
		assert_int_equal(regexec(&regex, text.reveal, 0, NULL, 0), 0);
		secret_fini(&text);
	}
	regfree(&regex);
}

static void the_mac_is_of_the_secret_under_the_pepper(void **state)
{
	struct keyring *other = some_keyring();
	uint8_t expected[SHA256_BYTES], elsewhere[SHA256_BYTES];
	struct apikey_parts parts;
	struct secret text;
	struct apikey key;

	apikey_new(*state, &key, &text);
	keyring_mac(*state, text.reveal + 17, APIKEY_SECRET_CHARS, expected);
	assert_memory_equal(key.mac, expected, sizeof(expected));
	assert_int_equal(apikey_parse(text.reveal, &parts), 0);
	apikey_mac(other, &parts, elsewhere);
	assert_memory_not_equal(elsewhere, expected, sizeof(expected));
	secret_fini(&text);
	keyring_free(&other);
}

/* No digit is missing, and none is favoured by more than chance: of 62 digits each falls about
 * 139 times; 85 more or less is seven standard deviations. */
static void ids_and_secrets_use_all_digits_alike(void **state)
{
	int counts[256] = { 0 };
	struct secret text;
	struct apikey key;

	for (int i = 0; i < ROUNDS; i++) {
		apikey_new(*state, &key, &text);
		for (size_t k = 17; k < 17 + APIKEY_SECRET_CHARS; k++)
			counts[(unsigned char)text.reveal[k]]++;
		secret_fini(&text);
	}
	for (size_t i = 0; digits[i] != '\0'; i++)
		assert_in_range(counts[(unsigned char)digits[i]], 139 - 85, 139 + 85);
}

/* The checksum by another program: Python's zlib.crc32 in base 62. */
static void the_text_of_a_known_key_is_fixed(void **state)
{
	struct apikey_parts parts;

	(void)state;
	assert_int_equal(
		apikey_parse("tgk_0123456789AB_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg1XviJp",
			     &parts),
		0);
	assert_string_equal(parts.id, "0123456789AB");
	assert_string_equal(parts.secret, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg");
}

static void every_change_of_one_character_is_caught(void **state)
{
	struct secret text;
	struct apikey key;

	apikey_new(*state, &key, &text);
	for (size_t i = 0; i < text.n; i++) {
		char right = text.reveal[i];

		for (int c = 0; c < 256; c++) {
			text.reveal[i] = (char)c;
			assert_int_equal(parses(text.reveal), (char)c == right);
		}
		text.reveal[i] = right;
	}
	assert_true(parses(text.reveal));
	secret_fini(&text);
}

static void swapped_neighbours_are_caught(void **state)
{
	struct secret text;
	struct apikey key;

	apikey_new(*state, &key, &text);
	for (size_t i = 0; i + 1 < text.n; i++) {
		char a = text.reveal[i], b = text.reveal[i + 1];

		text.reveal[i] = b;
		text.reveal[i + 1] = a;
		assert_int_equal(parses(text.reveal), a == b);
		text.reveal[i] = a;
		text.reveal[i + 1] = b;
	}
	secret_fini(&text);
}

static void every_other_length_is_refused(void **state)
{
	char longer[APIKEY_CHARS + 2];
	struct secret text;
	struct apikey key;

	apikey_new(*state, &key, &text);
	for (size_t n = 0; n < text.n; n++) {
		char *exact = strndup(text.reveal, n); /* so that reading on is seen */

		assert_false(parses(exact));
		free(exact);
	}
	snprintf(longer, sizeof(longer), "%s0", text.reveal);
	assert_false(parses(longer));
	snprintf(longer, sizeof(longer), " %s", text.reveal);
	assert_false(parses(longer));
	secret_fini(&text);
}

/* Six digits say more than 32 bits hold. */
static void a_checksum_that_is_no_crc_is_refused(void **state)
{
	struct secret text;
	struct apikey key;

	apikey_new(*state, &key, &text);
	memcpy(text.reveal + APIKEY_CHARS - APIKEY_CHECKSUM_CHARS, "zzzzzz", APIKEY_CHECKSUM_CHARS);
	assert_false(parses(text.reveal));
	secret_fini(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_key_parses_into_its_id_and_mac),
		TEST(a_new_key_matches_the_published_expression),
		TEST(the_mac_is_of_the_secret_under_the_pepper),
		TEST(ids_and_secrets_use_all_digits_alike),
		TEST(the_text_of_a_known_key_is_fixed),
		TEST(every_change_of_one_character_is_caught),
		TEST(swapped_neighbours_are_caught),
		TEST(every_other_length_is_refused),
		TEST(a_checksum_that_is_no_crc_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
