/* SPDX-License-Identifier: Apache-2.0 */

/*
 * span_cli < texts: what base/span.h makes of each text, one line each, for comparison with
 * other readers (diff_node.mjs).
 *
 * Input: texts, each behind its length in four bytes, lowest first. Output: "reject", or
 * "accept " and the values in order: n t f for the literals, #… for a number as it is written,
 * "… for a string (the hexadecimal bytes it means), [v v] and {"name v "name v}.
 */

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

enum { MAX_TEXT_BYTES = 1 << 24, MAX_LINE_BYTES = 1 << 28 };

static void write_string(struct span value, struct buf *line)
{
	struct buf bytes;

	buf_init(&bytes, MAX_TEXT_BYTES);
	if (span_string(value, &bytes) < 0)
		abort();
	buf_add(line, "\"");
	for (size_t i = 0; i < bytes.len; i++)
		buf_printf(line, "%02x", (unsigned char)bytes.data[i]);
	buf_fini(&bytes);
}

static void write_leaf(struct span value, enum span_type type, struct buf *line)
{
	if (type == SPAN_STRING) {
		write_string(value, line);
	} else if (type == SPAN_NUMBER) {
		buf_add(line, "#");
		buf_add_span(line, value);
	} else {
		buf_append(line, value.p, 1);
	}
}

/* The text has at most SPAN_MAX_DEPTH containers inside each other. */
static void write_values(struct span text, struct buf *line)
{
	struct span_iter open[SPAN_MAX_DEPTH + 1];
	size_t depth = 0;
	struct span key = { NULL, 0 };
	struct span value = span_trim(text);

	for (;;) {
		enum span_type type = span_type(value);

		if (key.p != NULL) {
			write_string(key, line);
			buf_add(line, " ");
		}
		if (type == SPAN_OBJECT || type == SPAN_ARRAY) {
			assert(depth < SPAN_MAX_DEPTH);
			buf_append(line, value.p, 1);
			span_iter_init(&open[depth++], value);
		} else {
			write_leaf(value, type, line);
			buf_add(line, " ");
		}
		while (depth > 0 && !span_next(&open[depth - 1], &key, &value))
			buf_add(line, open[--depth].object ? "} " : "] ");
		if (depth == 0)
			return;
	}
}

int main(void)
{
	unsigned char head[4];

	while (fread(head, sizeof(head), 1, stdin) == 1) {
		size_t n = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 |
			   (size_t)head[3] << 24;
		char *text;
		struct buf line;
		struct err err;

		if (n > MAX_TEXT_BYTES)
			return 1;
		text = mem_new(n);
		if (n > 0 && fread(text, n, 1, stdin) != 1)
			return 1;
		buf_init(&line, MAX_LINE_BYTES);
		if (span_check((struct span){ text, n }, NULL, &err) < 0) {
			buf_add(&line, "reject");
		} else {
			buf_add(&line, "accept ");
			write_values((struct span){ text, n }, &line);
		}
		buf_add(&line, "\n");
		fwrite(line.data, 1, line.len, stdout);
		buf_fini(&line);
		free(text);
	}
	return ferror(stdin) != 0 || fflush(stdout) != 0;
}
