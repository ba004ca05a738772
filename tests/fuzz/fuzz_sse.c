/* SPDX-License-Identifier: Apache-2.0 */

/*
 * gateway/upstream/sse.h against the same rules written over the whole text: however the bytes are
 * cut on their way, the same events come of them, and the same stream is refused.
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

/* What comes of the text in pieces; the size of each is drawn from the seed, 0: all at once. */
static int read_in_pieces(struct span text, uint32_t seed, struct buf *events)
{
	struct sse_reader reader;
	int ret = 0;

	sse_init(&reader, MAX_EVENT_BYTES, log_event, events);
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

static bool is_data(struct span line, struct span *value)
{
	if (line.n < 4 || memcmp(line.p, "data", 4) != 0 || (line.n > 4 && line.p[4] != ':'))
		return false;
	*value = (struct span){ line.p + 4, line.n - 4 };
	for (int i = 0; i < 2; i++) {
		if (value->n > 0 && value->p[0] == (i == 0 ? ':' : ' '))
			*value = (struct span){ value->p + 1, value->n - 1 };
	}
	return true;
}

/* Without ceilings. */
static void model(struct span text, struct buf *events)
{
	struct buf data;
	struct span line;
	struct span value;
	bool first = true;
	bool any = false;

	buf_init(&data, MAX_LOG_BYTES);
	while (next_line(&text, &line)) {
		if (first && line.n >= 3 && memcmp(line.p, "\xef\xbb\xbf", 3) == 0)
			line = (struct span){ line.p + 3, line.n - 3 };
		first = false;
		if (line.n == 0 && any) {
			log_event(events, (struct span){ data.data, data.len - 1 });
			buf_clear(&data);
			any = false;
		} else if (is_data(line, &value)) {
			buf_add_span(&data, value);
			buf_add(&data, "\n");
			any = true;
		}
	}
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
