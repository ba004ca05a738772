/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/policy.h"

#include <stddef.h>

#include "base/text.h"
#include "gateway/core/principal.h"
#include "gateway/core/tenant.h"

static bool matches(const char **globs, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (glob_match(globs[i], text))
			return true;
	}
	return false;
}

static const char *why_not(const struct principal *principal, const struct connection *connection,
			   const char *tool)
{
	/* What a principal may do beyond its tenant's connections comes with personas; until
	 * then every verified principal of the tenant may use them. */
	if (principal == NULL)
		return "nobody is asking";
	if (!connection->enabled)
		return "the connection is disabled";
	if (connection->invalid != NULL)
		return "the connection's stored settings are invalid";
	if (tool == NULL)
		return NULL;
	if (matches(connection->tools_deny, connection->n_tools_deny, tool))
		return "the connection denies this tool";
	if (!matches(connection->tools_allow, connection->n_tools_allow, tool))
		return "the connection does not allow this tool";
	return NULL;
}

bool policy_check(const struct principal *principal, const struct connection *connection,
		  const char *tool, const char **reason)
{
	const char *answer = why_not(principal, connection, tool);

	if (reason != NULL)
		*reason = answer;
	return answer == NULL;
}

const char *policy_view(const struct principal *principal)
{
	return principal == NULL ? "nobody" : "tenant";
}
