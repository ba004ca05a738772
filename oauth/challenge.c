/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/challenge.h"

#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"
#define TOKEN	LETTERS DIGITS "!#$%&'*+-.^_`|~"
#define TOKEN68 LETTERS DIGITS "-._~+/"

struct reader {
	const char *at; /* of a copy that ends with NUL */
	struct arena *arena;
	size_t n_params;
	struct err *err;
};

static const struct {
	const char *name;
	size_t offset;
} known[] = {
	{"resource_metadata",  offsetof(struct challenge, resource_metadata)},
	{ "scope",		   offsetof(struct challenge, scope)	     },
	{ "error",		   offsetof(struct challenge, error)	     },
	{ "error_description", offsetof(struct challenge, error_description)},
};

static int refuse(struct reader *reader, const char *why)
{
	return err_set(reader->err, ERR_UPSTREAM, "WWW-Authenticate: %s", why);
}

static void skip_blank(struct reader *reader)
{
	reader->at += strspn(reader->at, " \t");
}

static void skip_commas(struct reader *reader)
{
	reader->at += strspn(reader->at, " \t,");
}

/* NULL if there is none here. */
static const char *read_token(struct reader *reader)
{
	size_t n = strspn(reader->at, TOKEN);
	const char *token = n > 0 ? arena_dup(reader->arena, reader->at, n) : NULL;

	reader->at += n;
	return token;
}

/* Whether a parameter stands here, and not the scheme of the next challenge. */
static bool at_param(const struct reader *reader)
{
	const char *at = reader->at + strspn(reader->at, TOKEN);

	return at > reader->at && at[strspn(at, " \t")] == '=';
}

/* Credentials in one word, as `Negotiate` has them. */
static bool skip_token68(struct reader *reader)
{
	const char *at = reader->at + strspn(reader->at, TOKEN68);

	if (at == reader->at)
		return false;
	at += strspn(at, "=");
	at += strspn(at, " \t");
	if (*at != '\0' && *at != ',')
		return false;
	reader->at = at;
	return true;
}

static int read_quoted(struct reader *reader, struct buf *value)
{
	for (reader->at++; *reader->at != '"'; reader->at++) {
		if (*reader->at == '\\')
			reader->at++;
		if (*reader->at == '\0')
			return refuse(reader, "a quoted value does not end");
		buf_append(value, reader->at, 1);
	}
	reader->at++;
	return 0;
}

static int read_bare(struct reader *reader, struct buf *value)
{
	size_t n = strcspn(reader->at, " \t,\"\\");

	if (n == 0)
		return refuse(reader, "a parameter has no value");
	buf_append(value, reader->at, n);
	reader->at += n;
	return 0;
}

static bool is_printable(const struct buf *value)
{
	for (size_t i = 0; i < value->len; i++) {
		if (value->data[i] < ' ' || value->data[i] > '~')
			return false;
	}
	return true;
}

/* A value that is empty or goes beyond ASCII says nothing. */
static int keep(struct reader *reader, struct challenge *challenge, const char *name,
		const struct buf *value)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const char **member = (const char **)((char *)challenge + known[i].offset);

		if (!text_equal_nocase(name, known[i].name))
			continue;
		if (*member != NULL)
			return refuse(reader, "a parameter stands twice");
		if (value->len > 0 && is_printable(value))
			*member = arena_dup(reader->arena, value->data, value->len);
	}
	return 0;
}

static int read_param(struct reader *reader, struct challenge *challenge)
{
	const char *name = read_token(reader);
	struct buf value;
	int ret;

	if (++reader->n_params > CHALLENGE_MAX_PARAMS)
		return refuse(reader, "too many parameters");
	skip_blank(reader);
	if (name == NULL || *reader->at != '=')
		return refuse(reader, "a parameter is malformed");
	reader->at++;
	skip_blank(reader);
	buf_init(&value, CHALLENGE_MAX_VALUE_BYTES);
	ret = *reader->at == '"' ? read_quoted(reader, &value) : read_bare(reader, &value);
	if (ret == 0 && value.overflow)
		ret = refuse(reader, "a value is too long");
	if (ret == 0)
		ret = keep(reader, challenge, name, &value);
	buf_fini(&value);
	return ret;
}

static int read_params(struct reader *reader, struct challenge *challenge)
{
	do {
		if (read_param(reader, challenge) < 0)
			return -1;
		skip_blank(reader);
		if (*reader->at != '\0' && *reader->at != ',')
			return refuse(reader, "a comma is missing");
		skip_commas(reader);
	} while (at_param(reader));
	return 0;
}

static int read_challenge(struct reader *reader, struct challenge *challenge)
{
	const char *scheme = read_token(reader);

	if (scheme == NULL)
		return refuse(reader, "no scheme");
	challenge->bearer = text_equal_nocase(scheme, "bearer");
	if (*reader->at != '\0' && strchr(" \t,", *reader->at) == NULL)
		return refuse(reader, "a scheme is malformed");
	skip_blank(reader);
	if (*reader->at == '\0' || *reader->at == ',' || skip_token68(reader))
		return 0;
	return read_params(reader, challenge);
}

int challenge_parse(struct span header, struct arena *arena, struct challenge *challenge,
		    struct err *err)
{
	struct reader reader = { .arena = arena, .err = err };

	*challenge = (struct challenge){ 0 };
	if (header.n > CHALLENGE_MAX_BYTES)
		return refuse(&reader, "too long");
	if (header.n > 0 && memchr(header.p, '\0', header.n) != NULL)
		return refuse(&reader, "a NUL byte");
	reader.at = arena_dup(arena, header.p, header.n);
	for (skip_commas(&reader); *reader.at != '\0'; skip_commas(&reader)) {
		struct challenge one = { 0 };

		if (read_challenge(&reader, &one) < 0)
			return -1;
		if (one.bearer && (!challenge->bearer || (challenge->resource_metadata == NULL &&
							  one.resource_metadata != NULL)))
			*challenge = one;
	}
	return 0;
}
