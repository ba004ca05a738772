/* SPDX-License-Identifier: Apache-2.0 */

/* A browser at the sample authorization server: who it is, and what it is answered. */

#include <string.h>

#include "gateway/app/sample_notes_priv.h"

#define COOKIE "notes_browser"

/* --- browsers --- */

static const char *cookie_of(struct exchange *exchange, struct arena *arena)
{
	const char *at = exchange_header(exchange, "cookie");

	while (at != NULL && *at != '\0') {
		size_t n = strcspn(at, ";");

		if (strncmp(at, COOKIE "=", sizeof(COOKIE)) == 0)
			return arena_dup(arena, at + sizeof(COOKIE), n - sizeof(COOKIE));
		at += n;
		at += strspn(at, "; ");
	}
	return NULL;
}

void visit_init(struct visit *visit, struct exchange *exchange)
{
	const struct sample *sample = exchange_app(exchange);
	const json_t *user;
	char id[NOTES_ID_BYTES];

	*visit = (struct visit){ .exchange = exchange, .notes = sample->own, .arena = arena_new() };
	visit->browser = cookie_of(exchange, visit->arena);
	user = visit->browser != NULL ? json_object_get(visit->notes->browsers, visit->browser)
				      : NULL;
	if (user == NULL) {
		notes_new_id(id);
		visit->browser = arena_strdup(visit->arena, id);
		visit->cookie = arena_printf(visit->arena,
					     COOKIE "=%s; Path=/; HttpOnly; SameSite=Lax", id);
		notes_put(visit->notes->browsers, id, json_string(""), NOTES_MAX_BROWSERS);
	}
	visit->user = user != NULL ? json_string_value(user) : "";
}

void visit_fini(struct visit *visit)
{
	arena_free(&visit->arena);
}

void visit_sign_in(struct visit *visit, const char *user)
{
	json_object_set_new(visit->notes->browsers, visit->browser, json_string(user));
	visit->user = arena_strdup(visit->arena, user);
}

bool visit_is_name(const char *name)
{
	size_t n = name != NULL ? strlen(name) : 0;

	return n > 0 && n <= NOTES_MAX_NAME &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		       n;
}

/* --- answers --- */

void visit_send_page(struct visit *visit, int status, const char *title, struct buf *html,
		     const char *form_goes)
{
	notes_page_send(visit->exchange, &(struct notes_page){
						 .status = status,
						 .title = title,
						 .main = buf_str(html),
						 .cookie = visit->cookie,
						 .form_goes = form_goes,
					 });
	buf_fini(html);
}

void visit_complain(struct visit *visit, const char *why)
{
	struct buf html;

	buf_init(&html, NOTES_MAX_PAGE);
	buf_add(&html, "<p>");
	notes_html(&html, why);
	buf_add(&html, "</p>\n<p>Go back to the program that sent you here, and try again.</p>\n");
	visit_send_page(visit, 400, "This request cannot be served", &html, NULL);
}

void visit_redirect(struct visit *visit, const char *to)
{
	const struct http_header headers[] = {
		{"Location",	      to		 },
		{ "Cache-Control",   "no-store"   },
		{ "Referrer-Policy", "no-referrer"},
	};

	exchange_answer(visit->exchange, &(struct exchange_answer){
						 .status = 303,
						 .headers = headers,
						 .n_headers = 3,
					 });
}

bool visit_is(const char *value, const char *wanted)
{
	return value != NULL && strcmp(value, wanted) == 0;
}

void visit_add_name_field(struct buf *html, const char *user)
{
	buf_add(html, "<p><label for=\"name\">Your name</label>\n"
		      "<input id=\"name\" name=\"name\" required maxlength=\"32\" "
		      "pattern=\"[A-Za-z0-9_.\\-]+\" autocomplete=\"username\" "
		      "aria-describedby=\"hint\" value=\"");
	notes_html(html, user[0] != '\0' ? user : "ana");
	buf_add(html, "\"></p>\n<p id=\"hint\">This is a sample: any name will do, and there is no "
		      "password. Letters, digits, dots, dashes and underscores.</p>\n");
}
