/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

#define MAX_HOST_BYTES 64

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_bytes(const union address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

static int address_parse(const char *text, union address *out, struct err *err)
{
	const char *colon = strrchr(text, ':');
	char host[MAX_HOST_BYTES] = "";
	uint64_t port;
	size_t n;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return err_set(err, ERR_BAD_REQUEST, "%s is no address:port", text);
	if (text_uint(colon + 1, 0, 65535, &port, err) < 0)
		return err_prefix(err, "%s: the port", text);
	n = (size_t)(colon - text);
	if (n > 1 && text[0] == '[' && text[n - 1] == ']')
		memcpy(host, text + 1, n - 2);
	else
		memcpy(host, text, n);
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons((uint16_t)port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons((uint16_t)port);
		return 0;
	}
	return err_set(err, ERR_BAD_REQUEST, "%s: a literal address is needed, not a name", text);
}

int listener_check(const char *text, struct err *err)
{
	union address address;

	return address_parse(text, &address, err);
}

static int bind_to(const union address *address, const char *name, struct err *err)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return err_set(err, ERR_INTERNAL, "socket: %s", strerror(errno));
	/* One socket per worker slot on one port. The lock on the data directory keeps a second
	 * daemon of this deployment away; REUSEADDR lets a restart bind at once. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(fd, &address->any, address_bytes(address)) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
		err_set(err, ERR_UNAVAILABLE, "%s cannot be listened on: %s", name,
			strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* With SO_REUSEPORT a port that another daemon of this user serves would be shared with it. */
static int check_unused(const union address *address, const char *name, struct err *err)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	int ret;

	if (fd < 0)
		return err_set(err, ERR_INTERNAL, "socket: %s", strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ret = bind(fd, &address->any, address_bytes(address));
	if (ret < 0)
		err_set(err, ERR_UNAVAILABLE, "%s cannot be listened on: %s", name,
			strerror(errno));
	close(fd);
	return ret;
}

int listener_check_unused(const char *text, struct err *err)
{
	union address address = { 0 };

	if (address_parse(text, &address, err) < 0)
		return -1;
	return check_unused(&address, text, err);
}

int listener_bind(const char *text, struct err *err)
{
	union address address = { 0 };

	if (address_parse(text, &address, err) < 0 || check_unused(&address, text, err) < 0)
		return -1;
	return bind_to(&address, text, err);
}

static union address address_of(int fd)
{
	union address address;
	socklen_t n = sizeof(address);

	memset(&address, 0, sizeof(address));
	(void)getsockname(fd, &address.any, &n);
	return address;
}

int listener_bind_again(int fd, struct err *err)
{
	union address address = address_of(fd);

	return bind_to(&address, "the listener's port", err);
}

int listener_port(int fd)
{
	union address address = address_of(fd);

	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
						       : address.v4.sin_port);
}

bool listener_is_loopback(int fd)
{
	union address address = address_of(fd);

	if (address.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr);
	return (ntohl(address.v4.sin_addr.s_addr) >> 24) == 127;
}
