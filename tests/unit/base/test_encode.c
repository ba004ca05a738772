/* SPDX-License-Identifier: Apache-2.0 */

#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void hex_goes_there_and_back(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0x7f, 0x80, 0xab, 0xff };
	uint8_t back[sizeof(bytes)];
	char text[2 * sizeof(bytes) + 1];

	(void)state;
	hex_encode(bytes, sizeof(bytes), text);
	assert_string_equal(text, "00017f80abff");
	assert_int_equal(hex_decode(span_of(text), back, sizeof(back)), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_int_equal(hex_decode(span_of("00017F80aBFf"), back, sizeof(back)), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	hex_encode(bytes, 0, text);
	assert_string_equal(text, "");
	assert_int_equal(hex_decode(span_of(""), back, 0), 0);
}

static void hex_takes_exactly_its_digits(void **state)
{
	static const char *const bad[] = { "",	    "ab",   "abc",  "abcde", "abcdef",
					   "0x12",  "ab g", "abcg", "ab-d",  " bcd",
					   "abc\n", "/bcd", ":bcd", "@bcd",  "`bcd" };
	uint8_t out[2];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(hex_decode(span_of(bad[i]), out, sizeof(out)), -1);
	assert_int_equal(hex_decode((struct span){ "ab\0d", 4 }, out, sizeof(out)), -1);
}

/* RFC 4648 section 10, and the bytes on which the two alphabets differ. */
static const struct {
	struct span bytes;
	const char *base64;
	const char *url;
} vectors[] = {
	{{ "", 0 },		     "",	 ""	    },
	{ { "f", 1 },		      "Zg==",     "Zg"	   },
	{ { "fo", 2 },	       "Zm8=",     "Zm8"     },
	{ { "foo", 3 },		"Zm9v",	"Zm9v"    },
	{ { "foob", 4 },		 "Zm9vYg==", "Zm9vYg"  },
	{ { "fooba", 5 },		  "Zm9vYmE=", "Zm9vYmE" },
	{ { "foobar", 6 },	   "Zm9vYmFy", "Zm9vYmFy"},
	{ { "\xfb\xff\xbf", 3 },	 "+/+/",	 "-_-_"	},
	{ { "\xff\xff\xff\xff", 4 }, "/////w==", "_____w"  },
	{ { "\0\0", 2 },		 "AAA=",	 "AAA"     },
};

static void base64_of_the_published_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		struct span bytes = vectors[i].bytes;
		char text[32], back[32];

		assert_int_equal(base64_encode(bytes.p, bytes.n, text), strlen(vectors[i].base64));
		assert_string_equal(text, vectors[i].base64);
		assert_int_equal(base64_decode(span_of(text), back), bytes.n);
		assert_memory_equal(back, bytes.p, bytes.n);

		assert_int_equal(base64url_encode(bytes.p, bytes.n, text), strlen(vectors[i].url));
		assert_string_equal(text, vectors[i].url);
		assert_int_equal(base64url_decode(span_of(text), back), bytes.n);
		assert_memory_equal(back, bytes.p, bytes.n);
	}
}

static void every_byte_survives_at_every_length(void **state)
{
	uint8_t bytes[256], back[256 + 3];
	char text[(256 + 2) / 3 * 4 + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		size_t length = base64url_encode(bytes, n, text);

		assert_int_equal(base64url_decode((struct span){ text, length }, back), n);
		assert_memory_equal(back, bytes, n);
		length = base64_encode(bytes, n, text);
		assert_int_equal(base64_decode((struct span){ text, length }, back), n);
		assert_memory_equal(back, bytes, n);
	}
}

static void base64url_takes_only_the_canonical_text(void **state)
{
	static const char *const bad[] = {
		"Z",				     /* one digit is no byte */
		"Zm9vY",			     /* … nor at the end */
		"Zg=",	 "Zg==",       "Zm8=",	     /* padding */
		"=",	 "==",	       "====",	     /* nothing but */
		"Zh",	 "Zi",	       "Zk",   "Zo", /* bits behind the last byte */
		"Zm9",	 "Zm-",			     /* the same, two bytes */
		"Zm9v+", "+_-_",       "/w",	     /* the other alphabet */
		"Zm 9v", "Zm9v\n",     " Zg",	     /* white space */
		"Zm9v.", "Zm\xc3\xa4",		     /* junk */
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(base64url_decode(span_of(bad[i]), out), -1);
	assert_int_equal(base64url_decode((struct span){ "Zm\0v", 4 }, out), -1);
	assert_int_equal(base64url_decode((struct span){ "\0\0", 2 }, out), -1);
}

static void base64_takes_only_the_canonical_text(void **state)
{
	static const char *const bad[] = {
		"Zg",	    "Zg=",    "Zm8",	  /* padding missing */
		"Z===",	    "====",   "=",	  /* no digits to pad */
		"Zm9v====", "Zg===",  "Zm9v=",	  /* too much of it */
		"Zg==Zg==", "Z=g=",   "=Zg=",	  /* not at the end */
		"Zh==",	    "Zm9=",		  /* bits behind the last byte */
		"-_-_",	    "Zm9v\n", "Zm 9vYg=", /* junk */
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(base64_decode(span_of(bad[i]), out), -1);
	assert_int_equal(base64_decode((struct span){ "Zm9\0", 4 }, out), -1);
}

/* Of all two-digit texts exactly the 256 canonical ones decode. */
static void a_byte_has_one_text(void **state)
{
	int taken = 0;

	(void)state;
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			const char text[2] = { (char)a, (char)b };
			char out[4];

			if (base64url_decode((struct span){ text, 2 }, out) == 1)
				taken++;
		}
	}
	assert_int_equal(taken, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_goes_there_and_back),
		cmocka_unit_test(hex_takes_exactly_its_digits),
		cmocka_unit_test(base64_of_the_published_texts),
		cmocka_unit_test(every_byte_survives_at_every_length),
		cmocka_unit_test(base64url_takes_only_the_canonical_text),
		cmocka_unit_test(base64_takes_only_the_canonical_text),
		cmocka_unit_test(a_byte_has_one_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
