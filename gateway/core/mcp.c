/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/mcp.h"

#include <stddef.h>
#include <string.h>

#include "base/buf.h"

static const char *const legacy_versions[] = {
	MCP_LATEST_LEGACY_VERSION,
	"2025-06-18",
	MCP_DEFAULT_LEGACY_VERSION,
	"2024-11-05",
	"2024-10-07",
};

static const char *const log_levels[] = {
	"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency",
};

const char *mcp_era_name(enum mcp_era era)
{
	return era == MCP_MODERN ? "modern" : "legacy";
}

bool mcp_legacy_known(const char *version)
{
	for (size_t i = 0; i < sizeof(legacy_versions) / sizeof(legacy_versions[0]); i++) {
		if (strcmp(version, legacy_versions[i]) == 0)
			return true;
	}
	return false;
}

const char *mcp_legacy_negotiate(const char *requested)
{
	if (requested != NULL && strcmp(requested, "2025-06-18") == 0)
		return "2025-06-18";
	return MCP_LATEST_LEGACY_VERSION;
}

int mcp_log_level(const char *name)
{
	for (size_t i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++) {
		if (strcmp(name, log_levels[i]) == 0)
			return (int)i;
	}
	return -1;
}

const char *mcp_log_level_name(int level)
{
	return log_levels[level];
}

bool mcp_elicits_url(struct span capabilities)
{
	return span_type(span_get(span_get(capabilities, "elicitation"), "url")) == SPAN_OBJECT;
}

void mcp_known_capabilities(struct span capabilities, struct buf *out)
{
	static const struct {
		const char *name;
		const char *modes[3];
	} known[] = {
		{"roots",	   { NULL }		    },
		{ "sampling",    { "context", "tools", NULL }},
		{ "elicitation", { "form", "url", NULL }	 },
	};
	const char *comma = "";

	buf_add(out, "{");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct span declared = span_get(capabilities, known[i].name);
		const char *inner = "";

		if (span_type(declared) != SPAN_OBJECT)
			continue;
		buf_printf(out, "%s\"%s\":{", comma, known[i].name);
		for (const char *const *mode = known[i].modes; *mode != NULL; mode++) {
			if (span_type(span_get(declared, *mode)) != SPAN_OBJECT)
				continue;
			buf_printf(out, "%s\"%s\":{}", inner, *mode);
			inner = ",";
		}
		buf_add(out, "}");
		comma = ",";
	}
	buf_add(out, "}");
}
