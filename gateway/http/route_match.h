/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_ROUTE_MATCH_H
#define GATEWAY_HTTP_ROUTE_MATCH_H

/* Paths against patterns. Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

#define ROUTE_MAX_PARAMS 4

struct route_param {
	struct span name;  /* points into the pattern */
	struct span value; /* points into the path; never empty */
};
struct route_params {
	struct route_param all[ROUTE_MAX_PARAMS];
	size_t n;
};

/* "/c/{connection}/mcp": each segment equals, byte for byte, or a brace takes it whole. */
bool route_match(const char *pattern, struct span path, struct route_params *out);

#endif
