/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_FORM_POST_H
#define OAUTH_FORM_POST_H

/* A form that a client sends under its own name: what token requests and revocations share. */

#include <stddef.h>
#include <stdint.h>

#include "base/egress.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "oauth/client.h"
#include "oauth/error_reply.h"
#include "oauth/fetch.h"

/* Borrowed until form_post_start returns; copied and wiped at the end. */
struct form_post_params {
	struct http_client *client;
	struct egress_policy *egress;
	const char *url;
	struct oauth_client oauth_client;
	const struct oauth_param *params;
	size_t n_params;
	int64_t timeout_ms; /* 0: FETCH_TIMEOUT_MS */
};

struct form_post; /* slot */
/* answer->err is ERR_BAD_REQUEST if there was nothing that could be sent. */
typedef void form_post_done(void *ctx, const struct fetch_answer *answer,
			    const struct error_sent *sent);
void form_post_start(struct loop *loop, struct form_post **slot,
		     const struct form_post_params *params, form_post_done *done, void *ctx);
void form_post_cancel(struct form_post **slot);

#endif
