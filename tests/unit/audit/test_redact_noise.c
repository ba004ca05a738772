/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit/redact_scan.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LOWER	     "abcdefghijklmnopqrstuvwxyz"
#define UPPER	     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	     "0123456789"
#define TRIALS	     2000

/* The same numbers in every run (splitmix64). */
static uint64_t next_number(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void random_text(uint64_t *state, const char *alphabet, char *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = alphabet[next_number(state) % strlen(alphabet)];
	out[n] = '\0';
}

/* Of a thousand random texts. */
static size_t found(const char *alphabet, size_t n)
{
	uint64_t state = 42;
	size_t hits = 0;
	char text[80];

	for (size_t i = 0; i < TRIALS; i++) {
		random_text(&state, alphabet, text, n);
		hits += is_noise((struct span){ text, n });
	}
	return hits * 1000 / TRIALS;
}

/* The rates that redact_noise.c names. */
static void random_tokens_are_noise(void **state)
{
	static const struct {
		const char *alphabet;
		size_t n;
		size_t at_least;
	} cases[] = {
		{LOWER UPPER DIGITS,	      20, 950},
		{ LOWER UPPER DIGITS,      24, 970},
		{ LOWER UPPER DIGITS,      32, 990},
		{ LOWER UPPER DIGITS,      40, 995},
		{ LOWER UPPER DIGITS,      64, 998},
		{ LOWER UPPER DIGITS "+/", 32, 985},
		{ LOWER UPPER DIGITS "-_", 43, 990},
		{ LOWER DIGITS,		24, 900},
		{ LOWER DIGITS,		32, 930},
		{ LOWER DIGITS,		40, 940},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_in_range(found(cases[i].alphabet, cases[i].n), cases[i].at_least, 1000);
}

static void hexadecimal_ids_are_none(void **state)
{
	uint64_t numbers = 7;
	char text[80];

	(void)state;
	assert_int_equal(found(DIGITS "abcdef", 40), 0);
	assert_int_equal(found(DIGITS "ABCDEF", 64), 0);
	assert_int_equal(found(DIGITS, 40), 0);
	for (size_t i = 0; i < TRIALS; i++) {
		random_text(&numbers, DIGITS "abcdef", text, 36);
		text[8] = text[13] = text[18] = text[23] = '-';
		assert_false(is_noise(span_of(text)));
	}
}

static void letters_alone_are_none(void **state)
{
	(void)state;
	assert_int_equal(found(LOWER, 32), 0);
	assert_int_equal(found(LOWER UPPER, 32), 0);
}

static void names_and_paths_are_none(void **state)
{
	static const char *const texts[] = {
		"usr/share/cmake-3/Modules/FindPythonInterp2",
		"src/main/java/com/example/UserAccountController2",
		"CONFIG_ARCH_SUPPORTS_INT128",
		"org_freedesktop_DBus_Properties_GetAll2",
		"AbstractSingletonProxyFactoryBean2",
		"2024-01-01_monthly-report_final_v2",
		"IMG_20240101_123456_HDR",
		"deployment-7d9f8b6c5d-x2k4p",
		"ip-10-0-12-34-eu-central-1-compute-internal",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"utf8mb4_unicode_520_ci_and_more",
		"x86_64-pc-linux-gnu-gcc-12",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		if (is_noise(span_of(texts[i])))
			fail_msg("%s", texts[i]);
	}
}

static void text_in_base64_is_decoded_and_nothing_else(void **state)
{
	static const struct {
		const char *run;
		const char *plain;
	} cases[] = {
		{"aGVsbG8gd29ybGQ",		     "hello world"							 },
		{ "R3LDvMOfZSBhdXMgTcO8bmNoZW4", "Gr\xc3\xbc\xc3\x9f"
						 "e aus M\xc3\xbcnchen"},
		{ "Zk3v9QpL2xTn8RbW4yHs6MdA",    NULL								  },
		{ "aGVsbG8gd29ybGQ=",	      NULL								  }, /* padding is no part of a run */
		{ "AAAA",			  NULL								  },
		{ "",			    NULL								  },
	};
	char out[NOISE_PLAIN_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t n = decode_text(span_of(cases[i].run), out);

		assert_int_equal(n, cases[i].plain != NULL ? strlen(cases[i].plain) : 0);
		assert_memory_equal(out, cases[i].plain != NULL ? cases[i].plain : "", n);
	}
}

static void long_base64_is_decoded_as_far_as_there_is_room(void **state)
{
	char run[4 * NOISE_PLAIN_BYTES];
	char out[NOISE_PLAIN_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(run); i++)
		run[i] = "YWJj"[i % 4];
	assert_int_equal(decode_text((struct span){ run, sizeof(run) }, out), NOISE_PLAIN_BYTES);
	assert_memory_equal(out, "abcabc", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_tokens_are_noise),
		cmocka_unit_test(hexadecimal_ids_are_none),
		cmocka_unit_test(letters_alone_are_none),
		cmocka_unit_test(names_and_paths_are_none),
		cmocka_unit_test(text_in_base64_is_decoded_and_nothing_else),
		cmocka_unit_test(long_base64_is_decoded_as_far_as_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
