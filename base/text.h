/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

/* Small pure readers and writers of text that several folders need. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

/* `*` matches any run of bytes, everything else itself. No brackets, escapes or locale. */
bool glob_match(const char *pattern, const char *text);
/* Decimal, no sign, no spaces, min..max. ERR_BAD_REQUEST. */
int text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out,
	      struct err *err) MUST_CHECK;
/* "250ms", "10s", "5m", "2h", "1d" or a plain number of seconds ("10", "0.5") to ms. */
int text_duration_ms(const char *text, int64_t *out, struct err *err) MUST_CHECK;
/* RFC 3339 UTC with microseconds, e.g. 2026-11-20T12:31:00.000001Z. */
#define TEXT_TIME_BYTES 28
void text_time(int64_t unix_us, char out[TEXT_TIME_BYTES]);
/* RFC 3339 to Unix microseconds; zone required. */
int text_parse_time(const char *text, int64_t *unix_us, struct err *err) MUST_CHECK;
/* RFC 9110 token. */
bool text_is_token(const char *text);
/* Valid UTF-8 without surrogates and overlong forms (RFC 3629). */
bool text_is_utf8(const char *p, size_t n);
bool text_equal_nocase(const char *a, const char *b); /* ASCII only */

#endif
