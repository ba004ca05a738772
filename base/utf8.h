/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

/* One step through UTF-8, inline because every byte of every message passes it. */

#include <stdbool.h>
#include <stddef.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

static inline bool utf8_is_tail(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

/* Bytes of the character at p (RFC 3629 section 4), 0 if the n bytes do not begin with one. */
static inline size_t utf8_sequence(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80;
	unsigned char high = 0xBF;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 0;
	if (p[0] < 0xE0)
		return n >= 2 && utf8_is_tail(p[1]) ? 2 : 0;
	/* The second byte keeps out overlong forms, surrogates and what lies over U+10FFFF. */
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (n < 3 || p[1] < low || p[1] > high || !utf8_is_tail(p[2]))
		return 0;
	if (p[0] < 0xF0)
		return 3;
	return n >= 4 && utf8_is_tail(p[3]) ? 4 : 0;
}

/* C0, DEL and C1 (which holds a one-character CSI), for a character found by utf8_sequence. */
static inline bool utf8_is_control(const unsigned char *p, size_t n)
{
	if (n == 1)
		return p[0] < 0x20 || p[0] == 0x7F;
	return n == 2 && p[0] == 0xC2 && p[1] < 0xA0;
}

#endif
