/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_HTTP_PRIV_H
#define GATEWAY_HTTP_HTTP_PRIV_H

/*
 * What the files that know h2o share: server.c (listeners), connection.c (sockets),
 * dispatch.c (routing), exchange.c and stream.c (requests and answers).
 */

#include <h2o.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/loop.h"
#include "gateway/http/exchange.h"
#include "gateway/http/route_match.h"
#include "gateway/http/server.h"

#define N_LISTENER_KINDS (LISTENER_OPS + 1)

enum server_state {
	SERVER_SERVING,
	SERVER_DRAINING, /* no listener; each connection closes after an answer, or idle */
};

/* What h2o calls for requests of one kind of listener. */
struct dispatcher {
	h2o_handler_t super;
	struct http_server *server;
	enum listener_kind kind;
};

struct listener {
	struct http_server *server;
	struct listener *next;
	h2o_socket_t *socket;
	h2o_accept_ctx_t accept;
	struct timer pause; /* runs while descriptors are short and nothing is accepted */
	unsigned pauses;    /* since the last connection */
};

struct http_server {
	struct http_server_params params;
	enum server_state state;
	h2o_globalconf_t config;
	h2o_context_t context;
	h2o_hostconf_t *hosts[N_LISTENER_KINDS][2]; /* NULL-terminated lists of one */
	struct listener *listeners;
	struct connection *connections;
	size_t n_connections;
	struct farewell *farewells;
	size_t n_farewells;
	void (*drained)(void *ctx);
	void *drained_ctx;
	struct deferred drained_call;
	int64_t drain_idle_ms;
	struct timer drain_timer; /* DRAINING: looks for the idle */
};

/* Tells who drains, from the loop, if nobody is connected any more. */
void http_server_check_drained(struct http_server *server);

/* An accepted socket. h2o owns it; on_close tells us of its end. */
struct connection {
	struct http_server *server;
	struct connection *next, *prev;
	h2o_socket_t *socket;
	struct exchange *exchange; /* until h2o disposes of the request; NULL: none is there */
	int64_t idle_since_ms;	   /* while it has no exchange */
	bool read_shut;		   /* a drain has shut it: no hang-up can be told any more */
	int linger_fd;		   /* a second descriptor of the socket, or -1 */
	char peer[INET6_ADDRSTRLEN];
};
/* Takes fd. */
void connection_open(struct listener *listener, int fd, const struct sockaddr *address);
struct connection *connection_of(const h2o_req_t *request);
/* The answer that it owes, if its head is still to come, says that it is the last. */
void connection_drain(struct connection *connection);
/* Closes if nothing has been going on for so long and nothing has arrived. */
void connection_close_idle(struct connection *connection, int64_t idle_ms);
void connection_abort(struct connection *connection);
/* h2o refuses a request whose body it has not read: closing would reset the connection before
 * the client has seen the answer. Has the socket outlive h2o's close for a moment. */
void connection_linger(struct connection *connection);
void farewell_end_all(struct http_server *server);

enum exchange_state {
	EXCHANGE_HANDLING,  /* the handler owes an answer */
	EXCHANGE_STREAMING, /* the handler writes a stream */
	EXCHANGE_SENDING,   /* the handler is done; its answer goes out */
	EXCHANGE_CUTTING,   /* the handler gave up: what it wrote goes out, but no end */
	EXCHANGE_DROPPING,  /* it reads too slowly: on_dropped will lose it */
	EXCHANGE_LOST,	    /* the client is gone: nothing more goes out */
};

/* On the heap with two owners: h2o's request, and dispatch while the handler runs. */
struct exchange {
	h2o_generator_t generator; /* first: h2o gives it back to on_proceed */
	unsigned refs;
	enum exchange_state state;
	struct http_server *server;
	struct connection *connection;
	enum listener_kind kind;
	h2o_req_t *request; /* NULL once h2o has disposed of it */
	const char *method;
	const char *path;
	char source_ip[INET6_ADDRSTRLEN];
	struct route_params params;
	void (*gone)(void *ctx);
	void *gone_ctx;
	struct watch hang_up;	 /* while the handler may still write */
	struct deferred dropped; /* from the decision to drop the client to doing it */
	/* A stream: h2o holds `sending` while `writing`, meanwhile bytes gather in `queued`. */
	bool writing;
	struct buf queued, sending;
	void (*room)(void *ctx); /* NULL: nobody waits for it */
	void *room_ctx;
	struct deferred roomy; /* there was room when it was asked for */
};
struct exchange *exchange_new(struct connection *connection, const struct dispatcher *dispatcher,
			      h2o_req_t *request);
void exchange_unref(struct exchange *exchange);
/* The handler has returned without an answer: from now on its client may leave. */
void exchange_watch(struct exchange *exchange);
/* The handler may do no more: its callback is forgotten. */
void exchange_leave_handler(struct exchange *exchange, enum exchange_state state);
void exchange_set_head(struct exchange *exchange, const struct exchange_answer *answer);
/* Tells the handler and ends the connection. */
void exchange_lose(struct exchange *exchange);
/* NUL-terminated, in the request's pool. */
char *exchange_pool_text(struct exchange *exchange, const char *p, size_t n);

/* The handler that h2o calls. */
int dispatch_request(h2o_handler_t *self, h2o_req_t *request);

#endif
