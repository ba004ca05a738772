/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/query.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

/* out has room for raw.n + 1 bytes. */
static bool decode(struct span raw, char *out)
{
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '+')
			c = ' ';
		if (c == '%') {
			if (raw.n - i < 3 ||
			    hex_decode((struct span){ raw.p + i + 1, 2 }, &c, 1) < 0)
				return false;
			i += 2;
		}
		if (c == '\0')
			return false;
		*out++ = c;
	}
	*out = '\0';
	return true;
}

/* Takes a piece up to the separator off text. */
static struct span cut(struct span *text, char separator)
{
	const char *end = text->n > 0 ? memchr(text->p, separator, text->n) : NULL;
	struct span piece = { text->p, end == NULL ? text->n : (size_t)(end - text->p) };
	size_t taken = end == NULL ? text->n : piece.n + 1;

	text->p += taken;
	text->n -= taken;
	return piece;
}

bool query_find(struct span query, const char *name, char *room)
{
	while (query.n > 0) {
		struct span value = cut(&query, '&');
		struct span key = cut(&value, '=');

		if (decode(key, room) && strcmp(room, name) == 0)
			return decode(value, room);
	}
	return false;
}

enum query_next query_next(struct span *query, char *room, const char **key, const char **value)
{
	while (query->n > 0) {
		struct span raw_value = cut(query, '&');
		struct span raw_key = cut(&raw_value, '=');
		char *behind = room + raw_key.n + 1;

		if (raw_key.n == 0 && raw_value.n == 0)
			continue;
		if (!decode(raw_key, room) || !decode(raw_value, behind))
			return QUERY_BROKEN;
		*key = room;
		*value = behind;
		return QUERY_PAIR;
	}
	return QUERY_END;
}

size_t query_count(struct span query, const char *name)
{
	char *room = mem_new(query.n + 1);
	size_t n = 0;

	while (query.n > 0) {
		struct span value = cut(&query, '&');
		struct span key = cut(&value, '=');

		n += decode(key, room) && strcmp(room, name) == 0;
	}
	free(room);
	return n;
}
