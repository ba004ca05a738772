/* SPDX-License-Identifier: Apache-2.0 */

/* How a client gets to know the sample authorization server, and it the client. */

#include <string.h>

#include "base/url.h"
#include "gateway/app/sample_notes_priv.h"
#include "oauth/metadata.h"

#define MAX_CLIENT_NAME 100
#define MAX_URI_BYTES	1000

/* --- documents --- */

void notes_resource_metadata(struct exchange *exchange)
{
	const struct notes *notes = notes_of(exchange);

	notes_answer_json(exchange, 200,
			  json_pack("{s:s, s:[s], s:[s, s], s:[s], s:s}", "resource",
				    notes->resource, "authorization_servers", notes->issuer,
				    "scopes_supported", NOTES_SCOPE_READ, NOTES_SCOPE_WRITE,
				    "bearer_methods_supported", "header", "resource_name",
				    "Notes"));
}

static void set_endpoint(json_t *json, const struct notes *notes, const char *name,
			 const char *path)
{
	json_object_set_new(json, name, json_sprintf("%s%s", notes->issuer, path));
}

void notes_server_metadata(struct exchange *exchange)
{
	const struct notes *notes = notes_of(exchange);
	json_t *json = json_pack(
		"{s:s, s:[s, s], s:[s], s:[s, s], s:[s], s:[s, s, s], s:b}", "issuer",
		notes->issuer, "scopes_supported", NOTES_SCOPE_READ, NOTES_SCOPE_WRITE,
		"response_types_supported", "code", "grant_types_supported", "authorization_code",
		"refresh_token", "code_challenge_methods_supported", "S256",
		"token_endpoint_auth_methods_supported", "client_secret_basic",
		"client_secret_post", "none", "authorization_response_iss_parameter_supported", 1);

	set_endpoint(json, notes, "authorization_endpoint", "/authorize");
	set_endpoint(json, notes, "token_endpoint", "/token");
	set_endpoint(json, notes, "registration_endpoint", "/register");
	set_endpoint(json, notes, "revocation_endpoint", "/revoke");
	set_endpoint(json, notes, "userinfo_endpoint", "/userinfo");
	notes_answer_json(exchange, 200, json);
}

/* --- registration --- */

static bool is_redirect_uri(const char *uri)
{
	struct url url;
	struct err err;

	return uri != NULL && strlen(uri) <= MAX_URI_BYTES && url_parse(uri, &url, &err) == 0 &&
	       (url.https || metadata_is_loopback(url.host));
}

static bool are_redirect_uris(const json_t *uris)
{
	size_t n = json_array_size(uris);

	for (size_t i = 0; i < n; i++) {
		if (!is_redirect_uri(json_string_value(json_array_get(uris, i))))
			return false;
	}
	return n > 0 && n <= NOTES_MAX_URIS;
}

static const char *auth_of(const json_t *asked)
{
	static const char *const known[] = { "client_secret_basic", "client_secret_post", "none" };
	const char *auth = json_text(asked, "token_endpoint_auth_method");

	if (json_object_get(asked, "token_endpoint_auth_method") == NULL)
		return known[0];
	for (size_t i = 0; auth != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(auth, known[i]) == 0)
			return known[i];
	}
	return NULL;
}

static void add_client(struct exchange *exchange, const json_t *asked, const char *auth)
{
	struct notes *notes = notes_of(exchange);
	const char *name = json_text(asked, "client_name");
	json_t *uris = json_object_get(asked, "redirect_uris");
	char secret[NOTES_TOKEN_BYTES];
	char id[NOTES_ID_BYTES];
	json_t *reply;

	if (name == NULL || name[0] == '\0' || strlen(name) > MAX_CLIENT_NAME)
		name = "A program without a name";
	notes_new_id(id);
	notes_put(notes->clients, id,
		  json_pack("{s:s, s:O, s:s}", "name", name, "redirect_uris", uris, "auth", auth),
		  NOTES_MAX_CLIENTS);
	notes_save(notes);
	reply = json_pack("{s:s, s:s, s:O, s:s, s:[s, s], s:[s]}", "client_id", id, "client_name",
			  name, "redirect_uris", uris, "token_endpoint_auth_method", auth,
			  "grant_types", "authorization_code", "refresh_token", "response_types",
			  "code");
	if (strcmp(auth, "none") != 0) {
		notes_token_write(notes, NOTES_CLIENT_SECRET, id, 0, secret);
		json_object_set_new(reply, "client_secret", json_string(secret));
		json_object_set_new(reply, "client_secret_expires_at", json_integer(0));
	}
	notes_answer_json(exchange, 201, reply);
}

void notes_register(struct exchange *exchange)
{
	struct err err;
	json_t *asked = json_parse(exchange_body(exchange), &err);
	const char *auth = auth_of(asked);

	if (!json_is_object(asked))
		notes_refuse(exchange, "invalid_client_metadata", "the body is no JSON object");
	else if (!are_redirect_uris(json_object_get(asked, "redirect_uris")))
		notes_refuse(
			exchange, "invalid_redirect_uri",
			"redirect_uris must be 1 to 8 URLs with https, or http to this machine");
	else if (auth == NULL)
		notes_refuse(exchange, "invalid_client_metadata",
			     "token_endpoint_auth_method is not supported");
	else
		add_client(exchange, asked, auth);
	json_decref(asked);
}
