/* SPDX-License-Identifier: Apache-2.0 */

/*
 * envelope_cli < texts: what gateway/core/envelope.h makes of each text, one line each, for
 * comparison with another reader (diff_envelope.mjs).
 *
 * Input: texts, each behind its length in four bytes, lowest first. Output: "reject", why
 * ("parse" or "message") and the id; or "accept", the kind and method, id, params, meta, result
 * and error. Bytes are hexadecimal, "-" is what is absent.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "gateway/core/envelope.h"

enum { MAX_TEXT_BYTES = 1 << 24, MAX_LINE_BYTES = 1 << 28 };

static void add_bytes(struct buf *line, struct span bytes)
{
	buf_add(line, bytes.p == NULL ? " -" : " ");
	for (size_t i = 0; i < bytes.n; i++)
		buf_printf(line, "%02x", (unsigned char)bytes.p[i]);
}

static void write_verdict(struct span text, struct buf *line)
{
	static const char *const kinds[] = {
		[ENVELOPE_REQUEST] = "request",
		[ENVELOPE_NOTIFICATION] = "notification",
		[ENVELOPE_RESPONSE] = "response",
		[ENVELOPE_BATCH] = "batch",
	};
	struct arena *arena = arena_new();
	struct envelope envelope;
	struct err err;

	if (envelope_parse(text, arena, &envelope, &err) < 0) {
		buf_printf(line, "reject %s", err.code == ERR_PARSE ? "parse" : "message");
		add_bytes(line, envelope.id);
	} else {
		buf_printf(line, "accept %s", kinds[envelope.kind]);
		add_bytes(line, span_of(envelope.method));
		add_bytes(line, envelope.id);
		add_bytes(line, envelope.params);
		add_bytes(line, envelope.meta);
		add_bytes(line, envelope.result);
		add_bytes(line, envelope.error);
	}
	buf_add(line, "\n");
	arena_free(&arena);
}

int main(void)
{
	unsigned char head[4];

	while (fread(head, sizeof(head), 1, stdin) == 1) {
		size_t n = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 |
			   (size_t)head[3] << 24;
		struct buf line;
		char *text;

		if (n > MAX_TEXT_BYTES)
			return 1;
		text = mem_new(n);
		if (n > 0 && fread(text, n, 1, stdin) != 1)
			return 1;
		buf_init(&line, MAX_LINE_BYTES);
		write_verdict((struct span){ text, n }, &line);
		fwrite(line.data, 1, line.len, stdout);
		buf_fini(&line);
		free(text);
	}
	return ferror(stdin) != 0 || fflush(stdout) != 0;
}
