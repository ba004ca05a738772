/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_OAUTH_TOKEN_H
#define GATEWAY_HTTP_API_OAUTH_TOKEN_H

/* The body of …/oauth/ingest: a token that was obtained elsewhere, as a grant. Pure. */

#include <stdint.h>

#include <jansson.h>

#include "base/egress.h"
#include "gateway/core/tenant.h"
#include "gateway/http/api_body.h"
#include "tokenstore/grant.h"

#define API_MAX_TOKEN	   65536     /* bytes */
#define API_MAX_EXPIRES_IN 316224000 /* seconds: ten years */

struct oauth_token_params {
	const json_t *body;
	const struct connection *connection; /* auth_mode is AUTH_OAUTH */
	const struct egress_policy *egress;
	int64_t now_s;
};
/* Fills what the body says, and for the rest what the connection does; the key and who it was are
 * the caller's. Texts and secrets are borrowed from both. */
int oauth_token_parse(const struct oauth_token_params *params, struct grant *out,
		      struct api_fault *fault) MUST_CHECK;

#endif
