/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

/*
 * JSON trees (jansson) for what we own: admin bodies, stored settings, answers of our own.
 * What is passed on between peers is never parsed into a tree: see base/span.h.
 */

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* Duplicate names, depth over SPAN_MAX_DEPTH and too many nodes are refused. ERR_PARSE.
 * Returns a new reference or NULL. */
json_t *json_parse(struct span text, struct err *err) MUST_CHECK;
/* Compact, keys in insertion order. Appends to out; 0 or -1 on overflow. */
int json_write(const json_t *value, struct buf *out) MUST_CHECK;
/* Borrowed string of a member, or NULL if it is absent, no string, or holds a NUL. */
const char *json_text(const json_t *object, const char *key);

#endif
