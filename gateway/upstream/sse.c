/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upstream/sse.h"

#include <string.h>

#define BOM "\xef\xbb\xbf"

void sse_cursor_init(struct sse_cursor *cursor)
{
	*cursor = (struct sse_cursor){ .retry_ms = -1 };
}

void sse_init(struct sse_reader *reader, size_t max_event_bytes, struct sse_cursor *cursor,
	      void (*event)(void *ctx, struct span data), void *ctx)
{
	*reader = (struct sse_reader){ .cursor = cursor, .event = event, .ctx = ctx };
	buf_init(&reader->line, max_event_bytes);
	buf_init(&reader->data, max_event_bytes);
	buf_init(&reader->id, SSE_ID_BYTES - 1);
	buf_add(&reader->id, cursor->id);
}

void sse_fini(struct sse_reader *reader)
{
	buf_fini(&reader->line);
	buf_fini(&reader->data);
	buf_fini(&reader->id);
}

/* An event without data is none, but moves the cursor. */
static void dispatch(struct sse_reader *reader)
{
	struct sse_cursor *cursor = reader->cursor;

	if (reader->id.len > 0)
		memcpy(cursor->id, reader->id.data, reader->id.len);
	cursor->id[reader->id.len] = '\0';
	cursor->events++;
	/* Data of several lines is joined by LF; the one after the last is dropped. */
	if (reader->has_data && reader->data.len > 0)
		reader->event(reader->ctx,
			      (struct span){ reader->data.data, reader->data.len - 1 });
	buf_clear(&reader->data);
	reader->has_data = false;
}

static int take_data(struct sse_reader *reader, struct span value)
{
	reader->has_data = true;
	if (buf_append(&reader->data, value.p, value.n) < 0)
		return -1;
	return buf_append(&reader->data, "\n", 1);
}

/* One that no header can carry back is as good as none. */
static int take_id(struct sse_reader *reader, struct span value)
{
	if (value.n > 0 && memchr(value.p, '\0', value.n) != NULL)
		return 0; /* 9.2.6: ignored */
	buf_clear(&reader->id);
	for (size_t i = 0; i < value.n; i++) {
		unsigned char byte = (unsigned char)value.p[i];

		if (byte < 0x20 || byte == 0x7f)
			return 0;
	}
	if (value.n < SSE_ID_BYTES)
		buf_add_span(&reader->id, value);
	return 0;
}

static int take_retry(struct sse_reader *reader, struct span value)
{
	int64_t ms = 0;

	if (value.n == 0)
		return 0;
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return 0;
		ms = ms * 10 + (value.p[i] - '0');
		if (ms > SSE_MAX_RETRY_MS)
			ms = SSE_MAX_RETRY_MS;
	}
	reader->cursor->retry_ms = ms;
	return 0;
}

static int take_field(struct sse_reader *reader, struct span name, struct span value)
{
	static const struct {
		struct span name;
		int (*take)(struct sse_reader *reader, struct span value);
	} fields[] = {
		{{ "data", 4 },	 take_data },
		{ { "id", 2 },    take_id   },
		{ { "retry", 5 }, take_retry},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (name.n == fields[i].name.n && memcmp(name.p, fields[i].name.p, name.n) == 0)
			return fields[i].take(reader, value);
	}
	return 0; /* a comment, or a field that does not matter */
}

static int take_line(struct sse_reader *reader)
{
	struct span line = buf_span(&reader->line);
	struct span value = { line.p, 0 };
	const char *colon;

	if (!reader->started && line.n >= 3 && memcmp(line.p, BOM, 3) == 0)
		line = (struct span){ line.p + 3, line.n - 3 };
	reader->started = true;
	if (line.n == 0) {
		dispatch(reader);
		return 0;
	}
	colon = memchr(line.p, ':', line.n);
	if (colon != NULL) {
		value = (struct span){ colon + 1, (size_t)(line.p + line.n - colon - 1) };
		line.n = (size_t)(colon - line.p);
	}
	if (value.n > 0 && value.p[0] == ' ')
		value = (struct span){ value.p + 1, value.n - 1 };
	return take_field(reader, line, value);
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
