/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_REVOKE_H
#define OAUTH_REVOKE_H

/* Telling an authorization server that a token is no longer wanted (RFC 7009). */

#include "base/egress.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/secret.h"
#include "oauth/client.h"

enum revoke_hint {
	REVOKE_REFRESH_TOKEN, /* most servers end the whole grant with it */
	REVOKE_ACCESS_TOKEN,
};

/* Borrowed until revoke_start returns. */
struct revoke_params {
	struct http_client *client;
	struct egress_policy *egress;
	const char *revocation_url;
	struct oauth_client oauth_client;
	const struct secret *token;
	enum revoke_hint hint;
};

struct revoke; /* slot */
/* err NULL: the server has said that the token is not valid (any more). */
typedef void revoke_done(void *ctx, const struct err *err);
void revoke_start(struct loop *loop, struct revoke **slot, const struct revoke_params *params,
		  revoke_done *done, void *ctx);
void revoke_cancel(struct revoke **slot);

#endif
