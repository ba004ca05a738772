/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/tenant.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct tenant *tenant_ref(struct tenant *tenant)
{
	tenant->refs++;
	return tenant;
}

void tenant_unref(struct tenant **tenant)
{
	struct tenant *was = *tenant;
	struct arena *arena;

	*tenant = NULL;
	if (was == NULL || --was->refs > 0)
		return;
	egress_policy_unref(&was->egress);
	arena = was->arena; /* the tenant itself lies in it */
	arena_free(&arena);
}

const struct seal_key *tenant_seal_key(const struct tenant *tenant)
{
	return tenant->n_keys > 0 ? &tenant->keys[tenant->n_keys - 1] : NULL;
}

static int compare_connection(const void *name, const void *connection)
{
	return strcmp(name, ((const struct connection *)connection)->name);
}

const struct connection *tenant_find_connection(const struct tenant *tenant, const char *name)
{
	if (tenant->n_connections == 0)
		return NULL;
	return bsearch(name, tenant->connections, tenant->n_connections,
		       sizeof(tenant->connections[0]), compare_connection);
}

static int compare_exposed(const void *name, const void *ref)
{
	return strcmp(name, ((const struct tool_ref *)ref)->exposed);
}

const struct tool_ref *tenant_find_exposed(const struct tenant *tenant, const char *exposed)
{
	if (tenant->n_exposed == 0)
		return NULL;
	return bsearch(exposed, tenant->exposed, tenant->n_exposed, sizeof(tenant->exposed[0]),
		       compare_exposed);
}

const struct tool *connection_find_tool(const struct connection *connection, const char *name)
{
	for (size_t i = 0; i < connection->n_tools; i++) {
		if (strcmp(connection->tools[i].name, name) == 0)
			return &connection->tools[i];
	}
	return NULL;
}
