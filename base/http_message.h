/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HTTP_MESSAGE_H
#define BASE_HTTP_MESSAGE_H

/*
 * What any implementation of base/http_client.h does alike: refuse bad params, and collect the
 * head of an answer line by line within its ceilings. Private to base/http_*.c.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/http_client.h"

/* All but the URL. ERR_BAD_REQUEST. */
int http_params_check(const struct http_params *params, struct err *err) MUST_CHECK;

/* Zero-initialise the fields by http_lines_init. */
struct http_lines {
	struct buf text;	     /* name NUL value NUL … */
	size_t n_lines;		     /* of the current head, its status line included */
	size_t bytes;		     /* of all heads and trailers of the answer */
	struct http_header *headers; /* made by http_lines_head */
};

void http_lines_init(struct http_lines *lines);
void http_lines_fini(struct http_lines *lines);
/* A line of the answer without its line end. The first of a head is its status line, which is
 * only counted. ERR_TOO_LARGE over a ceiling, ERR_UPSTREAM if it is no header line. */
int http_lines_add(struct http_lines *lines, const char *line, size_t n,
		   struct err *err) MUST_CHECK;
/* A trailer line is counted and dropped. ERR_TOO_LARGE. */
int http_lines_count(struct http_lines *lines, size_t n, struct err *err) MUST_CHECK;
/* Forgets the lines of an interim answer; what it took of the ceiling stays taken. */
void http_lines_clear(struct http_lines *lines);
/* Valid until the next add, clear or fini. */
struct http_head http_lines_head(struct http_lines *lines, int status);

#endif
