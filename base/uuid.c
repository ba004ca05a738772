/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crypto.h"

/* The lengths of the groups of digits, RFC 9562 section 4. */
static const size_t groups[] = { 8, 4, 4, 4, 12 };
#define N_GROUPS (sizeof(groups) / sizeof(groups[0]))

void uuid_text(const uint8_t bytes[UUID_BYTES], char out[UUID_TEXT_BYTES])
{
	for (size_t i = 0; i < N_GROUPS; i++) {
		hex_encode(bytes, groups[i] / 2, out);
		bytes += groups[i] / 2;
		out += groups[i];
		*out++ = i + 1 < N_GROUPS ? '-' : '\0';
	}
}

static void uuid_write(uint8_t bytes[UUID_BYTES], uint8_t version, char out[UUID_TEXT_BYTES])
{
	bytes[6] = (uint8_t)(version << 4 | (bytes[6] & 0x0f));
	bytes[8] = 0x80 | (bytes[8] & 0x3f);
	uuid_text(bytes, out);
}

void uuid_v4(char out[UUID_TEXT_BYTES])
{
	uint8_t bytes[UUID_BYTES];

	crypto_random(bytes, sizeof(bytes));
	uuid_write(bytes, 4, out);
}

void uuid_v7(int64_t unix_ms, char out[UUID_TEXT_BYTES])
{
	uint8_t bytes[UUID_BYTES];

	crypto_random(bytes, sizeof(bytes));
	for (int i = 0; i < 6; i++)
		bytes[i] = (uint8_t)((uint64_t)unix_ms >> (40 - 8 * i));
	uuid_write(bytes, 7, out);
}

bool uuid_valid(const char *text)
{
	for (size_t i = 0; i < N_GROUPS; i++) {
		uint8_t bytes[UUID_BYTES];
		size_t n = 0;

		while (n < groups[i] && text[n] != '\0')
			n++;
		if (hex_decode((struct span){ text, n }, bytes, groups[i] / 2) < 0)
			return false;
		text += groups[i];
		if (*text != (i + 1 < N_GROUPS ? '-' : '\0'))
			return false;
		text++;
	}
	return true;
}

bool uuid_parse(const char *text, uint8_t out[UUID_BYTES])
{
	char digits[2 * UUID_BYTES];
	size_t n = 0;

	if (text == NULL || !uuid_valid(text))
		return false;
	for (; *text != '\0'; text++) {
		if (*text != '-')
			digits[n++] = *text;
	}
	return hex_decode((struct span){ digits, n }, out, UUID_BYTES) == 0;
}
