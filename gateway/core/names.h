/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_NAMES_H
#define GATEWAY_CORE_NAMES_H

/* Names of connections and of the tools that clients see. Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

#define NAME_MAX_BYTES	   32 /* of connections, tenants, users, keys */
#define EXPOSED_MAX_BYTES  64 /* model APIs refuse longer tool names */
#define EXPOSED_WARN_BYTES 48 /* clients prepend their own prefix */

/* [a-z0-9]+([_-][a-z0-9]+)*, at most NAME_MAX_BYTES. `__` cannot occur. */
bool name_valid(const char *name);
/* connection__tool; longer than EXPOSED_MAX_BYTES or with bytes outside [A-Za-z0-9_.-] it is
 * cut and cleaned, and `_` and 6 hex digits of the SHA-256 of the full name are appended. */
char *name_expose(struct arena *arena, const char *connection, const char *tool);
/* Splits at the first `__`. connection has room for NAME_MAX_BYTES + 1. Returns the tool's name
 * inside `exposed`, or NULL if there is no valid prefix. */
const char *name_split(const char *exposed, char *connection);

#endif
