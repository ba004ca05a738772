/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *buf, size_t max_bytes)
{
	assert(max_bytes > 0 && max_bytes < SIZE_MAX / 4);
	*buf = (struct buf){ .max_bytes = max_bytes };
}

void buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ .max_bytes = buf->max_bytes };
}

void buf_wipe(struct buf *buf)
{
	/* The whole block: bytes that were consumed or cleared lie beyond len. */
	mem_wipe(buf->data, buf->cap);
	buf_fini(buf);
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->overflow = false;
	if (buf->data != NULL)
		buf->data[0] = '\0';
}

int buf_reserve(struct buf *buf, size_t n)
{
	size_t cap = buf->cap;
	char *data;

	assert(buf->max_bytes > 0);
	if (buf->overflow || n > buf->max_bytes - buf->len) {
		buf->overflow = true;
		return -1;
	}
	if (n == 0 || buf->len + n < cap)
		return 0;
	cap = cap == 0 ? BUF_FIRST_BYTES : cap * 2;
	if (cap > buf->max_bytes + 1)
		cap = buf->max_bytes + 1;
	if (cap < buf->len + n + 1)
		cap = buf->len + n + 1;
	data = mem_resize(NULL, cap, 1);
	if (buf->len > 0)
		memcpy(data, buf->data, buf->len);
	data[buf->len] = '\0';
	mem_wipe(buf->data, buf->cap);
	free(buf->data);
	buf->data = data;
	buf->cap = cap;
	return 0;
}

int buf_append(struct buf *buf, const void *p, size_t n)
{
	if (buf_reserve(buf, n) < 0)
		return -1;
	if (n == 0)
		return 0;
	memcpy(buf->data + buf->len, p, n);
	buf->len += n;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_add(struct buf *buf, const char *s)
{
	return buf_append(buf, s, strlen(s));
}

int buf_add_span(struct buf *buf, struct span span)
{
	return buf_append(buf, span.p, span.n);
}

int buf_printf(struct buf *buf, const char *format, ...)
{
	va_list ap;
	va_list again;
	int n;
	int ret;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	assert(n >= 0);
	ret = buf_reserve(buf, (size_t)n);
	if (ret == 0 && n > 0) {
		vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
		buf->len += (size_t)n;
	}
	va_end(again);
	return ret;
}

static void add_escape(struct buf *buf, unsigned char c)
{
	static const char named[0x20] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
	};

	if (c == '"' || c == '\\')
		buf_append(buf, (const char[]){ '\\', (char)c }, 2);
	else if (c < sizeof(named) && named[c] != '\0')
		buf_append(buf, (const char[]){ '\\', named[c] }, 2);
	else
		buf_printf(buf, "\\u%04x", c);
}

/* DEL and C1 need no escape in JSON, but these strings are also looked at in terminals. */
static bool needs_escape(const unsigned char *p, size_t n)
{
	return p[0] == '"' || p[0] == '\\' || utf8_is_control(p, n);
}

int buf_add_json_string(struct buf *buf, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t start = buf->len;
	size_t run = 0; /* bytes before p that go out as they are */

	buf_append(buf, "\"", 1);
	while (n > 0 && !buf->overflow) {
		size_t step = utf8_sequence(p, n);

		if (step > 0 && !needs_escape(p, step)) {
			run += step;
			p += step;
			n -= step;
			continue;
		}
		if (run > 0)
			buf_append(buf, p - run, run);
		run = 0;
		if (step == 0)
			buf_add(buf, UTF8_REPLACEMENT);
		else /* a C1 control is U+0080 to U+009F, which its second byte tells */
			add_escape(buf, p[step - 1]);
		step = step > 0 ? step : 1;
		p += step;
		n -= step;
	}
	if (run > 0)
		buf_append(buf, p - run, run);
	buf_append(buf, "\"", 1);
	if (!buf->overflow)
		return 0;
	buf->len = start;
	if (buf->data != NULL)
		buf->data[start] = '\0';
	return -1;
}

void buf_consume(struct buf *buf, size_t n)
{
	assert(n <= buf->len);
	if (n == 0)
		return;
	buf->len -= n;
	memmove(buf->data, buf->data + n, buf->len);
	buf->data[buf->len] = '\0';
}

struct span buf_span(const struct buf *buf)
{
	return (struct span){ buf_str(buf), buf->len };
}

const char *buf_str(const struct buf *buf)
{
	return buf->len > 0 ? buf->data : "";
}

char *buf_take(struct buf *buf, size_t *len)
{
	char *data = buf->data != NULL ? buf->data : mem_strdup("");

	if (len != NULL)
		*len = buf->len;
	buf->data = NULL;
	buf_fini(buf);
	return data;
}
