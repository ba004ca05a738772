/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/hosts.h"

#include <string.h>

#include "base/url.h"

#define MAX_OWN 3 /* beside the configured ones */

const char **hosts_collect(const struct config *config, const char *public_url, size_t *n)
{
	const char **hosts =
		arena_alloc(config->arena, (config->n_allowed_hosts + MAX_OWN) * sizeof(*hosts));
	struct url *url = arena_alloc(config->arena, sizeof(*url));
	struct err ignored; /* the settings table has checked it */

	*n = 0;
	for (size_t i = 0; i < config->n_allowed_hosts; i++)
		hosts[(*n)++] = config->allowed_hosts[i];
	hosts[(*n)++] = config->listen;
	hosts[(*n)++] = config->key_listen;
	if (url_parse(public_url, url, &ignored) == 0)
		hosts[(*n)++] = arena_printf(config->arena,
					     strchr(url->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
					     url->host, url->port);
	return hosts;
}
