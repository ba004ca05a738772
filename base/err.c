/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Texts are formatted this much too long, so that set_text is who cuts them. */
enum { MAX_CHARACTER_BYTES = 4 };

static const struct {
	int http_status;
	int rpc_code;
	const char *name;
} codes[] = {
#define X(name, http, rpc, text) [ERR_##name] = { http, rpc, text },
	ERR_CODES(X)
#undef X
};

/* Texts reach terminals, log lines and JSON answers: no control bytes, no half characters. */
static void set_text(struct err *err, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = strlen(text);
	size_t used = 0;

	while (left > 0) {
		size_t n = utf8_sequence(p, left);
		bool plain = n > 0 && !utf8_is_control(p, n);

		if (n == 0)
			n = 1;
		if (used + (plain ? n : 1) >= sizeof(err->text))
			break;
		if (plain)
			memcpy(err->text + used, p, n);
		else
			err->text[used] = p[0] == '\n' || p[0] == '\t' ? ' ' : '?';
		used += plain ? n : 1;
		p += n;
		left -= n;
	}
	err->text[used] = '\0';
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	/* Arguments may point into err->text, so it is written only afterwards. */
	char text[sizeof(err->text) + MAX_CHARACTER_BYTES] = "";
	va_list ap;

	assert((size_t)code < sizeof(codes) / sizeof(codes[0]));
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	err->code = code;
	memset(err->tag, 0, sizeof(err->tag));
	set_text(err, text);
	return -1;
}

int err_prefix(struct err *err, const char *format, ...)
{
	char text[2 * sizeof(err->text) + MAX_CHARACTER_BYTES + 2] = "";
	va_list ap;
	size_t n;

	va_start(ap, format);
	vsnprintf(text, sizeof(err->text) + MAX_CHARACTER_BYTES, format, ap);
	va_end(ap);
	n = strlen(text);
	snprintf(text + n, sizeof(text) - n, ": %s", err->text);
	set_text(err, text);
	return -1;
}

int err_http_status(enum err_code code)
{
	assert((size_t)code < sizeof(codes) / sizeof(codes[0]));
	return codes[code].http_status;
}

int err_rpc_code(enum err_code code)
{
	assert((size_t)code < sizeof(codes) / sizeof(codes[0]));
	return codes[code].rpc_code;
}

const char *err_name(enum err_code code)
{
	assert((size_t)code < sizeof(codes) / sizeof(codes[0]));
	return codes[code].name;
}
