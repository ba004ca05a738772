/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_CORS_H
#define GATEWAY_HTTP_CORS_H

/* Cross-origin requests of browser clients, from Origins that guard_origin serves. */

#include <stddef.h>

#include "gateway/http/exchange.h"

#define CORS_MAX_HEADERS 3

/* What an answer must carry so that a page of that origin may read it; NULL: nothing. Returns how
 * many were written. */
size_t cors_headers(const char *origin, struct http_header out[CORS_MAX_HEADERS]);
/* Answers OPTIONS on an MCP path. */
void cors_preflight(struct exchange *exchange);

#endif
