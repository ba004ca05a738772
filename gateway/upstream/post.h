/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_UPSTREAM_POST_H
#define GATEWAY_UPSTREAM_POST_H

/*
 * One request to an upstream MCP endpoint, mostly a POST, and the JSON-RPC messages that come back,
 * whether as one JSON body or as a stream of events. Knows no era.
 */

#include "base/http_client.h"
#include "base/mem.h"
#include "gateway/core/envelope.h"
#include "gateway/core/tenant.h"
#include "gateway/upstream/sse.h"

#define POST_MAX_MESSAGE_BYTES ((size_t)16 << 20)
#define POST_MAX_STREAM_BYTES  ((size_t)256 << 20) /* all messages of one answer */
#define POST_MAX_ERROR_BYTES   ((size_t)64 << 10)
#define POST_TAG_INVALID       "invalid"
#define POST_SESSION_BYTES     1025
#define POST_CHALLENGE_BYTES   4096
#define POST_MAX_HEADERS       64 /* beside the connection's own */

struct post; /* the slot */

struct post_params {
	struct http_client *client;
	const struct tenant *tenant;
	const struct connection *connection;
	const char *method; /* NULL: POST */
	struct span body;   /* borrowed until the post has ended; of a POST only */
	/* Beside content type, accept, credential and the connection's own headers. */
	const struct http_header *headers;
	size_t n_headers;
	/* The value of Authorization, instead of the connection's own; NULL: none. */
	const char *authorization;
	int64_t timeout_ms;	   /* over everything; 0: none */
	int64_t idle_timeout_ms;   /* 0: timeout_ms */
	struct sse_cursor *cursor; /* moved as events come, until the post has ended; or NULL */
};

/* What the head of the HTTP answer said. */
struct post_end {
	int status;
	bool streams;			     /* a success whose body is a stream of events */
	char session_id[POST_SESSION_BYTES]; /* Mcp-Session-Id, or "" */
	/* WWW-Authenticate, its lines joined with ", ", as many as have room; or "". */
	char challenge[POST_CHALLENGE_BYTES];
};

struct post_events {
	/* The head of the answer is there; may cancel the post. NULL: no matter. */
	void (*head)(void *ctx, const struct post_end *head);
	/* A JSON-RPC message that was checked; borrowed. May cancel the post. That of an HTTP
	 * error may be an error whose id is absent, because the server could not tell it. */
	void (*message)(void *ctx, const struct post_end *head, const struct envelope *message);
	/* Every message has been delivered. err: as of http_events.done, and ERR_UPSTREAM for an
	 * answer that is no JSON-RPC (tag POST_TAG_INVALID); end is NULL then. */
	void (*done)(void *ctx, const struct post_end *end, const struct err *err);
};

void post_start(struct post **slot, const struct post_params *params,
		const struct post_events *events, void *ctx);
void post_cancel(struct post **slot);

#endif
