/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

#define US_PER_SECOND INT64_C(1000000)

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool glob_match(const char *pattern, const char *text)
{
	const char *star = NULL; /* the last one seen; only it can still take more bytes */
	const char *resume = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* Reads digits from *at. -1 if there are none or the number does not fit. */
static int read_digits(const char **at, uint64_t *out)
{
	const char *p = *at;
	uint64_t value = 0;

	if (!is_digit(*p))
		return -1;
	for (; is_digit(*p); p++) {
		if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -1;
	}
	*at = p;
	*out = value;
	return 0;
}

int text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct err *err)
{
	uint64_t value;

	if (read_digits(&text, &value) < 0 || *text != '\0' || value < min || value > max)
		return err_set(err, ERR_BAD_REQUEST,
			       "must be a whole number from %" PRIu64 " to %" PRIu64, min, max);
	*out = value;
	return 0;
}

static const struct {
	const char *name;
	uint64_t ms;
} duration_units[] = {
	{"ms", 1	  },
	{ "s", 1000    },
	  { "",	1000    },
	{ "m", 60000   },
	{ "h", 3600000 },
	  { "d", 86400000},
};

/* The part after the point counts in units; what is finer than a millisecond is refused. */
static int scale(uint64_t whole, const char *fraction, size_t digits, uint64_t unit_ms,
		 uint64_t *out)
{
	uint64_t rest = 0;
	uint64_t divisor = 1;

	for (size_t i = 0; i < digits; i++) {
		rest = rest * 10 + (uint64_t)(fraction[i] - '0');
		divisor *= 10;
	}
	if (rest * unit_ms % divisor != 0)
		return -1;
	if (__builtin_mul_overflow(whole, unit_ms, &whole) ||
	    __builtin_add_overflow(whole, rest * unit_ms / divisor, &whole) ||
	    whole > (uint64_t)INT64_MAX)
		return -1;
	*out = whole;
	return 0;
}

static int read_duration(const char *text, uint64_t *ms)
{
	enum { MAX_FRACTION_DIGITS = 9 };
	const char *fraction;
	uint64_t whole;
	size_t digits = 0;

	if (read_digits(&text, &whole) < 0)
		return -1;
	fraction = text;
	if (*text == '.') {
		fraction = ++text;
		while (is_digit(*text))
			text++;
		digits = (size_t)(text - fraction);
		if (digits == 0 || digits > MAX_FRACTION_DIGITS)
			return -1;
	}
	for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
		if (strcmp(text, duration_units[i].name) == 0)
			return scale(whole, fraction, digits, duration_units[i].ms, ms);
	}
	return -1;
}

int text_duration_ms(const char *text, int64_t *out, struct err *err)
{
	uint64_t ms;

	if (read_duration(text, &ms) < 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "must be a duration such as \"250ms\", \"10s\", \"5m\", \"2h\", "
			       "\"1d\" or a number of seconds");
	*out = (int64_t)ms;
	return 0;
}

static void put_digits(char *at, int64_t value, size_t width)
{
	while (width-- > 0) {
		at[width] = (char)('0' + value % 10);
		value /= 10;
	}
}

void text_time(int64_t unix_us, char out[TEXT_TIME_BYTES])
{
	/* RFC 3339 has four digits for the year; a time beyond them shows the nearest it has. */
	static const int64_t first_us = INT64_C(-62167219200) * US_PER_SECOND;
	static const int64_t last_us = INT64_C(253402300800) * US_PER_SECOND - 1;
	int64_t us;
	time_t seconds;
	struct tm tm;

	if (unix_us < first_us)
		unix_us = first_us;
	else if (unix_us > last_us)
		unix_us = last_us;
	us = unix_us % US_PER_SECOND;
	if (us < 0)
		us += US_PER_SECOND;
	seconds = (unix_us - us) / US_PER_SECOND;
	gmtime_r(&seconds, &tm);

	memcpy(out, "0000-00-00T00:00:00.000000Z", TEXT_TIME_BYTES);
	put_digits(out, tm.tm_year + 1900, 4);
	put_digits(out + 5, tm.tm_mon + 1, 2);
	put_digits(out + 8, tm.tm_mday, 2);
	put_digits(out + 11, tm.tm_hour, 2);
	put_digits(out + 14, tm.tm_min, 2);
	put_digits(out + 17, tm.tm_sec, 2);
	put_digits(out + 20, us, 6);
}

/* Exactly `width` digits followed by `after` (NUL: by anything). */
static int take_number(const char **at, size_t width, int max, char after, int *out)
{
	const char *p = *at;
	int value = 0;

	for (; width > 0; width--, p++) {
		if (!is_digit(*p))
			return -1;
		value = value * 10 + (*p - '0');
	}
	if (value > max || (after != '\0' && *p != after))
		return -1;
	*at = after == '\0' ? p : p + 1;
	*out = value;
	return 0;
}

/* What is finer than a microsecond is cut off. */
static int take_fraction(const char **at, int64_t *us)
{
	const char *p = *at;
	int64_t unit = US_PER_SECOND / 10;

	*us = 0;
	if (*p != '.')
		return 0;
	if (!is_digit(*++p))
		return -1;
	for (; is_digit(*p); p++, unit /= 10)
		*us += (*p - '0') * unit;
	*at = p;
	return 0;
}

static int take_zone(const char *p, int *offset_seconds)
{
	int sign = *p == '-' ? -1 : 1;
	int hours;
	int minutes;

	*offset_seconds = 0;
	if (*p == 'Z' || *p == 'z')
		return p[1] == '\0' ? 0 : -1;
	if (*p != '+' && *p != '-')
		return -1;
	p++;
	if (take_number(&p, 2, 23, ':', &hours) < 0 || take_number(&p, 2, 59, '\0', &minutes) < 0)
		return -1;
	*offset_seconds = sign * (hours * 3600 + minutes * 60);
	return *p == '\0' ? 0 : -1;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static int read_time(const char *p, int64_t *unix_us)
{
	struct tm tm = { 0 };
	int offset;
	int64_t us;
	time_t seconds;

	if (take_number(&p, 4, 9999, '-', &tm.tm_year) < 0 ||
	    take_number(&p, 2, 12, '-', &tm.tm_mon) < 0 ||
	    take_number(&p, 2, 31, '\0', &tm.tm_mday) < 0 || (*p != 'T' && *p != 't'))
		return -1;
	p++;
	if (take_number(&p, 2, 23, ':', &tm.tm_hour) < 0 ||
	    take_number(&p, 2, 59, ':', &tm.tm_min) < 0 ||
	    take_number(&p, 2, 60, '\0', &tm.tm_sec) < 0 || take_fraction(&p, &us) < 0 ||
	    take_zone(p, &offset) < 0)
		return -1;
	if (tm.tm_mon == 0 || tm.tm_mday == 0 || tm.tm_mday > days_in_month(tm.tm_year, tm.tm_mon))
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	seconds = timegm(&tm); /* a leap second becomes the second after it */
	*unix_us = ((int64_t)seconds - offset) * US_PER_SECOND + us;
	return 0;
}

int text_parse_time(const char *text, int64_t *unix_us, struct err *err)
{
	if (read_time(text, unix_us) < 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "must be a time with its zone such as 2026-11-20T12:31:00Z");
	return 0;
}

bool text_is_token(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		char c = *text;

		if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    strchr("!#$%&'*+-.^_`|~", c) == NULL)
			return false;
	}
	return true;
}

bool text_is_utf8(const char *p, size_t n)
{
	static const uint64_t high_bits = UINT64_C(0x8080808080808080);
	const unsigned char *at = (const unsigned char *)p;

	while (n > 0) {
		uint64_t word;
		size_t step;

		if (n >= sizeof(word)) {
			memcpy(&word, at, sizeof(word));
			if ((word & high_bits) == 0) {
				at += sizeof(word);
				n -= sizeof(word);
				continue;
			}
		}
		step = utf8_sequence(at, n);
		if (step == 0)
			return false;
		at += step;
		n -= step;
	}
	return true;
}

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool text_equal_nocase(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}
