/* SPDX-License-Identifier: Apache-2.0 */

/*
 * gateway/core/param_headers.h and bridge.h on whatever an upstream may list or answer. The rules
 * of x-mcp-header are written here once more, for jansson's trees; what the bridge writes must be
 * JSON again and mean the same but for what it is there to change.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/core/bridge.h"
#include "gateway/core/param_headers.h"

enum { MAX_OUT_BYTES = 1 << 24, MAX_NAME_BYTES = 128 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const one_or_many[] = {
	"items",
	"prefixItems",
	"contains",
	"additionalProperties",
	"additionalItems",
	"unevaluatedProperties",
	"unevaluatedItems",
	"propertyNames",
	"oneOf",
	"anyOf",
	"allOf",
	"not",
	"if",
	"then",
	"else",
};
static const char *const by_name[] = { "patternProperties", "dependentSchemas", "$defs",
				       "definitions" };

struct found {
	char *names[PARAM_HEADERS_MAX]; /* in lower case */
	int n;
};

/* False if the annotation breaks a rule. */
static bool judge(const json_t *schema, const json_t *annotation, bool reachable,
		  struct found *found)
{
	const char *name = json_string_value(annotation);
	const char *type = json_string_value(json_object_get(schema, "type"));

	if (!reachable || found->n == PARAM_HEADERS_MAX || name == NULL ||
	    strlen(name) != json_string_length(annotation) || strlen(name) > MAX_NAME_BYTES ||
	    !text_is_token(name) || type == NULL ||
	    strlen(type) != json_string_length(json_object_get(schema, "type")) ||
	    (strcmp(type, "string") != 0 && strcmp(type, "integer") != 0 &&
	     strcmp(type, "boolean") != 0))
		return false;
	for (int i = 0; i < found->n; i++) {
		if (strcasecmp(found->names[i], name) == 0)
			return false;
	}
	found->names[found->n++] = mem_strdup(name);
	return true;
}

static bool visit(const json_t *schema, bool reachable, bool root, struct found *found);

static bool visit_members(const json_t *schemas, bool reachable, struct found *found)
{
	json_t *schema;
	const char *name;
	size_t i;

	if (json_is_array(schemas)) {
		json_array_foreach(schemas, i, schema)
		{
			if (!visit(schema, reachable, false, found))
				return false;
		}
	}
	json_object_foreach((json_t *)(uintptr_t)schemas, name, schema)
	{
		if (!visit(schema, reachable, false, found))
			return false;
	}
	return true;
}

static bool visit(const json_t *schema, bool reachable, bool root, struct found *found)
{
	const json_t *annotation = json_object_get(schema, "x-mcp-header");
	bool good = annotation == NULL || judge(schema, annotation, reachable && !root, found);
	const json_t *properties = json_object_get(schema, "properties");

	if (good && json_is_object(properties))
		good = visit_members(properties, reachable, found);
	for (size_t i = 0; good && i < sizeof(one_or_many) / sizeof(one_or_many[0]); i++) {
		const json_t *below = json_object_get(schema, one_or_many[i]);

		good = json_is_object(below)
			       ? visit(below, false, false, found)
			       : !json_is_array(below) || visit_members(below, false, found);
	}
	for (size_t i = 0; good && i < sizeof(by_name) / sizeof(by_name[0]); i++)
		good = visit_members(json_object_get(schema, by_name[i]), false, found);
	return good;
}

static int model_check(const json_t *tool)
{
	struct found found = { .n = 0 };
	int ret = visit(json_object_get(tool, "inputSchema"), true, true, &found) ? found.n : -1;

	for (int i = 0; i < found.n; i++)
		free(found.names[i]);
	return ret;
}

static json_t *tree_of(struct span text)
{
	return json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

static void check_headers(struct span tool, const json_t *tree)
{
	struct http_header headers[PARAM_HEADERS_MAX];
	struct arena *arena;
	struct err err;
	int n = param_headers_check(tool, &err);
	size_t written;

	if (tree != NULL)
		assert(n == model_check(tree));
	if (n < 0)
		return;
	arena = arena_new();
	written = param_headers_write(tool, span_get(tool, "arguments"), arena, headers);
	assert(written <= (size_t)n);
	for (size_t i = 0; i < written; i++) {
		assert(strncmp(headers[i].name, "Mcp-Param-", 10) == 0);
		assert(text_is_token(headers[i].name) && headers[i].value[0] != '\0');
		for (const char *p = headers[i].value; *p != '\0'; p++)
			assert(*p >= 0x20 && *p <= 0x7e);
	}
	arena_free(&arena);
}

/* Equal but for the members that the bridge may change. */
static void compare(struct span before, struct span after, const char *const *but, size_t n)
{
	json_t *x = tree_of(before);
	json_t *y = tree_of(after);

	assert((x == NULL) == (y == NULL) || n > 0);
	if (x != NULL && y != NULL) {
		for (size_t i = 0; i < n; i++) {
			json_object_del(x, but[i]);
			json_object_del(y, but[i]);
		}
		assert(json_equal(x, y));
	}
	json_decref(x);
	json_decref(y);
}

static void check_tool(struct span tool, enum mcp_era to)
{
	static const char *const but[] = { "name", "outputSchema" };
	struct buf out;
	struct err err;

	buf_init(&out, MAX_OUT_BYTES);
	bridge_tool(tool, "c__t", to, &out);
	assert(!out.overflow && span_check(buf_span(&out), NULL, &err) == 0);
	assert(span_string_is(span_get(buf_span(&out), "name"), "c__t"));
	compare(tool, buf_span(&out), but, to == MCP_LEGACY ? 2 : 1);
	buf_fini(&out);
}

static void check_result(struct span result, enum mcp_era from, enum mcp_era to)
{
	static const char *const but[] = { "resultType", "structuredContent" };
	struct buf out;
	struct err err;

	buf_init(&out, MAX_OUT_BYTES);
	if (bridge_result(result, from, to, &out) == 0) {
		struct span type = span_get(buf_span(&out), "resultType");

		assert(span_check(buf_span(&out), NULL, &err) == 0);
		assert(to == MCP_MODERN ? span_string_is(type, "complete")
					: from == MCP_LEGACY || type.p == NULL);
		compare(result, buf_span(&out), but, 2);
	}
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct err err;
	json_t *tree;

	if (span_check(text, NULL, &err) < 0 || span_type(text) != SPAN_OBJECT)
		return 0;
	text = span_trim(text);
	tree = tree_of(text);
	check_headers(text, tree);
	json_decref(tree);
	for (int i = 0; i < 4; i++)
		check_result(text, i / 2 == 0 ? MCP_LEGACY : MCP_MODERN,
			     i % 2 == 0 ? MCP_LEGACY : MCP_MODERN);
	check_tool(text, MCP_LEGACY);
	check_tool(text, MCP_MODERN);
	return 0;
}
