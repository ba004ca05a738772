/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_OAUTH_BODY_H
#define GATEWAY_HTTP_API_OAUTH_BODY_H

/*
 * The member auth.oauth of a connection: checked, and as what is stored. Pure, like
 * api_connection_body.h, of which it is a part.
 */

#include "gateway/http/api_connection_body.h"

struct oauth_body {
	const char *settings; /* the whole as JSON, without the secret; in the arena */
	enum credential_change secret_change;
	const char *secret; /* CREDENTIAL_NEW; borrowed from the body */
};

struct oauth_body_params {
	const json_t *auth;			/* a body's auth, of mode oauth */
	const char *url;			/* of the connection */
	const struct connection_before *before; /* NULL: it is new */
	const struct egress_policy *egress;
	struct arena *arena;
};
/* A stored secret is kept only for the server that it was given for. */
int oauth_body_parse(const struct oauth_body_params *params, struct oauth_body *out,
		     struct api_fault *fault) MUST_CHECK;

/* settings as stored. Users see what they have to know to connect. Returns a new reference. */
json_t *oauth_body_show(const char *settings, bool has_secret, bool secrets);

/* Takes from what is shown what has no use for what the patch makes of it. */
void oauth_body_forget(json_t *shown, json_t *patch);

#endif
