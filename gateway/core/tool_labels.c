/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/tool_labels.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "base/metrics.h"

struct tool_name {
	UT_hash_handle hh;
	char name[];
};

struct tenant_tools {
	struct tool_name *tools;
	UT_hash_handle hh;
	char name[];
};

struct tool_labels {
	struct tenant_tools *tenants;
};

struct tool_labels *tool_labels_new(void)
{
	return mem_new(sizeof(struct tool_labels));
}

static void free_tenant(struct tool_labels *labels, struct tenant_tools *tenant)
{
	struct tool_name *tool;
	struct tool_name *next;

	HASH_ITER(hh, tenant->tools, tool, next)
	{
		HASH_DEL(tenant->tools, tool);
		free(tool);
	}
	HASH_DEL(labels->tenants, tenant);
	free(tenant);
}

void tool_labels_free(struct tool_labels **slot)
{
	struct tool_labels *labels = *slot;
	struct tenant_tools *tenant;
	struct tenant_tools *next;

	if (labels == NULL)
		return;
	*slot = NULL;
	HASH_ITER(hh, labels->tenants, tenant, next)
	{
		free_tenant(labels, tenant);
	}
	free(labels);
}

/* NULL: there are too many. */
static struct tenant_tools *find_tenant(struct tool_labels *labels, const char *name)
{
	struct tenant_tools *tenant;
	size_t n = strlen(name);

	HASH_FIND(hh, labels->tenants, name, n, tenant);
	if (tenant != NULL || HASH_COUNT(labels->tenants) == TOOL_LABELS_TENANTS)
		return tenant;
	tenant = mem_new(sizeof(*tenant) + n + 1);
	memcpy(tenant->name, name, n);
	HASH_ADD_KEYPTR(hh, labels->tenants, tenant->name, n, tenant);
	return tenant;
}

const char *tool_label(struct tool_labels *labels, const char *tenant_name, const char *name)
{
	struct tenant_tools *tenant;
	struct tool_name *tool;
	size_t n;

	if (labels == NULL || tenant_name == NULL || name == NULL)
		return METRIC_OTHER;
	tenant = find_tenant(labels, tenant_name);
	if (tenant == NULL)
		return METRIC_OTHER;
	n = strlen(name);
	HASH_FIND(hh, tenant->tools, name, n, tool);
	if (tool == NULL && HASH_COUNT(tenant->tools) < TOOL_LABELS_PER_TENANT) {
		tool = mem_new(sizeof(*tool) + n + 1);
		memcpy(tool->name, name, n);
		HASH_ADD_KEYPTR(hh, tenant->tools, tool->name, n, tool);
	}
	return tool != NULL ? name : METRIC_OTHER;
}
