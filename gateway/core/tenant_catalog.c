/* SPDX-License-Identifier: Apache-2.0 */
/* What the connections of a tenant offer, as last listed. */

#include <stdlib.h>
#include <string.h>

#include "audit/redact.h"
#include "base/buf.h"
#include "base/log.h"
#include "gateway/core/names.h"
#include "gateway/core/param_headers.h"
#include "gateway/core/tenant_priv.h"

#define MAX_TOOL_NAME_BYTES 256

static struct log_subject subject_of(const struct tenant *tenant,
				     const struct connection *connection)
{
	return (struct log_subject){ .component = "config",
				     .tenant = tenant->name,
				     .connection = connection->name };
}

static const char *tool_name(struct arena *arena, struct span tool)
{
	struct buf name;
	const char *copy = NULL;

	buf_init(&name, MAX_TOOL_NAME_BYTES);
	if (span_string(span_get(tool, "name"), &name) == 0 && name.len > 0 &&
	    memchr(name.data, '\0', name.len) == NULL)
		copy = arena_dup(arena, name.data, name.len);
	buf_fini(&name);
	return copy;
}

/* False for a tool that cannot be called, or that MCP has us leave out. */
static bool read_tool(struct tenant *tenant, const struct connection *connection, struct span text,
		      struct tool *out)
{
	const struct log_subject subject = subject_of(tenant, connection);
	int n_headers = 0;
	struct err err;

	*out = (struct tool){ .name = tool_name(tenant->arena, text), .text = span_trim(text) };
	if (out->name == NULL)
		return false;
	if (connection->listed_era == MCP_MODERN)
		n_headers = param_headers_check(out->text, &err);
	if (n_headers < 0) {
		log_warn(&subject, "its tool %s is left out: %s", out->name, err.text);
		return false;
	}
	out->param_headers = n_headers > 0;
	out->secrets = redact_schema_compile(tenant->arena, span_get(out->text, "inputSchema"));
	return true;
}

static int compare_names(const void *a, const void *b)
{
	const struct tool *x = *(const struct tool *const *)a;
	const struct tool *y = *(const struct tool *const *)b;
	int order = strcmp(x->name, y->name);

	if (order != 0)
		return order;
	return x < y ? -1 : x > y;
}

/* Of two tools with one name the first in order is the one that can be called. */
static void drop_duplicates(struct arena *arena, struct connection *connection)
{
	struct tool **sorted =
		arena_alloc(arena, (connection->n_tools + 1) * sizeof(struct tool *));
	const char *last = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < connection->n_tools; i++)
		sorted[i] = &connection->tools[i];
	qsort(sorted, connection->n_tools, sizeof(struct tool *), compare_names);
	for (size_t i = 0; i < connection->n_tools; i++) {
		const char *name = sorted[i]->name;

		if (last != NULL && strcmp(last, name) == 0)
			sorted[i]->name = NULL;
		last = name;
	}
	for (size_t i = 0; i < connection->n_tools; i++) {
		if (connection->tools[i].name != NULL)
			connection->tools[kept++] = connection->tools[i];
	}
	connection->n_tools = kept;
}

static void load_tools(struct tenant *tenant, struct connection *connection, struct span tools)
{
	struct arena *arena = tenant->arena;
	struct span_iter iter;
	struct span key;
	struct span tool;
	size_t n = 0;

	span_iter_init(&iter, tools);
	while (span_next(&iter, &key, &tool))
		n++;
	connection->tools = arena_alloc(arena, (n + 1) * sizeof(struct tool));
	span_iter_init(&iter, tools);
	while (span_next(&iter, &key, &tool)) {
		struct tool *out = &connection->tools[connection->n_tools];

		if (read_tool(tenant, connection, tool, out))
			connection->n_tools++;
	}
	drop_duplicates(arena, connection);
	for (size_t i = 0; i < connection->n_tools; i++)
		connection->tools[i].exposed =
			name_expose(arena, connection->name, connection->tools[i].name);
}

static struct connection *find_by_id(struct tenant *tenant, const char *id)
{
	for (size_t i = 0; i < tenant->n_connections; i++) {
		if (strcmp(tenant->connections[i].id, id) == 0)
			return &tenant->connections[i];
	}
	return NULL;
}

static void load_catalog(struct tenant *tenant, struct connection *connection,
			 const struct db_result *rows, size_t row)
{
	const struct log_subject subject = subject_of(tenant, connection);
	struct span stored = db_span(rows, row, "tools");
	struct span tools = { arena_dup(tenant->arena, stored.p, stored.n), stored.n };
	bool modern = strcmp(db_text(rows, row, "listed_era"), "modern") == 0;
	struct err err;

	if (span_check(tools, NULL, &err) < 0 || span_type(tools) != SPAN_ARRAY) {
		log_warn(&subject, "the stored catalog is damaged and will be listed again");
		return;
	}
	connection->listed = true;
	connection->listed_era = modern ? MCP_MODERN : MCP_LEGACY;
	connection->instructions = tenant_column_text(tenant->arena, rows, row, "instructions");
	load_tools(tenant, connection, tools);
}

static int compare_refs(const void *a, const void *b)
{
	const struct tool_ref *x = a;
	const struct tool_ref *y = b;
	int order = strcmp(x->exposed, y->exposed);

	if (order != 0)
		return order;
	if (x->connection != y->connection)
		return x->connection < y->connection ? -1 : 1;
	return x->tool < y->tool ? -1 : 1;
}

/* Of two tools with one exposed name the first in order keeps it; the other has none. */
static void keep_first(struct tenant *tenant, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct tool_ref *ref = &tenant->exposed[i];
		struct tool *tools = ref->connection->tools;

		if (kept > 0 && strcmp(tenant->exposed[kept - 1].exposed, ref->exposed) == 0)
			tools[ref->tool - tools].exposed = NULL;
		else
			tenant->exposed[kept++] = *ref;
	}
	tenant->n_exposed = kept;
}

static void index_exposed(struct tenant *tenant)
{
	size_t n = 0;

	for (size_t i = 0; i < tenant->n_connections; i++)
		n += tenant->connections[i].n_tools;
	tenant->exposed = arena_alloc(tenant->arena, (n + 1) * sizeof(struct tool_ref));
	n = 0;
	for (size_t i = 0; i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];

		for (size_t j = 0; j < connection->n_tools; j++)
			tenant->exposed[n++] =
				(struct tool_ref){ connection->tools[j].exposed, connection,
						   &connection->tools[j] };
	}
	qsort(tenant->exposed, n, sizeof(tenant->exposed[0]), compare_refs);
	keep_first(tenant, n);
}

void tenant_load_catalogs(struct tenant *tenant, const struct db_result *rows)
{
	for (size_t i = 0; i < db_rows(rows); i++) {
		struct connection *connection = find_by_id(tenant, db_text(rows, i, "id"));

		if (connection != NULL && !db_bool(rows, i, "trial") &&
		    db_text(rows, i, "tools") != NULL)
			load_catalog(tenant, connection, rows, i);
	}
	index_exposed(tenant);
}
