/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/peer.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define MAX_REQUEST_BYTES (1 << 20)
#define CHUNK_BYTES	  1000
#define FOREVER		  (-1)

struct connection {
	struct connection *next;
	struct peer *peer;
	const struct peer_step *script;
	int fd;
	pthread_t thread;
	char in[16384]; /* read ahead of the script */
	size_t in_at, in_end;
};

struct peer {
	int listener;
	uint16_t port;
	int stop_event; /* readable once the peer is stopped; nobody reads it */
	int gate_event; /* a semaphore */
	const struct peer_step *const *scripts;
	size_t n_scripts;
	pthread_t acceptor;
	pthread_mutex_t lock; /* for all below */
	struct connection *connections;
	size_t n_connections, n_closed, n_bytes_sent;
	char **requests;
	size_t n_requests;
};

/* 1 when fd is ready, 0 after the time, -1 when the peer is stopped. */
static int await(const struct peer *peer, int fd, short events, int timeout_ms)
{
	struct pollfd fds[2] = {
		{.fd = fd,		    .events = events},
		{ .fd = peer->stop_event, .events = POLLIN},
	};
	int n;

	do
		n = poll(fds, 2, timeout_ms);
	while (n < 0 && errno == EINTR);
	assert(n >= 0);
	if (fds[1].revents != 0)
		return -1;
	return n > 0;
}

static int send_all(struct connection *connection, const char *p, size_t n)
{
	struct peer *peer = connection->peer;

	while (n > 0) {
		ssize_t sent;

		if (await(peer, connection->fd, POLLOUT, FOREVER) < 0)
			return -1;
		sent = send(connection->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN)
			return -1;
		if (sent <= 0)
			continue;
		p += sent;
		n -= (size_t)sent;
		pthread_mutex_lock(&peer->lock);
		peer->n_bytes_sent += (size_t)sent;
		pthread_mutex_unlock(&peer->lock);
	}
	return 0;
}

/* One byte; -1 at the end. */
static int read_byte(struct connection *connection, char *byte)
{
	ssize_t n;

	if (connection->in_at == connection->in_end) {
		if (await(connection->peer, connection->fd, POLLIN, FOREVER) < 0)
			return -1;
		n = recv(connection->fd, connection->in, sizeof(connection->in), 0);
		if (n <= 0)
			return -1;
		connection->in_at = 0;
		connection->in_end = (size_t)n;
	}
	*byte = connection->in[connection->in_at++];
	return 0;
}

static int play_drip(struct connection *connection, const struct peer_step *step)
{
	for (const char *p = step->text; *p != '\0'; p++) {
		if (send_all(connection, p, 1) < 0)
			return -1;
		if (await(connection->peer, -1, 0, (int)step->n) < 0)
			return -1;
	}
	return 0;
}

static int play_flood(struct connection *connection, size_t n)
{
	char block[16384];

	memset(block, 'x', sizeof(block));
	while (n > 0) {
		size_t some = n < sizeof(block) ? n : sizeof(block);

		if (send_all(connection, block, some) < 0)
			return -1;
		n -= some;
	}
	return 0;
}

static int play_chunks(struct connection *connection, size_t n)
{
	while (n > 0) {
		size_t some = n < CHUNK_BYTES ? n : CHUNK_BYTES;
		char size[16];

		snprintf(size, sizeof(size), "%zx\r\n", some);
		if (send_all(connection, size, strlen(size)) < 0 ||
		    play_flood(connection, some) < 0 || send_all(connection, "\r\n", 2) < 0)
			return -1;
		n -= some;
	}
	return send_all(connection, "0\r\n\r\n", 5);
}

/* Reads up to and with `end` into text, which has room for MAX_REQUEST_BYTES. */
static int read_until(struct connection *connection, const char *end, char *text, size_t *n)
{
	size_t end_bytes = strlen(end);

	while (*n < end_bytes || memcmp(text + *n - end_bytes, end, end_bytes) != 0) {
		assert(*n < MAX_REQUEST_BYTES);
		if (read_byte(connection, text + *n) < 0)
			return -1;
		*n += 1;
	}
	return 0;
}

static int play_await(struct connection *connection, const char *end)
{
	char *text = mem_new(MAX_REQUEST_BYTES + 1);
	size_t n = 0;
	int ret = read_until(connection, end, text, &n);

	free(text);
	return ret;
}

static size_t content_length(const char *head)
{
	const char *field = strcasestr(head, "\r\ncontent-length:");

	return field != NULL ? (size_t)strtoull(field + 17, NULL, 10) : 0;
}

static int play_request(struct connection *connection)
{
	struct peer *peer = connection->peer;
	char *text = mem_new(MAX_REQUEST_BYTES + 1);
	size_t n = 0;
	size_t whole;

	if (read_until(connection, "\r\n\r\n", text, &n) < 0)
		goto fail;
	whole = n + content_length(text);
	assert(whole <= MAX_REQUEST_BYTES);
	while (n < whole) {
		if (read_byte(connection, text + n) < 0)
			goto fail;
		n++;
	}
	pthread_mutex_lock(&peer->lock);
	peer->requests = mem_resize(peer->requests, peer->n_requests + 1, sizeof(char *));
	peer->requests[peer->n_requests++] = text;
	pthread_mutex_unlock(&peer->lock);
	return 0;
fail:
	free(text);
	return -1;
}

static int play_await_close(struct connection *connection)
{
	char byte;

	while (read_byte(connection, &byte) == 0)
		;
	return 0;
}

static int play_gate(struct connection *connection)
{
	struct peer *peer = connection->peer;
	uint64_t one;

	for (;;) {
		if (await(peer, peer->gate_event, POLLIN, FOREVER) < 0)
			return -1;
		if (read(peer->gate_event, &one, sizeof(one)) == (ssize_t)sizeof(one))
			return 0;
	}
}

static int play_reset(struct connection *connection)
{
	struct linger none = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	return -1;
}

/* 0 to go on, -1 to close. */
static int play(struct connection *connection, const struct peer_step *step)
{
	switch (step->op) {
	case PEER_SEND:
		return send_all(connection, step->text, step->n > 0 ? step->n : strlen(step->text));
	case PEER_DRIP:
		return play_drip(connection, step);
	case PEER_FLOOD:
		return play_flood(connection, step->n);
	case PEER_CHUNKS:
		return play_chunks(connection, step->n);
	case PEER_AWAIT:
		return play_await(connection, step->text);
	case PEER_REQUEST:
		return play_request(connection);
	case PEER_AWAIT_CLOSE:
		return play_await_close(connection);
	case PEER_GATE:
		return play_gate(connection);
	case PEER_HALF_CLOSE:
		return shutdown(connection->fd, SHUT_WR);
	case PEER_RESET:
		return play_reset(connection);
	case PEER_CLOSE:
	case PEER_AGAIN:
		break;
	}
	return -1;
}

static void *run_connection(void *arg)
{
	struct connection *connection = arg;
	struct peer *peer = connection->peer;
	const struct peer_step *step = connection->script;

	for (;;) {
		if (step->op == PEER_AGAIN)
			step = connection->script;
		if (play(connection, step) < 0)
			break;
		step++;
	}
	close(connection->fd);
	pthread_mutex_lock(&peer->lock);
	peer->n_closed++;
	pthread_mutex_unlock(&peer->lock);
	return NULL;
}

static void accept_one(struct peer *peer)
{
	struct connection *connection;
	int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
	size_t k;

	if (fd < 0)
		return;
	connection = mem_new(sizeof(*connection));
	pthread_mutex_lock(&peer->lock);
	k = peer->n_connections++;
	connection->next = peer->connections;
	peer->connections = connection;
	pthread_mutex_unlock(&peer->lock);
	connection->peer = peer;
	connection->fd = fd;
	connection->script = peer->scripts[k < peer->n_scripts ? k : peer->n_scripts - 1];
	if (pthread_create(&connection->thread, NULL, run_connection, connection) != 0)
		abort();
}

static void *run_acceptor(void *arg)
{
	struct peer *peer = arg;

	while (await(peer, peer->listener, POLLIN, FOREVER) > 0)
		accept_one(peer);
	return NULL;
}

static int listen_anywhere(uint16_t *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0 || getsockname(fd, (struct sockaddr *)&address, &n) < 0)
		abort();
	*port = ntohs(address.sin_port);
	return fd;
}

struct peer *peer_start(const struct peer_step *const *scripts, size_t n_scripts)
{
	struct peer *peer = mem_new(sizeof(*peer));

	assert(n_scripts > 0);
	peer->scripts = scripts;
	peer->n_scripts = n_scripts;
	peer->listener = listen_anywhere(&peer->port);
	peer->stop_event = eventfd(0, EFD_CLOEXEC);
	peer->gate_event = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK);
	pthread_mutex_init(&peer->lock, NULL);
	if (pthread_create(&peer->acceptor, NULL, run_acceptor, peer) != 0)
		abort();
	return peer;
}

static void ring(int event)
{
	const uint64_t one = 1;

	if (write(event, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
}

void peer_stop(struct peer **peer)
{
	struct peer *was = *peer;

	if (was == NULL)
		return;
	*peer = NULL;
	ring(was->stop_event);
	pthread_join(was->acceptor, NULL);
	while (was->connections != NULL) {
		struct connection *connection = was->connections;

		was->connections = connection->next;
		pthread_join(connection->thread, NULL);
		free(connection);
	}
	close(was->listener);
	close(was->stop_event);
	close(was->gate_event);
	for (size_t i = 0; i < was->n_requests; i++)
		free(was->requests[i]);
	free(was->requests);
	pthread_mutex_destroy(&was->lock);
	free(was);
}

uint16_t peer_port(const struct peer *peer)
{
	return peer->port;
}

static size_t counted(struct peer *peer, const size_t *counter)
{
	size_t n;

	pthread_mutex_lock(&peer->lock);
	n = *counter;
	pthread_mutex_unlock(&peer->lock);
	return n;
}

size_t peer_connections(struct peer *peer)
{
	return counted(peer, &peer->n_connections);
}

size_t peer_closed(struct peer *peer)
{
	return counted(peer, &peer->n_closed);
}

size_t peer_requests(struct peer *peer)
{
	return counted(peer, &peer->n_requests);
}

size_t peer_bytes_sent(struct peer *peer)
{
	return counted(peer, &peer->n_bytes_sent);
}

char *peer_request(struct peer *peer, size_t i)
{
	char *text;

	pthread_mutex_lock(&peer->lock);
	assert(i < peer->n_requests);
	text = mem_strdup(peer->requests[i]);
	pthread_mutex_unlock(&peer->lock);
	return text;
}

void peer_open_gate(struct peer *peer)
{
	ring(peer->gate_event);
}

uint16_t peer_unused_port(void)
{
	uint16_t port;

	close(listen_anywhere(&port));
	return port;
}
