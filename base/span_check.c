/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/span_priv.h"
#include "base/utf8.h"

/* A container that is open. */
struct frame {
	bool object;
	size_t first_name; /* of the object's names in struct names */
};

struct checker {
	const char *start;
	const char *at;
	const char *end;
	const char *problem;
	struct frame *frames;
	size_t depth;
	size_t frames_max;
	size_t max_depth;
	size_t nodes_left;
	struct names names;
	struct frame inline_frames[SPAN_MAX_DEPTH];
};

static int refuse(struct checker *c, const char *problem)
{
	c->problem = problem;
	return -1;
}

/* The byte at hand; NUL at the end, which is no more welcome anywhere than a NUL byte. */
static unsigned char peek(const struct checker *c)
{
	return c->at < c->end ? (unsigned char)*c->at : 0;
}

static void skip_space(struct checker *c)
{
	while (c->at < c->end &&
	       (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
		c->at++;
}

/* Moves to the first byte that is a quote, a backslash, a control byte or not ASCII. */
static void skip_plain(struct checker *c)
{
	while (c->end - c->at >= 8) {
		uint64_t word = span_word(c->at);
		uint64_t hits = span_places(word, '"') | span_places(word, '\\') |
				((word - SPAN_ONES * 0x20) & SPAN_TOPS) | (word & SPAN_TOPS);

		if (hits != 0) {
			c->at += __builtin_ctzll(hits) / 8;
			return;
		}
		c->at += 8;
	}
	while (c->at < c->end && (unsigned char)*c->at >= 0x20 && (unsigned char)*c->at < 0x80 &&
	       *c->at != '"' && *c->at != '\\')
		c->at++;
}

static int check_unicode_escape(struct checker *c)
{
	int high = c->end - c->at >= 6 ? hex4(c->at + 2) : -1;
	int low;

	if (high < 0)
		return refuse(c, "\\u needs four hexadecimal digits");
	c->at += 6;
	if (high < 0xD800 || high > 0xDFFF)
		return 0;
	low = c->end - c->at >= 6 && c->at[0] == '\\' && c->at[1] == 'u' ? hex4(c->at + 2) : -1;
	if (high > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
		return refuse(c, "half of a surrogate pair is missing");
	c->at += 6;
	return 0;
}

static int check_escape(struct checker *c)
{
	if (c->end - c->at < 2)
		return refuse(c, "string without end");
	switch (c->at[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		c->at += 2;
		return 0;
	case 'u':
		return check_unicode_escape(c);
	default:
		return refuse(c, "unknown escape");
	}
}

static int check_characters(struct checker *c)
{
	while (c->at < c->end && (unsigned char)*c->at >= 0x80) {
		size_t n = utf8_sequence((const unsigned char *)c->at, (size_t)(c->end - c->at));

		if (n == 0)
			return refuse(c, "invalid UTF-8");
		c->at += n;
	}
	return 0;
}

/* Stands on the opening quote. *body becomes what lies between the quotes. */
static int check_string(struct checker *c, struct span *body)
{
	c->at++;
	body->p = c->at;
	for (;;) {
		skip_plain(c);
		if (c->at == c->end)
			return refuse(c, "string without end");
		if (*c->at == '"')
			break;
		if (*c->at == '\\') {
			if (check_escape(c) < 0)
				return -1;
		} else if ((unsigned char)*c->at < 0x20) {
			return refuse(c, "control byte in a string");
		} else if (check_characters(c) < 0) {
			return -1;
		}
	}
	body->n = (size_t)(c->at - body->p);
	c->at++;
	return 0;
}

static int check_digits(struct checker *c)
{
	const char *from = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > from ? 0 : refuse(c, "a digit is missing");
}

/* RFC 8259 section 6. Of any size: the value is never computed here. */
static int check_number(struct checker *c)
{
	if (peek(c) == '-')
		c->at++;
	if (peek(c) == '0')
		c->at++;
	else if (check_digits(c) < 0)
		return -1;
	if (peek(c) == '.') {
		c->at++;
		if (check_digits(c) < 0)
			return -1;
	}
	if (peek(c) != 'e' && peek(c) != 'E')
		return 0;
	c->at++;
	if (peek(c) == '+' || peek(c) == '-')
		c->at++;
	return check_digits(c);
}

static int check_literal(struct checker *c, struct span literal)
{
	if ((size_t)(c->end - c->at) < literal.n || memcmp(c->at, literal.p, literal.n) != 0)
		return refuse(c, "a value is missing");
	c->at += literal.n;
	return 0;
}

static int check_scalar(struct checker *c)
{
	struct span body;

	switch (peek(c)) {
	case '"':
		return check_string(c, &body);
	case 't':
		return check_literal(c, SPAN("true"));
	case 'f':
		return check_literal(c, SPAN("false"));
	case 'n':
		return check_literal(c, SPAN("null"));
	case '-':
	case '0' ... '9':
		return check_number(c);
	default:
		return refuse(c,
			      c->at == c->end ? "the text ends too early" : "a value is missing");
	}
}

static void grow_frames(struct checker *c)
{
	bool was_inline = c->frames == c->inline_frames;

	c->frames_max *= 2;
	c->frames = mem_resize(was_inline ? NULL : c->frames, c->frames_max, sizeof(c->frames[0]));
	if (was_inline)
		memcpy(c->frames, c->inline_frames, sizeof(c->inline_frames));
}

static int open_container(struct checker *c)
{
	if (c->depth == c->max_depth)
		return refuse(c, "nested too deep");
	if (c->depth == c->frames_max)
		grow_frames(c);
	c->frames[c->depth++] = (struct frame){ *c->at == '{', c->names.count };
	c->at++;
	return 0;
}

static void close_container(struct checker *c)
{
	names_drop(&c->names, c->frames[--c->depth].first_name);
	c->at++;
}

static unsigned char closer(const struct checker *c)
{
	return c->frames[c->depth - 1].object ? '}' : ']';
}

/* A member's name and its colon. */
static int check_name(struct checker *c)
{
	const char *from = c->at;
	struct span body;

	if (peek(c) != '"')
		return refuse(c, "a member name is missing");
	if (check_string(c, &body) < 0)
		return -1;
	if (!names_add(&c->names, body, c->frames[c->depth - 1].first_name)) {
		c->at = from;
		return refuse(c, "duplicate member name");
	}
	skip_space(c);
	if (peek(c) != ':')
		return refuse(c, "a colon is missing");
	c->at++;
	skip_space(c);
	return 0;
}

/* Goes on behind a value: closes what ends here and stops behind a comma or the whole text. */
static int check_after(struct checker *c)
{
	for (;;) {
		skip_space(c);
		if (c->depth == 0)
			return c->at == c->end ? 0 : refuse(c, "more follows the value");
		if (peek(c) == ',') {
			c->at++;
			return 0;
		}
		if (peek(c) != closer(c))
			return refuse(c, "a comma or a closing bracket is missing");
		close_container(c);
	}
}

/* One value per turn; a container counts as one when it opens. */
static int check_values(struct checker *c)
{
	do {
		skip_space(c);
		if (c->depth > 0 && c->frames[c->depth - 1].object && check_name(c) < 0)
			return -1;
		if (c->nodes_left-- == 0)
			return refuse(c, "too many values");
		if (peek(c) == '{' || peek(c) == '[') {
			if (open_container(c) < 0)
				return -1;
			skip_space(c);
			if (peek(c) != closer(c))
				continue;
			close_container(c);
		} else if (check_scalar(c) < 0) {
			return -1;
		}
		if (check_after(c) < 0)
			return -1;
	} while (c->depth > 0);
	return 0;
}

int span_check(struct span text, const struct span_limits *limits, struct err *err)
{
	struct checker c;
	int ret;

	if (text.p == NULL || text.n == 0)
		return err_set(err, ERR_PARSE, "no JSON: the text is empty");
	c.start = text.p;
	c.at = text.p;
	c.end = text.p + text.n;
	c.problem = NULL;
	c.frames = c.inline_frames;
	c.depth = 0;
	c.frames_max = SPAN_MAX_DEPTH;
	c.max_depth = limits != NULL && limits->max_depth > 0 ? limits->max_depth : SPAN_MAX_DEPTH;
	c.nodes_left = limits != NULL && limits->max_nodes > 0 ? limits->max_nodes : SPAN_MAX_NODES;
	names_init(&c.names);
	ret = check_values(&c);
	names_fini(&c.names);
	if (c.frames != c.inline_frames)
		free(c.frames);
	if (ret < 0)
		err_set(err, ERR_PARSE, "no JSON: %s at byte %zu", c.problem,
			(size_t)(c.at - c.start));
	return ret;
}
