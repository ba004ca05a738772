/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "base/err.h"

#define HIDDEN "\"[REDACTED]\""
/* Digits before or after the point that a number may have when written out. PostgreSQL would take
 * 131072 and 16383, but then five bytes of ours become pages in every answer to a reader. */
#define MAX_DIGITS 1000
/* Longer names are not looked into: their values are hidden. */
#define LONG_NAME_BYTES 256
/* Exponents beyond it are all the same to us. */
#define HUGE_EXPONENT 1000000

/* Parts of names, compared in lower case without separators. */
static const char *const secret_names[] = {
	"token",  "secret", "password",	  "passwd",	"authorization",
	"cookie", "apikey", "credential", "privatekey",
};

/* How tokens begin, ours first. */
static const char *const secret_prefixes[] = {
	"tgk_", "sk-", "ghp_", "gho_", "github_pat_", "xox", "-----BEGIN", "Bearer ",
};

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

struct redaction {
	const char *at;
	const char *end;
	struct buf out;
	struct buf scratch;
	size_t depth;
	bool object[SPAN_MAX_DEPTH]; /* what is open */
	bool name_next;		     /* the next string is a member's name */
};

/* `text` has passed span_check, so everything ends where it should. */

static const char *string_end(const char *at)
{
	for (at++; *at != '"'; at++) {
		if (*at == '\\')
			at++;
	}
	return at + 1;
}

static const char *scalar_end(const char *at, const char *end)
{
	while (at < end && strchr(",]} \t\r\n", *at) == NULL)
		at++;
	return at;
}

static const char *value_end(const char *at, const char *end)
{
	size_t depth = 0;

	if (*at != '{' && *at != '[')
		return *at == '"' ? string_end(at) : scalar_end(at, end);
	do {
		if (*at == '"') {
			at = string_end(at);
			continue;
		}
		if (*at == '{' || *at == '[')
			depth++;
		else if (*at == '}' || *at == ']')
			depth--;
		at++;
	} while (depth > 0);
	return at;
}

/* The string's characters; borrowed until the next call. */
static struct span unescape(struct redaction *r, struct span string)
{
	int rc;

	if (memchr(string.p, '\\', string.n) == NULL)
		return (struct span){ string.p + 1, string.n - 2 };
	buf_clear(&r->scratch);
	rc = span_string(string, &r->scratch);
	assert(rc == 0);
	return buf_span(&r->scratch);
}

static bool name_is_secret(struct redaction *r, struct span string)
{
	struct span name = unescape(r, string);
	char plain[LONG_NAME_BYTES];
	size_t n = 0;

	if (name.n > sizeof(plain))
		return true;
	for (size_t i = 0; i < name.n; i++) {
		if (strchr("_-. ", name.p[i]) == NULL)
			plain[n++] = (char)tolower((unsigned char)name.p[i]);
	}
	for (size_t i = 0; i < N_OF(secret_names); i++) {
		if (memmem(plain, n, secret_names[i], strlen(secret_names[i])) != NULL)
			return true;
	}
	return false;
}

static bool begins_with(struct span text, const char *prefix)
{
	size_t n = strlen(prefix);

	return text.n >= n && memcmp(text.p, prefix, n) == 0;
}

/* The first part of a JWT is an object in base64url, and a point follows. */
static bool is_jwt(struct span text)
{
	size_t i = 0;

	if (!begins_with(text, "eyJ"))
		return false;
	while (i < text.n &&
	       (isalnum((unsigned char)text.p[i]) || text.p[i] == '_' || text.p[i] == '-'))
		i++;
	return i < text.n && text.p[i] == '.';
}

static bool value_is_secret(struct redaction *r, struct span string)
{
	struct span value = span_trim(unescape(r, string));

	for (size_t i = 0; i < N_OF(secret_prefixes); i++) {
		if (begins_with(value, secret_prefixes[i]))
			return true;
	}
	return is_jwt(value);
}

static void put_string(struct redaction *r, struct span string)
{
	static const char nul[] = "\\u0000";
	const char *at = string.p;
	const char *end = string.p + string.n;
	const char *from = at;

	while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
		if (!begins_with((struct span){ at, (size_t)(end - at) }, nul)) {
			at += 2;
			continue;
		}
		buf_append(&r->out, from, (size_t)(at - from));
		buf_add(&r->out, "\\ufffd");
		from = at += strlen(nul);
	}
	buf_append(&r->out, from, (size_t)(end - from));
}

static size_t count_digits(const char **at, const char *end)
{
	const char *from = *at;

	while (*at < end && isdigit((unsigned char)**at))
		(*at)++;
	return (size_t)(*at - from);
}

static long read_exponent(const char *at, const char *end)
{
	long value = 0;
	bool negative;

	if (at == end)
		return 0;
	at++; /* the e */
	negative = *at == '-';
	if (*at == '-' || *at == '+')
		at++;
	for (; at < end && value < HUGE_EXPONENT; at++)
		value = value * 10 + (*at - '0');
	return negative ? -value : value;
}

static bool number_is_long(struct span number)
{
	const char *at = number.p;
	const char *end = at + number.n;
	size_t before;
	size_t behind = 0;
	long exponent;

	if (*at == '-')
		at++;
	before = count_digits(&at, end);
	if (at < end && *at == '.') {
		at++;
		behind = count_digits(&at, end);
	}
	exponent = read_exponent(at, end);
	return (long)before + exponent > MAX_DIGITS || (long)behind - exponent > MAX_DIGITS;
}

static void put_char(struct redaction *r, char c)
{
	buf_append(&r->out, &c, 1);
}

static void skip_space(struct redaction *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL)
		r->at++;
}

static struct span take(struct redaction *r, const char *end)
{
	struct span taken = { r->at, (size_t)(end - r->at) };

	r->at = end;
	return taken;
}

/* With the colon, and the value too if nobody may see it. */
static void take_name(struct redaction *r)
{
	struct span name = take(r, string_end(r->at));

	put_string(r, name);
	skip_space(r);
	assert(*r->at == ':');
	r->at++;
	put_char(r, ':');
	skip_space(r);
	if (name_is_secret(r, name)) {
		r->at = value_end(r->at, r->end);
		buf_add(&r->out, HIDDEN);
	}
	r->name_next = false;
}

static void take_string(struct redaction *r)
{
	struct span string = take(r, string_end(r->at));

	if (value_is_secret(r, string))
		buf_add(&r->out, HIDDEN);
	else
		put_string(r, string);
}

static void take_scalar(struct redaction *r)
{
	struct span scalar = take(r, scalar_end(r->at, r->end));
	bool quote = span_type(scalar) == SPAN_NUMBER && number_is_long(scalar);

	if (quote)
		put_char(r, '"');
	buf_add_span(&r->out, scalar);
	if (quote)
		put_char(r, '"');
}

static void take_structure(struct redaction *r)
{
	char c = *r->at++;

	if (c == '{' || c == '[') {
		assert(r->depth < SPAN_MAX_DEPTH);
		r->object[r->depth++] = c == '{';
	} else if (c == '}' || c == ']') {
		r->depth--;
	}
	/* Behind an opening brace, or the comma between members. */
	r->name_next = c == '{' || (c == ',' && r->object[r->depth - 1]);
	put_char(r, c);
}

static void redact(struct redaction *r)
{
	while (r->at < r->end && !r->out.overflow) {
		if (strchr("{}[],", *r->at) != NULL)
			take_structure(r);
		else if (*r->at != '"')
			take_scalar(r);
		else if (r->name_next)
			take_name(r);
		else
			take_string(r);
		skip_space(r);
	}
}

void redact_arguments(struct span arguments, size_t max_bytes, struct buf *out)
{
	struct span text = span_trim(arguments);
	struct redaction r = { .at = text.p, .end = text.p + text.n };
	struct err err;

	if (span_check(text, NULL, &err) < 0) {
		buf_printf(out, "{\"_invalid\":true,\"bytes\":%zu}", arguments.n);
		return;
	}
	buf_init(&r.out, max_bytes);
	buf_init(&r.scratch, text.n);
	redact(&r);
	if (r.out.overflow)
		buf_printf(out, "{\"_truncated\":true,\"bytes\":%zu}", arguments.n);
	else
		buf_add_span(out, buf_span(&r.out));
	buf_wipe(&r.out);
	buf_wipe(&r.scratch);
}
