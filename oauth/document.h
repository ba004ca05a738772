/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_DOCUMENT_H
#define OAUTH_DOCUMENT_H

/*
 * A JSON object from a foreign server, read member by member. Members that nobody asks for are
 * ignored; a name that occurs twice refuses the whole. null counts as absent. What a value says
 * is never quoted in an error.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/span.h"

#define DOCUMENT_MAX_DEPTH 16
#define DOCUMENT_MAX_NODES 8192
#define DOCUMENT_MAX_ITEMS 256 /* of one list */

/* Whether the text may be an object at all: its first byte that is no white space is "{". */
bool document_is_object(struct span text);

struct document {
	struct span object; /* borrows the text */
	struct arena *arena;
};
/* ERR_UPSTREAM. */
int document_open(struct span text, struct arena *arena, struct document *document,
		  struct err *err) MUST_CHECK;

/* A string of printable ASCII of at most max_bytes, in the arena; NULL if there is none, or an
 * empty one. ERR_UPSTREAM. */
int document_text(const struct document *document, const char *name, size_t max_bytes,
		  const char **out, struct err *err) MUST_CHECK;
/* The same for what nobody may see, which has no spaces either. The caller wipes. */
int document_secret(const struct document *document, const char *name, size_t max_bytes,
		    struct secret *out, struct err *err) MUST_CHECK;

struct document_list {
	const char *const *items; /* NULL: absent */
	size_t n;
};
/* A list of strings of printable ASCII, each at most max_bytes. */
int document_list(const struct document *document, const char *name, size_t max_bytes,
		  struct document_list *out, struct err *err) MUST_CHECK;
bool document_list_has(const struct document_list *list, const char *item);
/* The items with a space between them; NULL if the list is absent or empty. ERR_UPSTREAM if they
 * take more than max_bytes. */
int document_join(const struct document *document, const struct document_list *list,
		  size_t max_bytes, const char **out, struct err *err) MUST_CHECK;

#endif
