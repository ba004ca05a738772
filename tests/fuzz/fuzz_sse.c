/* SPDX-License-Identifier: Apache-2.0 */

/*
 * gateway/upstream/sse.h against the same rules written over the whole text: however the bytes are
 * cut on their way, the same events, the same id and the same retry come of them, and the same
 * stream is refused.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gateway/upstream/sse.h"

enum { MAX_EVENT_BYTES = 512, MAX_LOG_BYTES = 1 << 24, SEED_BYTES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void log_event(void *ctx, struct span data)
{
	buf_printf(ctx, "%zu:", data.n);
	buf_add_span(ctx, data);
	buf_add(ctx, "\n");
}

static void log_cursor(const char *id, int64_t retry_ms, unsigned n, struct buf *events)
{
	buf_printf(events, "%s %lld %u\n", id, (long long)retry_ms, n);
}

/* What comes of the text in pieces; the size of each is drawn from the seed, 0: all at once. */
static int read_in_pieces(struct span text, uint32_t seed, struct buf *events)
{
	struct sse_reader reader;
	struct sse_cursor cursor;
	int ret = 0;

	sse_cursor_init(&cursor);
	sse_init(&reader, MAX_EVENT_BYTES, &cursor, log_event, events);
	while (text.n > 0 && ret == 0) {
		size_t n = text.n;
		char *piece;

		if (seed != 0) {
			seed = seed * 1103515245u + 12345u;
			n = 1 + (seed >> 16) % 7;
			n = n < text.n ? n : text.n;
		}
		/* On the heap, so that reading over its end shows. */
		piece = mem_dup(text.p, n);
		ret = sse_feed(&reader, piece, n);
		free(piece);
		text = (struct span){ text.p + n, text.n - n };
	}
	sse_fini(&reader);
	assert(memchr(cursor.id, '\0', sizeof(cursor.id)) != NULL);
	assert(cursor.retry_ms >= -1 && cursor.retry_ms <= SSE_MAX_RETRY_MS);
	log_cursor(cursor.id, cursor.retry_ms, cursor.events, events);
	return ret;
}

/* The next whole line without its end; false if there is none. */
static bool next_line(struct span *text, struct span *line)
{
	size_t n = 0;
	size_t end;

	while (n < text->n && text->p[n] != '\n' && text->p[n] != '\r')
		n++;
	if (n == text->n)
		return false;
	end = n + 1;
	if (text->p[n] == '\r' && end < text->n && text->p[end] == '\n')
		end++;
	*line = (struct span){ text->p, n };
	*text = (struct span){ text->p + end, text->n - end };
	return true;
}

/* The value of a line that has this field. */
static bool is_field(struct span line, const char *name, struct span *value)
{
	size_t n = strlen(name);

	if (line.n < n || memcmp(line.p, name, n) != 0 || (line.n > n && line.p[n] != ':'))
		return false;
	*value = (struct span){ line.p + n, line.n - n };
	for (int i = 0; i < 2; i++) {
		if (value->n > 0 && value->p[0] == (i == 0 ? ':' : ' '))
			*value = (struct span){ value->p + 1, value->n - 1 };
	}
	return true;
}

/* What an id is kept as. */
static void model_id(struct span value, char id[SSE_ID_BYTES])
{
	bool fits = value.n < SSE_ID_BYTES;

	if (value.n > 0 && memchr(value.p, '\0', value.n) != NULL)
		return;
	for (size_t i = 0; i < value.n; i++)
		fits = fits && (unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f;
	memset(id, 0, SSE_ID_BYTES);
	if (fits && value.n > 0)
		memcpy(id, value.p, value.n);
}

static void model_retry(struct span value, int64_t *retry_ms)
{
	char digits[16];
	size_t zeros = 0;

	for (size_t i = 0; i < value.n; i++) {
		if (strchr("0123456789", value.p[i]) == NULL || value.p[i] == '\0')
			return;
		zeros += zeros == i && value.p[i] == '0';
	}
	if (value.n == 0)
		return;
	memset(digits, 0, sizeof(digits));
	*retry_ms = SSE_MAX_RETRY_MS;
	if (value.n - zeros >= sizeof(digits))
		return;
	memcpy(digits, value.p + zeros, value.n - zeros);
	if (strtoll(digits, NULL, 10) < SSE_MAX_RETRY_MS)
		*retry_ms = strtoll(digits, NULL, 10);
}

/* Without ceilings. */
static void model(struct span text, struct buf *events)
{
	struct buf data;
	struct span line;
	struct span value;
	char next_id[SSE_ID_BYTES] = "";
	char id[SSE_ID_BYTES] = "";
	int64_t retry_ms = -1;
	unsigned n = 0;
	bool first = true;
	bool any = false;

	buf_init(&data, MAX_LOG_BYTES);
	while (next_line(&text, &line)) {
		if (first && line.n >= 3 && memcmp(line.p, "\xef\xbb\xbf", 3) == 0)
			line = (struct span){ line.p + 3, line.n - 3 };
		first = false;
		if (line.n == 0) {
			memcpy(id, next_id, sizeof(id));
			n++;
		}
		if (line.n == 0 && any) {
			log_event(events, (struct span){ data.data, data.len - 1 });
			buf_clear(&data);
			any = false;
		} else if (is_field(line, "data", &value)) {
			buf_add_span(&data, value);
			buf_add(&data, "\n");
			any = true;
		} else if (is_field(line, "id", &value)) {
			model_id(value, next_id);
		} else if (is_field(line, "retry", &value)) {
			model_retry(value, &retry_ms);
		}
	}
	log_cursor(id, retry_ms, n, events);
	buf_fini(&data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole;
	struct buf pieces;
	struct buf expected;
	struct span text;
	uint32_t seed;
	int ret;

	if (size < SEED_BYTES)
		return 0;
	memcpy(&seed, data, SEED_BYTES);
	text = (struct span){ (const char *)data + SEED_BYTES, size - SEED_BYTES };
	buf_init(&whole, MAX_LOG_BYTES);
	buf_init(&pieces, MAX_LOG_BYTES);
	buf_init(&expected, MAX_LOG_BYTES);
	ret = read_in_pieces(text, 0, &whole);
	assert(read_in_pieces(text, seed | 1, &pieces) == ret);
	assert(strcmp(buf_str(&whole), buf_str(&pieces)) == 0 && whole.len == pieces.len);
	model(text, &expected);
	if (ret == 0)
		assert(expected.len == whole.len &&
		       memcmp(buf_str(&expected), buf_str(&whole), whole.len) == 0);
	else
		assert(size > MAX_EVENT_BYTES);
	buf_fini(&whole);
	buf_fini(&pieces);
	buf_fini(&expected);
	return 0;
}
