/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_SERVER_H
#define GATEWAY_HTTP_SERVER_H

/*
 * The HTTP server of one worker: listeners, connections, limits, the route table. HTTP/1.1 only.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/crypto.h"
#include "base/loop.h"
#include "gateway/http/exchange.h"

struct http_server;
struct meter;

/* One row of the surface. Patterns are exact: "/t/{tenant}/mcp" matches one segment per brace. */
struct route {
	unsigned listeners; /* bits of 1 << enum listener_kind */
	const char *method;
	const char *pattern;
	void (*handle)(struct exchange *exchange);
};

/* A request that was refused before it was read. Borrowed; spans are empty where it broke off. */
struct http_refusal {
	int status; /* 400, 413, 417 */
	struct span method;
	struct span path; /* as sent, without the query */
	const char *source_ip;
};

struct http_server_params {
	struct loop *loop;
	void *app;		    /* for exchange_app */
	const struct route *routes; /* ends with a NULL method */
	/* Answers what no route matches: 404, or 405 with `allow` (a list of methods) set. */
	void (*unrouted)(struct exchange *exchange, const char *allow);
	/* True: it was a call, whose id the answer is to name (Tollgate-Call-Id). NULL: none is. */
	bool (*refused)(void *app, const struct http_refusal *refusal,
			char call_id[UUID_TEXT_BYTES]);
	size_t max_body_bytes;		    /* over it 413 */
	int64_t request_timeout_ms;	    /* head and body of one request, and keep-alive idle */
	const char *const *trusted_proxies; /* addresses whose X-Forwarded-For is read */
	size_t n_trusted_proxies;
	struct meter *meter; /* counts what is refused here; may be NULL */
};
struct http_server *http_server_new(const struct http_server_params *params);
/* What requests are answered with from the next one on. */
void http_server_reroute(struct http_server *server, const struct route *routes,
			 void (*unrouted)(struct exchange *exchange, const char *allow));
/* fd is a bound, listening, non-blocking socket; the server does not close it: the supervisor's
 * copy lives on. */
void http_server_listen(struct http_server *server, int fd, enum listener_kind kind);
/* Takes who waits in the queue and listens no more. Connections that are there are served on: each
 * closes after its next answer, which says so, or once it has been idle for idle_ms: a client
 * that reuses one at that moment must not find it closed. drained runs once when none is left. */
void http_server_drain(struct http_server *server, int64_t idle_ms, void (*drained)(void *ctx),
		       void *ctx);
size_t http_server_connections(const struct http_server *server);
/* Not from a callback of the loop: whoever is still connected is dropped (on_gone runs), for
 * which it runs the loop. Drain first. */
void http_server_free(struct http_server **server);

#endif
