/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/mcp_peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

#define MAX_BYTES    (64 * 1024 * 1024)
#define MAX_REQUESTS 1000
#define MAX_METHODS  16
#define READ_BYTES   65536

struct rule {
	char method[64];
	const struct mcp_reply *replies;
	size_t n;
	size_t next;
};

struct conn {
	struct conn *prev, *next;
	struct mcp_peer *peer;
	int fd;
	struct watch watch;
	struct buf in;
	struct buf out;
	char id[32]; /* of the request that is answered */
	bool ends;   /* once everything is written */
};

struct mcp_peer {
	struct loop *loop;
	int fd;
	uint16_t port;
	struct watch watch;
	struct conn *conns;
	struct conn *streaming;
	struct rule rules[MAX_METHODS];
	size_t n_rules;
	struct mcp_seen seen[MAX_REQUESTS];
	size_t n_seen;
	size_t n_connections;
	size_t n_left;
};

static void conn_free(struct conn *conn)
{
	if (conn->peer->streaming == conn)
		conn->peer->streaming = NULL;
	DL_DELETE(conn->peer->conns, conn);
	watch_stop(&conn->watch);
	close(conn->fd);
	buf_fini(&conn->in);
	buf_fini(&conn->out);
	free(conn);
}

/* Returns false if the connection has gone with it. */
static bool flush(struct conn *conn)
{
	while (conn->out.len > 0) {
		ssize_t n = send(conn->fd, conn->out.data, conn->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			watch_change(&conn->watch, EPOLLIN | EPOLLOUT);
			return true;
		}
		if (n < 0) {
			conn->peer->n_left++;
			conn_free(conn);
			return false;
		}
		buf_consume(&conn->out, (size_t)n);
	}
	if (conn->ends) {
		conn_free(conn);
		return false;
	}
	watch_change(&conn->watch, EPOLLIN);
	return true;
}

static void add_text(struct buf *out, const char *text, const char *id)
{
	const char *mark;

	while ((mark = strstr(text, "$ID")) != NULL) {
		buf_append(out, text, (size_t)(mark - text));
		buf_add(out, id);
		text = mark + 3;
	}
	buf_add(out, text);
}

static void answer(struct conn *conn, const struct mcp_reply *reply)
{
	struct buf body;

	if (reply->act == MCP_HOLD)
		return;
	if (reply->act == MCP_CLOSE) {
		conn->ends = true;
		flush(conn);
		return;
	}
	buf_init(&body, MAX_BYTES);
	if (reply->body != NULL)
		add_text(&body, reply->body, conn->id);
	for (size_t i = 0; i < reply->padding; i++)
		buf_append(&body, " ", 1);
	buf_printf(&conn->out, "HTTP/1.1 %d X\r\n", reply->status);
	if (reply->type != NULL)
		buf_printf(&conn->out, "Content-Type: %s\r\n", reply->type);
	if (reply->session != NULL)
		buf_printf(&conn->out, "Mcp-Session-Id: %s\r\n", reply->session);
	if (reply->act == MCP_ANSWER)
		buf_printf(&conn->out, "Content-Length: %zu\r\n\r\n", body.len);
	else
		buf_add(&conn->out, "Connection: close\r\n\r\n");
	buf_add_span(&conn->out, buf_span(&body));
	buf_fini(&body);
	if (reply->act == MCP_STREAM)
		conn->peer->streaming = conn;
	flush(conn);
}

static const struct mcp_reply *reply_for(struct mcp_peer *peer, const char *method)
{
	static const struct mcp_reply unknown = { MCP_ANSWER, 404, NULL, NULL, NULL, 0 };

	for (size_t i = 0; i < peer->n_rules; i++) {
		struct rule *rule = &peer->rules[i];

		if (strcmp(rule->method, method) != 0)
			continue;
		return &rule->replies[rule->next + 1 < rule->n ? rule->next++ : rule->next];
	}
	return &unknown;
}

static void copy_text(struct span value, char *out, size_t size)
{
	value = span_trim(value);
	if (span_type(value) == SPAN_STRING && size == sizeof(((struct mcp_seen *)0)->method))
		value = (struct span){ value.p + 1, value.n - 2 };
	snprintf(out, size, "%.*s", (int)value.n, value.p != NULL ? value.p : "");
}

static void take_request(struct conn *conn, size_t head_bytes, size_t body_bytes)
{
	struct mcp_peer *peer = conn->peer;
	struct mcp_seen *seen = &peer->seen[peer->n_seen++];
	struct span body = { conn->in.data + head_bytes, body_bytes };
	struct err err;

	assert(peer->n_seen < MAX_REQUESTS);
	assert(body_bytes == 0 || span_check(body, NULL, &err) == 0);
	seen->head = mem_strndup(conn->in.data, head_bytes);
	for (char *p = seen->head; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	seen->body = mem_strndup(body.p, body.n);
	if (body_bytes == 0) {
		snprintf(seen->method, sizeof(seen->method), "%.*s",
			 (int)strcspn(conn->in.data, " "), conn->in.data);
	} else {
		copy_text(span_get(body, "method"), seen->method, sizeof(seen->method));
		copy_text(span_get(body, "id"), seen->id, sizeof(seen->id));
	}
	snprintf(conn->id, sizeof(conn->id), "%s", seen->id);
	buf_consume(&conn->in, head_bytes + body_bytes);
	answer(conn, reply_for(peer, seen->method));
}

/* One request at a time: nobody pipelines here. */
static void look(struct conn *conn)
{
	const char *end = strstr(buf_str(&conn->in), "\r\n\r\n");
	const char *length;
	size_t head_bytes;
	size_t body_bytes;

	if (end == NULL)
		return;
	head_bytes = (size_t)(end + 4 - conn->in.data);
	length = strcasestr(conn->in.data, "\r\nContent-Length:");
	body_bytes = length != NULL ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
	if (conn->in.len >= head_bytes + body_bytes)
		take_request(conn, head_bytes, body_bytes);
}

static void on_conn(void *ctx, uint32_t events)
{
	struct conn *conn = ctx;
	char bytes[READ_BYTES];
	ssize_t n;

	if ((events & EPOLLOUT) != 0 && !flush(conn))
		return;
	if ((events & ~(uint32_t)EPOLLOUT) == 0)
		return;
	n = recv(conn->fd, bytes, sizeof(bytes), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn->peer->n_left++;
		conn_free(conn);
		return;
	}
	buf_append(&conn->in, bytes, (size_t)n);
	look(conn);
}

static void on_accept(void *ctx, uint32_t events)
{
	struct mcp_peer *peer = ctx;
	int fd = accept4(peer->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *conn;

	(void)events;
	if (fd < 0)
		return;
	conn = mem_new(sizeof(*conn));
	conn->peer = peer;
	conn->fd = fd;
	buf_init(&conn->in, MAX_BYTES);
	buf_init(&conn->out, MAX_BYTES);
	DL_APPEND(peer->conns, conn);
	peer->n_connections++;
	watch_start(peer->loop, &conn->watch, fd, EPOLLIN, on_conn, conn);
}

struct mcp_peer *mcp_peer_start(struct loop *loop)
{
	struct mcp_peer *peer = mem_new(sizeof(*peer));
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(address);

	peer->loop = loop;
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (peer->fd < 0 || bind(peer->fd, (struct sockaddr *)&address, n) < 0 ||
	    listen(peer->fd, 128) < 0 ||
	    getsockname(peer->fd, (struct sockaddr *)&address, &n) < 0) {
		perror("mcp_peer");
		abort();
	}
	peer->port = ntohs(address.sin_port);
	watch_start(loop, &peer->watch, peer->fd, EPOLLIN, on_accept, peer);
	return peer;
}

void mcp_peer_stop(struct mcp_peer **peer)
{
	struct mcp_peer *was = *peer;

	*peer = NULL;
	if (was == NULL)
		return;
	while (was->conns != NULL)
		conn_free(was->conns);
	watch_stop(&was->watch);
	close(was->fd);
	for (size_t i = 0; i < was->n_seen; i++) {
		free(was->seen[i].head);
		free(was->seen[i].body);
	}
	free(was);
}

uint16_t mcp_peer_port(const struct mcp_peer *peer)
{
	return peer->port;
}

void mcp_peer_on(struct mcp_peer *peer, const char *method, const struct mcp_reply *replies,
		 size_t n)
{
	struct rule *rule = peer->rules;

	while (rule < peer->rules + peer->n_rules && strcmp(rule->method, method) != 0)
		rule++;
	if (rule == peer->rules + peer->n_rules)
		peer->n_rules++;
	assert(peer->n_rules <= MAX_METHODS && n > 0);
	*rule = (struct rule){ .replies = replies, .n = n };
	snprintf(rule->method, sizeof(rule->method), "%s", method);
}

size_t mcp_peer_n(const struct mcp_peer *peer)
{
	return peer->n_seen;
}

const struct mcp_seen *mcp_peer_seen(const struct mcp_peer *peer, size_t i)
{
	assert(i < peer->n_seen);
	return &peer->seen[i];
}

size_t mcp_peer_count(const struct mcp_peer *peer, const char *method)
{
	size_t n = 0;

	for (size_t i = 0; i < peer->n_seen; i++)
		n += strcmp(peer->seen[i].method, method) == 0 ? 1 : 0;
	return n;
}

const struct mcp_seen *mcp_peer_find(const struct mcp_peer *peer, const char *method, size_t i)
{
	for (size_t k = 0; k < peer->n_seen; k++) {
		if (strcmp(peer->seen[k].method, method) == 0 && i-- == 0)
			return &peer->seen[k];
	}
	abort(); /* no such request has come */
}

size_t mcp_peer_connections(const struct mcp_peer *peer)
{
	return peer->n_connections;
}

size_t mcp_peer_left(const struct mcp_peer *peer)
{
	return peer->n_left;
}

void mcp_peer_say(struct mcp_peer *peer, const char *text)
{
	assert(peer->streaming != NULL);
	add_text(&peer->streaming->out, text, peer->streaming->id);
	flush(peer->streaming);
}

void mcp_peer_end(struct mcp_peer *peer)
{
	assert(peer->streaming != NULL);
	peer->streaming->ends = true;
	flush(peer->streaming);
}
