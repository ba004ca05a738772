/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_PAGE_H
#define GATEWAY_HTTP_PAGE_H

/*
 * Pages of HTML: the templates of web/, compiled into the program, filled with values that are
 * escaped wherever they stand. There is no way to write one that is not.
 *
 *   {{name}}            the value, escaped for text and quoted attributes; nothing if there is none
 *   {{#name}}…{{/name}} once for each value of that name; {{name}} inside is that one
 *   {{^name}}…{{/name}} if there is none
 *   {{>name}}           the template name.html
 */

#include <stddef.h>

#include "base/buf.h"
#include "gateway/http/exchange.h"

struct page_file {
	const char *name; /* NULL: the end */
	const char *text;
};
extern const struct page_file page_files[];
/* Asserted to exist. */
const char *page_file(const char *name);

#define PAGE_MAX_VALUES 64
#define PAGE_MAX_BYTES	262144

struct page_value {
	const char *name;
	const char *value;
};
/* Borrowed; several of one name are a list. */
struct page_values {
	struct page_value all[PAGE_MAX_VALUES];
	size_t n;
};
/* NULL and "" are no values. Over the limit asserts: who makes lists cuts them. */
void page_set(struct page_values *values, const char *name, const char *value);

/* Appends template `name`, e.g. "done", filled in. */
void page_render(const char *name, const struct page_values *values, struct buf *out);
void page_escape(const char *text, struct buf *out);

enum page_forms {
	PAGE_NO_FORM,
	PAGE_FORMS,	  /* to ourselves */
	PAGE_FORMS_LEAVE, /* and one that is answered with a redirect to another server */
};
struct page_answer {
	int status;
	const char *name;
	const struct page_values *values;
	enum page_forms forms;
	const char *leave_to; /* PAGE_FORMS_LEAVE: the origin of that server */
	const char *cookie;   /* a Set-Cookie; NULL: none */
};
void page_send(struct exchange *exchange, const struct page_answer *answer);
/* 303, with at most two cookies; NULL: none. */
void page_redirect(struct exchange *exchange, const char *location, const char *cookie,
		   const char *other_cookie);

/* Handlers of the files that pages refer to. */
void page_style(struct exchange *exchange);
void page_script(struct exchange *exchange);

#endif
