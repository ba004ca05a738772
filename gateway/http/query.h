/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_QUERY_H
#define GATEWAY_HTTP_QUERY_H

/* application/x-www-form-urlencoded pairs: of a query, or of a form's body. Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* Decodes the first pair of that name into room, which has query.n + 1 bytes. False if there is
 * none, or if it holds NUL or a broken escape. */
bool query_find(struct span query, const char *name, char *room);

/* Takes the next pair off query, decoded into room, which has query->n + 2 bytes; what is between
 * two
 * '&' with nothing in it is no pair. A pair without '=' has the value "". */
enum query_next {
	QUERY_END,
	QUERY_PAIR,   /* *key and *value point into room */
	QUERY_BROKEN, /* NUL, or an escape that is none */
};
enum query_next query_next(struct span *query, char *room, const char **key, const char **value);

/* How many pairs have that name. */
size_t query_count(struct span query, const char *name);

#endif
