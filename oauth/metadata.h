/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_METADATA_H
#define OAUTH_METADATA_H

/*
 * The two documents that discovery reads, judged: RFC 9728 (a protected resource) and RFC 8414 or
 * OpenID Connect Discovery (an authorization server). Pure: text in, struct or refusal out.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"
#include "oauth/client.h"
#include "oauth/document.h"

#define METADATA_MAX_SCOPE_BYTES 4096

enum oauth_grant {
	OAUTH_GRANT_AUTHORIZATION_CODE,
	OAUTH_GRANT_CLIENT_CREDENTIALS, /* wants neither an authorization endpoint nor PKCE */
};

/* NULL: not offered. In the arena given. */
struct oauth_server {
	const char *issuer;
	const char *authorization_url;
	const char *token_url;
	const char *registration_url;
	const char *revocation_url;
	const char *userinfo_url;
	const char *jwks_url;
	bool iss_supported;	 /* RFC 9207: its answers carry iss */
	bool client_id_metadata; /* takes a URL of ours as client_id */
	bool offline_access;	 /* lists that scope */
	unsigned auth_methods;	 /* of OAUTH_AUTH_BIT and OAUTH_AUTH_OTHER; 0: not said */
	const char *resource;	 /* what `resource` is to be */
	const char *scope;	 /* the challenge's, else scopes_supported joined, else NULL */
};

struct resource_metadata {
	const char *resource;
	struct document_list authorization_servers;
	const char *scope; /* scopes_supported joined, or NULL */
};

struct metadata_input {
	struct span text;
	/* Whose document it must be: the URL of the resource that is asked for, or the issuer. */
	const char *of;
	bool any_slash;	 /* `of` was made from a URL: an issuer with a final slash is it, too */
	bool allow_http; /* for loopback hosts: development */
	enum oauth_grant grant;
};

/* An https URL without user info and fragment; ERR_UPSTREAM names `what` and not the URL. */
int metadata_check_url(const char *what, const char *url, bool allow_http,
		       struct err *err) MUST_CHECK;
/* The same, and without a query. */
int metadata_check_issuer(const char *issuer, bool allow_http, struct err *err) MUST_CHECK;
/* Same scheme, host and port, and the path of `resource` is that of `url` or one above it. */
bool metadata_covers(const char *resource, const char *url);

bool metadata_is_loopback(const char *host); /* a name or address as url_parse gives it */

/* ERR_UPSTREAM. What the document speaks for must cover the URL that is asked for. */
int metadata_parse_resource(const struct metadata_input *input, struct arena *arena,
			    struct resource_metadata *out, struct err *err) MUST_CHECK;
/* ERR_UPSTREAM. The document's issuer must be this one byte for byte, and its PKCE methods must
 * hold S256. Fills all of *out but resource and scope. */
int metadata_parse_server(const struct metadata_input *input, struct arena *arena,
			  struct oauth_server *out, struct err *err) MUST_CHECK;

#endif
