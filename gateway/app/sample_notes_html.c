/* SPDX-License-Identifier: Apache-2.0 */

/* How the pages of the sample upstream `notes` look. No script; readable without the style. */

#include <string.h>

#include "gateway/app/sample_notes_priv.h"

#define TEXT_HTML "text/html; charset=utf-8"

static const char style[] =
	":root{color-scheme:light dark;--line:light-dark(#6b7280,#9ca3af);"
	"--go:light-dark(#1d4ed8,#93c5fd);--on-go:light-dark(#fff,#0b1220)}\n"
	"body{font:1rem/1.5 system-ui,sans-serif;max-inline-size:32rem;margin:2rem auto;"
	"padding:0 1rem;overflow-wrap:anywhere;background:light-dark(#fff,#111827);"
	"color:light-dark(#111827,#f3f4f6)}\n"
	"h1{font-size:1.5rem;line-height:1.25}\n"
	"label{display:block;font-weight:600}\n"
	"input{font:inherit;padding:.5rem;inline-size:100%;box-sizing:border-box;"
	"border:1px solid var(--line);border-radius:.25rem;background:inherit;color:inherit}\n"
	"button{font:inherit;min-block-size:2.75rem;padding:.5rem 1.25rem;margin:1rem .5rem 0 0;"
	"border:1px solid var(--go);border-radius:.25rem;background:inherit;color:inherit;"
	"cursor:pointer}\n"
	"button.go{background:var(--go);color:var(--on-go)}\n"
	":focus-visible{outline:3px solid var(--go);outline-offset:2px}\n";

void notes_style(struct exchange *exchange)
{
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = 200,
					  .content_type = "text/css; charset=utf-8",
					  .body = SPAN(style),
				  });
}

void notes_html(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			buf_add(out, "&amp;");
			break;
		case '<':
			buf_add(out, "&lt;");
			break;
		case '>':
			buf_add(out, "&gt;");
			break;
		case '"':
			buf_add(out, "&quot;");
			break;
		default:
			buf_append(out, text, 1);
		}
	}
}

/* A form may lead to where its answer redirects only if the policy names that as well. */
static const char *policy_of(const struct notes_page *page, struct arena *arena)
{
	return arena_printf(arena,
			    "default-src 'none'; style-src 'self'; form-action 'self'%s%s; "
			    "frame-ancestors 'none'; base-uri 'none'",
			    page->form_goes != NULL ? " " : "",
			    page->form_goes != NULL ? page->form_goes : "");
}

void notes_page_send(struct exchange *exchange, const struct notes_page *page)
{
	struct arena *arena = arena_new();
	const struct http_header headers[] = {
		{"Content-Security-Policy", policy_of(page, arena) },
		{ "X-Content-Type-Options",			    "nosniff"	      },
 /* Not "no-referrer": with that, browsers send forms with "Origin: null". */
		{ "Referrer-Policy",			     "same-origin"	   },
		{ "Cache-Control",			   "no-store"		      },
		{ "Set-Cookie",			page->cookie	     },
	};
	struct buf html;

	buf_init(&html, NOTES_MAX_PAGE);
	buf_add(&html, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		       "<meta name=\"viewport\" content=\"width=device-width\">\n"
		       "<link rel=\"stylesheet\" href=\"/style.css\">\n<title>");
	notes_html(&html, page->title);
	buf_add(&html, " - Notes (sample)</title>\n</head>\n<body>\n<main>\n<h1>");
	notes_html(&html, page->title);
	buf_add(&html, "</h1>\n");
	buf_add(&html, page->main);
	buf_add(&html, "</main>\n</body>\n</html>\n");
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = page->status,
					  .content_type = TEXT_HTML,
					  .headers = headers,
					  .n_headers = sizeof(headers) / sizeof(headers[0]) -
						       (page->cookie == NULL ? 1 : 0),
					  .body = buf_span(&html),
				  });
	buf_fini(&html);
	arena_free(&arena);
}
