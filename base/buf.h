/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

/*
 * A growable byte buffer with a ceiling. Going over the ceiling sets `overflow`, keeps what fit
 * before that append, and makes every later append fail: check once, at the end.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

struct buf {
	char *data; /* NUL-terminated whenever len > 0; NULL while empty */
	size_t len;
	size_t cap;
	size_t max_bytes;
	bool overflow;
};

/* max_bytes must be > 0: somebody has to decide how far input can grow memory. */
void buf_init(struct buf *buf, size_t max_bytes);
void buf_fini(struct buf *buf);
/* fini that zeroes the bytes first. Growing a buffer also wipes the block it leaves. */
void buf_wipe(struct buf *buf);
void buf_clear(struct buf *buf); /* len 0, overflow false, memory kept */

/* Room for n more bytes, so that adding them moves nothing. 0, or -1 on overflow. */
int buf_reserve(struct buf *buf, size_t n);
int buf_append(struct buf *buf, const void *p, size_t n); /* 0, or -1 on overflow */
int buf_add(struct buf *buf, const char *s);
int buf_add_span(struct buf *buf, struct span span);
int buf_printf(struct buf *buf, const char *format, ...) ERR_PRINTF(2, 3);
/* s as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
int buf_add_json_string(struct buf *buf, const char *s, size_t n);
void buf_consume(struct buf *buf, size_t n); /* drops the first n bytes */
struct span buf_span(const struct buf *buf); /* borrows */
const char *buf_str(const struct buf *buf);  /* "" while empty; borrows */
/* Gives the bytes away (NUL-terminated, caller frees) and leaves the buffer empty. */
char *buf_take(struct buf *buf, size_t *len);

#endif
