/* SPDX-License-Identifier: Apache-2.0 */

/* The endpoints of the sample authorization server that clients ask: tokens, revocation, userinfo.
 */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "gateway/app/sample_notes.h"
#include "gateway/app/sample_notes_priv.h"
#include "gateway/http/query.h"
#include "oauth/form.h"

#define MAX_REPLY_BYTES	   65536
#define MAX_VERIFIER_BYTES 128
#define MIN_VERIFIER_BYTES 43

struct notes *notes_of(const struct exchange *exchange)
{
	const struct sample *sample = exchange_app(exchange);

	return sample->own;
}

/* Takes json. */
void notes_answer_json(struct exchange *exchange, int status, json_t *json)
{
	static const struct http_header no_store = { "Cache-Control", "no-store" };
	struct buf body;
	int ret;

	buf_init(&body, MAX_REPLY_BYTES);
	ret = json_write(json, &body);
	assert(ret == 0); /* all of it is bounded */
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = status,
					  .content_type = "application/json",
					  .headers = &no_store,
					  .n_headers = 1,
					  .body = buf_span(&body),
				  });
	buf_wipe(&body);
	json_decref(json);
}

/* RFC 6749 5.2 */
void notes_refuse(struct exchange *exchange, const char *error, const char *description)
{
	int status = strcmp(error, "invalid_client") == 0 ? 401 : 400;

	notes_answer_json(
		exchange, status,
		json_pack("{s:s, s:s}", "error", error, "error_description", description));
}

/* --- who asks --- */

const char *notes_field(const struct exchange *exchange, struct arena *arena, const char *name)
{
	struct span body = exchange_body(exchange);
	char *room = arena_alloc(arena, body.n + 1);

	return query_find(body, name, room) ? room : NULL;
}

/* The two halves of "Basic …", unescaped as RFC 6749 2.3.1 has them; false if there are none. */
static bool read_basic(struct exchange *exchange, struct arena *arena, const char **id,
		       const char **secret)
{
	const char *header = exchange_header(exchange, "authorization");
	struct buf text;
	char *plain;
	char *colon;
	long n;

	if (header == NULL || strncasecmp(header, "Basic ", 6) != 0)
		return false;
	plain = arena_alloc(arena, strlen(header) + 4);
	n = base64_decode(span_of(header + 6), plain);
	plain[n > 0 ? n : 0] = '\0';
	colon = strchr(plain, ':');
	if (colon == NULL)
		return false;
	*colon = '\0';
	buf_init(&text, MAX_REPLY_BYTES);
	form_unescape(&text, span_of(plain));
	*id = arena_strdup(arena, buf_str(&text));
	buf_clear(&text);
	form_unescape(&text, span_of(colon + 1));
	*secret = arena_strdup(arena, buf_str(&text));
	buf_wipe(&text);
	return true;
}

/* The id of the client, or NULL. A client uses the method that it registered. */
static const char *authenticate(struct exchange *exchange, struct arena *arena)
{
	const struct notes *notes = notes_of(exchange);
	const char *id = notes_field(exchange, arena, "client_id");
	const char *secret = notes_field(exchange, arena, "client_secret");
	bool basic = read_basic(exchange, arena, &id, &secret);
	const char *used = basic	    ? "client_secret_basic"
			   : secret != NULL ? "client_secret_post"
					    : "none";
	const json_t *client = id != NULL ? json_object_get(notes->clients, id) : NULL;
	char of[NOTES_ID_BYTES];
	int64_t number;

	if (client == NULL || strcmp(json_text(client, "auth"), used) != 0)
		return NULL;
	if (secret != NULL && (!notes_token_read(notes, NOTES_CLIENT_SECRET, secret, of, &number) ||
			       strcmp(of, id) != 0))
		return NULL;
	return id;
}

/* --- tokens --- */

static void answer_tokens(struct exchange *exchange, const char *id, const json_t *grant)
{
	const struct notes *notes = notes_of(exchange);
	char access[NOTES_TOKEN_BYTES];
	char refresh[NOTES_TOKEN_BYTES];

	notes_token_write(notes, NOTES_ACCESS, id, notes_now_s() + SAMPLE_NOTES_ACCESS_S, access);
	notes_token_write(notes, NOTES_REFRESH, id,
			  json_integer_value(json_object_get(grant, "generation")), refresh);
	notes_save(notes);
	notes_answer_json(exchange, 200,
			  json_pack("{s:s, s:s, s:i, s:s, s:s}", "access_token", access,
				    "token_type", "Bearer", "expires_in", SAMPLE_NOTES_ACCESS_S,
				    "refresh_token", refresh, "scope", json_text(grant, "scope")));
}

/* RFC 7636 4.6 */
static bool is_verified(const json_t *ask, const char *verifier)
{
	uint8_t hash[SHA256_BYTES];
	char challenge[64];
	size_t n = verifier != NULL ? strlen(verifier) : 0;

	if (n < MIN_VERIFIER_BYTES || n > MAX_VERIFIER_BYTES)
		return false;
	crypto_sha256(verifier, n, hash);
	base64url_encode(hash, sizeof(hash), challenge);
	return strcmp(challenge, json_text(ask, "challenge")) == 0;
}

static bool is_ours(struct exchange *exchange, struct arena *arena)
{
	const char *resource = notes_field(exchange, arena, "resource");

	return resource == NULL || strcmp(resource, notes_of(exchange)->resource) == 0;
}

/* A code that comes again was stolen from somebody: what it gave is taken back (RFC 6749 4.1.2). */
static json_t *take_ask(struct notes *notes, const char *code, char id[NOTES_ID_BYTES])
{
	int64_t number;
	json_t *ask;

	if (code == NULL || !notes_token_read(notes, NOTES_CODE, code, id, &number))
		return NULL;
	ask = json_incref(json_object_get(notes->asks, id));
	if (ask == NULL && json_object_del(notes->grants, id) == 0)
		notes_save(notes);
	json_object_del(notes->asks, id);
	return ask;
}

static void redeem_code(struct exchange *exchange, struct arena *arena, const char *client)
{
	struct notes *notes = notes_of(exchange);
	const char *uri = notes_field(exchange, arena, "redirect_uri");
	char id[NOTES_ID_BYTES];
	json_t *ask = take_ask(notes, notes_field(exchange, arena, "code"), id);

	if (ask == NULL || json_text(ask, "user") == NULL ||
	    json_integer_value(json_object_get(ask, "until")) <= notes_now_s() ||
	    strcmp(json_text(ask, "client"), client) != 0) {
		notes_refuse(exchange, "invalid_grant", "the code is not valid, or not any more");
	} else if (uri == NULL || strcmp(json_text(ask, "redirect_uri"), uri) != 0) {
		notes_refuse(exchange, "invalid_grant",
			     "redirect_uri is not the one of the request");
	} else if (!is_verified(ask, notes_field(exchange, arena, "code_verifier"))) {
		notes_refuse(exchange, "invalid_grant", "code_verifier does not match");
	} else {
		json_t *grant = json_pack("{s:s, s:s, s:s, s:i}", "client", client, "user",
					  json_text(ask, "user"), "scope", json_text(ask, "scope"),
					  "generation", 1);

		notes_put(notes->grants, id, grant, NOTES_MAX_GRANTS);
		answer_tokens(exchange, id, grant);
	}
	json_decref(ask);
}

/* One that was used already was copied, nobody knows by whom: all of its family ends (RFC 9700
 * 4.14.2). */
static void renew(struct exchange *exchange, struct arena *arena, const char *client)
{
	struct notes *notes = notes_of(exchange);
	const char *token = notes_field(exchange, arena, "refresh_token");
	char id[NOTES_ID_BYTES];
	int64_t number = 0;
	json_t *grant = NULL;
	int64_t generation;

	if (token != NULL && notes_token_read(notes, NOTES_REFRESH, token, id, &number))
		grant = json_object_get(notes->grants, id);
	if (grant == NULL || strcmp(json_text(grant, "client"), client) != 0) {
		notes_refuse(exchange, "invalid_grant",
			     "the refresh token is not valid (any more)");
		return;
	}
	generation = json_integer_value(json_object_get(grant, "generation"));
	if (number != generation) {
		json_object_del(notes->grants, id);
		notes_save(notes);
		notes_refuse(exchange, "invalid_grant", "the refresh token was used before");
		return;
	}
	json_object_set_new(grant, "generation", json_integer(generation + 1));
	answer_tokens(exchange, id, grant);
}

/* The client, or NULL: has been answered. */
static const char *client_of(struct exchange *exchange, struct arena *arena)
{
	const char *type = exchange_header(exchange, "content-type");
	const char *client = NULL;

	if (!sample_is_served(exchange))
		return NULL;
	if (type == NULL || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0)
		notes_refuse(exchange, "invalid_request", "the body must be a form");
	else if ((client = authenticate(exchange, arena)) == NULL)
		notes_refuse(exchange, "invalid_client",
			     "no such client, or not authenticated as it registered");
	return client;
}

void notes_token(struct exchange *exchange)
{
	struct arena *arena = arena_new();
	const char *client = client_of(exchange, arena);
	const char *type = client != NULL ? notes_field(exchange, arena, "grant_type") : NULL;

	if (client == NULL)
		; /* answered */
	else if (type == NULL)
		notes_refuse(exchange, "invalid_request", "grant_type is missing");
	else if (!is_ours(exchange, arena))
		notes_refuse(exchange, "invalid_target", "resource is not the one served here");
	else if (strcmp(type, "authorization_code") == 0)
		redeem_code(exchange, arena, client);
	else if (strcmp(type, "refresh_token") == 0)
		renew(exchange, arena, client);
	else
		notes_refuse(exchange, "unsupported_grant_type",
			     "authorization_code or refresh_token");
	arena_free(&arena);
}

/* RFC 7009 2.2: what is not valid anyway is no error. Either token ends the whole grant. */
void notes_revoke(struct exchange *exchange)
{
	struct arena *arena = arena_new();
	struct notes *notes = notes_of(exchange);
	const char *client = client_of(exchange, arena);
	const char *token = client != NULL ? notes_field(exchange, arena, "token") : NULL;
	char id[NOTES_ID_BYTES];
	int64_t number;

	if (client != NULL && token == NULL) {
		notes_refuse(exchange, "invalid_request", "token is missing");
	} else if (client != NULL) {
		const json_t *grant = NULL;

		if (notes_token_read(notes, NOTES_REFRESH, token, id, &number) ||
		    notes_token_read(notes, NOTES_ACCESS, token, id, &number))
			grant = json_object_get(notes->grants, id);
		if (grant != NULL && strcmp(json_text(grant, "client"), client) == 0) {
			json_object_del(notes->grants, id);
			notes_save(notes);
		}
		exchange_answer(exchange, &(struct exchange_answer){ .status = 200 });
	}
	arena_free(&arena);
}

/* --- the resource's side --- */

const char *notes_bearer(struct exchange *exchange)
{
	const char *header = exchange_header(exchange, "authorization");

	return header != NULL && strncasecmp(header, "Bearer ", 7) == 0 ? header + 7 : NULL;
}

void notes_challenge(struct exchange *exchange, int status, const char *error, const char *scope)
{
	const struct notes *notes = notes_of(exchange);
	char challenge[512];
	const struct http_header header = { "WWW-Authenticate", challenge };

	snprintf(challenge, sizeof(challenge),
		 "Bearer %s%s%sresource_metadata=\"%s" NOTES_METADATA_PATH "\", scope=\"%s\"",
		 error != NULL ? "error=\"" : "", error != NULL ? error : "",
		 error != NULL ? "\", " : "", notes->issuer, scope);
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = status,
					  .headers = &header,
					  .n_headers = 1,
				  });
}

void notes_userinfo(struct exchange *exchange)
{
	const struct notes *notes = notes_of(exchange);
	const char *token = notes_bearer(exchange);
	const json_t *grant = token != NULL ? notes_grant_of_access(notes, token) : NULL;
	const char *user;

	if (grant == NULL) {
		notes_challenge(exchange, 401, token != NULL ? "invalid_token" : NULL,
				NOTES_ALL_SCOPES);
		return;
	}
	user = json_text(grant, "user");
	notes_answer_json(exchange, 200,
			  json_pack("{s:s, s:s, s:s}", "sub", user, "preferred_username", user,
				    "name", user));
}
