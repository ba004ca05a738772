/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/media.h"

#include <string.h>
#include <strings.h>

#include "base/span.h"

static struct span trim(struct span text)
{
	while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t')) {
		text.p++;
		text.n--;
	}
	while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
		text.n--;
	return text;
}

/* Takes a piece up to the separator off text. */
static struct span cut(struct span *text, char separator)
{
	const char *end = text->n > 0 ? memchr(text->p, separator, text->n) : NULL;
	struct span piece = { text->p, end == NULL ? text->n : (size_t)(end - text->p) };
	size_t taken = end == NULL ? text->n : piece.n + 1;

	text->p += taken;
	text->n -= taken;
	return trim(piece);
}

static bool equal_nocase(struct span text, const char *s, size_t n)
{
	return text.n == n && strncasecmp(text.p, s, n) == 0;
}

bool media_is(const char *content_type, const char *media)
{
	struct span text = span_of(content_type);

	return content_type != NULL && equal_nocase(cut(&text, ';'), media, strlen(media));
}

/* "q=0", "q=0.000": explicitly not wanted. */
static bool is_refused(struct span parameters)
{
	while (parameters.n > 0) {
		struct span value = cut(&parameters, ';');
		size_t zeros = 0;

		if (!equal_nocase(cut(&value, '='), "q", 1))
			continue;
		while (zeros < value.n && (value.p[zeros] == '0' || value.p[zeros] == '.'))
			zeros++;
		return value.n > 0 && zeros == value.n;
	}
	return false;
}

static bool range_covers(struct span range, const char *media)
{
	size_t type_n = strcspn(media, "/") + 1;

	if (equal_nocase(range, "*/*", 3) || equal_nocase(range, media, strlen(media)))
		return true;
	return range.n == type_n + 1 && strncasecmp(range.p, media, type_n) == 0 &&
	       range.p[type_n] == '*';
}

bool media_accepted(const char *accept, const char *media)
{
	struct span list = span_of(accept);

	if (list.n == 0)
		return true;
	while (list.n > 0) {
		struct span parameters = cut(&list, ',');
		struct span range = cut(&parameters, ';');

		if (range_covers(range, media) && !is_refused(parameters))
			return true;
	}
	return false;
}
