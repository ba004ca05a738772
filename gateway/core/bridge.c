/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/bridge.h"

#include <stdlib.h>
#include <string.h>

#define MAX_EDITS	     4
#define MAX_SCRATCH_BYTES    4096
#define MAX_CAPABILITY_BYTES 256

/* Edits of one object, given in any order. */
struct edits {
	struct splice list[MAX_EDITS];
	size_t n;
	struct buf scratch;
};

static void edits_init(struct edits *edits)
{
	edits->n = 0;
	buf_init(&edits->scratch, MAX_SCRATCH_BYTES);
}

static int compare_splices(const void *a, const void *b)
{
	const char *x = ((const struct splice *)a)->at.p;
	const char *y = ((const struct splice *)b)->at.p;

	return x < y ? -1 : x > y;
}

static int edits_finish(struct edits *edits, struct span text, struct buf *out)
{
	int ret;

	qsort(edits->list, edits->n, sizeof(edits->list[0]), compare_splices);
	ret = splice_apply(text, edits->list, edits->n, out);
	buf_fini(&edits->scratch);
	return ret;
}

static void edit_remove(struct edits *edits, struct span object, const char *key)
{
	if (splice_remove(object, key, &edits->list[edits->n]))
		edits->n++;
}

static int to_modern(struct span result, struct buf *out)
{
	struct edits edits;

	edits_init(&edits);
	edits.list[edits.n++] =
		splice_member(result, "resultType", SPAN("\"complete\""), &edits.scratch);
	return edits_finish(&edits, result, out);
}

/* Revisions up to 2025-11-25 know structuredContent as an object only. */
static bool not_for_legacy(struct span value)
{
	enum span_type type = span_type(value);

	return type != SPAN_ABSENT && type != SPAN_OBJECT;
}

static int to_legacy(struct span result, struct buf *out)
{
	struct edits edits;

	if (!not_for_legacy(span_get(result, "structuredContent")) &&
	    span_get(result, "resultType").p == NULL)
		return buf_add_span(out, result);
	edits_init(&edits);
	/* One at a time: two neighbours would share a comma. */
	edit_remove(&edits, result, "resultType");
	if (edits_finish(&edits, result, out) < 0)
		return -1;
	if (!not_for_legacy(span_get(buf_span(out), "structuredContent")))
		return 0;

	struct buf again;
	int ret;

	buf_init(&again, out->max_bytes);
	edits_init(&edits);
	edit_remove(&edits, buf_span(out), "structuredContent");
	ret = edits_finish(&edits, buf_span(out), &again);
	buf_clear(out);
	if (ret == 0)
		ret = buf_add_span(out, buf_span(&again));
	buf_fini(&again);
	return ret;
}

int bridge_result(struct span result, enum mcp_era from, enum mcp_era to, struct buf *out)
{
	struct span type = span_get(result, "resultType");

	if (span_type(result) != SPAN_OBJECT)
		return -1;
	if (from == MCP_MODERN && type.p != NULL && !span_string_is(type, "complete"))
		return -1;
	if (from == to)
		return to == MCP_MODERN && type.p == NULL ? to_modern(result, out)
							  : buf_add_span(out, result);
	return to == MCP_MODERN ? to_modern(result, out) : to_legacy(result, out);
}

/* Revisions up to 2025-11-25 require the root of an output schema to be an object. */
static bool schema_not_for_legacy(struct span tool)
{
	struct span schema = span_get(tool, "outputSchema");

	return schema.p != NULL && !span_string_is(span_get(schema, "type"), "object");
}

/* -1 if the text does not fit. */
static int without_output_schema(struct span tool, struct buf *out)
{
	struct edits edits;

	edits_init(&edits);
	edit_remove(&edits, tool, "outputSchema");
	return edits_finish(&edits, tool, out);
}

static int with_name(struct span tool, const char *exposed, struct buf *out)
{
	struct edits edits;
	struct buf name;
	int ret;

	edits_init(&edits);
	buf_init(&name, MAX_SCRATCH_BYTES);
	buf_add_json_string(&name, exposed, strlen(exposed));
	edits.list[edits.n++] = splice_member(tool, "name", buf_span(&name), &edits.scratch);
	ret = edits_finish(&edits, tool, out);
	buf_fini(&name);
	return ret;
}

void bridge_tool(struct span tool, const char *exposed, enum mcp_era to, struct buf *out)
{
	struct buf shorter;
	int ret = 0;

	/* One after the other: a name that is added and a schema that goes would share a comma. */
	buf_init(&shorter, tool.n + 1);
	if (to == MCP_LEGACY && schema_not_for_legacy(tool)) {
		ret = without_output_schema(tool, &shorter);
		tool = buf_span(&shorter);
	}
	if (ret == 0)
		ret = exposed != NULL ? with_name(tool, exposed, out) : buf_add_span(out, tool);
	/* An overflow shows in out, where the caller looks. */
	if (ret < 0)
		out->overflow = true;
	buf_fini(&shorter);
}

bool bridge_error_passes(int code, enum mcp_era to)
{
	switch (code) {
	case RPC_HEADER_MISMATCH:
	case RPC_MISSING_CAPABILITY:
	case RPC_UNSUPPORTED_VERSION:
		return false;
	case RPC_URL_ELICITATION:
		return to == MCP_LEGACY;
	default:
		return true;
	}
}

/* The member of the same name; absent if the name is no text that a capability could have. */
static struct span same_member(struct span object, struct span key)
{
	struct span found = { 0 };
	struct buf name;

	buf_init(&name, MAX_CAPABILITY_BYTES);
	if (span_string(key, &name) == 0 && memchr(buf_str(&name), '\0', name.len) == NULL)
		found = span_get(object, buf_str(&name));
	buf_fini(&name);
	return found;
}

static bool lacks_member(struct span required, struct span declared)
{
	struct span_iter iter;
	struct span key, value;

	span_iter_init(&iter, required);
	while (span_next(&iter, &key, &value)) {
		if (same_member(declared, key).p == NULL)
			return true;
	}
	return false;
}

static bool is_empty(struct span object)
{
	struct span_iter iter;
	struct span key, value;

	span_iter_init(&iter, object);
	return span_type(object) == SPAN_OBJECT && !span_next(&iter, &key, &value);
}

/* The parts of a capability that the client has. */
static struct span declared_parts(struct span declared, struct span key)
{
	struct span parts = same_member(declared, key);

	/* MCP, elicitation: one without parts is the form, as it was before there were parts. */
	if (span_string_is(key, "elicitation") && is_empty(parts))
		return SPAN("{\"form\":{}}");
	return parts;
}

/* Capabilities have parts ("elicitation":{"url":{}}), and these have settings only. */
bool bridge_client_lacks(struct span required, struct span declared)
{
	struct span_iter iter;
	struct span key, value;

	if (span_type(required) != SPAN_OBJECT)
		return false;
	if (lacks_member(required, declared))
		return true;
	span_iter_init(&iter, required);
	while (span_next(&iter, &key, &value)) {
		if (lacks_member(value, declared_parts(declared, key)))
			return true;
	}
	return false;
}
