/* SPDX-License-Identifier: Apache-2.0 */

/* Published vectors for every primitive, and that nothing forged opens. */

#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list)  (sizeof(list) / sizeof((list)[0]))
#define MAX_BYTES    256
#define MAX_HEX_TEXT (2 * MAX_BYTES + 1)

struct bytes {
	uint8_t at[MAX_BYTES];
	size_t n;
};

static struct bytes unhex(const char *text)
{
	struct bytes bytes = { .n = strlen(text) / 2 };

	assert_true(bytes.n <= MAX_BYTES);
	assert_int_equal(hex_decode(span_of(text), bytes.at, bytes.n), 0);
	return bytes;
}

static void assert_hex(const void *p, size_t n, const char *expected)
{
	char text[MAX_HEX_TEXT];

	assert_int_equal(2 * n, strlen(expected));
	hex_encode(p, n, text);
	assert_string_equal(text, expected);
}

/* FIPS 180-2, appendix B, and the empty message. */
static void sha256_of_the_published_messages(void **state)
{
	static const struct {
		const char *message;
		const char *digest;
	} cases[] = {
		{"",							  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{ "abc",						      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"							     },
	};
	uint8_t digest[SHA256_BYTES];
	char *million = malloc(1000000);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		crypto_sha256(cases[i].message, strlen(cases[i].message), digest);
		assert_hex(digest, sizeof(digest), cases[i].digest);
	}
	memset(million, 'a', 1000000);
	crypto_sha256(million, 1000000, digest);
	assert_hex(digest, sizeof(digest),
		   "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

/* RFC 4231, cases 1 to 4, 6 and 7. */
static void hmac_of_the_published_messages(void **state)
{
	static const struct {
		int key_byte; /* repeated; -1: the text */
		size_t key_bytes;
		const char *key;
		const char *message;
		int message_byte; /* if message is NULL, 50 times */
		const char *mac;
	} cases[] = {
		{0x0b,	20,  NULL,		  "Hi There",					       0,
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"											     },
		{ -1,   4,	 "Jefe",		 "what do ya want for nothing?",				 0,
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"											     },
		{ 0xaa, 20,  NULL,		  NULL,						     0xdd,
		  "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"											     },
		{ -1,   25,
		  "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13"
		  "\x14\x15\x16\x17\x18\x19", NULL,						     0xcd, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{ 0xaa, 131, NULL,		   "Test Using Larger Than Block-Size Key - Hash Key First", 0,
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"											     },
		{ 0xaa, 131, NULL,
		  "This is a test using a larger than block-size key and a larger than block-size "
		  "data. The key needs to be hashed before being used by the HMAC algorithm.",	  0,    "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t key[MAX_BYTES], message[MAX_BYTES], mac[SHA256_BYTES];
		size_t n = 50;

		if (cases[i].key == NULL)
			memset(key, cases[i].key_byte, cases[i].key_bytes);
		else
			memcpy(key, cases[i].key, cases[i].key_bytes);
		memset(message, cases[i].message_byte, n);
		if (cases[i].message != NULL) {
			n = strlen(cases[i].message);
			memcpy(message, cases[i].message, n);
		}
		crypto_hmac_sha256(key, cases[i].key_bytes, message, n, mac);
		assert_hex(mac, sizeof(mac), cases[i].mac);
	}
}

static void hmac_takes_an_empty_key_and_an_empty_message(void **state)
{
	uint8_t mac[SHA256_BYTES];

	(void)state;
	crypto_hmac_sha256(NULL, 0, NULL, 0, mac);
	assert_hex(mac, sizeof(mac),
		   "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 5869, case 3; the second was made with Python's hmac by section 2 of the RFC. */
static void hkdf_of_the_published_key(void **state)
{
	uint8_t key[22], out[42];

	(void)state;
	memset(key, 0x0b, sizeof(key));
	crypto_hkdf_sha256(key, sizeof(key), "", out, sizeof(out));
	assert_hex(out, sizeof(out),
		   "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
		   "9d201395faa4b61a96c8");
	crypto_hkdf_sha256(key, sizeof(key), "audit chain", out, SHA256_BYTES);
	assert_hex(out, SHA256_BYTES,
		   "f44305d33ef7559fe1636e5c009e553b3ead159b5bc1a88eab593855aa6ae469");
}

/* Test cases 13 to 16 of the GCM submission to NIST. */
static const struct {
	const char *key, *nonce, *aad, *plain, *sealed, *tag;
} gcm_cases[] = {
	{"0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "",					  "",				      "",					  "530f8afbc74536b9a963b4f1c4cb738b"},
	{ "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "",					  "00000000000000000000000000000000",
	  "cea7403d4d606b6e074ec5d3baf39d18",													       "d0d1c8a799996bf0265b98b5d48ab919"},
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",					"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad", "b094dac5d93471bdec1a502270e3cc6c"},
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",						"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",		 "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static struct span as_span(const struct bytes *bytes)
{
	return (struct span){ (const char *)bytes->at, bytes->n };
}

static void gcm_seals_and_opens_the_published_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(gcm_cases); i++) {
		struct bytes key = unhex(gcm_cases[i].key), nonce = unhex(gcm_cases[i].nonce);
		struct bytes aad = unhex(gcm_cases[i].aad), plain = unhex(gcm_cases[i].plain);
		uint8_t out[MAX_BYTES], opened[MAX_BYTES], tag[GCM_TAG_BYTES];

		crypto_gcm_seal(key.at, nonce.at, as_span(&aad), plain.at, plain.n, out, tag);
		assert_hex(out, plain.n, gcm_cases[i].sealed);
		assert_hex(tag, sizeof(tag), gcm_cases[i].tag);
		assert_int_equal(
			crypto_gcm_open(key.at, nonce.at, as_span(&aad), out, plain.n, tag, opened),
			0);
		assert_memory_equal(opened, plain.at, plain.n);
	}
}

static void assert_forged(const struct bytes *key, const struct bytes *nonce,
			  const struct bytes *aad, const struct bytes *sealed,
			  const struct bytes *tag)
{
	static const uint8_t zeros[MAX_BYTES];
	uint8_t out[MAX_BYTES];

	memset(out, 0xee, sizeof(out));
	assert_int_equal(crypto_gcm_open(key->at, nonce->at, as_span(aad), sealed->at, sealed->n,
					 tag->at, out),
			 -1);
	assert_memory_equal(out, zeros, sealed->n); /* no unverified plaintext */
}

static void gcm_opens_nothing_with_one_bit_changed(void **state)
{
	struct bytes parts[] = { unhex(gcm_cases[3].key), unhex(gcm_cases[3].nonce),
				 unhex(gcm_cases[3].aad), unhex(gcm_cases[3].sealed),
				 unhex(gcm_cases[3].tag) };

	(void)state;
	for (size_t i = 0; i < COUNT(parts); i++) {
		for (size_t bit = 0; bit < 8 * parts[i].n; bit++) {
			parts[i].at[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_forged(&parts[0], &parts[1], &parts[2], &parts[3], &parts[4]);
			parts[i].at[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	parts[3].n--;
	assert_forged(&parts[0], &parts[1], &parts[2], &parts[3], &parts[4]);
}

static void random_bytes_fill_everything_and_differ(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	(void)state;
	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	assert_memory_not_equal(a, b, 32);
	assert_memory_not_equal(a + 32, b + 32, 32);
	crypto_random(NULL, 0);
}

static void chance_stays_within_its_bounds(void **state)
{
	bool seen[3] = { false };

	(void)state;
	assert_int_equal(crypto_chance(0), 0);
	assert_int_equal(crypto_chance(-5), 0);
	assert_true(crypto_chance(INT64_MAX) >= 0);
	while (!seen[0] || !seen[1] || !seen[2]) {
		int64_t n = crypto_chance(2);

		assert_in_range(n, 0, 2);
		seen[n] = true;
	}
}

static void equal_compares_all_bytes(void **state)
{
	(void)state;
	assert_true(crypto_equal("abcd", "abcd", 4));
	assert_true(crypto_equal("abcX", "abcY", 3));
	assert_false(crypto_equal("abcd", "abce", 4));
	assert_false(crypto_equal("abcd", "bbcd", 4));
	assert_true(crypto_equal("a", "b", 0));
}

/* The check value of both polynomials, and RFC 3720 appendix B.4. */
static void crcs_of_the_published_messages(void **state)
{
	uint8_t bytes[32];

	(void)state;
	assert_int_equal(crypto_crc32("123456789", 9), 0xcbf43926);
	assert_int_equal(crypto_crc32("", 0), 0);
	assert_int_equal(crypto_crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(crypto_crc32c("", 0), 0);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crypto_crc32c(bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crypto_crc32c(bytes, sizeof(bytes)), 0x62a8ab43);
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_int_equal(crypto_crc32c(bytes, sizeof(bytes)), 0x46dd794e);
}

static void a_crc_in_two_pieces_is_the_crc_of_the_whole(void **state)
{
	const char *text = "The quick brown fox jumps over the lazy dog";
	size_t n = strlen(text);

	(void)state;
	for (size_t cut = 0; cut <= n; cut++)
		assert_int_equal(crypto_crc32c_more(crypto_crc32c(text, cut), text + cut, n - cut),
				 crypto_crc32c(text, n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_of_the_published_messages),
		cmocka_unit_test(hmac_of_the_published_messages),
		cmocka_unit_test(hmac_takes_an_empty_key_and_an_empty_message),
		cmocka_unit_test(hkdf_of_the_published_key),
		cmocka_unit_test(gcm_seals_and_opens_the_published_messages),
		cmocka_unit_test(gcm_opens_nothing_with_one_bit_changed),
		cmocka_unit_test(random_bytes_fill_everything_and_differ),
		cmocka_unit_test(chance_stays_within_its_bounds),
		cmocka_unit_test(equal_compares_all_bytes),
		cmocka_unit_test(crcs_of_the_published_messages),
		cmocka_unit_test(a_crc_in_two_pieces_is_the_crc_of_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
