/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_LISTENER_H
#define GATEWAY_APP_LISTENER_H

/* Listening sockets, bound by the supervisor. */

#include <stdbool.h>

#include "base/err.h"

#define LISTEN_BACKLOG 1024

/* "127.0.0.1:8080" or "[::1]:8080"; a literal address, no name. */
int listener_check(const char *address, struct err *err) MUST_CHECK;
/* Nobody listens there. ERR_BAD_REQUEST, ERR_UNAVAILABLE. */
int listener_check_unused(const char *address, struct err *err) MUST_CHECK;
/* Returns a listening,
 * non-blocking, close-on-exec socket with SO_REUSEPORT, or -1. */
int listener_bind(const char *address, struct err *err) MUST_CHECK;
/* Another one on the same address and the port that `fd` has. */
int listener_bind_again(int fd, struct err *err) MUST_CHECK;
int listener_port(int fd);
/* True if the address is a loopback one. */
bool listener_is_loopback(int fd);

#endif
