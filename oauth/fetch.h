/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_FETCH_H
#define OAUTH_FETCH_H

/*
 * One short request to a server that nobody trusts: a whole answer of at most 64 KiB within 10 s.
 * Redirects are not followed. Knows nothing of what is asked.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/egress.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/span.h"

#define FETCH_TIMEOUT_MS     10000
#define FETCH_MAX_BODY_BYTES 65536 /* 64 KiB */

enum fetch_want {
	FETCH_ALL,  /* the body whatever the status */
	FETCH_OK,   /* the body of a 200, else ends with the head */
	FETCH_HEAD, /* ends with the head: the body may never end */
};

/* All borrowed until fetch_start returns, except body: until the fetch has ended. */
struct fetch_params {
	struct http_client *client;
	struct egress_policy *egress;
	const char *method;
	const char *url;
	const struct http_header *headers;
	size_t n_headers;
	struct span body; /* absent: none */
	enum fetch_want want;
	int64_t timeout_ms; /* 0: FETCH_TIMEOUT_MS */
};

struct fetch_answer {
	int status;	       /* 0: none came */
	const char *challenge; /* all lines of WWW-Authenticate joined with ", ", or NULL */
	int64_t retry_after_s; /* of Retry-After, in seconds or as a date; 0: not said */
	struct span body;      /* empty unless wanted and complete */
	bool sent;	       /* a byte of the request may have reached the server */
	const struct err *err; /* NULL: complete. ERR_FORBIDDEN (egress), ERR_TIMEOUT, … */
};

struct fetch; /* slot */
typedef void fetch_done(void *ctx, const struct fetch_answer *answer);
void fetch_start(struct fetch **slot, const struct fetch_params *params, fetch_done *done,
		 void *ctx);
void fetch_cancel(struct fetch **slot); /* wipes what was read */

/* Seconds to wait, from 0 to FETCH_MAX_RETRY_AFTER_S; what cannot be read is 0. */
int64_t fetch_retry_after(const char *value, int64_t now_s);
#define FETCH_MAX_RETRY_AFTER_S 3600

#endif
