/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/document.h"

#include <string.h>

#include "base/buf.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool document_is_object(struct span text)
{
	size_t i = 0;

	while (i < text.n && is_space(text.p[i]))
		i++;
	return i < text.n && text.p[i] == '{';
}

int document_open(struct span text, struct arena *arena, struct document *document, struct err *err)
{
	const struct span_limits limits = {
		.max_depth = DOCUMENT_MAX_DEPTH,
		.max_nodes = DOCUMENT_MAX_NODES,
	};
	struct err problem;

	if (text.p == NULL || span_check(text, &limits, &problem) < 0)
		return err_set(err, ERR_UPSTREAM, "no JSON: %s",
			       text.p == NULL ? "empty" : problem.text);
	if (span_type(text) != SPAN_OBJECT)
		return err_set(err, ERR_UPSTREAM, "no JSON object");
	*document = (struct document){ .object = span_trim(text), .arena = arena };
	return 0;
}

/* The bytes from first to '~' only: what goes into URLs, headers and log lines. */
static int read_string(struct span value, const char *name, char first, struct buf *out,
		       struct err *err)
{
	if (span_type(value) != SPAN_STRING)
		return err_set(err, ERR_UPSTREAM, "%s is no string", name);
	if (span_string(value, out) < 0)
		return err_set(err, ERR_UPSTREAM, "%s is over %zu bytes", name, out->max_bytes);
	for (size_t i = 0; i < out->len; i++) {
		if (out->data[i] < first || out->data[i] > '~')
			return err_set(err, ERR_UPSTREAM, "%s has a character that it may not have",
				       name);
	}
	return 0;
}

static bool is_absent(struct span value)
{
	enum span_type type = span_type(value);

	return type == SPAN_ABSENT || type == SPAN_NULL;
}

int document_text(const struct document *document, const char *name, size_t max_bytes,
		  const char **out, struct err *err)
{
	struct span value = span_get(document->object, name);
	struct buf text;
	int ret;

	*out = NULL;
	if (is_absent(value))
		return 0;
	buf_init(&text, max_bytes);
	ret = read_string(value, name, ' ', &text, err);
	if (ret == 0 && text.len > 0)
		*out = arena_dup(document->arena, text.data, text.len);
	buf_fini(&text);
	return ret;
}

int document_secret(const struct document *document, const char *name, size_t max_bytes,
		    struct secret *out, struct err *err)
{
	struct span value = span_get(document->object, name);
	struct buf text;
	int ret;

	*out = (struct secret){ NULL, 0 };
	if (is_absent(value))
		return 0;
	buf_init(&text, max_bytes);
	ret = read_string(value, name, '!', &text, err);
	if (ret == 0 && text.len > 0)
		*out = secret_new(text.data, text.len);
	buf_wipe(&text);
	return ret;
}

static int read_items(const struct document *document, const char *name, struct buf *item,
		      struct document_list *out, struct err *err)
{
	const char **items = arena_alloc(document->arena, DOCUMENT_MAX_ITEMS * sizeof(*items));
	struct span_iter iter;
	struct span key;
	struct span value;

	span_iter_init(&iter, span_get(document->object, name));
	while (span_next(&iter, &key, &value)) {
		if (out->n == DOCUMENT_MAX_ITEMS)
			return err_set(err, ERR_UPSTREAM, "%s has more than %d items", name,
				       DOCUMENT_MAX_ITEMS);
		buf_clear(item);
		if (read_string(value, name, ' ', item, err) < 0)
			return err_prefix(err, "an item");
		items[out->n++] = arena_dup(document->arena, buf_str(item), item->len);
	}
	out->items = items;
	return 0;
}

int document_list(const struct document *document, const char *name, size_t max_bytes,
		  struct document_list *out, struct err *err)
{
	struct span value = span_get(document->object, name);
	struct buf item;
	int ret;

	*out = (struct document_list){ NULL, 0 };
	if (is_absent(value))
		return 0;
	if (span_type(value) != SPAN_ARRAY)
		return err_set(err, ERR_UPSTREAM, "%s is no list", name);
	buf_init(&item, max_bytes);
	ret = read_items(document, name, &item, out, err);
	buf_fini(&item);
	return ret;
}

bool document_list_has(const struct document_list *list, const char *item)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->items[i], item) == 0)
			return true;
	}
	return false;
}

int document_join(const struct document *document, const struct document_list *list,
		  size_t max_bytes, const char **out, struct err *err)
{
	struct buf text;
	int ret = 0;

	*out = NULL;
	buf_init(&text, max_bytes);
	for (size_t i = 0; i < list->n; i++) {
		if (i > 0)
			buf_add(&text, " ");
		buf_add(&text, list->items[i]);
	}
	if (text.overflow)
		ret = err_set(err, ERR_UPSTREAM, "a list takes more than %zu bytes", max_bytes);
	else if (text.len > 0)
		*out = arena_dup(document->arena, text.data, text.len);
	buf_fini(&text);
	return ret;
}
