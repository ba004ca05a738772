/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/operator.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/event_context.h"
#include "version.h"

#define MAX_HOST_BYTES 256

const char *operator_context(struct arena *arena, const char *via)
{
	const struct passwd *user = getpwuid(getuid());
	char host[MAX_HOST_BYTES] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		memcpy(host, "?", 2);
	return event_context_write(
		&(struct event_context){
			.actor = user != NULL
					 ? arena_printf(arena, "os:%s@%s", user->pw_name, host)
					 : arena_printf(arena, "os:%ld@%s", (long)getuid(), host),
			.via = via,
			.client = "tollgate/" TOLLGATE_VERSION,
		},
		arena);
}
