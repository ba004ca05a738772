/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CMD_CONNECTIONS_H
#define GATEWAY_APP_CMD_CONNECTIONS_H

/* A connection as command lines describe it. */

#include <jansson.h>

#include "gateway/app/cli.h"

/* Of --auth oauth. */
struct oauth_options {
	const char *grant;
	const char *per;
	const char *issuer;
	const char *authorization_url;
	const char *token_url;
	const char *revocation_url;
	const char *client_id;
	const char *client_secret_file;
	const char *token_auth;
	const char *scope;
	const char *audience;
	const char *resource; /* "on" or "off" */
	struct cli_list params;
	struct cli_list params_removed;
};

struct connection_options {
	const char *url;
	const char *auth;
	const char *credential_file;
	const char *auth_header;
	struct cli_list headers;
	struct cli_list headers_removed;
	const char *era;
	const char *session;
	const char *description;
	struct cli_list allow;
	struct cli_list deny;
	const char *connect_timeout;
	const char *call_timeout;
	const char *audit_level;
	struct cli_list audit_redact;
	bool no_wait;
	struct oauth_options oauth;
};
/* What add needs at least. ERR_BAD_REQUEST. */
int connection_check_new(const struct connection_options *options, struct err *err) MUST_CHECK;
/* Adds what was given to the body, as a connection or, to change one, as a merge patch.
 * ERR_BAD_REQUEST. */
int connection_set_body(struct cli *cli, json_t *body, const struct connection_options *options,
			bool change, struct err *err) MUST_CHECK;
/* The text of a body, in the arena, which is wiped: it may hold a credential. */
struct span connection_text(struct cli *cli, const json_t *body);
/* Both at once, of a connection. ERR_BAD_REQUEST. */
int connection_body(struct cli *cli, const struct connection_options *options, struct span *out,
		    struct err *err) MUST_CHECK;
/* An object of the texts NAME=VALUE that --option gave, with null for each name that is removed;
 * *out is a new reference. ERR_BAD_REQUEST. */
int connection_pairs(const char *option, const struct cli_list *given,
		     const struct cli_list *removed, json_t **out, struct err *err) MUST_CHECK;

/* cmd_connections_oauth.c: adds the member oauth to the body's auth, if anything of it was given.
 * ERR_BAD_REQUEST. */
int connection_set_oauth(struct cli *cli, json_t *auth, const struct oauth_options *options,
			 struct err *err) MUST_CHECK;
/* The first option of it that was given, without "--"; NULL: none was. */
const char *oauth_options_given(const struct oauth_options *options);
/* The text of a file as JSON. ERR_BAD_REQUEST. */
json_t *connection_read_secret(struct cli *cli, const char *path, struct err *err) MUST_CHECK;

/* Rows of a table of options. */
#define OAUTH_OPTION(name, kind, member)                                                           \
	{                                                                                          \
		name, 0, kind, offsetof(struct connection_options, oauth.member)                   \
	}
#define OAUTH_OPTIONS                                                                              \
	OAUTH_OPTION("grant", CLI_TEXT, grant), OAUTH_OPTION("per", CLI_TEXT, per),                \
		OAUTH_OPTION("issuer", CLI_TEXT, issuer),                                          \
		OAUTH_OPTION("authorization-url", CLI_TEXT, authorization_url),                    \
		OAUTH_OPTION("token-url", CLI_TEXT, token_url),                                    \
		OAUTH_OPTION("revocation-url", CLI_TEXT, revocation_url),                          \
		OAUTH_OPTION("client-id", CLI_TEXT, client_id),                                    \
		OAUTH_OPTION("client-secret-file", CLI_TEXT, client_secret_file),                  \
		OAUTH_OPTION("token-auth", CLI_TEXT, token_auth),                                  \
		OAUTH_OPTION("scope", CLI_TEXT, scope),                                            \
		OAUTH_OPTION("audience", CLI_TEXT, audience),                                      \
		OAUTH_OPTION("resource", CLI_TEXT, resource),                                      \
		OAUTH_OPTION("authorize-param", CLI_LIST, params)

#endif
