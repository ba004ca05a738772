/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_EXCHANGE_H
#define GATEWAY_HTTP_EXCHANGE_H

/*
 * One HTTP request and its answer, without h2o's types: handlers include this and nothing of h2o.
 *
 * An exchange lives until its answer has been sent or its client has left. A handler either
 * answers before it returns, or keeps the pointer, sets on_gone, and answers later from the loop.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/http_client.h"
#include "base/span.h"

struct exchange;

enum listener_kind { LISTENER_PUBLIC, LISTENER_KEY, LISTENER_OPS };

/* All borrowed; valid until the exchange ends. */
const char *exchange_method(const struct exchange *exchange);
/* Percent-decoded, dot segments removed, no query. */
const char *exchange_path(const struct exchange *exchange);
struct span exchange_query(const struct exchange *exchange); /* raw, without '?' */
/* The value of a header by lower-case name, NUL-terminated; several are joined with ", ".
 * NULL if there is none. */
const char *exchange_header(struct exchange *exchange, const char *name);
struct span exchange_body(const struct exchange *exchange);
enum listener_kind exchange_listener(const struct exchange *exchange);
/* The peer's address, or the right-most untrusted hop of X-Forwarded-For. */
const char *exchange_source_ip(const struct exchange *exchange);
/* A segment that the route's pattern named, e.g. "connection"; NULL if the route has none. */
const char *exchange_param(const struct exchange *exchange, const char *name);
/* A decoded query parameter, or NULL. Borrowed from the exchange. */
const char *exchange_query_param(struct exchange *exchange, const char *name);
void *exchange_app(const struct exchange *exchange); /* struct http_app */

/* The client left before the answer was complete. The exchange is gone when it returns. */
void exchange_on_gone(struct exchange *exchange, void (*gone)(void *ctx), void *ctx);

struct exchange_answer {
	int status;
	const char *content_type; /* NULL: none, and no body */
	const struct http_header *headers;
	size_t n_headers;
	struct span body;
};
/* Everything is copied. The exchange must not be touched afterwards. */
void exchange_answer(struct exchange *exchange, const struct exchange_answer *answer);

/* A streamed answer (text/event-stream): head and first bytes go out at once. Data written faster
 * than the client reads is queued, up to EXCHANGE_MAX_QUEUED; beyond, the client is dropped and
 * on_gone runs. */
#define EXCHANGE_MAX_QUEUED ((size_t)32 * 1024 * 1024)
void exchange_stream_start(struct exchange *exchange, const struct exchange_answer *head);
void exchange_stream_write(struct exchange *exchange, struct span bytes);
/* Back-pressure: room(ctx) runs once, from the loop, when all that was written has left. */
void exchange_stream_on_room(struct exchange *exchange, void (*room)(void *ctx), void *ctx);
/* The exchange must not be touched afterwards; what is queued still goes out. */
void exchange_stream_end(struct exchange *exchange);
/* The same, but the client sees that the answer was cut: the connection closes before its end. */
void exchange_stream_cut(struct exchange *exchange);

#endif
