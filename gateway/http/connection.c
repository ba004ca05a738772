/* SPDX-License-Identifier: Apache-2.0 */

/* Accepted sockets: who is connected, and how they end. */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/http_priv.h"

/* Unacknowledged bytes, or a peer that does not read, for this long end a connection. */
#define USER_TIMEOUT_MS 30000
#define KEEP_IDLE_S	60
#define KEEP_INTERVAL_S 15

#define FAREWELL_MS	   2000
#define FAREWELL_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define MAX_FAREWELLS	   64

struct farewell {
	struct http_server *server;
	struct farewell *next, *prev;
	int fd;
	size_t n_read;
	struct watch readable;
	struct timer timeout;
};

static void farewell_free(struct farewell *farewell)
{
	struct http_server *server = farewell->server;

	watch_stop(&farewell->readable);
	timer_stop(&farewell->timeout);
	close(farewell->fd);
	if (farewell->prev != NULL)
		farewell->prev->next = farewell->next;
	else
		server->farewells = farewell->next;
	if (farewell->next != NULL)
		farewell->next->prev = farewell->prev;
	server->n_farewells--;
	free(farewell);
}

void farewell_end_all(struct http_server *server)
{
	struct farewell *next;

	for (struct farewell *at = server->farewells; at != NULL; at = next) {
		next = at->next;
		farewell_free(at);
	}
}

static void on_farewell_over(void *ctx)
{
	farewell_free(ctx);
}

/* Reads and forgets what the client still sends, until it has had time to see the answer. */
static void on_farewell_readable(void *ctx, uint32_t events)
{
	struct farewell *farewell = ctx;
	char waste[16384];
	ssize_t n = read(farewell->fd, waste, sizeof(waste));

	(void)events;
	if (n > 0)
		farewell->n_read += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    farewell->n_read > FAREWELL_MAX_BYTES)
		farewell_free(farewell);
}

static void farewell_start(struct http_server *server, int fd)
{
	struct farewell *farewell = mem_new(sizeof(*farewell));

	farewell->server = server;
	farewell->fd = fd;
	farewell->next = server->farewells;
	if (farewell->next != NULL)
		farewell->next->prev = farewell;
	server->farewells = farewell;
	server->n_farewells++;
	shutdown(fd, SHUT_WR);
	watch_start(server->params.loop, &farewell->readable, fd, EPOLLIN, on_farewell_readable,
		    farewell);
	timer_start(server->params.loop, &farewell->timeout, FAREWELL_MS, on_farewell_over,
		    farewell);
}

void connection_linger(struct connection *connection)
{
	if (connection->linger_fd < 0 && connection->server->n_farewells < MAX_FAREWELLS)
		connection->linger_fd =
			fcntl(h2o_socket_get_fd(connection->socket), F_DUPFD_CLOEXEC, 0);
}

static void on_socket_close(void *data)
{
	struct connection *connection = data;
	struct http_server *server = connection->server;

	assert(connection->exchange == NULL);
	if (connection->prev != NULL)
		connection->prev->next = connection->next;
	else
		server->connections = connection->next;
	if (connection->next != NULL)
		connection->next->prev = connection->prev;
	server->n_connections--;
	if (connection->linger_fd >= 0)
		farewell_start(server, connection->linger_fd);
	free(connection);
	http_server_check_drained(server);
}

static void set_option(int fd, int level, int option, int value)
{
	/* Not every kind of socket has them all. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void set_options(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
}

static void write_peer(const struct sockaddr *address, char peer[INET6_ADDRSTRLEN])
{
	char text[INET6_ADDRSTRLEN];

	if (address->sa_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
		      text, sizeof(text)) != NULL)
		address_canonical(text, peer);
	else if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
			  peer, INET6_ADDRSTRLEN);
}

void connection_open(struct listener *listener, int fd, const struct sockaddr *address)
{
	struct http_server *server = listener->server;
	struct connection *connection = mem_new(sizeof(*connection));

	connection->server = server;
	connection->linger_fd = -1;
	connection->idle_since_ms = loop_now_ms(server->params.loop);
	write_peer(address, connection->peer);
	set_options(fd);
	connection->next = server->connections;
	if (connection->next != NULL)
		connection->next->prev = connection;
	server->connections = connection;
	server->n_connections++;
	connection->socket = h2o_evloop_socket_create(loop_h2o(server->params.loop), fd,
						      H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
	connection->socket->on_close.cb = on_socket_close;
	connection->socket->on_close.data = connection;
	h2o_accept(&listener->accept, connection->socket);
}

struct connection *connection_of(const h2o_req_t *request)
{
	return request->conn->callbacks->get_socket(request->conn)->on_close.data;
}

void connection_drain(struct connection *connection)
{
	/* An answer that has begun promised that the connection stays: its client may send the
	 * next request at once. It is idle then, or that request's answer is the last. */
	if (connection->exchange != NULL && connection->exchange->state == EXCHANGE_HANDLING)
		connection->exchange->request->http1_is_persistent = 0;
}

void connection_close_idle(struct connection *connection, int64_t idle_ms)
{
	int fd = h2o_socket_get_fd(connection->socket);
	int n_unread = 0;

	if (connection->exchange != NULL || connection->read_shut ||
	    connection->socket->input->size > 0 ||
	    loop_now_ms(connection->server->params.loop) - connection->idle_since_ms < idle_ms)
		return;
	if (ioctl(fd, FIONREAD, &n_unread) == 0 && n_unread > 0)
		return;
	connection->read_shut = true;
	shutdown(fd, SHUT_RD);
}

void connection_abort(struct connection *connection)
{
	shutdown(h2o_socket_get_fd(connection->socket), SHUT_RDWR);
}
