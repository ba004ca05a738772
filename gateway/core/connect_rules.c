/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/connect_rules.h"

#include <string.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/url.h"

#define MAX_SCOPE_BYTES 16384 /* some lists of at most METADATA_MAX_SCOPE_BYTES each */
#define OFFLINE_ACCESS	"offline_access"

void connect_issuer_hash(const char *issuer, char out[CONNECT_ISSUER_HASH_BYTES])
{
	uint8_t digest[SHA256_BYTES];

	crypto_sha256(issuer, strlen(issuer), digest);
	hex_encode(digest, (CONNECT_ISSUER_HASH_BYTES - 1) / 2, out);
}

bool connect_is_issuer_hash(const char *text)
{
	return strlen(text) == CONNECT_ISSUER_HASH_BYTES - 1 &&
	       strspn(text, "0123456789abcdef") == CONNECT_ISSUER_HASH_BYTES - 1;
}

const char *connect_issuer_of(const struct oauth_server *server)
{
	return server->issuer != NULL ? server->issuer : server->token_url;
}

const char *connect_origin(struct arena *arena, const char *url)
{
	struct url *parsed = arena_alloc(arena, sizeof(*parsed));
	struct err ignored;
	bool v6;

	if (url_parse(url, parsed, &ignored) < 0)
		return NULL;
	v6 = strchr(parsed->host, ':') != NULL;
	if (parsed->port == (parsed->https ? 443 : 80))
		return arena_printf(arena, v6 ? "%s://[%s]" : "%s://%s",
				    parsed->https ? "https" : "http", parsed->host);
	return arena_printf(arena, v6 ? "%s://[%s]:%u" : "%s://%s:%u",
			    parsed->https ? "https" : "http", parsed->host, parsed->port);
}

/* --- scopes ---------------------------------------------------------------------------------- */

/* Takes the first scope off the list; false: none is left. */
static bool next_scope(const char **list, struct span *scope)
{
	*list += strspn(*list, " ");
	*scope = (struct span){ *list, strcspn(*list, " ") };
	*list += scope->n;
	return scope->n > 0;
}

static bool has_scope(const char *list, struct span wanted)
{
	struct span scope;

	while (next_scope(&list, &scope)) {
		if (span_eq(scope, wanted))
			return true;
	}
	return false;
}

bool connect_scope_covers(const char *whole, const char *part)
{
	struct span scope;

	if (part == NULL)
		return true;
	while (next_scope(&part, &scope)) {
		if (whole == NULL || !has_scope(whole, scope))
			return false;
	}
	return true;
}

static void add_scopes(struct buf *out, const char *list)
{
	struct span scope;

	while (list != NULL && next_scope(&list, &scope)) {
		if (has_scope(buf_str(out), scope))
			continue;
		buf_add(out, out->len > 0 ? " " : "");
		buf_add_span(out, scope);
	}
}

const char *connect_scope(struct arena *arena, const struct connect_scopes *scopes)
{
	bool configured = scopes->configured != NULL && scopes->configured[0] != '\0';
	bool step_up = scopes->challenge != NULL;
	const char *asked = NULL;
	struct buf out;

	/* Nothing is added to what the operator wrote, not even a space less. */
	if (configured && !step_up)
		return scopes->configured;
	buf_init(&out, MAX_SCOPE_BYTES);
	if (step_up)
		add_scopes(&out, scopes->granted);
	if (configured)
		add_scopes(&out, scopes->configured);
	else if (out.len == 0)
		add_scopes(&out, scopes->server);
	add_scopes(&out, scopes->challenge);
	/* Alone it would replace what the server grants to who asks for nothing. */
	if (!configured && scopes->offline_access && out.len > 0)
		add_scopes(&out, OFFLINE_ACCESS);
	if (out.len > 0 && !out.overflow)
		asked = arena_strdup(arena, buf_str(&out));
	buf_fini(&out);
	return asked;
}

/* --- who ------------------------------------------------------------------------------------- */

enum connect_client connect_choose_client(const struct oauth_server *server,
					  const char *configured_id, const char *metadata_url)
{
	if (configured_id != NULL)
		return CONNECT_CLIENT_CONFIGURED;
	if (server->client_id_metadata && metadata_url != NULL)
		return CONNECT_CLIENT_METADATA;
	return server->registration_url != NULL ? CONNECT_CLIENT_REGISTERED : CONNECT_CLIENT_NONE;
}

bool connect_may(const struct principal *principal, const char *attempt_principal,
		 const char *subject)
{
	if (subject[0] == '\0' && principal->role < ROLE_ADMIN)
		return false;
	if (strncmp(attempt_principal, "key:", 4) == 0)
		return principal->role >= ROLE_ADMIN && subject[0] == '\0';
	return strcmp(principal->subject, attempt_principal) == 0;
}

/* The browser first: only then is it certain that whoever is told more began it. */
enum connect_error connect_check_binding(const struct connect_binding *begun,
					 const struct connect_answerer *answerer)
{
	char hash[CONNECT_ISSUER_HASH_BYTES];

	if (!begun->pending || answerer->browser_hash == NULL ||
	    !crypto_equal(begun->browser_hash, answerer->browser_hash, SHA256_BYTES))
		return CONNECT_STATE_MISMATCH;
	connect_issuer_hash(begun->issuer, hash);
	if (strcmp(hash, answerer->issuer_hash) != 0)
		return CONNECT_STATE_MISMATCH;
	if (answerer->principal == NULL ||
	    strcmp(answerer->principal->tenant_id, begun->tenant_id) != 0 ||
	    strcmp(answerer->principal->user_id, begun->user_id) != 0)
		return CONNECT_WRONG_USER;
	return begun->expired ? CONNECT_EXPIRED : CONNECT_NO_ERROR;
}
