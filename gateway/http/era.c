/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/era.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "gateway/core/envelope.h"
#include "gateway/http/media.h"

#define WORD_MAX_BYTES 64 /* of versions and log levels */
#define SENTINEL_START "=?base64?"
#define SENTINEL_END   "?="

/* What one reading shares. */
struct reading {
	const struct era_headers *headers;
	struct arena *arena;
	struct envelope envelope;
	struct mcp_request *out;
	struct call_refusal *refusal;
};

/* Which member of params the Mcp-Name header repeats. */
static const struct {
	const char *method;
	const char *member;
} name_sources[] = {
	{"tools/call",	"name"  },
	   { "prompts/get",    "name"  },
	 { "resources/read", "uri"   },
	{ "tasks/get",      "taskId"},
	   { "tasks/update",   "taskId"},
	 { "tasks/cancel",   "taskId"},
};

/* Always returns -1. data is JSON, or NULL. */
static int refuse(const struct reading *reading, int status, int code, const char *data,
		  const char *format, ...) ERR_PRINTF(5, 6);
static int refuse(const struct reading *reading, int status, int code, const char *data,
		  const char *format, ...)
{
	struct call_refusal *refusal = reading->refusal;
	va_list args;

	*refusal = (struct call_refusal){ .http_status = status, .rpc_code = code };
	refusal->data = span_of(data);
	va_start(args, format);
	vsnprintf(refusal->message, sizeof(refusal->message), format, args);
	va_end(args);
	return -1;
}

/* A short string value in the arena; NULL if it is none, too long, or holds NUL. */
static const char *word_of(struct arena *arena, struct span value)
{
	struct buf word;
	const char *text = NULL;

	buf_init(&word, WORD_MAX_BYTES);
	if (span_string(value, &word) == 0 && strlen(buf_str(&word)) == word.len)
		text = arena_dup(arena, buf_str(&word), word.len);
	buf_fini(&word);
	return text;
}

/* value is escaped for JSON. */
static const char *json_data(struct arena *arena, const char *before, const char *value,
			     const char *after)
{
	struct buf text;
	const char *data;

	buf_init(&text, 1024);
	buf_add(&text, before);
	buf_add_json_string(&text, value, strlen(value));
	buf_add(&text, after);
	data = arena_dup(arena, buf_str(&text), text.len);
	buf_fini(&text);
	return data;
}

static int refuse_envelope(const struct reading *reading, const char *key, const char *problem)
{
	return refuse(reading, 400, RPC_INVALID_PARAMS,
		      arena_printf(reading->arena,
				   "{\"envelope\":{\"key\":\"%s\",\"problem\":\"%s\"}}", key,
				   problem),
		      "Invalid _meta envelope: %s: %s", key, problem);
}

static int refuse_missing(const struct reading *reading, const char *first, const char *second)
{
	const char *comma = second == NULL ? "" : "\",\"";

	if (second == NULL)
		second = "";
	return refuse(reading, 400, RPC_INVALID_PARAMS,
		      arena_printf(reading->arena, "{\"envelope\":{\"missing\":[\"%s%s%s\"]}}",
				   first, comma, second),
		      "Invalid params: the request lacks %s%s%s", first,
		      second[0] == '\0' ? "" : " and ", second);
}

static int refuse_mismatch(const struct reading *reading, const char *header)
{
	return refuse(reading, 400, RPC_HEADER_MISMATCH, NULL,
		      "Header mismatch: %s must repeat what the body says", header);
}

bool era_header_is_modern(const char *version)
{
	return version != NULL && strcmp(version, MCP_MODERN_VERSION) == 0;
}

/* Of any size: the token is only given back. */
static bool is_integer(struct span number)
{
	for (size_t i = 0; i < number.n; i++) {
		if (number.p[i] == '.' || number.p[i] == 'e' || number.p[i] == 'E')
			return false;
	}
	return true;
}

static int read_progress_token(struct reading *reading)
{
	struct span token = span_trim(span_get(reading->envelope.meta, "progressToken"));
	enum span_type type = span_type(token);

	if (type == SPAN_STRING || (type == SPAN_NUMBER && is_integer(token)))
		reading->out->progress_token = token;
	else if (type != SPAN_ABSENT)
		return refuse(reading, 400, RPC_INVALID_PARAMS, NULL,
			      "Invalid params: progressToken must be a string or an integer");
	return 0;
}

/* The members of the modern envelope beside the version. */
static int read_modern_meta(struct reading *reading)
{
	struct span meta = reading->envelope.meta;
	struct span capabilities = span_trim(span_get(meta, MCP_META_CAPABILITIES));
	struct span client = span_trim(span_get(meta, MCP_META_CLIENT));
	struct span level = span_get(meta, MCP_META_LOG_LEVEL);

	if (capabilities.p == NULL && reading->envelope.kind == ENVELOPE_REQUEST)
		return refuse_missing(reading, MCP_META_CAPABILITIES, NULL);
	if (capabilities.p != NULL && span_type(capabilities) != SPAN_OBJECT)
		return refuse_envelope(reading, MCP_META_CAPABILITIES, "must be an object");
	if (client.p != NULL && span_type(client) != SPAN_OBJECT)
		return refuse_envelope(reading, MCP_META_CLIENT, "must be an object");
	reading->out->capabilities = capabilities;
	reading->out->client_info = client;
	if (level.p == NULL)
		return 0;
	reading->out->log_level = word_of(reading->arena, level);
	if (reading->out->log_level != NULL && mcp_log_level(reading->out->log_level) >= 0)
		return 0;
	reading->out->log_level = NULL;
	return refuse_envelope(reading, MCP_META_LOG_LEVEL, "must be a log level");
}

/* The header's text, decoded if it is encoded; NULL if that fails. */
static const char *decode_name(struct arena *arena, const char *header)
{
	size_t start = strlen(SENTINEL_START), end = strlen(SENTINEL_END), n = strlen(header);
	struct span text;
	char *name;
	long length;

	if (n < start + end || strncmp(header, SENTINEL_START, start) != 0 ||
	    strcmp(header + n - end, SENTINEL_END) != 0)
		return header;
	text = (struct span){ header + start, n - start - end };
	name = arena_alloc(arena, text.n + 4);
	length = base64_decode(text, name);
	if (length < 0 || memchr(name, '\0', (size_t)length) != NULL)
		return NULL;
	name[length] = '\0';
	return name;
}

static int check_name(const struct reading *reading)
{
	struct span value = { 0 };
	const char *name;

	for (size_t i = 0; i < sizeof(name_sources) / sizeof(name_sources[0]); i++) {
		if (strcmp(reading->envelope.method, name_sources[i].method) == 0)
			value = span_get(reading->envelope.params, name_sources[i].member);
	}
	/* What is missing in params is refused where params are read. */
	if (span_type(value) != SPAN_STRING)
		return 0;
	if (reading->headers->name == NULL)
		return refuse_mismatch(reading, "Mcp-Name");
	name = decode_name(reading->arena, reading->headers->name);
	if (name == NULL || !span_string_is(value, name))
		return refuse_mismatch(reading, "Mcp-Name");
	return 0;
}

/* Presence is asked of requests only; what is there must agree. */
static int check_modern_headers(const struct reading *reading)
{
	const struct era_headers *headers = reading->headers;
	bool request = reading->envelope.kind == ENVELOPE_REQUEST;

	if (request && headers->version == NULL)
		return refuse_mismatch(reading, "MCP-Protocol-Version");
	if (request && headers->method == NULL)
		return refuse_mismatch(reading, "Mcp-Method");
	return request ? check_name(reading) : 0;
}

static int read_modern(struct reading *reading)
{
	const struct era_headers *headers = reading->headers;
	struct span claim = span_get(reading->envelope.meta, MCP_META_VERSION);
	const char *version = headers->version;

	reading->out->era = MCP_MODERN;
	if (claim.p != NULL) {
		version = word_of(reading->arena, claim);
		if (version == NULL)
			return refuse_envelope(reading, MCP_META_VERSION, "must be a version");
	}
	/* A response has no claim, and without one it was the header that brought us here. */
	assert(version != NULL && reading->envelope.method != NULL);
	reading->out->version = version;
	if (read_modern_meta(reading) < 0)
		return -1;
	if (headers->version != NULL && strcmp(headers->version, version) != 0)
		return refuse_mismatch(reading, "MCP-Protocol-Version");
	if (headers->method != NULL && strcmp(headers->method, reading->envelope.method) != 0)
		return refuse_mismatch(reading, "Mcp-Method");
	if (strcmp(version, MCP_MODERN_VERSION) != 0)
		return refuse(reading, 400, RPC_UNSUPPORTED_VERSION,
			      json_data(reading->arena,
					"{\"supported\":[\"" MCP_MODERN_VERSION
					"\"],\"requested\":",
					version, "}"),
			      "Unsupported protocol version: %s", version);
	if (check_modern_headers(reading) < 0)
		return -1;
	return read_progress_token(reading);
}

/* Mcp-Method and Mcp-Name are never looked at: legacy clients send them with other values. */
static int read_legacy(struct reading *reading)
{
	const struct era_headers *headers = reading->headers;
	const char *method = reading->envelope.method;

	reading->out->era = MCP_LEGACY;
	if (method != NULL && strcmp(method, "initialize") == 0)
		return read_progress_token(reading);
	reading->out->version = headers->version;
	if (headers->version != NULL && !mcp_legacy_known(headers->version)) {
		reading->out->version = NULL;
		return refuse(reading, 400, RPC_SERVER_ERROR, NULL,
			      "Bad Request: Unsupported protocol version: %s", headers->version);
	}
	if (headers->session == NULL)
		return refuse(reading, 400, RPC_SERVER_ERROR, NULL,
			      "Bad Request: Session ID required");
	return read_progress_token(reading);
}

/* The body says which era it is of; only where it says nothing the header does. */
static int classify(struct reading *reading)
{
	const struct envelope *envelope = &reading->envelope;
	bool header_is_modern = era_header_is_modern(reading->headers->version);

	if (span_get(envelope->meta, MCP_META_VERSION).p != NULL)
		return read_modern(reading);
	if (!header_is_modern ||
	    (envelope->method != NULL && strcmp(envelope->method, "initialize") == 0))
		return read_legacy(reading);
	reading->out->era = MCP_MODERN;
	switch (envelope->kind) {
	case ENVELOPE_NOTIFICATION:
		return read_modern(reading);
	case ENVELOPE_RESPONSE:
		return refuse(reading, 400, RPC_INVALID_REQUEST, NULL,
			      "Bad Request: responses cannot be posted in this protocol version");
	default:
		break;
	}
	if (envelope->meta.p == NULL)
		return refuse_missing(reading, "_meta", NULL);
	return refuse_missing(reading, MCP_META_VERSION,
			      span_get(envelope->meta, MCP_META_CAPABILITIES).p == NULL
				      ? MCP_META_CAPABILITIES
				      : NULL);
}

static int check_media(const struct reading *reading)
{
	const struct era_headers *headers = reading->headers;

	if (!media_accepted(headers->accept, "application/json") ||
	    !media_accepted(headers->accept, "text/event-stream"))
		return refuse(reading, 406, RPC_SERVER_ERROR, NULL,
			      "Not Acceptable: Client must accept both application/json and "
			      "text/event-stream");
	if (!media_is(headers->content_type, "application/json"))
		return refuse(reading, 415, RPC_SERVER_ERROR, NULL,
			      "Unsupported Media Type: Content-Type must be application/json");
	return 0;
}

int era_read(const struct era_headers *headers, struct span body, struct arena *arena,
	     struct mcp_request *out, struct call_refusal *refusal)
{
	struct reading reading = {
		.headers = headers, .arena = arena, .out = out, .refusal = refusal
	};
	struct err err;

	*out = (struct mcp_request){ .era = era_header_is_modern(headers->version) ? MCP_MODERN
										   : MCP_LEGACY };
	if (check_media(&reading) < 0)
		return -1;
	if (envelope_parse(body, arena, &reading.envelope, &err) < 0) {
		out->id = reading.envelope.id;
		out->method = reading.envelope.method;
		return refuse(
			&reading, 400, err_rpc_code(err.code), NULL, "%s%s",
			err.code == ERR_PARSE ? "Parse error: " : "Invalid Request: ", err.text);
	}
	if (reading.envelope.kind == ENVELOPE_BATCH)
		return refuse(&reading, 400, RPC_INVALID_REQUEST, NULL,
			      "Invalid Request: batches are not supported");
	if (reading.envelope.kind == ENVELOPE_REQUEST)
		out->id = reading.envelope.id;
	out->method = reading.envelope.method;
	out->params = reading.envelope.params;
	return classify(&reading);
}
