/* SPDX-License-Identifier: Apache-2.0 */

/* The page on which people see who has access to their notes, and take it back. */

#include "gateway/app/sample_notes_priv.h"

static void show_sign_in(struct visit *visit)
{
	struct buf html;

	buf_init(&html, NOTES_MAX_PAGE);
	buf_add(&html, "<p>Sign in to see which programs may use your notes.</p>\n"
		       "<form method=\"post\" action=\"/\">\n");
	visit_add_name_field(&html, "");
	buf_add(&html, "<button class=\"go\">Sign in</button>\n</form>\n");
	visit_send_page(visit, 200, "Notes", &html, NULL);
}

static void add_grant(struct visit *visit, struct buf *html, const char *id, const json_t *grant)
{
	const json_t *client = json_object_get(visit->notes->clients, json_text(grant, "client"));

	buf_add(html, "<li><strong>");
	notes_html(html, client != NULL ? json_text(client, "name") : "A program");
	buf_add(html, "</strong>\n<form method=\"post\" action=\"/revoke-access\">\n"
		      "<input type=\"hidden\" name=\"grant\" value=\"");
	notes_html(html, id);
	buf_add(html, "\">\n<button>Revoke access</button>\n</form></li>\n");
}

static void show_account(struct visit *visit)
{
	const char *id;
	json_t *grant;
	bool any = false;
	struct buf html;

	buf_init(&html, NOTES_MAX_PAGE);
	buf_add(&html, "<p>Signed in as <strong>");
	notes_html(&html, visit->user);
	buf_add(&html, "</strong>.</p>\n<h2>Programs with access to your notes</h2>\n<ul>\n");
	json_object_foreach(visit->notes->grants, id, grant)
	{
		if (visit_is(json_text(grant, "user"), visit->user)) {
			add_grant(visit, &html, id, grant);
			any = true;
		}
	}
	if (!any)
		buf_add(&html, "<li>None.</li>\n");
	buf_add(&html, "</ul>\n");
	visit_send_page(visit, 200, "Notes", &html, NULL);
}

void notes_page_account(struct exchange *exchange)
{
	struct visit visit;

	visit_init(&visit, exchange);
	if (visit.user[0] == '\0')
		show_sign_in(&visit);
	else
		show_account(&visit);
	visit_fini(&visit);
}

void notes_page_sign_in(struct exchange *exchange)
{
	struct visit visit;
	const char *name;

	if (!sample_is_served(exchange))
		return;
	visit_init(&visit, exchange);
	name = notes_field(exchange, visit.arena, "name");
	if (visit.cookie != NULL || !visit_is_name(name)) {
		visit_complain(&visit,
			       "A name is 1 to 32 letters, digits, dots, dashes and underscores, "
			       "and the browser has to accept a cookie.");
	} else {
		visit_sign_in(&visit, name);
		visit_redirect(&visit, "/");
	}
	visit_fini(&visit);
}

void notes_page_revoke(struct exchange *exchange)
{
	struct visit visit;
	const char *id;
	const json_t *grant;

	if (!sample_is_served(exchange))
		return;
	visit_init(&visit, exchange);
	id = notes_field(exchange, visit.arena, "grant");
	grant = id != NULL ? json_object_get(visit.notes->grants, id) : NULL;
	if (grant != NULL && visit.user[0] != '\0' &&
	    visit_is(json_text(grant, "user"), visit.user)) {
		json_object_del(visit.notes->grants, id);
		notes_save(visit.notes);
	}
	visit_redirect(&visit, "/");
	visit_fini(&visit);
}
