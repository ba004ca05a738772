/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/page.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME_BYTES	 64
#define MAX_POLICY_BYTES 1024

/*
 * form-action bounds redirects too (in Chromium), and an authorization server may pass the browser
 * on to another one before it shows anything: so where a form leaves, https is what bounds it.
 */
#define POLICY                                                                                     \
	"default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none';"                \
	" frame-ancestors 'none'; form-action "

const char *page_file(const char *name)
{
	const struct page_file *file = page_files;

	while (file->name != NULL && strcmp(file->name, name) != 0)
		file++;
	assert(file->name != NULL);
	return file->text;
}

void page_set(struct page_values *values, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	assert(values->n < PAGE_MAX_VALUES);
	values->all[values->n++] = (struct page_value){ name, value };
}

void page_escape(const char *text, struct buf *out)
{
	static const char special[] = "&<>\"'";
	static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };

	for (;;) {
		size_t n = strcspn(text, special);

		buf_append(out, text, n);
		if (text[n] == '\0')
			return;
		buf_add(out, entities[strchr(special, text[n]) - special]);
		text += n + 1;
	}
}

/* --- templates ------------------------------------------------------------------------------- */

/* The value of the list that a section is at. */
struct scope {
	const struct scope *outer;
	const char *name;
	const char *value;
};

struct filling {
	const struct page_values *values;
	struct buf *out;
};

struct tag {
	char kind; /* '#', '^', '/', '>' or 0: a value */
	char name[MAX_NAME_BYTES];
	struct span at; /* with its braces */
};

static void fill(const struct filling *filling, struct span text, const struct scope *scope);

/* False: there is no tag any more. */
static bool next_tag(struct span text, struct tag *tag)
{
	const char *open = memmem(text.p, text.n, "{{", 2);
	const char *close =
		open != NULL ? memmem(open, text.n - (size_t)(open - text.p), "}}", 2) : NULL;
	const char *name;
	size_t n;

	if (open == NULL)
		return false;
	assert(close != NULL);
	name = open + 2;
	tag->kind = '\0';
	if (strchr("#^/>", *name) != NULL)
		tag->kind = *name++;
	n = (size_t)(close - name);
	assert(n > 0 && n < sizeof(tag->name));
	memcpy(tag->name, name, n);
	tag->name[n] = '\0';
	tag->at = (struct span){ open, (size_t)(close - open) + 2 };
	return true;
}

static struct span behind(struct span text, struct span part)
{
	const char *end = part.p + part.n;

	return (struct span){ end, text.n - (size_t)(end - text.p) };
}

/* The end tag of the section that `rest` is in. */
static struct span end_of(struct span rest, const char *name)
{
	struct tag tag;
	size_t depth = 1;

	for (;;) {
		bool found = next_tag(rest, &tag);

		assert(found);
		if (strcmp(tag.name, name) == 0 && (tag.kind == '#' || tag.kind == '^'))
			depth++;
		if (strcmp(tag.name, name) == 0 && tag.kind == '/' && --depth == 0)
			return tag.at;
		rest = behind(rest, tag.at);
	}
}

static const char *value_of(const struct filling *filling, const struct scope *scope,
			    const char *name)
{
	for (; scope != NULL; scope = scope->outer) {
		if (strcmp(scope->name, name) == 0)
			return scope->value;
	}
	for (size_t i = 0; i < filling->values->n; i++) {
		if (strcmp(filling->values->all[i].name, name) == 0)
			return filling->values->all[i].value;
	}
	return NULL;
}

static void fill_section(const struct filling *filling, const struct tag *tag, struct span inside,
			 const struct scope *scope)
{
	struct scope inner = { scope, tag->name, NULL };

	if (tag->kind == '^') {
		if (value_of(filling, scope, tag->name) == NULL)
			fill(filling, inside, scope);
		return;
	}
	for (size_t i = 0; i < filling->values->n; i++) {
		if (strcmp(filling->values->all[i].name, tag->name) != 0)
			continue;
		inner.value = filling->values->all[i].value;
		fill(filling, inside, &inner);
	}
}

static void fill(const struct filling *filling, struct span text, const struct scope *scope)
{
	struct span end;
	struct tag tag;
	const char *value;

	while (next_tag(text, &tag)) {
		buf_append(filling->out, text.p, (size_t)(tag.at.p - text.p));
		text = behind(text, tag.at);
		switch (tag.kind) {
		case '#':
		case '^':
			end = end_of(text, tag.name);
			fill_section(filling, &tag,
				     (struct span){ text.p, (size_t)(end.p - text.p) }, scope);
			text = behind(text, end);
			break;
		case '>':
			page_render(tag.name, filling->values, filling->out);
			break;
		default:
			value = value_of(filling, scope, tag.name);
			if (value != NULL)
				page_escape(value, filling->out);
			break;
		}
	}
	buf_add_span(filling->out, text);
}

void page_render(const char *name, const struct page_values *values, struct buf *out)
{
	const struct filling filling = { values, out };
	char file[MAX_NAME_BYTES + 8];

	snprintf(file, sizeof(file), "%s.html", name);
	fill(&filling, span_of(page_file(file)), NULL);
}

/* --- answers --------------------------------------------------------------------------------- */

static void write_policy(const struct page_answer *answer, char policy[MAX_POLICY_BYTES])
{
	bool leaves = answer->forms == PAGE_FORMS_LEAVE && answer->leave_to != NULL;
	bool https = leaves && strncmp(answer->leave_to, "https://", 8) == 0;

	snprintf(policy, MAX_POLICY_BYTES, POLICY "%s%s%s",
		 answer->forms == PAGE_NO_FORM ? "'none'" : "'self'", leaves ? " " : "",
		 https	  ? "https:"
		 : leaves ? answer->leave_to
			  : "");
}

void page_send(struct exchange *exchange, const struct page_answer *answer)
{
	char policy[MAX_POLICY_BYTES];
	struct buf body;
	const struct http_header headers[] = {
		{"Content-Security-Policy",     policy			    },
 /* Forms need their Origin; nobody else is told where the browser was. */
		{ "Referrer-Policy",
		  answer->forms == PAGE_NO_FORM ? "no-referrer" : "same-origin"},
		{ "Cross-Origin-Opener-Policy", "same-origin"		      },
		{ "Cache-Control",		   "no-store"		      },
		{ "Set-Cookie",			answer->cookie		       },
	};
	size_t n = sizeof(headers) / sizeof(headers[0]);

	write_policy(answer, policy);
	buf_init(&body, PAGE_MAX_BYTES);
	page_render(answer->name, answer->values, &body);
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = answer->status,
					  .content_type = "text/html; charset=utf-8",
					  .headers = headers,
					  .n_headers = answer->cookie != NULL ? n : n - 1,
					  .body = buf_span(&body),
				  });
	buf_wipe(&body);
}

void page_redirect(struct exchange *exchange, const char *location, const char *cookie,
		   const char *other_cookie)
{
	struct http_header headers[6] = {
		{"Location",		      ""		 },
		{ "Referrer-Policy",	     "no-referrer"},
		{ "Cache-Control",		   "no-store"   },
		{ "Cross-Origin-Opener-Policy", "same-origin"},
	};
	size_t n = 4;

	headers[0].value = location;
	if (cookie != NULL)
		headers[n++] = (struct http_header){ "Set-Cookie", cookie };
	if (other_cookie != NULL)
		headers[n++] = (struct http_header){ "Set-Cookie", other_cookie };
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = 303, .headers = headers, .n_headers = n });
}

static void send_file(struct exchange *exchange, const char *name, const char *type)
{
	static const struct http_header headers[] = {
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{ "Cache-Control",		   "no-cache"   },
	};

	exchange_answer(exchange, &(struct exchange_answer){
					  .status = 200,
					  .content_type = type,
					  .headers = headers,
					  .n_headers = sizeof(headers) / sizeof(headers[0]),
					  .body = span_of(page_file(name)),
				  });
}

void page_style(struct exchange *exchange)
{
	send_file(exchange, "connect.css", "text/css; charset=utf-8");
}

void page_script(struct exchange *exchange)
{
	send_file(exchange, "connect.js", "text/javascript; charset=utf-8");
}
