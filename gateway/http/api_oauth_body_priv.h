/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_OAUTH_BODY_PRIV_H
#define GATEWAY_HTTP_API_OAUTH_BODY_PRIV_H

/* What api_oauth_body.c and api_oauth_client.c share of reading auth.oauth. */

#include "gateway/http/api_oauth_body.h"

#define OAUTH_AT	 "/auth/oauth"
#define OAUTH_CODE	 "authorization_code"
#define OAUTH_KEY_METHOD "private_key_jwt"

/* What is being read, member by member. */
struct oauth_reading {
	const struct oauth_body_params *params;
	const json_t *oauth;
	const json_t *before; /* the settings that were stored; NULL: none */
	const char *grant;
	const char *per;
	const char *client_auth;
	struct oauth_body *out;
};

/* Of grant authorization_code. */
bool oauth_reading_is_code(const struct oauth_reading *reading);
/* Without control characters. */
bool oauth_reading_is_plain(const char *text);

/* client_id and client_secret: whether they go together, and what becomes of the secret. */
int oauth_client_read(struct oauth_reading *reading, struct api_fault *fault) MUST_CHECK;

#endif
