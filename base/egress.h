/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_EGRESS_H
#define BASE_EGRESS_H

/*
 * The one policy on where the gateway may connect to. Every outgoing connection of an HTTP
 * client asks it twice: for the URL, and for each address right before connect(2).
 *
 * Public addresses are allowed, with https only. Everything else (loopback, private, link-local,
 * multicast, documentation, translated forms such as v4-mapped and NAT64) is denied unless an
 * exception names host and port. Exceptions also permit plain http.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

/* Immutable once built; refcounted because transfers outlive a configuration. */
struct egress_policy;

/* allow: "host:port" or "[v6]:port" entries, names compared without case, an address literal
 * compared as an address. allow_loopback: development. ERR_BAD_REQUEST names the bad entry. */
struct egress_policy *egress_policy_new(const char *const *allow, size_t n, bool allow_loopback,
					struct err *err) MUST_CHECK;
struct egress_policy *egress_policy_ref(struct egress_policy *policy);
void egress_policy_unref(struct egress_policy **policy);
/* Differs between policies that could answer differently: part of every pool key. */
uint64_t egress_policy_id(const struct egress_policy *policy);

/* Scheme, host, port, no user info, no fragment; at most 2048 bytes. ERR_BAD_REQUEST if it is no
 * usable URL, ERR_FORBIDDEN if the policy refuses it (a literal address is judged here). */
int egress_check_url(const struct egress_policy *policy, const char *url,
		     struct err *err) MUST_CHECK;
/* host as in the URL (no brackets). address is what is about to be connected to. */
bool egress_allows(const struct egress_policy *policy, const char *host, uint16_t port,
		   const struct sockaddr *address);

#endif
