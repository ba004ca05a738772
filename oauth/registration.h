/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_REGISTRATION_H
#define OAUTH_REGISTRATION_H

/* Dynamic client registration (RFC 7591): a client of ours at a server that never saw us. */

#include <stdint.h>

#include "base/egress.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/span.h"
#include "oauth/client.h"

#define REGISTRATION_MAX_ID_BYTES     2048
#define REGISTRATION_MAX_SECRET_BYTES 8192

/* Borrowed until registration_start returns. */
struct registration_params {
	struct http_client *client;
	struct egress_policy *egress;
	const char *url;
	const char *redirect_uri; /* of a loopback host: a native client, else a web client */
	const char *client_name;
	const char *scope;     /* NULL: not said */
	unsigned auth_methods; /* struct oauth_server's; the best that we both speak is asked for */
};

/* Borrowed in done. */
struct registration {
	const char *client_id;
	struct secret client_secret; /* none for OAUTH_AUTH_NONE */
	enum oauth_client_auth auth;
	int64_t secret_expires_at; /* Unix seconds; 0: never */
};

struct registration_request; /* slot */
/* Exactly one of the two is not NULL. ERR_UPSTREAM: refused, or an answer that makes no sense. */
typedef void registration_done(void *ctx, const struct registration *registration,
			       const struct err *err);
void registration_start(struct loop *loop, struct registration_request **slot,
			const struct registration_params *params, registration_done *done,
			void *ctx);
void registration_cancel(struct registration_request **slot);

/* The reading of an answer alone. */
struct registration_answer {
	int status;
	struct span body;
	const char *redirect_uri;     /* the request's */
	enum oauth_client_auth asked; /* the method that the request named */
};
/* The secret is the caller's to wipe. ERR_UPSTREAM. */
int registration_parse(const struct registration_answer *answer, struct arena *arena,
		       struct registration *registration, struct err *err) MUST_CHECK;

#endif
