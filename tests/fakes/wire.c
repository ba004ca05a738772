/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

#define BACKLOG		   128
#define TURN_MS		   1
#define READ_BYTES	   65536
#define MAX_RECEIVED_BYTES ((size_t)256 * 1024 * 1024)

struct wire {
	struct loop *loop;
	int fd;
	bool closed; /* by the peer */
	struct buf received;
};

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

int wire_listen(uint16_t *port)
{
	struct sockaddr_in address = loopback(0);
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
	assert_int_equal(listen(fd, BACKLOG), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void on_turn_over(void *ctx)
{
	loop_stop(ctx);
}

void wire_turn(struct loop *loop)
{
	struct timer timer = { 0 };

	timer_start(loop, &timer, TURN_MS, on_turn_over, loop);
	loop_run(loop);
}

void wire_until(struct loop *loop, bool (*met)(void *ctx), void *ctx, const char *what)
{
	int64_t give_up_ms = loop_now_ms(loop) + WIRE_PATIENCE_MS;

	while (!met(ctx)) {
		if (loop_now_ms(loop) > give_up_ms)
			fail_msg("waited in vain for: %s", what);
		wire_turn(loop);
	}
}

void wire_for(struct loop *loop, int64_t ms)
{
	int64_t end_ms = loop_now_ms(loop) + ms;

	while (loop_now_ms(loop) < end_ms)
		wire_turn(loop);
}

struct wire *wire_connect(struct loop *loop, uint16_t port)
{
	struct wire *wire = mem_new(sizeof(*wire));
	struct sockaddr_in address = loopback(port);

	wire->loop = loop;
	wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(wire->fd >= 0);
	assert_int_equal(connect(wire->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	buf_init(&wire->received, MAX_RECEIVED_BYTES);
	return wire;
}

void wire_close(struct wire **wire)
{
	close((*wire)->fd);
	buf_fini(&(*wire)->received);
	free(*wire);
	*wire = NULL;
}

void wire_reset(struct wire **wire)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	setsockopt((*wire)->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	wire_close(wire);
}

void wire_half_close(struct wire *wire)
{
	shutdown(wire->fd, SHUT_WR);
}

/* Whether anything came or went. */
static bool read_some(struct wire *wire)
{
	char bytes[READ_BYTES];
	ssize_t n;

	if (wire->closed)
		return false;
	n = recv(wire->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n > 0)
		assert_int_equal(buf_append(&wire->received, bytes, (size_t)n), 0);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		wire->closed = true;
	return n > 0;
}

void wire_send_bytes(struct wire *wire, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(wire->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent < 0) {
			wire_turn(wire->loop);
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

void wire_send(struct wire *wire, const char *text)
{
	wire_send_bytes(wire, text, strlen(text));
}

struct awaited {
	struct wire *wire;
	const char *text; /* NULL: n bytes, or the end */
	size_t n;
};

static bool has_come(void *ctx)
{
	const struct awaited *awaited = ctx;

	while (read_some(awaited->wire))
		continue;
	if (awaited->text != NULL)
		return strstr(buf_str(&awaited->wire->received), awaited->text) != NULL;
	return awaited->n > 0 ? awaited->wire->received.len >= awaited->n : awaited->wire->closed;
}

const char *wire_await(struct wire *wire, const char *text)
{
	struct awaited awaited = { .wire = wire, .text = text };

	wire_until(wire->loop, has_come, &awaited, text);
	return buf_str(&wire->received);
}

const char *wire_await_bytes(struct wire *wire, size_t n)
{
	struct awaited awaited = { .wire = wire, .n = n };

	wire_until(wire->loop, has_come, &awaited, "that many bytes");
	return buf_str(&wire->received);
}

const char *wire_await_close(struct wire *wire)
{
	struct awaited awaited = { .wire = wire };

	wire_until(wire->loop, has_come, &awaited, "the end of the connection");
	return buf_str(&wire->received);
}

const char *wire_received(struct wire *wire)
{
	while (read_some(wire))
		continue;
	return buf_str(&wire->received);
}

size_t wire_received_bytes(struct wire *wire)
{
	(void)wire_received(wire);
	return wire->received.len;
}

bool wire_is_closed(struct wire *wire)
{
	(void)wire_received(wire);
	return wire->closed;
}

void wire_forget(struct wire *wire)
{
	buf_clear(&wire->received);
}
