/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_TOKEN_H
#define OAUTH_TOKEN_H

/*
 * A request to a token endpoint (RFC 6749 4.1.3, 4.4.2, 6), whatever the grant, and what came of
 * it. Knows nothing of where grants are kept.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/egress.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "oauth/client.h"
#include "oauth/token_reply.h"

#define TOKEN_TIMEOUT_MS 10000

/* Borrowed until token_request_start returns; what is secret is copied and wiped at the end. */
struct token_request_params {
	struct http_client *client;
	struct egress_policy *egress;
	const char *token_url;
	struct oauth_client oauth_client;
	const struct oauth_param *params; /* grant_type and all that goes with it */
	size_t n_params;
	int64_t timeout_ms; /* 0: TOKEN_TIMEOUT_MS */
};

struct token_request; /* slot */
/* Exactly one is not NULL. */
typedef void token_request_done(void *ctx, const struct token_reply *reply,
				const struct token_error *error);
void token_request_start(struct loop *loop, struct token_request **slot,
			 const struct token_request_params *params, token_request_done *done,
			 void *ctx);
void token_request_cancel(struct token_request **slot);

#endif
