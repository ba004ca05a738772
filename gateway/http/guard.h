/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_GUARD_H
#define GATEWAY_HTTP_GUARD_H

/*
 * DNS rebinding and cross-site requests: which Host and Origin headers are served. Pure.
 *
 * An entry of allowed_hosts is "name" or "name:port", a v6 literal in brackets. In Host, a name
 * without a port is served on any port: it is the name that an attacker must forge. An Origin is
 * a scheme, a name and a port: without a port, only the scheme's own is meant.
 */

#include <stdbool.h>

#include "gateway/http/app.h"

/* host is NULL if the client sent none. */
bool guard_host(const struct http_app *app, const char *host);
/* "null" and anything that is no http(s) origin is refused. */
bool guard_origin(const struct http_app *app, const char *origin);

#endif
