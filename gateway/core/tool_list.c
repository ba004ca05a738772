/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/tool_list.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/text.h"
#include "gateway/core/bridge.h"
#include "gateway/core/names.h"
#include "gateway/core/policy.h"
#include "gateway/core/tenant.h"

#define CURSOR_VERSION	  "1/"
#define MAX_CATALOG_TOOLS 100000

/* The next tool to list: the connections are in order of their names. */
struct place {
	char connection[NAME_MAX_BYTES + 1];
	size_t tool;
};

/* A cursor is base64url of "1/<connection>/<index>". It holds no secret: what it points to is
 * checked like everything else. */
static int cursor_parse(const char *cursor, struct place *place)
{
	char text[TOOL_CURSOR_MAX_BYTES];
	const char *slash;
	uint64_t index;
	struct err ignored;
	long n;

	if (strlen(cursor) >= TOOL_CURSOR_MAX_BYTES)
		return -1;
	n = base64url_decode(span_of(cursor), text);
	if (n < (long)strlen(CURSOR_VERSION) || memcmp(text, CURSOR_VERSION, 2) != 0)
		return -1;
	text[n] = '\0';
	slash = strchr(text + 2, '/');
	if (slash == NULL || slash - (text + 2) > NAME_MAX_BYTES)
		return -1;
	snprintf(place->connection, sizeof(place->connection), "%.*s", (int)(slash - (text + 2)),
		 text + 2);
	if (!name_valid(place->connection) ||
	    text_uint(slash + 1, 0, MAX_CATALOG_TOOLS, &index, &ignored) < 0)
		return -1;
	place->tool = (size_t)index;
	return 0;
}

static void cursor_write(const char *connection, size_t tool, struct buf *out)
{
	char text[NAME_MAX_BYTES + 32];
	char encoded[2 * sizeof(text)];
	int n = snprintf(text, sizeof(text), CURSOR_VERSION "%s/%zu", connection, tool);

	base64url_encode(text, (size_t)n, encoded);
	buf_printf(out, ",\"nextCursor\":\"%s\"", encoded);
}

struct page {
	const struct tool_list_params *params;
	struct buf *out;
	size_t start; /* of out, where this page began */
	size_t n;
};

static bool full(const struct page *page)
{
	return page->n >= TOOLS_PER_PAGE || page->out->len - page->start > TOOL_PAGE_MAX_BYTES;
}

static bool is_listed(const struct tool_list_params *params, const struct connection *connection,
		      const struct tool *tool)
{
	return policy_check(params->principal, connection, tool->name, NULL) &&
	       (params->only != NULL || tool->exposed != NULL);
}

static void write_tool(const struct tool_list_params *params, const struct tool *tool,
		       struct buf *out)
{
	bridge_tool(tool->text, params->only != NULL ? NULL : tool->exposed, params->era, out);
}

/* Returns the index of the first tool that did not fit, or the number of tools. */
static size_t list_connection(struct page *page, const struct connection *connection, size_t from)
{
	const struct tool_list_params *params = page->params;
	size_t i;

	for (i = from; i < connection->n_tools; i++) {
		const struct tool *tool = &connection->tools[i];

		if (!is_listed(params, connection, tool))
			continue;
		if (full(page))
			return i;
		buf_add(page->out, page->n++ > 0 ? "," : "");
		write_tool(params, tool, page->out);
	}
	return i;
}

static void list_all(struct page *page, const struct place *from, struct buf *next)
{
	const struct tool_list_params *params = page->params;
	const struct tenant *tenant = params->tenant;

	for (size_t i = 0; i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];
		int order = strcmp(connection->name, from->connection);
		size_t stopped;

		if (order < 0 || (params->only != NULL && params->only != connection))
			continue;
		stopped = list_connection(page, connection, order == 0 ? from->tool : 0);
		if (stopped < connection->n_tools) {
			cursor_write(connection->name, stopped, next);
			return;
		}
	}
}

int tool_list_write(const struct tool_list_params *params, struct buf *out)
{
	struct page page = { .params = params, .out = out, .start = out->len };
	struct place from = { .connection = "" };
	struct buf next;

	if (params->cursor != NULL && cursor_parse(params->cursor, &from) < 0)
		return -1;
	buf_init(&next, TOOL_CURSOR_MAX_BYTES);
	buf_add(out, "{\"tools\":[");
	list_all(&page, &from, &next);
	buf_add(out, "]");
	buf_add(out, buf_str(&next));
	if (params->era == MCP_MODERN)
		buf_add(out, ",\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"");
	buf_add(out, "}");
	buf_fini(&next);
	return 0;
}

/* Each tool is hashed behind the digest of those before it. */
static void digest_connection(const struct tool_list_params *params,
			      const struct connection *connection, struct buf *scratch,
			      uint8_t digest[SHA256_BYTES])
{
	for (size_t i = 0; i < connection->n_tools; i++) {
		const struct tool *tool = &connection->tools[i];

		if (!is_listed(params, connection, tool))
			continue;
		buf_clear(scratch);
		buf_append(scratch, digest, SHA256_BYTES);
		write_tool(params, tool, scratch);
		crypto_sha256(scratch->data, scratch->len, digest);
	}
}

void tool_list_digest(const struct tool_list_params *params, uint8_t out[SHA256_BYTES])
{
	const struct tenant *tenant = params->tenant;
	struct buf scratch;

	memset(out, 0, SHA256_BYTES);
	buf_init(&scratch, TOOL_PAGE_MAX_BYTES);
	for (size_t i = 0; i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];

		if (params->only == NULL || params->only == connection)
			digest_connection(params, connection, &scratch, out);
	}
	buf_fini(&scratch);
}
