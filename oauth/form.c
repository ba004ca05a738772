/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/form.h"

#include <string.h>

#include "base/crypto.h"

/* Each byte takes three at most, so what is unescaped is never longer than this allows. */
#define MAX_NAME_BYTES 65536

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '*';
}

void form_escape(struct buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_plain(p[i]))
			buf_append(out, p + i, 1);
		else if (p[i] == ' ')
			buf_add(out, "+");
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)p[i]);
	}
}

void form_add(struct buf *form, const char *name, const char *value)
{
	if (form->len > 0 && strchr("?&", form->data[form->len - 1]) == NULL)
		buf_add(form, "&");
	form_escape(form, name, strlen(name));
	buf_add(form, "=");
	form_escape(form, value, strlen(value));
}

bool form_next(struct span *form, struct span *name, struct span *value)
{
	const char *end;
	const char *stop;
	const char *equals;

	if (form->n == 0)
		return false;
	end = form->p + form->n;
	stop = memchr(form->p, '&', form->n);
	if (stop == NULL)
		stop = end;
	equals = memchr(form->p, '=', (size_t)(stop - form->p));
	*name = (struct span){ form->p, (size_t)((equals != NULL ? equals : stop) - form->p) };
	*value = (struct span){ NULL, 0 };
	if (equals != NULL)
		*value = (struct span){ equals + 1, (size_t)(stop - equals - 1) };
	if (stop < end)
		stop++;
	*form = (struct span){ stop, (size_t)(end - stop) };
	return true;
}

void form_unescape(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char byte = text.p[i];

		if (byte == '+')
			byte = ' ';
		if (byte == '%' && text.n - i > 2 &&
		    hex_decode((struct span){ text.p + i + 1, 2 }, &byte, 1) == 0)
			i += 2;
		buf_append(out, &byte, 1);
	}
}

static bool stands_for(struct span escaped, const char *name)
{
	struct buf plain;
	bool is;

	buf_init(&plain, MAX_NAME_BYTES);
	form_unescape(&plain, escaped);
	is = span_is(buf_span(&plain), name);
	buf_fini(&plain);
	return is;
}

bool form_has(struct span form, const char *name)
{
	struct span found;
	struct span value;

	while (form_next(&form, &found, &value)) {
		if (stands_for(found, name))
			return true;
	}
	return false;
}
