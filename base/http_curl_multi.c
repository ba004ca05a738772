/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One CURLM in the loop. Sockets stay registered between transfers: what curl wants of a socket
 * (`wanted`) and what the loop watches it for are brought together when curl wants something,
 * or when an event comes that it does not want.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/http_curl_priv.h"
#include "base/mem.h"

#define FIRST_SOCKETS 64

struct http_socket {
	struct http_client *client;
	int fd;
	uint32_t wanted; /* EPOLLIN, EPOLLOUT */
	bool kept;	 /* opened by us and closed by us: may outlive what curl wants of it */
	bool read;	 /* curl has wanted to read from it: it was connected */
	uint64_t cookie; /* of a kept one: tells it from a later socket of the same number */
	struct watch watch;
};

void must_easy(CURLcode code)
{
	assert(code == CURLE_OK);
}

void must_multi(CURLMcode code)
{
	assert(code == CURLM_OK);
}

void must_share(CURLSHcode code)
{
	assert(code == CURLSHE_OK);
}

/* Ends the transfers that curl reports as over. Their `done` comes from the loop, so nothing
 * here can start or free anything under curl's feet. */
static void leave_curl(struct http_client *client)
{
	int left;
	CURLMsg *message;

	client->inside_curl--;
	while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
		CURLcode result = message->data.result;
		struct http_request *request;

		assert(message->msg == CURLMSG_DONE);
		must_easy(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request));
		if (request->state != REQUEST_CANCELLED)
			request_end(request, result);
	}
}

static void act_on_socket(struct http_client *client, int fd, int bits)
{
	int running;

	client->inside_curl++;
	must_multi(curl_multi_socket_action(client->multi, fd, bits, &running));
	leave_curl(client);
}

static void on_curl_timeout(void *ctx)
{
	act_on_socket(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct http_client *client = ctx;

	(void)multi;
	if (timeout_ms < 0)
		timer_stop(&client->curl_timer);
	else
		timer_start(client->loop, &client->curl_timer, timeout_ms, on_curl_timeout, client);
	return 0;
}

static void on_socket_ready(void *ctx, uint32_t events)
{
	struct http_socket *sock = ctx;
	int bits = 0;

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && (sock->wanted & EPOLLIN) != 0)
		bits |= CURL_CSELECT_IN;
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 && (sock->wanted & EPOLLOUT) != 0)
		bits |= CURL_CSELECT_OUT;
	if (bits != 0)
		act_on_socket(sock->client, sock->fd, bits);
	else
		watch_stop(&sock->watch);
}

static void socket_forget(struct http_socket *sock)
{
	watch_forget(&sock->watch);
	sock->client->sockets[sock->fd] = NULL;
	free(sock);
}

static void socket_drop(struct http_socket *sock)
{
	watch_stop(&sock->watch);
	socket_forget(sock);
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) == 0 ? cookie : 0;
}

/* curl 7.88 closes a socket of ours without telling if no connection was made on it yet
 * (cf_socket_close): the one of a request that is removed meanwhile, and the slower one of two
 * addresses. NULL then, and its entry is gone. */
static struct http_socket *unless_closed(struct http_socket *sock)
{
	bool doubtful = sock->kept && (!sock->read || sock->client->removing_unsent);

	if (!doubtful || cookie_of(sock->fd) == sock->cookie)
		return sock;
	socket_forget(sock);
	return NULL;
}

static struct http_socket *socket_find(const struct http_client *client, int fd)
{
	return (size_t)fd < client->n_sockets ? client->sockets[fd] : NULL;
}

static struct http_socket *socket_add(struct http_client *client, int fd, bool kept)
{
	struct http_socket *sock = mem_new(sizeof(*sock));
	size_t n = client->n_sockets > 0 ? client->n_sockets : FIRST_SOCKETS;

	while (n <= (size_t)fd)
		n *= 2;
	if (n > client->n_sockets) {
		client->sockets = mem_resize(client->sockets, n, sizeof(struct http_socket *));
		memset(client->sockets + client->n_sockets, 0,
		       (n - client->n_sockets) * sizeof(struct http_socket *));
		client->n_sockets = n;
	}
	if (client->sockets[fd] != NULL)
		socket_forget(client->sockets[fd]); /* its number was given anew: it is closed */
	*sock = (struct http_socket){
		.client = client, .fd = fd, .kept = kept, .cookie = kept ? cookie_of(fd) : 0
	};
	client->sockets[fd] = sock;
	return sock;
}

static void socket_want(struct http_socket *sock, uint32_t events)
{
	sock->wanted = events;
	sock->read = sock->read || (events & EPOLLIN) != 0;
	if (events == 0)
		return;
	if (sock->watch.loop == NULL)
		watch_start(sock->client->loop, &sock->watch, sock->fd, events, on_socket_ready,
			    sock);
	else
		watch_change(&sock->watch, events);
}

/* curl's own sockets (of its resolver threads) are closed right after POLL_REMOVE. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
	struct http_client *client = ctx;
	struct http_socket *sock = socket_find(client, fd);

	(void)easy;
	(void)assigned;
	if (sock != NULL)
		sock = unless_closed(sock);
	if (what == CURL_POLL_REMOVE) {
		if (sock != NULL && !sock->kept)
			socket_drop(sock);
		else if (sock != NULL)
			socket_want(sock, 0);
		return 0;
	}
	if (sock == NULL)
		sock = socket_add(client, fd, false);
	socket_want(sock, ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
				  ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0));
	return 0;
}

int multi_socket_open(struct http_client *client, const struct curl_sockaddr *address)
{
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	if (fd >= 0)
		socket_add(client, fd, true);
	return fd;
}

int multi_socket_close(struct http_client *client, int fd)
{
	struct http_socket *sock = socket_find(client, fd);

	assert(sock != NULL && sock->kept);
	socket_drop(sock);
	return close(fd);
}

void multi_open(struct http_client *client)
{
	client->multi = curl_multi_init();
	assert(client->multi != NULL);
	must_multi(curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket));
	must_multi(curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client));
	must_multi(curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer));
	must_multi(curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client));
	must_multi(curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING));
	must_multi(
		curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_MAX_CONNECTIONS));
}

void multi_close(struct http_client *client)
{
	must_multi(curl_multi_cleanup(client->multi));
	timer_stop(&client->curl_timer);
	for (size_t fd = 0; fd < client->n_sockets; fd++) {
		struct http_socket *sock = client->sockets[fd];

		if (sock == NULL)
			continue;
		assert(cookie_of(sock->fd) != sock->cookie); /* nothing is left open */
		socket_forget(sock);
	}
	free(client->sockets);
}

void multi_add(struct http_request *request)
{
	struct http_client *client = request->client;

	must_multi(curl_multi_add_handle(client->multi, request->easy));
	act_on_socket(client, CURL_SOCKET_TIMEOUT, 0);
}

void multi_remove(struct http_request *request)
{
	struct http_client *client = request->client;

	client->removing_unsent = !request->sent;
	must_multi(curl_multi_remove_handle(client->multi, request->easy));
	client->removing_unsent = false;
}

/* curl may deliver what it holds before this returns. */
void multi_resume(struct http_request *request)
{
	struct http_client *client = request->client;
	CURLcode result;

	client->inside_curl++;
	result = curl_easy_pause(request->easy, CURLPAUSE_CONT);
	leave_curl(client);
	if (result != CURLE_OK && request->state == REQUEST_STREAMING)
		request_end(request, result);
}
