/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/meters.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/http_priv.h"

#define ACCEPTS_AT_ONCE 16
/* How often a drain looks for connections that are idle. */
#define DRAIN_LOOK_MS	50
#define ACCEPT_PAUSE_MS 100
#define FREE_MAX_ROUNDS 100
#define FREE_ROUND_MS	10
#define NO_SNIFF_HEADER "x-content-type-options"
#define ANY_PORT	65535
#define MAX_HOPS_BYTES	1024 /* of X-Forwarded-For of what is refused unread */

static const char *const kind_names[N_LISTENER_KINDS] = {
	[LISTENER_PUBLIC] = "public",
	[LISTENER_KEY] = "key",
	[LISTENER_OPS] = "ops",
};

static void add_header(h2o_req_t *request, const char *name, const char *value)
{
	h2o_add_header_by_str(&request->pool, &request->res.headers, name, strlen(name), 1, NULL,
			      value, strlen(value));
}

/* What stands on every answer, h2o's own included. */
static void on_answer(h2o_filter_t *self, h2o_req_t *request, h2o_ostream_t **slot)
{
	(void)self;
	if (h2o_find_header(&request->res.headers, H2O_TOKEN_CACHE_CONTROL, -1) < 0)
		add_header(request, "cache-control", "no-store");
	add_header(request, NO_SNIFF_HEADER, "nosniff");
	h2o_setup_next_ostream(request, slot);
}

static const struct {
	int status;
	const char *reason;
} refusals[] = {
	{400,  "malformed"  },
	{ 413, "too_large"  },
	{ 417, "expectation"},
};

static void count_refusal(h2o_req_t *request)
{
	const char *reason = METRIC_OTHER;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (refusals[i].status == request->res.status)
			reason = refusals[i].reason;
	}
	meter_count(connection_of(request)->server->params.meter, METER_HTTP_REFUSED, &reason, 1);
}

static struct span path_of(const h2o_req_t *request)
{
	struct span path = { request->input.path.base, request->input.path.len };
	const char *query = path.n > 0 ? memchr(path.p, '?', path.n) : NULL;

	if (query != NULL)
		path.n = (size_t)(query - path.p);
	return path;
}

/* As an exchange would say it. */
static void write_source(const h2o_req_t *request, const struct http_server_params *params,
			 const char *peer, char out[INET6_ADDRSTRLEN])
{
	ssize_t at = h2o_find_header(&request->headers, H2O_TOKEN_X_FORWARDED_FOR, -1);
	char hops[MAX_HOPS_BYTES];

	if (at < 0) {
		forwarded_source(peer, NULL, NULL, 0, out);
		return;
	}
	snprintf(hops, sizeof(hops), "%.*s", (int)request->headers.entries[at].value.len,
		 request->headers.entries[at].value.base);
	forwarded_source(peer, params->n_trusted_proxies > 0 ? hops : NULL, params->trusted_proxies,
			 params->n_trusted_proxies, out);
}

static void tell_refusal(h2o_req_t *request)
{
	const struct connection *connection = connection_of(request);
	const struct http_server_params *params = &connection->server->params;
	char source[INET6_ADDRSTRLEN];
	const struct http_refusal refusal = {
		.status = request->res.status,
		.method = {request->input.method.base, request->input.method.len},
		.path = path_of(request),
		.source_ip = source,
	};
	char *id = h2o_mem_alloc_pool(&request->pool, UUID_TEXT_BYTES);

	write_source(request, params, connection->peer, source);
	if (params->refused != NULL && params->refused(params->app, &refusal, id))
		add_header(request, "tollgate-call-id", id);
}

/* The fallback path answers only what h2o refuses by itself: then a body may be on its way. */
static void on_refusal(h2o_filter_t *self, h2o_req_t *request, h2o_ostream_t **slot)
{
	connection_linger(connection_of(request));
	count_refusal(request);
	tell_refusal(request);
	on_answer(self, request, slot);
}

/* One host of h2o's for each kind: a listener sees only its own. */
static void set_host(struct http_server *server, enum listener_kind kind)
{
	const char *name = kind_names[kind];
	h2o_hostconf_t *host = h2o_config_register_host(
		&server->config, h2o_iovec_init(name, strlen(name)), ANY_PORT);
	h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
	struct dispatcher *dispatcher = (void *)h2o_create_handler(path, sizeof(*dispatcher));

	dispatcher->super.on_req = dispatch_request;
	dispatcher->server = server;
	dispatcher->kind = kind;
	h2o_create_filter(path, sizeof(h2o_filter_t))->on_setup_ostream = on_answer;
	h2o_create_filter(&host->fallback_path, sizeof(h2o_filter_t))->on_setup_ostream =
		on_refusal;
	server->hosts[kind][0] = host;
}

struct http_server *http_server_new(const struct http_server_params *params)
{
	struct http_server *server = mem_new(sizeof(*server));

	server->params = *params;
	/* h2o writes with writev: a client that has left must not end the process. */
	signal(SIGPIPE, SIG_IGN);
	h2o_config_init(&server->config);
	server->config.server_name = h2o_iovec_init(NULL, 0);
	server->config.max_request_entity_size = params->max_body_bytes;
	server->config.http1.req_timeout = (uint64_t)params->request_timeout_ms;
	/* Debian's libh2o has no fix for CVE-2023-44487; this also refuses prior knowledge. */
	server->config.http1.upgrade_to_http2 = 0;
	for (int kind = 0; kind < N_LISTENER_KINDS; kind++)
		set_host(server, (enum listener_kind)kind);
	h2o_context_init(&server->context, loop_h2o(params->loop), &server->config);
	return server;
}

void http_server_reroute(struct http_server *server, const struct route *routes,
			 void (*unrouted)(struct exchange *exchange, const char *allow))
{
	server->params.routes = routes;
	server->params.unrouted = unrouted;
}

static void on_acceptable(h2o_socket_t *socket, const char *problem);

static void on_pause_over(void *ctx)
{
	struct listener *listener = ctx;

	h2o_socket_read_start(listener->socket, on_acceptable);
}

static bool short_of_descriptors(int reason)
{
	return reason == EMFILE || reason == ENFILE || reason == ENOBUFS || reason == ENOMEM;
}

/* The queue stays readable while no descriptor can be had: waiting on it would spin. */
static void pause_accepting(struct listener *listener, int reason)
{
	if (listener->pauses++ == 0)
		log_warn(&(struct log_subject){ .component = "http" }, "cannot accept: %s",
			 strerror(reason));
	h2o_socket_read_stop(listener->socket);
	timer_start(listener->server->params.loop, &listener->pause, ACCEPT_PAUSE_MS, on_pause_over,
		    listener);
}

static void accept_up_to(struct listener *listener, int n_connections)
{
	h2o_socket_t *socket = listener->socket;

	for (int i = 0; i < n_connections; i++) {
		struct sockaddr_storage address = { 0 };
		socklen_t n = sizeof(address);
		int fd = accept4(h2o_socket_get_fd(socket), (struct sockaddr *)&address, &n,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			listener->pauses = 0;
			connection_open(listener, fd, (struct sockaddr *)&address);
		} else if (short_of_descriptors(errno)) {
			pause_accepting(listener, errno);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

static void on_acceptable(h2o_socket_t *socket, const char *problem)
{
	if (problem == NULL)
		accept_up_to(socket->data, ACCEPTS_AT_ONCE);
}

void http_server_listen(struct http_server *server, int fd, enum listener_kind kind)
{
	struct listener *listener = mem_new(sizeof(*listener));
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	assert(server->state == SERVER_SERVING);
	assert(copy >= 0);
	listener->server = server;
	listener->accept.ctx = &server->context;
	listener->accept.hosts = server->hosts[kind];
	listener->socket = h2o_evloop_socket_create(loop_h2o(server->params.loop), copy,
						    H2O_SOCKET_FLAG_DONT_READ);
	listener->socket->data = listener;
	listener->next = server->listeners;
	server->listeners = listener;
	h2o_socket_read_start(listener->socket, on_acceptable);
}

static void close_listeners(struct http_server *server)
{
	while (server->listeners != NULL) {
		struct listener *listener = server->listeners;

		server->listeners = listener->next;
		timer_stop(&listener->pause);
		h2o_socket_close(listener->socket);
		free(listener);
	}
}

static void on_drained(void *ctx)
{
	struct http_server *server = ctx;

	server->drained(server->drained_ctx);
}

void http_server_check_drained(struct http_server *server)
{
	if (server->drained != NULL && server->n_connections == 0)
		loop_defer(server->params.loop, &server->drained_call, on_drained, server);
}

static void on_drain_look(void *ctx)
{
	struct http_server *server = ctx;

	for (struct connection *at = server->connections; at != NULL; at = at->next)
		connection_close_idle(at, server->drain_idle_ms);
	timer_start(server->params.loop, &server->drain_timer, DRAIN_LOOK_MS, on_drain_look,
		    server);
}

void http_server_drain(struct http_server *server, int64_t idle_ms, void (*drained)(void *ctx),
		       void *ctx)
{
	assert(server->state == SERVER_SERVING);
	server->state = SERVER_DRAINING;
	server->drained = drained;
	server->drained_ctx = ctx;
	server->drain_idle_ms = idle_ms;
	/* They are connected; if nobody else listens on the socket, closing it resets them. */
	for (struct listener *at = server->listeners; at != NULL; at = at->next)
		accept_up_to(at, SOMAXCONN);
	close_listeners(server);
	for (struct connection *at = server->connections; at != NULL; at = at->next)
		connection_drain(at);
	on_drain_look(server);
	http_server_check_drained(server);
}

size_t http_server_connections(const struct http_server *server)
{
	return server->n_connections;
}

static void drop_everybody(struct http_server *server)
{
	for (struct connection *at = server->connections; at != NULL; at = at->next) {
		struct exchange *exchange = at->exchange;

		if (exchange == NULL || exchange->state == EXCHANGE_SENDING ||
		    exchange->state == EXCHANGE_LOST)
			connection_abort(at);
		else
			exchange_lose(exchange);
	}
	/* h2o closes a connection only from its loop. */
	for (int i = 0; i < FREE_MAX_ROUNDS && server->n_connections > 0; i++)
		(void)h2o_evloop_run(loop_h2o(server->params.loop), FREE_ROUND_MS);
	assert(server->n_connections == 0);
}

void http_server_free(struct http_server **server)
{
	struct http_server *was = *server;

	if (was == NULL)
		return;
	*server = NULL;
	close_listeners(was);
	was->state = SERVER_DRAINING;
	was->drained = NULL;
	timer_stop(&was->drain_timer);
	drop_everybody(was);
	deferred_cancel(&was->drained_call);
	farewell_end_all(was);
	h2o_context_dispose(&was->context);
	h2o_config_dispose(&was->config);
	free(was);
}
