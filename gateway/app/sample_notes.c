/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/sample_notes.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/listener.h"
#include "gateway/app/sample_notes_priv.h"
#include "version.h"

static const char tools_list[] =
	"\"tools\":[{\"name\":\"list_notes\",\"title\":\"List notes\","
	"\"description\":\"The notes of whoever connected the account, the newest last.\","
	"\"inputSchema\":{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false},"
	"\"annotations\":{\"readOnlyHint\":true,\"openWorldHint\":false}},"
	"{\"name\":\"add_note\",\"title\":\"Add a note\",\"description\":\"Keeps a text.\","
	"\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\","
	"\"minLength\":1,\"maxLength\":1000}},\"required\":[\"text\"],"
	"\"additionalProperties\":false},"
	"\"annotations\":{\"readOnlyHint\":false,\"destructiveHint\":false,"
	"\"openWorldHint\":false}}]";

/* What admit has seen to be valid. */
static json_t *grant_of(const struct sample_request *request)
{
	return notes_grant_of_access(request->sample->own, notes_bearer(request->exchange));
}

static bool admit(struct exchange *exchange)
{
	const struct sample *sample = exchange_app(exchange);
	const char *token = notes_bearer(exchange);

	if (token != NULL && notes_grant_of_access(sample->own, token) != NULL)
		return true;
	notes_challenge(exchange, 401, token != NULL ? "invalid_token" : NULL, NOTES_ALL_SCOPES);
	return false;
}

/* The user's notes, or NULL: has been answered. */
static json_t *texts_of(struct sample_request *request, const char *scope)
{
	const struct notes *notes = request->sample->own;
	const json_t *grant = grant_of(request);
	const char *user;
	json_t *texts;

	if (grant == NULL || !notes_has_scope(grant, scope)) {
		notes_challenge(request->exchange, grant == NULL ? 401 : 403,
				grant == NULL ? "invalid_token" : "insufficient_scope", scope);
		return NULL;
	}
	user = json_text(grant, "user");
	texts = json_object_get(notes->texts, user);
	if (texts == NULL) {
		texts = json_array();
		notes_put(notes->texts, user, texts, NOTES_MAX_USERS);
	}
	return texts;
}

static void list_notes(struct sample_request *request, struct span arguments)
{
	const json_t *texts = texts_of(request, NOTES_SCOPE_READ);
	struct buf lines;

	(void)arguments;
	if (texts == NULL)
		return;
	buf_init(&lines, NOTES_MAX_PAGE);
	for (size_t i = 0; i < json_array_size(texts); i++)
		buf_printf(&lines, "%s%s", i > 0 ? "\n" : "",
			   json_string_value(json_array_get(texts, i)));
	sample_answer_text(request, lines.len > 0 ? buf_str(&lines) : "There are no notes yet.",
			   false);
	buf_fini(&lines);
}

/* The text itself, or NULL if it is none that can be kept. */
static const char *text_of(struct arena *arena, struct span argument)
{
	const char *found = NULL;
	struct buf text;

	buf_init(&text, NOTES_MAX_TEXT);
	if (span_type(argument) == SPAN_STRING && span_string(argument, &text) == 0 &&
	    text.len > 0 && strlen(buf_str(&text)) == text.len)
		found = arena_strdup(arena, buf_str(&text));
	buf_fini(&text);
	return found;
}

static void add_note(struct sample_request *request, struct span arguments)
{
	json_t *texts = texts_of(request, NOTES_SCOPE_WRITE);
	const char *text;

	if (texts == NULL)
		return;
	text = text_of(request->arena, span_trim(span_get(arguments, "text")));
	if (text == NULL) {
		sample_answer_text(request, "text must be a string of 1 to 1000 bytes", true);
	} else if (json_array_size(texts) >= NOTES_MAX_PER_USER) {
		sample_answer_text(request, "there is room for 100 notes, and no more", true);
	} else {
		json_array_append_new(texts, json_string(text));
		notes_save(request->sample->own);
		sample_answer_text(request, "Noted.", false);
	}
}

static const struct sample_tool tools[] = {
	{"list_notes", list_notes},
	{ "add_note",  add_note  },
};

static const struct route routes[] = {
	{SAMPLE_PUBLIC,	 "POST",	 "/mcp",					 sample_post	     },
	{ SAMPLE_PUBLIC, "GET",	"/mcp",					sample_get		   },
	{ SAMPLE_PUBLIC, "DELETE", "/mcp",					   sample_delete		 },
	{ SAMPLE_PUBLIC, "GET",	NOTES_METADATA_PATH,			     notes_resource_metadata},
	{ SAMPLE_PUBLIC, "GET",	"/.well-known/oauth-authorization-server", notes_server_metadata	 },
	{ SAMPLE_PUBLIC, "POST",	 "/register",				      notes_register	     },
	{ SAMPLE_PUBLIC, "GET",	"/authorize",			      notes_page_authorize   },
	{ SAMPLE_PUBLIC, "POST",	 "/authorize",			       notes_page_decide	 },
	{ SAMPLE_PUBLIC, "POST",	 "/token",				   notes_token	       },
	{ SAMPLE_PUBLIC, "POST",	 "/revoke",				    notes_revoke		 },
	{ SAMPLE_PUBLIC, "GET",	"/userinfo",				     notes_userinfo	    },
	{ SAMPLE_PUBLIC, "GET",	"/",				       notes_page_account	},
	{ SAMPLE_PUBLIC, "POST",	 "/",				       notes_page_sign_in	 },
	{ SAMPLE_PUBLIC, "POST",	 "/revoke-access",			   notes_page_revoke	     },
	{ SAMPLE_PUBLIC, "GET",	"/style.css",			      notes_style		  },
	{ 0,	     NULL,	   NULL,				      NULL		      },
};

static const struct sample_kind kind = {
	.name = "notes",
	.server_info =
		"{\"name\":\"notes\",\"title\":\"Notes\",\"version\":\"" TOLLGATE_VERSION "\"}",
	.about = "\"capabilities\":{\"tools\":{}},"
		 "\"instructions\":\"Keeps the notes of whoever connected an account.\"",
	.tools_list = tools_list,
	.tools = tools,
	.n_tools = sizeof(tools) / sizeof(tools[0]),
	.no_tool = "there is no such tool: list_notes or add_note",
	.routes = routes,
	.nowhere = "the sample server is at /mcp, and its page at /",
	.admit = admit,
};

int sample_notes_run(int listen_fd, const char *state_file)
{
	struct notes notes = { .file = NULL };
	struct err err;
	int code;

	snprintf(notes.issuer, sizeof(notes.issuer), "http://127.0.0.1:%d",
		 listener_port(listen_fd));
	snprintf(notes.resource, sizeof(notes.resource), "http://127.0.0.1:%d/mcp",
		 listener_port(listen_fd));
	if (notes_open(&notes, state_file, &err) < 0) {
		log_error(&(struct log_subject){ .component = kind.name }, "%s", err.text);
		return EXIT_UNEXPECTED;
	}
	code = sample_run(&kind, &notes, listen_fd);
	notes_close(&notes);
	return code;
}
