/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upstream/sse.h"

#include <string.h>

#define BOM "\xef\xbb\xbf"

void sse_init(struct sse_reader *reader, size_t max_event_bytes,
	      void (*event)(void *ctx, struct span data), void *ctx)
{
	*reader = (struct sse_reader){ .event = event, .ctx = ctx };
	buf_init(&reader->line, max_event_bytes);
	buf_init(&reader->data, max_event_bytes);
}

void sse_fini(struct sse_reader *reader)
{
	buf_fini(&reader->line);
	buf_fini(&reader->data);
}

static void dispatch(struct sse_reader *reader)
{
	/* Data of several lines is joined by LF; the one after the last is dropped. */
	if (reader->has_data && reader->data.len > 0)
		reader->event(reader->ctx,
			      (struct span){ reader->data.data, reader->data.len - 1 });
	buf_clear(&reader->data);
	reader->has_data = false;
}

static int take_line(struct sse_reader *reader)
{
	struct span line = buf_span(&reader->line);
	static const char field[] = "data";
	const size_t n = sizeof(field) - 1;

	if (!reader->started && line.n >= 3 && memcmp(line.p, BOM, 3) == 0)
		line = (struct span){ line.p + 3, line.n - 3 };
	reader->started = true;
	if (line.n == 0) {
		dispatch(reader);
		return 0;
	}
	if (line.n < n || memcmp(line.p, field, n) != 0 || (line.n > n && line.p[n] != ':'))
		return 0; /* a comment, or a field that does not matter */
	line = (struct span){ line.p + n, line.n - n };
	if (line.n > 0)
		line = (struct span){ line.p + 1, line.n - 1 };
	if (line.n > 0 && line.p[0] == ' ')
		line = (struct span){ line.p + 1, line.n - 1 };
	reader->has_data = true;
	if (buf_append(&reader->data, line.p, line.n) < 0)
		return -1;
	return buf_append(&reader->data, "\n", 1);
}

static int end_line(struct sse_reader *reader)
{
	int ret = take_line(reader);

	buf_clear(&reader->line);
	return ret;
}

static size_t until_line_end(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != '\n' && p[i] != '\r')
		i++;
	return i;
}

int sse_feed(struct sse_reader *reader, const char *p, size_t n)
{
	while (n > 0) {
		size_t run;

		if (reader->after_cr && *p == '\n') {
			reader->after_cr = false;
			p++;
			n--;
			continue;
		}
		reader->after_cr = false;
		run = until_line_end(p, n);
		if (buf_append(&reader->line, p, run) < 0)
			return -1;
		if (run == n)
			return 0;
		reader->after_cr = p[run] == '\r';
		if (end_line(reader) < 0)
			return -1;
		p += run + 1;
		n -= run + 1;
	}
	return 0;
}
