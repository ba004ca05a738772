/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SAMPLE_NOTES_PRIV_H
#define GATEWAY_APP_SAMPLE_NOTES_PRIV_H

/*
 * What the files of the sample upstream `notes` share: sample_notes.c (its tools and its surface),
 * sample_notes_store.c (what it knows), sample_notes_register.c and sample_notes_oauth.c (what
 * programs ask), sample_notes_pages.c (consent) and sample_notes_account.c (who has access) for
 * people, sample_notes_visit.c (their browsers), sample_notes_html.c (how pages look).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/app/sample.h"

#define NOTES_ID_BYTES	    23 /* 16 random bytes in base64url, and NUL */
#define NOTES_TOKEN_BYTES   128
#define NOTES_MAX_NAME	    32
#define NOTES_MAX_URIS	    8
#define NOTES_ASK_S	    600 /* to sign in and decide */
#define NOTES_CODE_S	    60
#define NOTES_MAX_TEXT	    1000
#define NOTES_MAX_PER_USER  100
#define NOTES_MAX_USERS	    64
#define NOTES_MAX_CLIENTS   256
#define NOTES_MAX_GRANTS    256
#define NOTES_MAX_ASKS	    64
#define NOTES_MAX_BROWSERS  64
#define NOTES_MAX_PAGE	    ((size_t)1024 * 1024)
#define NOTES_SCOPE_READ    "notes:read"
#define NOTES_SCOPE_WRITE   "notes:write"
#define NOTES_ALL_SCOPES    NOTES_SCOPE_READ " " NOTES_SCOPE_WRITE
#define NOTES_METADATA_PATH "/.well-known/oauth-protected-resource/mcp"

struct notes {
	char issuer[64]; /* http://127.0.0.1:port */
	char resource[64];
	const char *file;
	uint8_t key[SHA256_BYTES]; /* makes the tokens */
	/* Kept in the file: {"key", "clients", "grants", "notes"}; the others lie in it. */
	json_t *state;
	json_t *clients; /* id → {"name", "redirect_uris", "auth"} */
	json_t *grants;	 /* id → {"client", "user", "scope", "generation"} */
	json_t *texts;	 /* user → [text] */
	/* Kept until the end of the process. */
	json_t *asks;	  /* id → {"browser", "client", "redirect_uri", "state", "challenge",
			     "scope", "until", and once allowed "user"} */
	json_t *browsers; /* cookie → user, or "" */
};

/* --- sample_notes_store.c --- */

/* ERR_BAD_REQUEST: the file cannot be read. */
int notes_open(struct notes *notes, const char *file, struct err *err) MUST_CHECK;
void notes_close(struct notes *notes);
void notes_save(const struct notes *notes); /* a failure is logged */

void notes_new_id(char id[NOTES_ID_BYTES]);
/* Adds, and makes room by dropping the oldest first. Takes value. */
void notes_put(json_t *object, const char *id, json_t *value, size_t max);

enum notes_token {
	NOTES_CODE,	     /* id of the ask, which becomes that of the grant */
	NOTES_ACCESS,	     /* id of the grant; number: until when it is good, Unix seconds */
	NOTES_REFRESH,	     /* id of the grant; number: its generation */
	NOTES_CLIENT_SECRET, /* id of the client */
};
void notes_token_write(const struct notes *notes, enum notes_token kind, const char *id,
		       int64_t number, char out[NOTES_TOKEN_BYTES]);
/* False unless it is one of ours and of this kind. */
bool notes_token_read(const struct notes *notes, enum notes_token kind, const char *text,
		      char id[NOTES_ID_BYTES], int64_t *number);

/* All of these are of one access_token; the grant is borrowed. NULL: not valid (any more). */
json_t *notes_grant_of_access(const struct notes *notes, const char *token);
bool notes_has_scope(const json_t *grant, const char *scope);
int64_t notes_now_s(void);

/* --- sample_notes_register.c --- */

void notes_resource_metadata(struct exchange *exchange);
void notes_server_metadata(struct exchange *exchange);
void notes_register(struct exchange *exchange);

/* --- sample_notes_oauth.c --- */

void notes_token(struct exchange *exchange);
void notes_revoke(struct exchange *exchange);
void notes_userinfo(struct exchange *exchange);
struct notes *notes_of(const struct exchange *exchange);
/* Takes json. */
void notes_answer_json(struct exchange *exchange, int status, json_t *json);
void notes_refuse(struct exchange *exchange, const char *error, const char *description);
/* The token of "Authorization: Bearer …", or NULL. */
const char *notes_bearer(struct exchange *exchange);
/* 401, or 403 if only a scope is missing; error NULL: no token was sent. */
void notes_challenge(struct exchange *exchange, int status, const char *error, const char *scope);
/* A decoded field of the form that was posted, or NULL. In the arena. */
const char *notes_field(const struct exchange *exchange, struct arena *arena, const char *name);

/* --- sample_notes_visit.c --- */

struct visit {
	struct exchange *exchange;
	struct notes *notes;
	struct arena *arena;
	const char *browser; /* value of the cookie */
	const char *user;    /* "": nobody signed in */
	const char *cookie;  /* Set-Cookie for a browser that is new, or NULL */
};

void visit_init(struct visit *visit, struct exchange *exchange);
void visit_fini(struct visit *visit);
void visit_sign_in(struct visit *visit, const char *user);
/* Letters, digits, "-", "_" and ".": nobody has to wonder how a name is written. */
bool visit_is_name(const char *name);
bool visit_is(const char *value, const char *wanted); /* value may be NULL */
/* The body of a page, freed; form_goes as in struct notes_page. */
void visit_send_page(struct visit *visit, int status, const char *title, struct buf *html,
		     const char *form_goes);
void visit_complain(struct visit *visit, const char *why);
void visit_redirect(struct visit *visit, const char *to);
void visit_add_name_field(struct buf *html, const char *user);

/* --- sample_notes_pages.c, sample_notes_account.c --- */

void notes_page_authorize(struct exchange *exchange);
void notes_page_decide(struct exchange *exchange);
void notes_page_account(struct exchange *exchange);
void notes_page_sign_in(struct exchange *exchange);
void notes_page_revoke(struct exchange *exchange);

/* --- sample_notes_html.c --- */

void notes_style(struct exchange *exchange);
void notes_html(struct buf *out, const char *text); /* escaped, for text and quoted attributes */

struct notes_page {
	int status;
	const char *title;
	const char *main;      /* HTML; its own headline is the title */
	const char *cookie;    /* Set-Cookie, or NULL */
	const char *form_goes; /* an origin besides ours to which a form may lead, or NULL */
};
void notes_page_send(struct exchange *exchange, const struct notes_page *page);

#endif
