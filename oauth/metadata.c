/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/metadata.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/text.h"
#include "base/url.h"

#define MAX_NAME_BYTES 256 /* of a method, a scope, a response type */

/* What a server calls the ways of client authentication that we speak. */
static const struct {
	const char *name;
	enum oauth_client_auth auth;
} methods[] = {
	{"none",		  OAUTH_AUTH_NONE		  },
	{ "client_secret_basic", OAUTH_AUTH_BASIC	  },
	{ "client_secret_post",	OAUTH_AUTH_POST		},
	{ "private_key_jwt",     OAUTH_AUTH_PRIVATE_KEY_JWT},
};

bool metadata_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcmp(host, "localhost") == 0;
}

int metadata_check_url(const char *what, const char *url, bool allow_http, struct err *err)
{
	struct url parsed;
	struct err problem;

	if (url_parse(url, &parsed, &problem) < 0)
		return err_set(err, ERR_UPSTREAM, "%s: %s", what, problem.text);
	if (parsed.https || (allow_http && metadata_is_loopback(parsed.host)))
		return 0;
	return err_set(err, ERR_UPSTREAM, "%s: URL must begin with https://", what);
}

int metadata_check_issuer(const char *issuer, bool allow_http, struct err *err)
{
	if (metadata_check_url("issuer", issuer, allow_http, err) < 0)
		return -1;
	if (strchr(issuer, '?') != NULL)
		return err_set(err, ERR_UPSTREAM, "issuer: URL must not have a query");
	return 0;
}

/* Where path and query begin in a URL that url_parse made. */
static const char *path_of(const struct url *url)
{
	const char *path = strstr(url->text, "://") + 3;

	return path + strcspn(path, "/?");
}

bool metadata_covers(const char *resource, const char *url)
{
	struct url above;
	struct url below;
	struct err ignored;
	const char *path;
	size_t n;

	if (url_parse(resource, &above, &ignored) < 0 || url_parse(url, &below, &ignored) < 0)
		return false;
	if (above.https != below.https || above.port != below.port ||
	    strcmp(above.host, below.host) != 0)
		return false;
	path = path_of(&above);
	if (strcmp(path, path_of(&below)) == 0)
		return true;
	if (strchr(path, '?') != NULL)
		return false;
	n = strlen(path);
	while (n > 0 && path[n - 1] == '/')
		n--;
	return strncmp(path, path_of(&below), n) == 0 &&
	       strchr("/?", path_of(&below)[n]) != NULL; /* or the end */
}

static int read_scopes(const struct document *document, struct document_list *list,
		       const char **joined, struct err *err)
{
	if (document_list(document, "scopes_supported", MAX_NAME_BYTES, list, err) < 0)
		return -1;
	/* One item per scope: with a space in it, it would pass for two. */
	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i][strcspn(list->items[i], " \"\\")] != '\0' ||
		    list->items[i][0] == '\0')
			return err_set(err, ERR_UPSTREAM,
				       "an item of scopes_supported is no scope");
	}
	return document_join(document, list, METADATA_MAX_SCOPE_BYTES, joined, err);
}

static int read_resource(const struct document *document, const struct metadata_input *input,
			 struct resource_metadata *out, struct err *err)
{
	struct document_list scopes;

	if (document_text(document, "resource", URL_MAX_BYTES, &out->resource, err) < 0)
		return -1;
	if (out->resource == NULL)
		return err_set(err, ERR_UPSTREAM, "no resource is named");
	if (!metadata_covers(out->resource, input->of))
		return err_set(err, ERR_UPSTREAM, "resource is not the one that was asked for");
	if (document_list(document, "authorization_servers", URL_MAX_BYTES,
			  &out->authorization_servers, err) < 0)
		return -1;
	for (size_t i = 0; i < out->authorization_servers.n; i++) {
		if (metadata_check_issuer(out->authorization_servers.items[i], input->allow_http,
					  err) < 0)
			return err_prefix(err, "authorization_servers");
	}
	return read_scopes(document, &scopes, &out->scope, err);
}

int metadata_parse_resource(const struct metadata_input *input, struct arena *arena,
			    struct resource_metadata *out, struct err *err)
{
	struct document document;

	*out = (struct resource_metadata){ 0 };
	if (document_open(input->text, arena, &document, err) < 0 ||
	    read_resource(&document, input, out, err) < 0)
		return err_prefix(err, "protected resource metadata");
	return 0;
}

static bool is_issuer(const struct metadata_input *input, const char *issuer)
{
	size_t n = strlen(input->of);

	if (strcmp(issuer, input->of) == 0)
		return true;
	return input->any_slash && strncmp(issuer, input->of, n) == 0 &&
	       strcmp(issuer + n, "/") == 0;
}

static int read_issuer(const struct document *document, const struct metadata_input *input,
		       struct oauth_server *out, struct err *err)
{
	if (document_text(document, "issuer", URL_MAX_BYTES, &out->issuer, err) < 0)
		return -1;
	if (out->issuer == NULL)
		return err_set(err, ERR_UPSTREAM, "no issuer is named");
	if (!is_issuer(input, out->issuer))
		return err_set(err, ERR_UPSTREAM, "issuer is not the one that was asked for");
	return metadata_check_issuer(out->issuer, input->allow_http, err);
}

static int read_urls(const struct document *document, const struct metadata_input *input,
		     struct oauth_server *out, struct err *err)
{
	const struct {
		const char *name;
		const char **to;
		bool required;
	} urls[] = {
		{"authorization_endpoint", &out->authorization_url,
		  input->grant == OAUTH_GRANT_AUTHORIZATION_CODE		 },
		{ "token_endpoint",	    &out->token_url,	     true },
		{ "registration_endpoint", &out->registration_url,  false},
		{ "revocation_endpoint",	 &out->revocation_url,    false},
		{ "userinfo_endpoint",     &out->userinfo_url,	   false},
		{ "jwks_uri",	      &out->jwks_url,	      false},
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		if (document_text(document, urls[i].name, URL_MAX_BYTES, urls[i].to, err) < 0)
			return -1;
		if (*urls[i].to == NULL && urls[i].required)
			return err_set(err, ERR_UPSTREAM, "no %s is named", urls[i].name);
		if (*urls[i].to != NULL &&
		    metadata_check_url(urls[i].name, *urls[i].to, input->allow_http, err) < 0)
			return -1;
	}
	return 0;
}

static int read_auth_methods(const struct document *document, struct oauth_server *out,
			     struct err *err)
{
	struct document_list list;

	if (document_list(document, "token_endpoint_auth_methods_supported", MAX_NAME_BYTES, &list,
			  err) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++) {
		unsigned bit = OAUTH_AUTH_OTHER;

		for (size_t k = 0; k < sizeof(methods) / sizeof(methods[0]); k++) {
			if (strcmp(list.items[i], methods[k].name) == 0)
				bit = OAUTH_AUTH_BIT(methods[k].auth);
		}
		out->auth_methods |= bit;
	}
	return 0;
}

/* What the browser's part of the grant wants: code, S256, and no request pushed beforehand. */
static int check_code_grant(const struct document *document, struct err *err)
{
	struct document_list pkce;
	struct document_list types;

	if (document_list(document, "code_challenge_methods_supported", MAX_NAME_BYTES, &pkce,
			  err) < 0 ||
	    document_list(document, "response_types_supported", MAX_NAME_BYTES, &types, err) < 0)
		return -1;
	if (!document_list_has(&pkce, "S256"))
		return err_set(err, ERR_UPSTREAM,
			       "code_challenge_methods_supported does not name S256 (PKCE)");
	if (types.items != NULL && !document_list_has(&types, "code"))
		return err_set(err, ERR_UPSTREAM, "response_types_supported does not name code");
	if (span_true(span_get(document->object, "require_pushed_authorization_requests")))
		return err_set(err, ERR_UPSTREAM,
			       "pushed authorization requests (RFC 9126) are required");
	return 0;
}

static int read_server(const struct document *document, const struct metadata_input *input,
		       struct oauth_server *out, struct err *err)
{
	struct document_list scopes;
	const char *joined;

	/* The issuer first: of a document that is another's, nothing else matters. */
	if (read_issuer(document, input, out, err) < 0 ||
	    read_urls(document, input, out, err) < 0 || read_auth_methods(document, out, err) < 0 ||
	    read_scopes(document, &scopes, &joined, err) < 0)
		return -1;
	out->offline_access = document_list_has(&scopes, "offline_access");
	out->iss_supported = span_true(
		span_get(document->object, "authorization_response_iss_parameter_supported"));
	out->client_id_metadata =
		span_true(span_get(document->object, "client_id_metadata_document_supported"));
	if (input->grant == OAUTH_GRANT_AUTHORIZATION_CODE)
		return check_code_grant(document, err);
	return 0;
}

int metadata_parse_server(const struct metadata_input *input, struct arena *arena,
			  struct oauth_server *out, struct err *err)
{
	struct document document;

	*out = (struct oauth_server){ 0 };
	if (document_open(input->text, arena, &document, err) < 0 ||
	    read_server(&document, input, out, err) < 0)
		return err_prefix(err, "authorization server metadata");
	return 0;
}
