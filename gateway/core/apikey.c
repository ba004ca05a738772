/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/apikey.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "tokenstore/keyring.h"

enum {
	AT_ID = sizeof(APIKEY_PREFIX) - 1,
	AT_DASH = AT_ID + APIKEY_ID_CHARS,
	AT_SECRET = AT_DASH + 1,
	AT_CHECKSUM = AT_SECRET + APIKEY_SECRET_CHARS,
	AT_END = AT_CHECKSUM + APIKEY_CHECKSUM_CHARS,
};
_Static_assert(AT_END == APIKEY_CHARS, "the parts of a key do not add up");

#define BASE 62
static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* Bytes from the last incomplete round are thrown away: they would favour some digits. */
#define UNBIASED (256 / BASE * BASE)

static void random_digits(char *out, size_t n)
{
	uint8_t bytes[64];

	for (size_t i = 0; i < n;) {
		crypto_random(bytes, sizeof(bytes));
		for (size_t k = 0; k < sizeof(bytes) && i < n; k++)
			if (bytes[k] < UNBIASED)
				out[i++] = digits[bytes[k] % BASE];
	}
	mem_wipe(bytes, sizeof(bytes));
}

static void checksum_write(const char *text, char out[APIKEY_CHECKSUM_CHARS])
{
	uint32_t sum = crypto_crc32(text, AT_CHECKSUM);

	for (int i = APIKEY_CHECKSUM_CHARS - 1; i >= 0; i--) {
		out[i] = digits[sum % BASE];
		sum /= BASE;
	}
}

void apikey_new(const struct keyring *keyring, struct apikey *key, struct secret *text)
{
	char bytes[APIKEY_CHARS];

	memcpy(bytes, APIKEY_PREFIX, AT_ID);
	random_digits(bytes + AT_ID, APIKEY_ID_CHARS);
	bytes[AT_DASH] = '_';
	random_digits(bytes + AT_SECRET, APIKEY_SECRET_CHARS);
	checksum_write(bytes, bytes + AT_CHECKSUM);

	*key = (struct apikey){ 0 };
	memcpy(key->id, bytes + AT_ID, APIKEY_ID_CHARS);
	keyring_mac(keyring, bytes + AT_SECRET, APIKEY_SECRET_CHARS, key->mac);
	*text = secret_new(bytes, sizeof(bytes));
	mem_wipe(bytes, sizeof(bytes));
}

static bool all_digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] == '\0' || strchr(digits, p[i]) == NULL)
			return false;
	return true;
}

/* Nothing here need take constant time: the caller's own text is compared with its own checksum,
 * and neither depends on what is stored. */
int apikey_parse(const char *text, struct apikey_parts *parts)
{
	char checksum[APIKEY_CHECKSUM_CHARS];

	if (strnlen(text, APIKEY_CHARS + 1) != APIKEY_CHARS ||
	    memcmp(text, APIKEY_PREFIX, AT_ID) != 0 || text[AT_DASH] != '_' ||
	    !all_digits(text + AT_ID, APIKEY_ID_CHARS) ||
	    !all_digits(text + AT_SECRET, APIKEY_SECRET_CHARS))
		return -1;
	checksum_write(text, checksum);
	if (memcmp(text + AT_CHECKSUM, checksum, sizeof(checksum)) != 0)
		return -1;
	*parts = (struct apikey_parts){ 0 };
	memcpy(parts->id, text + AT_ID, APIKEY_ID_CHARS);
	memcpy(parts->secret, text + AT_SECRET, APIKEY_SECRET_CHARS);
	return 0;
}

void apikey_mac(const struct keyring *keyring, const struct apikey_parts *parts,
		uint8_t mac[SHA256_BYTES])
{
	keyring_mac(keyring, parts->secret, APIKEY_SECRET_CHARS, mac);
}
