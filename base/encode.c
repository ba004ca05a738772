/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/crypto.h"

static const char url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char std_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hex_encode(const void *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[at[i] >> 4];
		*out++ = digits[at[i] & 15];
	}
	*out = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(struct span text, void *out, size_t n)
{
	uint8_t *to = out;

	if (text.n != 2 * n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text.p[2 * i]);
		int low = hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

/* The digits that n bytes need; the unused low bits of the last one are zero. */
static size_t encode(const char *alphabet, const uint8_t *p, size_t n, char *out)
{
	char *start = out;
	uint32_t bits = 0;
	int count = 0;

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		for (count += 8; count >= 6; count -= 6)
			*out++ = alphabet[bits >> (count - 6) & 63];
	}
	if (count > 0)
		*out++ = alphabet[bits << (6 - count) & 63];
	*out = '\0';
	return (size_t)(out - start);
}

size_t base64url_encode(const void *p, size_t n, char *out)
{
	return encode(url_alphabet, p, n, out);
}

size_t base64_encode(const void *p, size_t n, char *out)
{
	size_t length = encode(std_alphabet, p, n, out);

	while (length % 4 != 0)
		out[length++] = '=';
	out[length] = '\0';
	return length;
}

static int digit_value(const char *alphabet, char c)
{
	const char *at = c == '\0' ? NULL : strchr(alphabet, c);

	return at == NULL ? -1 : (int)(at - alphabet);
}

/* Only the one text that encode makes of these bytes is taken: a single digit left over, or a
 * last digit with bits that stand for nothing, is refused. */
static long decode(const char *alphabet, struct span text, uint8_t *out)
{
	uint8_t *start = out;
	uint32_t bits = 0;
	int count = 0;

	if (text.n % 4 == 1)
		return -1;
	for (size_t i = 0; i < text.n; i++) {
		int value = digit_value(alphabet, text.p[i]);

		if (value < 0)
			return -1;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			*out++ = (uint8_t)(bits >> count);
		}
	}
	if ((bits & ((1U << count) - 1)) != 0)
		return -1;
	return out - start;
}

long base64url_decode(struct span text, void *out)
{
	return decode(url_alphabet, text, out);
}

long base64_decode(struct span text, void *out)
{
	if (text.n % 4 != 0)
		return -1;
	for (int padding = 0; padding < 2 && text.n > 0 && text.p[text.n - 1] == '='; padding++)
		text.n--;
	return decode(std_alphabet, text, out);
}
