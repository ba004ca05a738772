/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

/*
 * Lossless JSON: a text is validated once, then read and edited as spans of its own bytes, so
 * that numbers, key order, spacing and unknown members survive.
 *
 * span_check is the only gate: RFC 8259 grammar, valid UTF-8, no lone surrogate escapes, no
 * duplicate member names in any object (compared after unescaping), depth and node ceilings.
 * Everything else here takes a text that passed it, or a span obtained from one, and cannot fail
 * on it. No recursion on input depth.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf;

struct span {
	const char *p; /* NULL: absent */
	size_t n;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })
struct span span_of(const char *s);	    /* strlen; NULL gives the absent span */
bool span_eq(struct span a, struct span b); /* bytes */
bool span_is(struct span a, const char *s); /* bytes */

enum span_type {
	SPAN_ABSENT,
	SPAN_NULL,
	SPAN_BOOL,
	SPAN_NUMBER,
	SPAN_STRING,
	SPAN_ARRAY,
	SPAN_OBJECT,
};

struct span_limits {
	size_t max_depth; /* containers inside each other; 0 means SPAN_MAX_DEPTH */
	size_t max_nodes; /* values in the whole text; 0 means SPAN_MAX_NODES */
};
#define SPAN_MAX_DEPTH 64
#define SPAN_MAX_NODES 1000000

/* Surrounding white space is allowed; trailing data, a BOM and NUL bytes are not. ERR_PARSE. */
int span_check(struct span text, const struct span_limits *limits, struct err *err) MUST_CHECK;

/* The value without the white space around it. */
struct span span_trim(struct span value);
enum span_type span_type(struct span value);
/* The member's value; absent if there is none or `object` is not an object. `key` is unescaped. */
struct span span_get(struct span object, const char *key);

struct span_iter {
	const char *at;
	const char *end;
	bool object;
};
/* Over the members of an object or the elements of an array; anything else is empty. */
void span_iter_init(struct span_iter *iter, struct span container);
/* key is the raw string with its quotes, absent for array elements. */
bool span_next(struct span_iter *iter, struct span *key, struct span *value);

/* Appends the unescaped bytes of a string value (which may hold NUL, from \u0000).
 * 0, or -1 if `value` is no string or `out` overflowed. */
int span_string(struct span value, struct buf *out) MUST_CHECK;
/* True if `value` is a string that unescapes to exactly s. */
bool span_string_is(struct span value, const char *s);
/* An integer that fits: "-12", not "1.0" or "1e2". 0 or -1. */
int span_int64(struct span value, int64_t *out) MUST_CHECK;
bool span_true(struct span value); /* the literal true */

/* One replacement of bytes: `at` lies in the text that is edited. */
struct splice {
	struct span at;
	struct span with;
};
/* Appends text to out with the splices applied. They are given in ascending order and do not
 * overlap (asserted). 0, or -1 if out overflowed. */
int splice_apply(struct span text, const struct splice *splices, size_t n,
		 struct buf *out) MUST_CHECK;
/*
 * Where to write a member: replaces the value of `key` in `object` or, if it has none, inserts
 * `"key":value` at the start of the object. `with` and inserted bytes are put in `scratch`,
 * which must outlive the splice. `key` needs no escaping (asserted).
 * Several splices may share a scratch: it takes the memory of its ceiling at once and never
 * moves. One whose bytes do not fit makes splice_apply fail.
 *
 * Inserting and removing decide about the comma by the object as it is: besides replacements,
 * one pass of splice_apply may hold one insertion or one removal for the same object.
 */
struct splice splice_member(struct span object, const char *key, struct span with,
			    struct buf *scratch);
/* Removes a member with its comma. Returns false if there is none. */
bool splice_remove(struct span object, const char *key, struct splice *out);

#endif
