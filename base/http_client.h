/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HTTP_CLIENT_H
#define BASE_HTTP_CLIENT_H

/*
 * Outgoing HTTP/1.1: one request, a streamed answer, deadlines, ceilings, cancel.
 *
 * Never follows a redirect, never re-sends a request on its own, never uses a proxy from the
 * environment, a cookie, .netrc or Accept-Encoding. Knows nothing of MCP or OAuth.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/egress.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"

struct http_client;
struct http_request; /* one running request: the slot of start/cancel */

struct http_header {
	const char *name;
	const char *value;
};

/* Borrowed during the callback that receives it. Names are lower case. */
struct http_head {
	int status;
	const struct http_header *headers;
	size_t n_headers;
};
const char *http_head_find(const struct http_head *head, const char *name); /* first, or NULL */

/* All borrowed until http_start returns, except body: until the request has ended. */
struct http_params {
	const char *method;
	const char *url;
	const struct http_header *headers; /* bytes < 0x20 (but tab) and 0x7f are refused */
	size_t n_headers;
	struct span body; /* absent: none */
	/* Connections are reused only between equal pool keys; the egress policy is added. */
	const char *pool_key;
	struct egress_policy *egress;  /* NULL refuses every URL */
	int64_t connect_timeout_ms;    /* each 0: HTTP_DEFAULT_… */
	int64_t first_byte_timeout_ms; /* from the start of the request to the answer's head */
	int64_t idle_timeout_ms;       /* between two reads of the answer while not paused */
	int64_t total_timeout_ms;      /* 0: none */
	size_t max_body_bytes;	       /* over it: ERR_TOO_LARGE; 0: HTTP_DEFAULT_MAX_BODY */
};
#define HTTP_DEFAULT_CONNECT_MS	   10000
#define HTTP_DEFAULT_FIRST_BYTE_MS 60000
#define HTTP_DEFAULT_IDLE_MS	   120000
#define HTTP_DEFAULT_MAX_BODY	   16777216 /* 16 MiB */
#define HTTP_MAX_HEADER_BYTES	   65536    /* 64 KiB */
#define HTTP_MAX_HEADERS	   200

struct http_events {
	/* Status and headers of the final answer (1xx are swallowed). */
	void (*head)(void *ctx, const struct http_head *head);
	/* Bytes of the body as they arrive; borrowed. May cancel or pause. */
	void (*data)(void *ctx, const char *p, size_t n);
	/* err NULL: the answer ended properly. Never before start returns; never after cancel.
	 * ERR_TIMEOUT, ERR_UPSTREAM (refused, reset, broken), ERR_TOO_LARGE, ERR_FORBIDDEN
	 * (egress), ERR_BAD_REQUEST (params). */
	void (*done)(void *ctx, const struct err *err);
};

struct http_client *http_client_new(struct loop *loop);
/* No request may be running. */
void http_client_free(struct http_client **client);

void http_start(struct http_client *client, struct http_request **slot,
		const struct http_params *params, const struct http_events *events, void *ctx);
void http_cancel(struct http_request **slot);
/* Back-pressure: no data event between pause and resume. Resume delivers from the loop. */
void http_pause(struct http_request *request);
void http_resume(struct http_request *request);
/* True once the first byte of the request may have reached the peer: after that a failed
 * request may have run there. Valid inside done too, through `err` of a failed request:
 * a request that failed before has tag "unsent" in err. */
bool http_sent(const struct http_request *request);

#endif
