/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "audit/redact_scan.h"
#include "audit/redact_schema.h"
#include "base/crypto.h"
#include "base/err.h"

/* Digits before or after the point that a number may have when written out. PostgreSQL would take
 * 131072 and 16383, but then five bytes of ours become pages in every answer to a reader. */
#define MAX_DIGITS 1000
/* Exponents beyond it are all the same to us. */
#define HUGE_EXPONENT 1000000

/* Behind the limit of a text, so that a secret over it is known as one. */
#define LOOKAHEAD_BYTES 4096
#define DIGEST_BYTES	(REDACT_DIGEST_DIGITS / 2)
/* A character becomes at most \\u and four digits. */
#define JSON_GROWTH 7

struct redaction {
	const struct redact_rules *rules;
	const char *at;
	const char *end;
	struct buf out;
	struct buf scratch;
	size_t depth;
	bool object[SPAN_MAX_DEPTH]; /* what is open */
	bool name_next;		     /* the next string is a member's name */
	bool hide_next;		     /* the value that comes next is a secret */
	/* Where in the schema what is open stands, and what comes next; of rules with one. */
	struct schema_set places[SPAN_MAX_DEPTH + 1];
	struct schema_set next;
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

static bool begins_with(struct span text, const char *prefix)
{
	size_t n = strlen(prefix);

	return text.n >= n && memcmp(text.p, prefix, n) == 0;
}

/* What a secret becomes; needs no escaping. */
static void put_digest(const struct redact_rules *rules, struct span secret, struct buf *out)
{
	uint8_t mac[SHA256_BYTES];
	char digits[REDACT_DIGEST_DIGITS + 1];

	if (rules->key == NULL) {
		buf_add(out, REDACT_HIDDEN);
		return;
	}
	crypto_hmac_sha256(rules->key, REDACT_KEY_BYTES, secret.p, secret.n, mac);
	hex_encode(mac, DIGEST_BYTES, digits);
	buf_add(out, "hmac:");
	buf_add(out, digits);
}

/* text without its secrets, up to the limit; the first is known. */
static void put_rest(struct scan *scan, const struct secret_place *first, struct buf *out)
{
	struct span text = scan->text;
	struct secret_place secret = *first;
	size_t from = 0;

	do {
		buf_append(out, text.p + from, secret.at - from);
		put_digest(scan->rules, (struct span){ text.p + secret.at, secret.n }, out);
		from = secret.at + secret.n;
	} while (!out->overflow && scan_next(scan, &secret));
	buf_append(out, text.p + from, text.n - from);
}

/* As it was written, but for U+0000. */
static void put_written(struct redaction *r, struct span string)
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

static void put_clean(struct redaction *r, struct scan *scan, const struct secret_place *secret)
{
	struct buf kept;
	struct buf written;

	buf_init(&kept, r->out.max_bytes);
	buf_init(&written, JSON_GROWTH * r->out.max_bytes);
	put_rest(scan, secret, &kept);
	buf_add_json_string(&written, buf_str(&kept), kept.len);
	put_written(r, buf_span(&written));
	r->out.overflow = r->out.overflow || kept.overflow;
	buf_wipe(&written);
	buf_wipe(&kept);
}

/* A name or a value, without the secrets in it. What cannot be kept as it is need not be read. */
static void put_string(struct redaction *r, struct span string)
{
	struct scan scan = { .rules = r->rules };
	struct secret_place secret;

	if (string.n > r->out.max_bytes) {
		r->out.overflow = true;
		return;
	}
	scan.text = unescape(r, string);
	if (scan_next(&scan, &secret))
		put_clean(r, &scan, &secret);
	else
		put_written(r, string);
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

static void hide(struct redaction *r, struct span value)
{
	bool is_string = value.n > 0 && *value.p == '"';

	put_char(r, '"');
	put_digest(r->rules, is_string ? unescape(r, value) : value, &r->out);
	put_char(r, '"');
}

/* With the colon. */
static void take_name(struct redaction *r)
{
	struct span name = take(r, string_end(r->at));

	put_string(r, name);
	skip_space(r);
	assert(*r->at == ':');
	r->at++;
	put_char(r, ':');
	r->name_next = false;
	r->hide_next = name_kind(r->rules, unescape(r, name)) != NAME_PLAIN;
	r->next = (struct schema_set){ 0 };
	if (r->rules->schema == NULL)
		return;
	redact_schema_member(r->rules->schema, &r->places[r->depth], unescape(r, name), &r->next);
	r->hide_next = r->hide_next || r->next.secret;
}

static void take_string(struct redaction *r)
{
	put_string(r, take(r, string_end(r->at)));
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

/* What is open hides what is in it, in a list: an object that is a secret is taken as a whole. */
static void open_list(struct redaction *r, bool hidden)
{
	struct schema_set inside = { 0 };

	if (r->rules->schema != NULL)
		redact_schema_element(r->rules->schema, &r->next, &inside);
	inside.secret = inside.secret || hidden;
	r->places[r->depth] = inside;
}

static void take_structure(struct redaction *r)
{
	char c = *r->at++;

	if (c == '{' || c == '[') {
		assert(r->depth < SPAN_MAX_DEPTH);
		r->object[r->depth++] = c == '{';
		if (c == '[')
			open_list(r, r->hide_next);
		else
			r->places[r->depth] = r->next;
	} else if (c == '}' || c == ']') {
		r->depth--;
	}
	r->hide_next = false;
	/* Behind an opening brace, or the comma between members. */
	r->name_next = c == '{' || (c == ',' && r->object[r->depth - 1]);
	put_char(r, c);
}

/* An element of a list stands where all of them do. */
static void meet_element(struct redaction *r)
{
	if (r->depth == 0 || r->object[r->depth - 1])
		return;
	r->next = r->places[r->depth];
	r->hide_next = r->next.secret;
}

/* null tells nothing, and a list is gone through. */
static bool hides(const struct redaction *r)
{
	return r->hide_next && strchr("[,]}n", *r->at) == NULL;
}

static void take_value(struct redaction *r)
{
	if (hides(r))
		hide(r, take(r, value_end(r->at, r->end)));
	else if (strchr("{}[],", *r->at) != NULL)
		take_structure(r);
	else if (*r->at == '"')
		take_string(r);
	else
		take_scalar(r);
}

static void redact(struct redaction *r)
{
	if (r->rules->schema != NULL)
		redact_schema_root(r->rules->schema, &r->next);
	r->hide_next = r->next.secret;
	while (r->at < r->end && !r->out.overflow) {
		if (*r->at == '"' && r->name_next) {
			take_name(r);
		} else {
			if (strchr(",]}", *r->at) == NULL)
				meet_element(r);
			take_value(r);
		}
		skip_space(r);
	}
}

void redact_arguments(const struct redact_rules *rules, struct span arguments, size_t max_bytes,
		      struct buf *out)
{
	struct span text = span_trim(arguments);
	struct redaction r = { .rules = rules, .at = text.p, .end = text.p + text.n };
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

bool redact_text(const struct redact_rules *rules, struct span text, size_t max_bytes,
		 struct buf *out)
{
	struct scan scan = { .rules = rules, .text = text };
	struct secret_place secret;

	if (text.n > max_bytes + LOOKAHEAD_BYTES)
		scan.text.n = max_bytes + LOOKAHEAD_BYTES;
	if (!scan_next(&scan, &secret))
		return false;
	put_rest(&scan, &secret, out);
	return true;
}
