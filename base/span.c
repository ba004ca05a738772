/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/span_priv.h"

struct span span_of(const char *s)
{
	return (struct span){ s, s != NULL ? strlen(s) : 0 };
}

bool span_eq(struct span a, struct span b)
{
	if (a.p == NULL || b.p == NULL)
		return a.p == b.p;
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

bool span_is(struct span a, const char *s)
{
	return span_eq(a, span_of(s));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const char *skip_space(const char *at, const char *end)
{
	while (at < end && is_space(*at))
		at++;
	return at;
}

/* To the next quote or backslash. */
static const char *find_string_mark(const char *at, const char *end)
{
	while (end - at >= 8) {
		uint64_t word = span_word(at);
		uint64_t hits = span_places(word, '"') | span_places(word, '\\');

		if (hits != 0)
			return at + __builtin_ctzll(hits) / 8;
		at += 8;
	}
	while (at < end && *at != '"' && *at != '\\')
		at++;
	return at;
}

/* To the next quote or bracket. */
static const char *find_structure(const char *at, const char *end)
{
	while (end - at >= 8) {
		/* The bit that tells square from curly is set everywhere: two tests do for four. */
		uint64_t word = span_word(at) | SPAN_ONES * 0x20;
		uint64_t hits =
			span_places(word, '"') | span_places(word, '{') | span_places(word, '}');

		if (hits != 0)
			return at + __builtin_ctzll(hits) / 8;
		at += 8;
	}
	while (at < end && *at != '"' && (*at | 0x20) != '{' && (*at | 0x20) != '}')
		at++;
	return at;
}

/* From the opening quote to behind the closing one. */
static const char *skip_string(const char *at, const char *end)
{
	at++;
	for (;;) {
		at = find_string_mark(at, end);
		assert(at < end);
		if (*at == '"')
			return at + 1;
		assert(end - at >= 2);
		at += 2;
	}
}

static const char *skip_container(const char *at, const char *end)
{
	size_t depth = 0;

	do {
		at = find_structure(at, end);
		assert(at < end);
		if (*at == '"') {
			at = skip_string(at, end);
			continue;
		}
		if (*at == '{' || *at == '[')
			depth++;
		else
			depth--;
		at++;
	} while (depth > 0);
	return at;
}

static const char *skip_value(const char *at, const char *end)
{
	assert(at < end);
	if (*at == '"')
		return skip_string(at, end);
	if (*at == '{' || *at == '[')
		return skip_container(at, end);
	while (at < end && *at != ',' && *at != ']' && *at != '}' && !is_space(*at))
		at++;
	return at;
}

struct span span_trim(struct span value)
{
	while (value.n > 0 && is_space(*value.p)) {
		value.p++;
		value.n--;
	}
	while (value.n > 0 && is_space(value.p[value.n - 1]))
		value.n--;
	return value;
}

enum span_type span_type(struct span value)
{
	value = span_trim(value);
	if (value.n == 0)
		return SPAN_ABSENT;
	switch (*value.p) {
	case 'n':
		return SPAN_NULL;
	case 't':
	case 'f':
		return SPAN_BOOL;
	case '"':
		return SPAN_STRING;
	case '[':
		return SPAN_ARRAY;
	case '{':
		return SPAN_OBJECT;
	default:
		return SPAN_NUMBER;
	}
}

void span_iter_init(struct span_iter *iter, struct span container)
{
	enum span_type type = span_type(container);

	*iter = (struct span_iter){ NULL, NULL, type == SPAN_OBJECT };
	if (type != SPAN_OBJECT && type != SPAN_ARRAY)
		return;
	container = span_trim(container);
	assert(container.n >= 2);
	iter->at = container.p + 1;
	iter->end = container.p + container.n - 1;
}

bool span_next(struct span_iter *iter, struct span *key, struct span *value)
{
	const char *from = skip_space(iter->at, iter->end);

	*key = (struct span){ NULL, 0 };
	*value = (struct span){ NULL, 0 };
	if (from == iter->end)
		return false;
	if (iter->object) {
		const char *behind = skip_string(from, iter->end);

		*key = (struct span){ from, (size_t)(behind - from) };
		from = skip_space(behind, iter->end);
		assert(from < iter->end && *from == ':');
		from = skip_space(from + 1, iter->end);
	}
	iter->at = skip_value(from, iter->end);
	*value = (struct span){ from, (size_t)(iter->at - from) };
	iter->at = skip_space(iter->at, iter->end);
	if (iter->at < iter->end)
		iter->at++; /* the comma */
	return true;
}

struct span span_get(struct span object, const char *key)
{
	struct span_iter iter;
	struct span name;
	struct span value;

	span_iter_init(&iter, object);
	while (iter.object && span_next(&iter, &name, &value)) {
		if (span_string_is(name, key))
			return value;
	}
	return (struct span){ NULL, 0 };
}

int hex4(const char *p)
{
	int value = 0;

	for (size_t i = 0; i < 4; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return value;
}

void pieces_init(struct pieces *pieces, struct span body)
{
	pieces->at = body.p;
	pieces->end = body.p + body.n;
}

/* Stands behind "\u"; high and low surrogates come in pairs in a checked text. */
static size_t decode_unicode(struct pieces *pieces)
{
	unsigned int code = (unsigned int)hex4(pieces->at);
	char *out = pieces->decoded;

	pieces->at += 4;
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xC0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0xD800 || code > 0xDFFF) {
		out[0] = (char)(0xE0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3F));
		out[2] = (char)(0x80 | (code & 0x3F));
		return 3;
	}
	assert(pieces->end - pieces->at >= 6);
	code = 0x10000 + ((code & 0x3FF) << 10 | ((unsigned int)hex4(pieces->at + 2) & 0x3FF));
	pieces->at += 6;
	out[0] = (char)(0xF0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3F));
	out[2] = (char)(0x80 | (code >> 6 & 0x3F));
	out[3] = (char)(0x80 | (code & 0x3F));
	return 4;
}

static size_t decode_escape(struct pieces *pieces)
{
	char c;

	assert(pieces->end - pieces->at >= 2);
	c = pieces->at[1];
	pieces->at += 2;
	switch (c) {
	case 'u':
		assert(pieces->end - pieces->at >= 4);
		return decode_unicode(pieces);
	case 'b':
		c = '\b';
		break;
	case 'f':
		c = '\f';
		break;
	case 'n':
		c = '\n';
		break;
	case 'r':
		c = '\r';
		break;
	case 't':
		c = '\t';
		break;
	default:
		break;
	}
	pieces->decoded[0] = c;
	return 1;
}

bool pieces_next(struct pieces *pieces, struct span *piece)
{
	const char *from = pieces->at;

	if (from == pieces->end)
		return false;
	if (*from == '\\') {
		*piece = (struct span){ pieces->decoded, decode_escape(pieces) };
		return true;
	}
	pieces->at = find_string_mark(from, pieces->end);
	*piece = (struct span){ from, (size_t)(pieces->at - from) };
	return true;
}

/* False if value is no string. */
static bool string_pieces(struct span value, struct pieces *pieces)
{
	value = span_trim(value);
	if (span_type(value) != SPAN_STRING)
		return false;
	assert(value.n >= 2);
	pieces_init(pieces, (struct span){ value.p + 1, value.n - 2 });
	return true;
}

int span_string(struct span value, struct buf *out)
{
	struct pieces pieces;
	struct span piece;

	if (!string_pieces(value, &pieces))
		return -1;
	while (pieces_next(&pieces, &piece)) {
		if (buf_add_span(out, piece) < 0)
			return -1;
	}
	return 0;
}

bool span_string_is(struct span value, const char *s)
{
	struct pieces pieces;
	struct span piece;
	size_t left = strlen(s);

	if (!string_pieces(value, &pieces))
		return false;
	while (pieces_next(&pieces, &piece)) {
		if (piece.n > left || memcmp(piece.p, s, piece.n) != 0)
			return false;
		s += piece.n;
		left -= piece.n;
	}
	return left == 0;
}

int span_int64(struct span value, int64_t *out)
{
	int64_t number = 0;
	bool negative;
	size_t i;

	value = span_trim(value);
	if (span_type(value) != SPAN_NUMBER)
		return -1;
	negative = *value.p == '-';
	for (i = negative ? 1 : 0; i < value.n; i++) {
		int64_t digit = value.p[i] - '0';

		if (digit < 0 || digit > 9)
			return -1;
		/* Downwards, because the smallest number has no positive counterpart. */
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_sub_overflow(number, digit, &number))
			return -1;
	}
	if (!negative && number == INT64_MIN)
		return -1;
	*out = negative ? number : -number;
	return 0;
}

bool span_true(struct span value)
{
	return span_is(span_trim(value), "true");
}
