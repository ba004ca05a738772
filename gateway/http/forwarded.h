/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_FORWARDED_H
#define GATEWAY_HTTP_FORWARDED_H

/* Where a request came from, as far as it can be believed. Pure. */

#include <netinet/in.h>
#include <stddef.h>

/* A v4-mapped address is written as IPv4. NULL if text is no address. */
const char *address_canonical(const char *text, char out[INET6_ADDRSTRLEN]);

/*
 * peer if it is no trusted proxy or there is no X-Forwarded-For; otherwise the right-most hop
 * that is not one. A hop that is no address ends the walk: what stands left of it could have
 * been written by anybody. trusted are addresses.
 */
const char *forwarded_source(const char *peer, const char *x_forwarded_for,
			     const char *const *trusted, size_t n_trusted,
			     char out[INET6_ADDRSTRLEN]);

#endif
