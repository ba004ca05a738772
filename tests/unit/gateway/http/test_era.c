/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/era.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD	     "{\"jsonrpc\":\"2.0\","
#define VERSION	     "\"io.modelcontextprotocol/protocolVersion\":"
#define CAPABILITIES "\"io.modelcontextprotocol/clientCapabilities\":"
#define CLIENT	     "\"io.modelcontextprotocol/clientInfo\":"
#define LEVEL	     "\"io.modelcontextprotocol/logLevel\":"
#define NOW	     "\"2026-07-28\""
#define ENVELOPE     "\"_meta\":{" VERSION NOW "," CAPABILITIES "{}}"
#define LIST	     HEAD "\"id\":1,\"method\":\"tools/list\",\"params\":{" ENVELOPE "}}"
#define CALL(name)                                                                                 \
	HEAD "\"id\":\"x\",\"method\":\"tools/call\",\"params\":{\"name\":" name "," ENVELOPE "}}"
#define META(members)                                                                              \
	HEAD "\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{" members "}}}"
#define LEGACY_LIST HEAD "\"id\":1,\"method\":\"tools/list\"}"
#define INITIALIZE                                                                                 \
	HEAD "\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}"
#define INITIALIZED HEAD "\"method\":\"notifications/initialized\"}"
#define NO_HEADER   "-"

struct row {
	const char *what;
	const char *body;
	/* NULL: a usual value (of the era that the row is about); NO_HEADER: none. */
	const char *version, *method, *name, *session, *accept, *content_type;
	int status, code; /* 0: accepted */
	const char *data; /* NULL: none */
	enum mcp_era era;
	const char *id; /* NULL: none */
};

static const char *header(const char *given, const char *usual)
{
	if (given == NULL)
		return usual;
	return strcmp(given, NO_HEADER) == 0 ? NULL : given;
}

static void assert_row(const struct row *row, const char *version, const char *method,
		       const char *session)
{
	const struct era_headers headers = {
		.accept = header(row->accept, "application/json, text/event-stream"),
		.content_type = header(row->content_type, "application/json"),
		.version = header(row->version, version),
		.method = header(row->method, method),
		.name = header(row->name, NULL),
		.session = header(row->session, session),
	};
	struct arena *arena = arena_new();
	struct mcp_request request;
	struct call_refusal refusal = { 0 };
	int result = era_read(&headers, span_of(row->body), arena, &request, &refusal);

	if ((result == 0) != (row->status == 0) || refusal.http_status != row->status ||
	    refusal.rpc_code != row->code)
		fail_msg("%s: %d, %d %d %s", row->what, result, refusal.http_status,
			 refusal.rpc_code, refusal.message);
	assert_false(refusal.before_auth);
	if (result < 0 && refusal.message[0] == '\0')
		fail_msg("%s: no message", row->what);
	if (!span_eq(refusal.data, span_of(row->data)))
		fail_msg("%s: data is %.*s", row->what, (int)refusal.data.n, refusal.data.p);
	if (request.era != row->era)
		fail_msg("%s: the era is %s", row->what, mcp_era_name(request.era));
	if (!span_eq(request.id, span_of(row->id)))
		fail_msg("%s: the id is %.*s", row->what, (int)request.id.n, request.id.p);
	arena_free(&arena);
}

static const struct row requests[] = {
	{"as it should be",					      LIST,					 .era = MCP_MODERN,										   .id = "1"		},
	{														       "a session id is ignored",																																	       LIST,									 .session = "abc",											   .era = MCP_MODERN,			.id = "1" },
	{													   "any Accept",																														LIST,										  .era = MCP_MODERN,																						    .id = "1", .accept = "*/*" },
	{								    "no version header",																							 LIST,											    .version = NO_HEADER,																						      .status = 400,																									.code = -32020,
	  .era = MCP_MODERN, .id = "1" },
	{																																			       "another version in the header",																														    LIST,											       .version = "2025-11-25",																						 .status = 400,
	  .code = -32020, .era = MCP_MODERN, .id = "1" },
	{																																						"the version header twice",																																	      LIST,							  .version = "2026-07-28, 2026-07-28",																								    .status = 400,
	  .code = -32020, .era = MCP_MODERN, .id = "1" },
	{																																						   "no Mcp-Method",																																																																											 LIST,				 .method = NO_HEADER,										       .status = 400,	     .code = -32020,
	  .era = MCP_MODERN, .id = "1" },
	{																																									      "another Mcp-Method",																																																																													    LIST,					 .method = "tools/call",									      .status = 400,	     .code = -32020,
	  .era = MCP_MODERN, .id = "1" },
	{"Mcp-Method in other case",																																																																														       LIST,									       .method = "Tools/List",														  .status = 400,				   .code = -32020,
	  .era = MCP_MODERN, .id = "1" },
	{																															      "Mcp-Name where none is due",LIST,												.name = "x",																				       .era = MCP_MODERN,																  .id = "1" },
	{"a version of the future in both",															 META(VERSION "\"2099-01-01\"," CAPABILITIES "{}"),
	  .version = "2099-01-01",							      .status = 400,																										.code = -32022,
	  .data = "{\"supported\":[\"2026-07-28\"],\"requested\":\"2099-01-01\"}",
	  .era = MCP_MODERN, .id = "1" },
	{																															    "a legacy version in the envelope",																																								      META(VERSION "\"2025-11-25\"," CAPABILITIES "{}"),
	  .version = "2025-11-25",																						   .status = 400,																				    .code = -32022,
	  .data = "{\"supported\":[\"2026-07-28\"],\"requested\":\"2025-11-25\"}",
	  .era = MCP_MODERN, .id = "1" },
	{"an unsupported version and no headers",
	  META(VERSION "\"2099-01-01\"," CAPABILITIES "{}"),					     .version = NO_HEADER,
	  .method = NO_HEADER,																									   .status = 400, .code = -32022,
	  .data = "{\"supported\":[\"2026-07-28\"],\"requested\":\"2099-01-01\"}",
	  .era = MCP_MODERN, .id = "1" },
	{																																								"a version that needs escaping",																																																																																META(VERSION "\"a\\\"b\"," CAPABILITIES "{}"),
	  .version = "a\"b",																						.status = 400,.code = -32022,
	  .data = "{\"supported\":[\"2026-07-28\"],\"requested\":\"a\\\"b\"}", .era = MCP_MODERN,
	  .id = "1" },
	{																																			"the version is no string",																																																																														       META(VERSION "1," CAPABILITIES "{}"),									    .status = 400,
	  .code = -32602,
	  .data = "{\"envelope\":{\"key\":\"io.modelcontextprotocol/protocolVersion\","
		  "\"problem\":\"must be a version\"}}", .era = MCP_MODERN, .id = "1" },
	{																		"the version is null",																																																							       META(VERSION "null," CAPABILITIES "{}"),												    .status = 400,
	  .code = -32602,
	  .data = "{\"envelope\":{\"key\":\"io.modelcontextprotocol/protocolVersion\","
		  "\"problem\":\"must be a version\"}}", .era = MCP_MODERN, .id = "1" },
	{"the version holds NUL",META(VERSION "\"2026\\u0000\"," CAPABILITIES "{}"),
	  .status = 400,																      .code = -32602,
	  .data = "{\"envelope\":{\"key\":\"io.modelcontextprotocol/protocolVersion\","
		  "\"problem\":\"must be a version\"}}", .era = MCP_MODERN, .id = "1" },
	{													  "no capabilities",META(VERSION NOW),							       .status = 400,																		 .code = -32602,
	  .data = "{\"envelope\":{\"missing\":["
		  "\"io.modelcontextprotocol/clientCapabilities\"]}}", .era = MCP_MODERN, .id = "1" },
	{																																		"the envelope comes before the headers",																																																																												   META(VERSION NOW),										.version = NO_HEADER,
	  .method = NO_HEADER,																				      .status = 400, .code = -32602,
	  .data = "{\"envelope\":{\"missing\":["
		  "\"io.modelcontextprotocol/clientCapabilities\"]}}", .era = MCP_MODERN, .id = "1" },
	{																																		   "capabilities are no object",																																																																							 META(VERSION NOW "," CAPABILITIES "[]"),.status = 400,
	  .code = -32602,
	  .data = "{\"envelope\":{\"key\":\"io.modelcontextprotocol/clientCapabilities\","
		  "\"problem\":\"must be an object\"}}", .era = MCP_MODERN, .id = "1" },
	{																																		"clientInfo is no object",																																																																					      META(VERSION NOW "," CAPABILITIES "{}," CLIENT "\"x\""),
	  .status = 400, .code = -32602,
	  .data = "{\"envelope\":{\"key\":\"io.modelcontextprotocol/clientInfo\","
		  "\"problem\":\"must be an object\"}}", .era = MCP_MODERN, .id = "1" },
	{																			"an unknown log level",																																																						 META(VERSION NOW "," CAPABILITIES "{}," LEVEL "\"loud\""),
	  .status = 400,																						  .code = -32602,
	  .data = "{\"envelope\":{\"key\":\"io.modelcontextprotocol/logLevel\","
		  "\"problem\":\"must be a log level\"}}", .era = MCP_MODERN, .id = "1" },
	{"a log level that is no string",META(VERSION NOW "," CAPABILITIES "{}," LEVEL "3"),
	  .status = 400,																      .code = -32602,
	  .data = "{\"envelope\":{\"key\":\"io.modelcontextprotocol/logLevel\","
		  "\"problem\":\"must be a log level\"}}", .era = MCP_MODERN, .id = "1" },
	{"initialize with an envelope is core's to refuse",
	  HEAD "\"id\":1,\"method\":\"initialize\",\"params\":{" ENVELOPE "}}",
	  .method = "initialize",																		 .era = MCP_MODERN,																			   .id = "1" },
	{																																		"so are methods that do not exist",
	  HEAD "\"id\":1,\"method\":\"ping\",\"params\":{" ENVELOPE "}}",										.method = "ping",
	  .era = MCP_MODERN,																				    .id = "1" },
	{																																		 "the header alone",																																																																						       LEGACY_LIST,												.status = 400,						  .code = -32602,
	  .data = "{\"envelope\":{\"missing\":[\"_meta\"]}}", .era = MCP_MODERN, .id = "1" },
	{																																			    "the header and an empty _meta",																																																																							  META(""),					     .status = 400,																							    .code = -32602,
	  .data = "{\"envelope\":{\"missing\":[\"io.modelcontextprotocol/protocolVersion\","
		  "\"io.modelcontextprotocol/clientCapabilities\"]}}", .era = MCP_MODERN, .id = "1" },
	{ "the header and capabilities",																																				       META(CAPABILITIES "{}"),.status = 400,																								 .code = -32602,
	  .data = "{\"envelope\":{\"missing\":["
		  "\"io.modelcontextprotocol/protocolVersion\"]}}", .era = MCP_MODERN, .id = "1" },
	{																			     "a token of the wrong type",
	  META(VERSION NOW "," CAPABILITIES "{},\"progressToken\":1.5"),.status = 400,
	  .code = -32602,																				  .era = MCP_MODERN, .id = "1" },
	{																																	       "a token that is null",																																																																						     META(VERSION NOW "," CAPABILITIES "{},\"progressToken\":null"),
	  .status = 400,.code = -32602,																					   .era = MCP_MODERN, .id = "1" },
};

static void modern_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++)
		assert_row(&requests[i], MCP_MODERN_VERSION, "tools/list", NULL);
}

static void modern_names(void **state)
{
	static const struct row rows[] = {
		{"the same",		      CALL("\"crm__get\""),			    .name = "crm__get",		.era = MCP_MODERN,
		  .id = "\"x\""																						   },
		{ "escaped in the body",	 CALL("\"crm\\u005f_get\""),		     .name = "crm__get",
		  .era = MCP_MODERN,															    .id = "\"x\""					   },
		{ "encoded in the header",	   CALL("\"crm__get\""),
		  .name = "=?base64?Y3JtX19nZXQ=?=",								   .era = MCP_MODERN,			.id = "\"x\""				      },
		{ "what only encoding can say", CALL("\" \xc3\xa9\""),
		  .name = "=?base64?IMOp?=",									   .era = MCP_MODERN,			.id = "\"x\""				      },
		{ "none",			  CALL("\"crm__get\""),			.status = 400,	       .code = -32020,			       .era = MCP_MODERN,
		  .id = "\"x\"" },
		{ "another",			     CALL("\"crm__get\""),							   .name = "crm__put",				       .status = 400,
		  .code = -32020, .era = MCP_MODERN, .id = "\"x\"" },
		{ "another case",		  CALL("\"crm__get\""),					.name = "CRM__get",								    .status = 400,
		  .code = -32020,													    .era = MCP_MODERN, .id = "\"x\"" },
		{ "another one encoded",		 CALL("\"crm__get\""),							       .name = "=?base64?Y3JtX19wdXQ=?=",
		  .status = 400,											     .code = -32020,					 .era = MCP_MODERN, .id = "\"x\"" },
		{ "broken encoding",CALL("\"crm__get\""),.name = "=?base64?Y3JtX19nZXQ?=",
		  .status = 400,			 .code = -32020,			 .era = MCP_MODERN, .id = "\"x\"" },
		{ "encoded NUL",				 CALL("\"a\""),						   .name = "=?base64?YQBi?=",								   .status = 400,
		  .code = -32020,																						    .era = MCP_MODERN, .id = "\"x\"" },
		{ "NUL in the body",	     CALL("\"a\\u0000b\""),					    .name = "a",								 .status = 400,
		  .code = -32020,										  .era = MCP_MODERN, .id = "\"x\"" },
		{ "an unfinished sentinel is itself",		      CALL("\"=?base64?YQ\""),
		  .name = "=?base64?YQ",								   .era = MCP_MODERN,											     .id = "\"x\""},
		{ "a name that is no string is core's to refuse",CALL("7"),.name = "7",
		  .era = MCP_MODERN,															       .id = "\"x\""									      },
	};
	static const struct row others[] = {
		{"prompts/get",
		  HEAD "\"id\":1,\"method\":\"prompts/get\",\"params\":{\"name\":\"p\"," ENVELOPE
		       "}}",				 .method = "prompts/get",	   .name = "q",	.status = 400,     .code = -32020,
		  .era = MCP_MODERN,													      .id = "1"			       },
		{ "resources/read",
		  HEAD
		  "\"id\":1,\"method\":\"resources/read\",\"params\":{\"uri\":\"a:b\"," ENVELOPE
		  "}}",				      .method = "resources/read", .name = "a:b",     .era = MCP_MODERN, .id = "1"	  },
		{ "resources/read without the header",
		  HEAD
		  "\"id\":1,\"method\":\"resources/read\",\"params\":{\"uri\":\"a:b\"," ENVELOPE
		  "}}", .method = "resources/read",	      .status = 400, .code = -32020,												    .era = MCP_MODERN,
		  .id = "1"},
		{ "tasks/get",
		  HEAD "\"id\":1,\"method\":\"tasks/get\",\"params\":{\"taskId\":\"t\"," ENVELOPE
		       "}}",		  .method = "tasks/get",				 .name = "u",									 .status = 400,										 .code = -32020,
		  .era = MCP_MODERN,												       .id = "1"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_row(&rows[i], MCP_MODERN_VERSION, "tools/call", NULL);
	for (size_t i = 0; i < COUNT(others); i++)
		assert_row(&others[i], MCP_MODERN_VERSION, NULL, NULL);
}

static void modern_notifications_and_responses(void **state)
{
	static const struct row rows[] = {
		{"the header decides",	HEAD "\"method\":\"notifications/cancelled\"}",
		  .era = MCP_MODERN								       },
		{		   "Mcp-Method is not asked for",			 HEAD "\"method\":\"notifications/cancelled\"}",
		  .method = NO_HEADER,						.era = MCP_MODERN },
		{ "but must not lie", HEAD "\"method\":\"notifications/cancelled\"}",
		  .method = "tools/call",					  .status = 400, .code = -32020, .era = MCP_MODERN },
		{		  "the body decides first",
		  HEAD "\"method\":\"notifications/cancelled\",\"params\":{\"_meta\":{" VERSION NOW
		       "}}}",			    .version = NO_HEADER, .method = NO_HEADER, .era = MCP_MODERN },
		{		  "an unsupported version",
		  HEAD "\"method\":\"notifications/cancelled\",\"params\":{\"_meta\":{" VERSION
		       "\"1\"}}}",				  .version = NO_HEADER,	.status = 400, .code = -32022,
		  .data = "{\"supported\":[\"2026-07-28\"],\"requested\":\"1\"}",
		  .era = MCP_MODERN },
		{					       "a response",																		   HEAD "\"id\":1,\"result\":{}}",			.status = 400,     .code = -32600,
		  .era = MCP_MODERN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_row(&rows[i], MCP_MODERN_VERSION, "notifications/cancelled", NULL);
}

static const struct row legacy[] = {
	{"as it should be",			      LEGACY_LIST,						 .era = MCP_LEGACY,.id = "1"     },
	{  "no version header",				   LEGACY_LIST,					    .version = NO_HEADER,.era = MCP_LEGACY,	     .id = "1" },
	{ "an old version",				   LEGACY_LIST,					 .version = "2024-11-05",.era = MCP_LEGACY,	     .id = "1" },
	{ "an unknown version",				   LEGACY_LIST,				     .version = "2025-01-01",.status = 400, .code = -32000,
	  .era = MCP_LEGACY, .id = "1" },
	{"an empty version",					     LEGACY_LIST,										      .version = "",.status = 400,.code = -32000,
	  .era = MCP_LEGACY, .id = "1" },
	{"a version of the future without an envelope",				 LEGACY_LIST,										.version = "2099-01-01",
	  .status = 400,.code = -32000, .era = MCP_LEGACY, .id = "1" },
	{"no session",				  LEGACY_LIST,									       .session = NO_HEADER,.status = 400,			  .code = -32000,
	  .era = MCP_LEGACY, .id = "1" },
	{		    "Mcp-Method may say anything",	 LEGACY_LIST,.method = "initialize",.era = MCP_LEGACY,
	  .id = "1" },
	{"and so may Mcp-Name",
	  HEAD "\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}",										  .name = "b",
	  .era = MCP_LEGACY,.id = "2" },
	{		    "initialize has no session yet",					     INITIALIZE,										   .session = NO_HEADER,.era = MCP_LEGACY,
	  .id = "0" },
	{"nor a version header that counts",					      INITIALIZE,									 .version = "2099-01-01",
	  .session = NO_HEADER,.era = MCP_LEGACY, .id = "0" },
	{"initialize without an envelope is legacy whatever the header says",					       INITIALIZE,
	  .version = MCP_MODERN_VERSION,.session = NO_HEADER,.era = MCP_LEGACY, .id = "0" },
	{"a notification",				     INITIALIZED,											       .era = MCP_LEGACY},
	{"a notification without a session",			      INITIALIZED,									       .session = NO_HEADER,.status = 400,
	  .code = -32000, .era = MCP_LEGACY },
	{																	  "a response",					     HEAD "\"id\":1,\"result\":{}}",								      .era = MCP_LEGACY	  },
	{				 "an error response",			       HEAD "\"id\":1,\"error\":{\"code\":1,\"message\":\"\"}}",
	  .era = MCP_LEGACY},
	{"a response without a session",				  HEAD "\"id\":1,\"result\":{}}",  .session = NO_HEADER,
	  .status = 400,																	      .code = -32000, .era = MCP_LEGACY },
	{																																													  "a batch",			  "[" LEGACY_LIST "]",											       .status = 400,.code = -32600,.era = MCP_LEGACY },
	{"an empty batch",  "[]",.status = 400,.code = -32600,.era = MCP_LEGACY },
	{"a modern batch",					 "[" LIST "]",																      .status = 400,													       .code = -32600,				 .era = MCP_LEGACY },
	{																														    "a token of the wrong type",META("\"progressToken\":{}"),.status = 400,.code = -32602,
	  .era = MCP_LEGACY, .id = "1" },
	{"a fractional token",				META("\"progressToken\":1e3"),																				     .status = 400,																																														 .code = -32602,
	  .era = MCP_LEGACY, .id = "1" },
	{"a token beyond 64 bits",			    META("\"progressToken\":12345678901234567890"),
	  .era = MCP_LEGACY,.id = "1"																														   },
	{"other members of _meta are the client's own",						 META("\"a\":1"),										.era = MCP_LEGACY,
	  .id = "1"},
	{																														       "no JSON", "{", .status = 400,.code = -32700,.era = MCP_LEGACY },
	{																																														   "nothing",					   "",											 .status = 400,																					   .code = -32700,.era = MCP_LEGACY },
	{																										  "duplicate members",  HEAD "\"id\":1,\"id\":2,\"method\":\"x\"}",.status = 400,
	  .code = -32700,.era = MCP_LEGACY },
	{																																			       "no message",	"{\"id\":5}",											  .status = 400,.code = -32600,.era = MCP_LEGACY, .id = "5" },
	{"no method",				HEAD "\"id\":\"a\"}",.status = 400,.code = -32600,																										  .era = MCP_LEGACY,
	  .id = "\"a\"" },
	{"an id that is null",				   HEAD "\"id\":null,\"method\":\"x\"}",					      .status = 400,.code = -32600,
	  .era = MCP_LEGACY },
	{"params that are no object",					     HEAD "\"id\":1,\"method\":\"x\",\"params\":[]}",
	  .status = 400,.code = -32600,.era = MCP_LEGACY, .id = "1" },
	{		 "JSON only",					     LEGACY_LIST,									     .accept = "application/json",.status = 406,.code = -32000,
	  .era = MCP_LEGACY },
	{										       "events only",				     LEGACY_LIST,											       .accept = "text/event-stream",.status = 406,		    .code = -32000,
	  .era = MCP_LEGACY },
	{"no Accept",				LEGACY_LIST,											   .accept = NO_HEADER,.era = MCP_LEGACY,.id = "1" },
	{"any Accept",				 LEGACY_LIST,									      .accept = "*/*",.era = MCP_LEGACY,.id = "1" },
	{																					     "no Content-Type",			     LEGACY_LIST,.content_type = NO_HEADER,.status = 415,.code = -32000,
	  .era = MCP_LEGACY },
	{																															     "a form",			       LEGACY_LIST,.content_type = "application/x-www-form-urlencoded",.status = 415,
	  .code = -32000, .era = MCP_LEGACY },
	{"text/plain, which pages can send",		      LEGACY_LIST,											 .content_type = "text/plain",
	  .status = 415,.code = -32000, .era = MCP_LEGACY },
	{"parameters of the type",	    LEGACY_LIST,			 .content_type = "application/json; charset=utf-8",
	  .era = MCP_LEGACY,									.id = "1" },
};

static void legacy_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(legacy); i++)
		assert_row(&legacy[i], "2025-11-25", NULL, "session");
}

static void reads_everything_that_core_wants_to_know(void **state)
{
	static const char body[] = HEAD
		"\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"n\",\"_meta\":{" VERSION
			NOW ", " CAPABILITIES " {\"a\":{}} ," CLIENT "{\"name\":\"c\"}," LEVEL
		"\"w\\u0061rning\",\"progressToken\": \"t\" }}}";
	const struct era_headers headers = {
		.content_type = "application/json",
		.version = MCP_MODERN_VERSION,
		.method = "tools/call",
		.name = "n",
	};
	struct arena *arena = arena_new();
	struct mcp_request request;
	struct call_refusal refusal;

	(void)state;
	assert_int_equal(era_read(&headers, span_of(body), arena, &request, &refusal), 0);
	assert_int_equal(request.era, MCP_MODERN);
	assert_true(span_is(request.id, "7"));
	assert_string_equal(request.method, "tools/call");
	assert_true(request.params.p[0] == '{');
	assert_string_equal(request.version, MCP_MODERN_VERSION);
	assert_true(span_is(request.capabilities, "{\"a\":{}}"));
	assert_true(span_is(request.client_info, "{\"name\":\"c\"}"));
	assert_true(span_is(request.progress_token, "\"t\""));
	assert_string_equal(request.log_level, "warning");
	arena_free(&arena);
}

static void a_legacy_token_and_version_are_read(void **state)
{
	static const char body[] = META("\"progressToken\":0");
	const struct era_headers headers = {
		.content_type = "application/json",
		.version = "2025-06-18",
		.session = "s",
	};
	struct arena *arena = arena_new();
	struct mcp_request request;
	struct call_refusal refusal;

	(void)state;
	assert_int_equal(era_read(&headers, span_of(body), arena, &request, &refusal), 0);
	assert_true(span_is(request.progress_token, "0"));
	assert_string_equal(request.version, "2025-06-18");
	assert_null(request.log_level);
	assert_null(request.capabilities.p);
	arena_free(&arena);
}

static void a_response_has_neither_id_nor_method(void **state)
{
	const struct era_headers headers = { .content_type = "application/json", .session = "s" };
	struct arena *arena = arena_new();
	struct mcp_request request;
	struct call_refusal refusal;

	(void)state;
	assert_int_equal(
		era_read(&headers, SPAN(HEAD "\"id\":1,\"result\":{}}"), arena, &request, &refusal),
		0);
	assert_null(request.id.p);
	assert_null(request.method);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modern_requests),
		cmocka_unit_test(modern_names),
		cmocka_unit_test(modern_notifications_and_responses),
		cmocka_unit_test(legacy_messages),
		cmocka_unit_test(reads_everything_that_core_wants_to_know),
		cmocka_unit_test(a_legacy_token_and_version_are_read),
		cmocka_unit_test(a_response_has_neither_id_nor_method),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
