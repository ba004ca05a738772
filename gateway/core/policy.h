/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_POLICY_H
#define GATEWAY_CORE_POLICY_H

/* May they? One pure function, asked by lists and by calls alike. */

#include <stdbool.h>

struct connection;
struct principal;

/* tool is the upstream's own name; NULL asks for the connection as a whole. *reason, if not
 * NULL, is set to a constant sentence when the answer is no. Denied wins over allowed; an empty
 * allow list permits nothing. */
bool policy_check(const struct principal *principal, const struct connection *connection,
		  const char *tool, const char **reason);

/* A word for all principals of a tenant that policy_check answers alike: what was found out for one
 * of them holds for the others. */
const char *policy_view(const struct principal *principal);

#endif
