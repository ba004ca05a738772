/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "audit/event_priv.h"
#include "audit/redact.h"
#include "base/be64.h"
#include "base/crypto.h"
#include "base/text.h"
#include "base/utf8.h"

#define ELLIPSIS "\xE2\x80\xA6"
/* What a text with secrets in it may grow to before it is cut. */
#define REDACTED_MAX_BYTES ((size_t)64 << 10)

/*
 * What secrets are looked for in: whatever words came from a client or an upstream. The rest is
 * ours, or was configured by the tenant's own administrators: names of tenants, users, keys,
 * connections and personas stand as they are, because they are what rows are grouped by.
 */
static const enum redaction {
	REDACT_NOT,
	REDACT_FREE, /* text of any bytes */
	REDACT_JSON, /* text of one JSON value */
} redactions[N_FIELDS] = {
	[FIELD_CLIENT] = REDACT_FREE,	  /* clientInfo or User-Agent */
	[FIELD_METHOD] = REDACT_FREE,	  /* of refused requests it is anything */
	[FIELD_TOOL] = REDACT_FREE,	  /* so is this */
	[FIELD_REQUEST_ID] = REDACT_JSON, /* a string may hold anything, escaped */
	[FIELD_ARGUMENTS] = REDACT_JSON,  /* and by the rules for arguments */
	[FIELD_PROTOCOL_VERSION] = REDACT_FREE,
	[FIELD_TRACE_ID] = REDACT_FREE,
	[FIELD_SPAN_ID] = REDACT_FREE,
	[FIELD_ERROR_TYPE] = REDACT_FREE,
	[FIELD_ERROR_MESSAGE] = REDACT_FREE, /* an upstream's own words, or such as quote a peer */
	[FIELD_PURPOSE] = REDACT_FREE,
	[FIELD_ACCOUNT] = REDACT_FREE, /* as the upstream names it */
};

struct writer {
	struct buf *out;
	const struct redact_rules *rules;
};

/* Stops as soon as the limit is reached, however long the text is. */
static void add_mended(struct buf *out, struct span text, size_t max_bytes)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t start = out->len;
	size_t keep = start; /* the last end of a character with room for the ellipsis behind */

	while (text.n > 0) {
		size_t step = utf8_sequence(p, text.n);
		struct span piece = { (const char *)p, step };

		if (step == 0 || *p == '\0') {
			piece = SPAN(UTF8_REPLACEMENT);
			step = 1;
		}
		if (out->len - start + piece.n > max_bytes) {
			out->len = keep;
			buf_add(out, ELLIPSIS);
			return;
		}
		buf_add_span(out, piece);
		if (out->len - start + strlen(ELLIPSIS) <= max_bytes)
			keep = out->len;
		p += step;
		text.n -= step;
	}
}

static void put_clean_text(struct buf *out, enum event_field field, struct span text)
{
	size_t max_bytes = event_fields[field].max_bytes;
	size_t start = event_field_begin(out, field);

	if (text.n <= max_bytes && event_text_is_clean(text))
		buf_add_span(out, text);
	else
		add_mended(out, text, max_bytes);
	event_field_end(out, start);
}

/* The limit is for what is kept: what comes is read a little further. */
static void put_text(struct writer *writer, enum event_field field, struct span text)
{
	size_t max_bytes = event_fields[field].max_bytes;
	struct buf kept;
	struct err err;

	if (text.p == NULL)
		return;
	buf_init(&kept, REDACTED_MAX_BYTES);
	if (redactions[field] == REDACT_JSON && memchr(text.p, '\\', text.n) != NULL &&
	    span_check(text, NULL, &err) == 0) {
		redact_arguments(writer->rules, text, REDACTED_MAX_BYTES, &kept);
		text = buf_span(&kept);
	} else if (redactions[field] != REDACT_NOT &&
		   redact_text(writer->rules, text, max_bytes, &kept)) {
		text = buf_span(&kept);
	}
	put_clean_text(writer->out, field, text);
	buf_wipe(&kept);
}

/* An id that is none is left out: it is ours, and not worth a row. */
static void put_uuid(struct buf *out, enum event_field field, const char *text)
{
	uint8_t id[EVENT_UUID_BYTES];
	size_t start;

	if (!uuid_parse(text, id))
		return;
	start = event_field_begin(out, field);
	buf_append(out, id, sizeof(id));
	event_field_end(out, start);
}

/* Of DIGEST kind; NULL: absent. */
static void put_digest(struct buf *out, enum event_field field, const uint8_t *digest)
{
	size_t start;

	if (digest == NULL)
		return;
	start = event_field_begin(out, field);
	buf_append(out, digest, event_fields[field].max_bytes);
	event_field_end(out, start);
}

/* Negative: absent. */
static void put_number(struct buf *out, enum event_field field, int64_t value)
{
	size_t start;

	if (value < 0)
		return;
	start = event_field_begin(out, field);
	be64_put(out, (uint64_t)value);
	event_field_end(out, start);
}

static int64_t number_of(size_t n)
{
	return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static void put_arguments(struct writer *writer, const struct book_call *call)
{
	struct buf *out = writer->out;
	size_t start;

	if (call->arguments.p == NULL ||
	    (call->audit_level != NULL && strcmp(call->audit_level, "metadata") == 0))
		return;
	start = event_field_begin(out, FIELD_ARGUMENTS);
	redact_arguments(writer->rules, call->arguments, BOOK_MAX_ARGUMENTS, out);
	event_field_end(out, start);
}

/* The row must say the same, and it says a time as base/text writes it. */
static int64_t storable(int64_t unix_us)
{
	const int64_t us_per_second = 1000000;
	const int64_t first_us = INT64_C(-62135596800) * us_per_second; /* 0001-01-01 */
	const int64_t last_us = INT64_C(253402300800) * us_per_second - 1;

	if (unix_us < first_us)
		return first_us;
	return unix_us > last_us ? last_us : unix_us;
}

static void put_head(struct buf *out, const struct book_call *call)
{
	uint8_t id[EVENT_UUID_BYTES];
	bool valid = uuid_parse(call->call_id, id);

	assert(valid);
	buf_append(out, (const char[]){ EVENT_VERSION }, 1);
	buf_append(out, id, sizeof(id));
	be64_put(out, (uint64_t)storable(call->started_us));
	if (!uuid_parse(call->tenant_id, id))
		memset(id, 0, sizeof(id));
	buf_append(out, id, sizeof(id));
}

static void put_call(struct writer *writer, const struct book_call *call, const char *node_id)
{
	put_uuid(writer->out, FIELD_NODE_ID, node_id);
	put_text(writer, FIELD_TENANT, span_of(call->tenant));
	put_uuid(writer->out, FIELD_USER_ID, call->user_id);
	put_text(writer, FIELD_USER_NAME, span_of(call->user_name));
	put_text(writer, FIELD_API_KEY, span_of(call->api_key));
	put_uuid(writer->out, FIELD_CONNECTION_ID, call->connection_id);
	put_text(writer, FIELD_CONNECTION, span_of(call->connection));
	put_text(writer, FIELD_CLIENT, call->client);
	put_text(writer, FIELD_METHOD, call->method);
	put_text(writer, FIELD_TOOL, call->tool);
	put_text(writer, FIELD_REQUEST_ID, call->request_id);
	put_arguments(writer, call);
	put_text(writer, FIELD_PROTOCOL_VERSION, span_of(call->protocol_version));
	put_text(writer, FIELD_SESSION_ID, span_of(call->session_id));
	put_text(writer, FIELD_SOURCE_IP, span_of(call->source_ip));
	put_text(writer, FIELD_TRACE_ID, call->trace_id);
	put_text(writer, FIELD_SPAN_ID, call->span_id);
	put_number(writer->out, FIELD_REQUEST_BYTES, number_of(call->request_bytes));
}

static void put_result(struct writer *writer, const struct book_result *result)
{
	assert((size_t)result->outcome <= BOOK_UNKNOWN);
	put_number(writer->out, FIELD_OUTCOME, (int64_t)result->outcome);
	put_number(writer->out, FIELD_DURATION_US, result->duration_us);
	put_number(writer->out, FIELD_UPSTREAM_US, result->upstream_us);
	put_text(writer, FIELD_ERROR_TYPE, span_of(result->error_type));
	put_text(writer, FIELD_ERROR_MESSAGE, result->error_message);
	put_number(writer->out, FIELD_RESPONSE_BYTES, number_of(result->response_bytes));
	put_number(writer->out, FIELD_HTTP_STATUS,
		   result->http_status == 0 ? -1 : result->http_status);
}

/* Fields that came later stand behind those of the result, because ids ascend. */
static void put_call_later(struct writer *writer, const struct book_call *call)
{
	put_text(writer, FIELD_PERSONA, span_of(call->persona));
	put_text(writer, FIELD_PURPOSE, call->purpose);
	put_text(writer, FIELD_AUDIT_LEVEL, span_of(call->audit_level));
}

static void put_result_later(struct writer *writer, const struct book_result *result)
{
	put_text(writer, FIELD_ACCOUNT, span_of(result->account));
	put_number(writer->out, FIELD_N_CALLS, result->n_calls > 1 ? result->n_calls : -1);
	put_number(writer->out, FIELD_UPSTREAM_STATUS,
		   result->upstream_status == 0 ? -1 : result->upstream_status);
	put_digest(writer->out, FIELD_PAYLOAD_DIGEST, result->payload_digest);
}

void event_encode(const struct event_source *source, struct buf *out)
{
	static const struct redact_rules everybody = { 0 };
	const struct book_call *call = source->call;
	struct writer writer = { out, call->rules != NULL ? call->rules : &everybody };

	assert((source->type == EVENT_INTENT) == (source->result == NULL));
	put_head(out, call);
	if (source->type != EVENT_OUTCOME)
		put_call(&writer, call, source->node_id);
	if (source->result != NULL)
		put_result(&writer, source->result);
	if (source->type != EVENT_OUTCOME)
		put_call_later(&writer, call);
	if (source->result != NULL)
		put_result_later(&writer, source->result);
	assert(!out->overflow);
}

void event_encode_unknown(struct span intent, char out[EVENT_UNKNOWN_BYTES])
{
	struct buf bytes;

	assert(intent.n >= EVENT_HEAD_BYTES);
	buf_init(&bytes, EVENT_UNKNOWN_BYTES);
	buf_append(&bytes, (const char[]){ EVENT_VERSION }, 1);
	buf_append(&bytes, intent.p + AT_CALL_ID, EVENT_HEAD_BYTES - AT_CALL_ID);
	put_number(&bytes, FIELD_OUTCOME, BOOK_UNKNOWN);
	assert(bytes.len == EVENT_UNKNOWN_BYTES && !bytes.overflow);
	memcpy(out, bytes.data, EVENT_UNKNOWN_BYTES);
	buf_fini(&bytes);
}
