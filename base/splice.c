/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"
#include "base/text.h"

int splice_apply(struct span text, const struct splice *splices, size_t n, struct buf *out)
{
	const char *at = text.p;
	const char *end = text.p + text.n;

	for (size_t i = 0; i < n; i++) {
		const struct splice *splice = &splices[i];

		if (splice->at.p == NULL)
			return -1;
		assert(splice->at.p >= at && splice->at.p <= end);
		assert(splice->at.n <= (size_t)(end - splice->at.p));
		if (buf_append(out, at, (size_t)(splice->at.p - at)) < 0 ||
		    buf_add_span(out, splice->with) < 0)
			return -1;
		at = splice->at.p + splice->at.n;
	}
	return buf_append(out, at, (size_t)(end - at));
}

static bool needs_no_escape(const char *key)
{
	for (const char *p = key; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\')
			return false;
	}
	return text_is_utf8(key, strlen(key));
}

/* Earlier splices point into scratch, so it gets all its memory at once and never moves. */
static bool has_room(struct buf *scratch, size_t n)
{
	if (scratch->cap == 0 && buf_reserve(scratch, scratch->max_bytes) < 0)
		return false;
	return n < scratch->cap - scratch->len;
}

struct splice splice_member(struct span object, const char *key, struct span with,
			    struct buf *scratch)
{
	struct span value = span_get(object, key);
	struct splice splice = {
		value, {NULL, 0}
	};
	size_t start = scratch->len;
	struct span_iter iter;
	struct span name;

	assert(span_type(object) == SPAN_OBJECT && with.n > 0 && needs_no_escape(key));
	if (!has_room(scratch, strlen(key) + sizeof("\"\":,") + with.n)) {
		scratch->overflow = true;
		return (struct splice){
			{NULL,	0},
			     { NULL, 0}
		};
	}
	if (value.p == NULL) {
		splice.at = (struct span){ span_trim(object).p + 1, 0 };
		buf_printf(scratch, "\"%s\":", key);
	}
	buf_add_span(scratch, with);
	span_iter_init(&iter, object);
	if (splice.at.n == 0 && span_next(&iter, &name, &value))
		buf_add(scratch, ",");
	splice.with = (struct span){ scratch->data + start, scratch->len - start };
	return splice;
}

bool splice_remove(struct span object, const char *key, struct splice *out)
{
	struct span_iter iter;
	struct span name;
	struct span value;
	const char *before = NULL; /* end of the member in front */

	span_iter_init(&iter, object);
	while (iter.object && span_next(&iter, &name, &value)) {
		const char *end = value.p + value.n;

		if (!span_string_is(name, key)) {
			before = end;
			continue;
		}
		/* The comma behind the member, else the one in front. */
		if (before == NULL || iter.at < iter.end)
			*out = (struct splice){
				{name.p, (size_t)(iter.at - name.p)},
				{ NULL,	0			  }
			};
		else
			*out = (struct splice){
				{before, (size_t)(end - before)},
				    { NULL,  0		      }
			};
		return true;
	}
	return false;
}
