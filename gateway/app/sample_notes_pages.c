/* SPDX-License-Identifier: Apache-2.0 */

/* The consent page of the sample authorization server. */

#include <string.h>

#include "gateway/app/sample_notes_priv.h"
#include "oauth/form.h"
#include "oauth/well_known.h"

#define CHALLENGE_BYTES 43 /* SHA-256 in base64url */
#define MAX_STATE_BYTES 4096
#define MAX_LOCATION	65536

/* Back to who asked, with a code or an error (RFC 6749 4.1.2), and who says so (RFC 9207). */
static void send_back(struct visit *visit, const json_t *ask, const char *name, const char *value)
{
	const char *uri = json_text(ask, "redirect_uri");
	const char *state = json_text(ask, "state");
	struct buf to;

	buf_init(&to, MAX_LOCATION);
	buf_add(&to, uri);
	buf_add(&to, strchr(uri, '?') != NULL ? "&" : "?");
	form_add(&to, name, value);
	if (state != NULL)
		form_add(&to, "state", state);
	form_add(&to, "iss", visit->notes->issuer);
	visit_redirect(visit, buf_str(&to));
	buf_wipe(&to);
}

/* --- consent --- */

static const struct {
	const char *scope;
	const char *means;
} scopes[] = {
	{NOTES_SCOPE_READ,   "read your notes"},
	{ NOTES_SCOPE_WRITE, "add notes"	 },
};

static void show_consent(struct visit *visit, const char *id, const json_t *ask)
{
	const json_t *client = json_object_get(visit->notes->clients, json_text(ask, "client"));
	const char *origin = well_known_origin(visit->arena, json_text(ask, "redirect_uri"));
	struct buf html;

	buf_init(&html, NOTES_MAX_PAGE);
	buf_add(&html, "<p><strong>");
	notes_html(&html, json_text(client, "name"));
	buf_add(&html, "</strong> at <strong>");
	notes_html(&html, origin);
	buf_add(&html, "</strong> asks to be allowed to:</p>\n<ul>\n");
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		if (notes_has_scope(ask, scopes[i].scope))
			buf_printf(&html, "<li>%s</li>\n", scopes[i].means);
	}
	buf_add(&html, "</ul>\n<form method=\"post\" action=\"/authorize\">\n"
		       "<input type=\"hidden\" name=\"request\" value=\"");
	notes_html(&html, id);
	buf_add(&html, "\">\n");
	visit_add_name_field(&html, visit->user);
	buf_add(&html, "<button class=\"go\" name=\"decision\" value=\"allow\">Allow</button>\n"
		       "<button name=\"decision\" value=\"deny\" formnovalidate>Deny</button>\n"
		       "</form>\n<p>You can take the access back at any time on <a href=\"/\">the "
		       "page of this server</a>.</p>\n");
	visit_send_page(visit, 200, "Allow access to your notes?", &html, origin);
}

/* All words are scopes of ours. */
static bool are_scopes(const char *text)
{
	char word[32];

	while (*text != '\0') {
		size_t n = strcspn(text, " ");
		bool known = false;

		for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
			known |= strlen(scopes[i].scope) == n &&
				 memcmp(text, scopes[i].scope, n) == 0;
		if (!known || n >= sizeof(word))
			return false;
		text += n + strspn(text + n, " ");
	}
	return true;
}

static const char *param_of(struct visit *visit, const char *name)
{
	return exchange_query_param(visit->exchange, name);
}

/* What is told to the client, by a redirect; NULL: all is well. */
static const char *error_of(struct visit *visit, const char *scope)
{
	const char *challenge = param_of(visit, "code_challenge");

	if (!visit_is(param_of(visit, "response_type"), "code"))
		return "unsupported_response_type";
	if (challenge == NULL || strlen(challenge) != CHALLENGE_BYTES ||
	    !visit_is(param_of(visit, "code_challenge_method"), "S256"))
		return "invalid_request";
	if (!visit_is(param_of(visit, "resource"), visit->notes->resource))
		return "invalid_target";
	return are_scopes(scope) ? NULL : "invalid_scope";
}

static bool is_registered(const json_t *client, const char *uri)
{
	const json_t *uris = json_object_get(client, "redirect_uris");

	for (size_t i = 0; i < json_array_size(uris); i++) {
		if (visit_is(uri, json_string_value(json_array_get(uris, i))))
			return true;
	}
	return false;
}

static void ask(struct visit *visit, const char *client, const char *uri)
{
	const char *state = param_of(visit, "state");
	const char *scope = param_of(visit, "scope");
	const char *challenge = param_of(visit, "code_challenge");
	const char *error;
	char id[NOTES_ID_BYTES];
	json_t *new;

	if (scope == NULL || scope[0] == '\0')
		scope = NOTES_ALL_SCOPES;
	new = json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s, s:I}", "browser", visit->browser, "client",
			client, "redirect_uri", uri, "state", state, "challenge",
			challenge != NULL ? challenge : "", "scope", scope, "until",
			(json_int_t)(notes_now_s() + NOTES_ASK_S));
	error = error_of(visit, scope);
	if (error != NULL) {
		send_back(visit, new, "error", error);
		json_decref(new);
		return;
	}
	notes_new_id(id);
	notes_put(visit->notes->asks, id, new, NOTES_MAX_ASKS);
	show_consent(visit, id, new);
}

/* Where an error goes is not known before the client and its address are (RFC 6749 4.1.2.1). */
void notes_page_authorize(struct exchange *exchange)
{
	struct visit visit;
	const char *client;
	const char *uri;
	const char *state;

	visit_init(&visit, exchange);
	client = param_of(&visit, "client_id");
	uri = param_of(&visit, "redirect_uri");
	state = param_of(&visit, "state");
	if (client == NULL || json_object_get(visit.notes->clients, client) == NULL)
		visit_complain(&visit, "The program that sent you here is not registered.");
	else if (!is_registered(json_object_get(visit.notes->clients, client), uri))
		visit_complain(&visit,
			       "The program that sent you here registered another address to "
			       "come back to.");
	else if (state != NULL && strlen(state) > MAX_STATE_BYTES)
		visit_complain(&visit, "The program that sent you here sent too much.");
	else
		ask(&visit, client, uri);
	visit_fini(&visit);
}

static void allow(struct visit *visit, const char *id, json_t *found)
{
	const char *name = notes_field(visit->exchange, visit->arena, "name");
	char code[NOTES_TOKEN_BYTES];

	if (!visit_is_name(name)) {
		visit_complain(visit,
			       "A name is 1 to 32 letters, digits, dots, dashes and underscores.");
		return;
	}
	visit_sign_in(visit, name);
	json_object_set_new(found, "user", json_string(name));
	json_object_set_new(found, "until", json_integer(notes_now_s() + NOTES_CODE_S));
	notes_token_write(visit->notes, NOTES_CODE, id, 0, code);
	send_back(visit, found, "code", code);
}

void notes_page_decide(struct exchange *exchange)
{
	struct visit visit;
	const char *id;
	json_t *found;

	if (!sample_is_served(exchange))
		return;
	visit_init(&visit, exchange);
	id = notes_field(exchange, visit.arena, "request");
	found = id != NULL ? json_object_get(visit.notes->asks, id) : NULL;
	if (found == NULL || json_object_get(found, "user") != NULL ||
	    json_integer_value(json_object_get(found, "until")) <= notes_now_s()) {
		visit_complain(&visit,
			       "This question was answered already, or nobody answered it in "
			       "time.");
	} else if (!visit_is(json_text(found, "browser"), visit.browser)) {
		visit_complain(&visit, "This question was put to another browser.");
	} else if (visit_is(notes_field(exchange, visit.arena, "decision"), "allow")) {
		allow(&visit, id, found);
	} else {
		send_back(&visit, found, "error", "access_denied");
		json_object_del(visit.notes->asks, id);
	}
	visit_fini(&visit);
}
