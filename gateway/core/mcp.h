/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_MCP_H
#define GATEWAY_CORE_MCP_H

/* Words of the Model Context Protocol that both sides share. No behaviour. */

#include <stdbool.h>

#include "base/span.h"

enum mcp_era {
	MCP_LEGACY, /* 2024-11-05 … 2025-11-25: initialize, sessions */
	MCP_MODERN, /* 2026-07-28: stateless, _meta on every request */
};
const char *mcp_era_name(enum mcp_era era); /* "legacy", "modern" */

#define MCP_MODERN_VERSION	  "2026-07-28"
#define MCP_LATEST_LEGACY_VERSION "2025-11-25"
/* What a legacy peer speaks that does not say. */
#define MCP_DEFAULT_LEGACY_VERSION "2025-03-26"
/* Any legacy revision that exists: what an MCP-Protocol-Version header may name. */
bool mcp_legacy_known(const char *version);
/* What initialize answers: the version asked for if it is 2025-06-18 or 2025-11-25, else the
 * latest. Older ones would oblige us to take batches. Returns a constant. */
const char *mcp_legacy_negotiate(const char *requested);

/* Keys in params._meta of the modern era. */
#define MCP_META_VERSION      "io.modelcontextprotocol/protocolVersion"
#define MCP_META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define MCP_META_CLIENT	      "io.modelcontextprotocol/clientInfo"
#define MCP_META_LOG_LEVEL    "io.modelcontextprotocol/logLevel"
#define MCP_META_SERVER	      "io.modelcontextprotocol/serverInfo"
#define MCP_META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"
#define MCP_META_PREFIX	      "io.modelcontextprotocol/"

/* Ours, in either era. None of that prefix is passed on to an upstream. */
#define GATEWAY_META_PREFIX    "io.tollgate/"
#define GATEWAY_META_CALL_ID   "io.tollgate/call_id" /* in results: the call's row in the book */
#define GATEWAY_META_PURPOSE   "io.tollgate/purpose" /* in params: why, in a sentence */
#define GATEWAY_DATA_CALL_ID   "call_id"	     /* in the data of errors */
#define GATEWAY_CALL_ID_HEADER "Tollgate-Call-Id"

/* Of a client's capabilities: it can send its user to a URL (elicitation, mode url). */
bool mcp_elicits_url(struct span capabilities);
/* Those that MCP knows, as an object without their settings: what else a client declares may be
 * anything. Appends to out. */
void mcp_known_capabilities(struct span capabilities, struct buf *out);

/* JSON-RPC and MCP error codes (reference: the 2026-07-28 schema). */
#define RPC_PARSE_ERROR		(-32700)
#define RPC_INVALID_REQUEST	(-32600)
#define RPC_METHOD_NOT_FOUND	(-32601)
#define RPC_INVALID_PARAMS	(-32602)
#define RPC_INTERNAL_ERROR	(-32603)
#define RPC_SERVER_ERROR	(-32000)
#define RPC_SESSION_NOT_FOUND	(-32001)
#define RPC_HEADER_MISMATCH	(-32020)
#define RPC_MISSING_CAPABILITY	(-32021)
#define RPC_UNSUPPORTED_VERSION (-32022)
#define RPC_URL_ELICITATION	(-32042) /* MCP 2025-11-25; must not be sent in 2026-07-28 */

/* RFC 5424 names in order of severity; -1 if it is none. debug is 0. */
int mcp_log_level(const char *name);
const char *mcp_log_level_name(int level); /* of a level that mcp_log_level returned */

/*
 * One JSON-RPC request or notification of a client. Spans and strings live as long as the call's
 * arena and body.
 */
struct mcp_request {
	enum mcp_era era;
	struct span id;		  /* raw JSON string or integer; absent: a notification */
	const char *method;	  /* unescaped; NULL if it could not be read */
	struct span params;	  /* object; absent: none */
	const char *version;	  /* protocol version the client speaks in this request; or NULL */
	struct span client_info;  /* modern: _meta clientInfo object */
	struct span capabilities; /* modern: _meta clientCapabilities object */
	struct span progress_token; /* raw JSON; absent: no progress wanted */
	const char *log_level;	    /* modern: what it wants to be sent; NULL: nothing */
};

#endif
