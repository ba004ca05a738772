/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random tokens, by how often the kind of character changes.
 *
 * Shannon's entropy says little of 20 to 40 characters: a path has as much as a key. What a random
 * token has and a name has not is that lower case, upper case and digits follow each other without
 * order. So the changes between them are counted, a capital before a small letter being none (a
 * camelCase word has one change then, not two), and at least every fourth character has to be one.
 *
 * Left out of the count, because they are ids and not secrets far more often than the other way
 * round: groups that are hexadecimal in one case (UUIDs, hashes of commits and files, numbers). A
 * run with less than 16 characters left, or with no digit among them, is no noise, nor is a ULID.
 * Base64 of readable text is noise by that count; it is told apart by decoding it.
 *
 * Measured: of random runs of 20, 24, 32, 40 and 64 letters and digits 96.5, 98, 99.5, 99.8 and
 * 100 % are found, of lower case and digits alone 92 (24) to 96 % (40). Of 59,384 paths of a Linux
 * system and a source tree 7 are taken for secrets, of 60,000 identifiers in C and JavaScript 408,
 * nearly all of them hexadecimal constants with a suffix; of UUIDs, SHA-1 and SHA-256 none. A
 * threshold of 0.28 would lose a tenth of the lower-case tokens, 0.22 doubles the wrong ones.
 * Keys that are hexadecimal, or letters only, are not found this way: names and schemas do that.
 */

#include <ctype.h>
#include <string.h>

#include "audit/redact_scan.h"
#include "base/text.h"

#define MIN_CHARS	   16 /* that are no hexadecimal group */
#define CHARS_PER_CHANGE   4
#define ULID_CHARS	   26
#define ULID_DIGITS	   "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#define UTF8_TAIL	   3 /* bytes that a cut may leave of a character */
#define BASE64_QUAD_BYTES  3
#define BASE64_DIGIT_BITS  6
#define BASE64_BYTE_BITS   8
#define BASE64_QUAD_DIGITS 4

struct noise {
	size_t n_chars;
	size_t n_changes;
	size_t n_digits;
};

static int class_of(char c)
{
	if (islower((unsigned char)c))
		return 1;
	return isupper((unsigned char)c) ? 2 : 3;
}

static bool is_hex(struct span group)
{
	bool lower = false;
	bool upper = false;

	for (size_t i = 0; i < group.n; i++) {
		if (!isxdigit((unsigned char)group.p[i]))
			return false;
		lower = lower || islower((unsigned char)group.p[i]);
		upper = upper || isupper((unsigned char)group.p[i]);
	}
	return !(lower && upper);
}

/* A group of letters and digits. */
static void count_group(struct span group, struct noise *noise)
{
	if (is_hex(group))
		return;
	noise->n_chars += group.n;
	for (size_t i = 0; i < group.n; i++) {
		int now = class_of(group.p[i]);
		int before = i > 0 ? class_of(group.p[i - 1]) : now;
		bool word_begins =
			before == 2 && now == 1 && (i < 2 || class_of(group.p[i - 2]) != 2);

		noise->n_digits += now == 3;
		noise->n_changes += before != now && !word_begins;
	}
}

static bool is_ulid(struct span run)
{
	if (run.n != ULID_CHARS || run.p[0] != '0')
		return false;
	for (size_t i = 0; i < run.n; i++) {
		if (strchr(ULID_DIGITS, run.p[i]) == NULL)
			return false;
	}
	return true;
}

bool is_noise(struct span run)
{
	struct noise noise = { 0 };
	size_t i = 0;

	while (i < run.n) {
		size_t from = i;

		while (i < run.n && isalnum((unsigned char)run.p[i]))
			i++;
		if (i > from)
			count_group((struct span){ run.p + from, i - from }, &noise);
		else
			i++;
	}
	return noise.n_chars >= MIN_CHARS && noise.n_digits > 0 &&
	       noise.n_changes * CHARS_PER_CHANGE >= noise.n_chars && !is_ulid(run);
}

static int digit_of(char c)
{
	if (isupper((unsigned char)c))
		return c - 'A';
	if (islower((unsigned char)c))
		return c - 'a' + 26;
	if (isdigit((unsigned char)c))
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

static bool is_readable(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c < 0x20 && strchr("\t\r\n", c) == NULL) || c == 0x7f || c == 0)
			return false;
	}
	for (size_t cut = 0; cut <= UTF8_TAIL && cut < n; cut++) {
		if (text_is_utf8(p, n - cut))
			return true;
	}
	return false;
}

size_t decode_text(struct span run, char out[NOISE_PLAIN_BYTES])
{
	unsigned bits = 0;
	int n_bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < run.n && n < NOISE_PLAIN_BYTES; i++) {
		int digit = digit_of(run.p[i]);

		if (digit < 0)
			return 0;
		bits = (bits << BASE64_DIGIT_BITS | (unsigned)digit) & 0xffff;
		n_bits += BASE64_DIGIT_BITS;
		if (n_bits < BASE64_BYTE_BITS)
			continue;
		n_bits -= BASE64_BYTE_BITS;
		out[n++] = (char)(bits >> n_bits & 0xff);
	}
	return n > 0 && is_readable(out, n) ? n : 0;
}
