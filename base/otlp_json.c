/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON form of OTLP: protobuf's, but ids are hexadecimal (opentelemetry.io, OTLP 1.x, "JSON
 * Protobuf Encoding"). 64-bit numbers are strings, enums numbers. */

#include <inttypes.h>
#include <string.h>

#include "base/crypto.h"
#include "base/otlp.h"

/* SpanFlags: whether the parent is remote is known, and it is. */
#define FLAG_HAS_IS_REMOTE 0x100U
#define FLAG_IS_REMOTE	   0x200U
#define STATUS_ERROR	   "\"code\":2"

static void add_member(struct buf *out, const char *key, struct span text)
{
	buf_add(out, key);
	buf_add_json_string(out, text.p, text.n);
}

static void add_id(struct buf *out, const char *key, const uint8_t *id, size_t n)
{
	char hex[2 * TRACE_ID_BYTES + 1];

	hex_encode(id, n, hex);
	buf_add(out, key);
	buf_add(out, "\"");
	buf_append(out, hex, 2 * n);
	buf_add(out, "\"");
}

/* All that is measured is whole microseconds. */
static void add_time(struct buf *out, const char *key, int64_t us)
{
	buf_printf(out, "%s\"%" PRId64 "000\"", key, us);
}

void otlp_attributes_json(const struct otlp_attribute *attributes, size_t n, struct buf *out)
{
	buf_add(out, "[");
	for (size_t i = 0; i < n; i++) {
		const struct otlp_attribute *one = &attributes[i];

		add_member(out, i > 0 ? ",{\"key\":" : "{\"key\":", span_of(one->key));
		if (one->text.p != NULL)
			add_member(out, ",\"value\":{\"stringValue\":", one->text);
		else
			buf_printf(out, ",\"value\":{\"intValue\":\"%" PRId64 "\"", one->number);
		buf_add(out, "}}");
	}
	buf_add(out, "]");
}

static void add_link(const struct otlp_link *link, struct buf *out)
{
	add_id(out, ",\"links\":[{\"traceId\":", link->context.trace_id, TRACE_ID_BYTES);
	add_id(out, ",\"spanId\":", link->context.span_id, SPAN_ID_BYTES);
	if (link->tracestate != NULL)
		add_member(out, ",\"traceState\":", span_of(link->tracestate));
	buf_printf(out, ",\"flags\":%u}]",
		   link->context.flags | FLAG_HAS_IS_REMOTE | FLAG_IS_REMOTE);
}

void otlp_span_json(const struct otlp_span *span, struct buf *out)
{
	unsigned flags = span->context.flags | FLAG_HAS_IS_REMOTE;

	if (span->remote_parent)
		flags |= FLAG_IS_REMOTE;
	add_id(out, "{\"traceId\":", span->context.trace_id, TRACE_ID_BYTES);
	add_id(out, ",\"spanId\":", span->context.span_id, SPAN_ID_BYTES);
	if (span->tracestate != NULL)
		add_member(out, ",\"traceState\":", span_of(span->tracestate));
	if (span->parent != NULL)
		add_id(out, ",\"parentSpanId\":", span->parent, SPAN_ID_BYTES);
	buf_printf(out, ",\"flags\":%u", flags);
	add_member(out, ",\"name\":", span->name);
	buf_printf(out, ",\"kind\":%d", (int)span->kind);
	add_time(out, ",\"startTimeUnixNano\":", span->start_us);
	add_time(out, ",\"endTimeUnixNano\":", span->end_us);
	buf_add(out, ",\"attributes\":");
	otlp_attributes_json(span->attributes, span->n_attributes, out);
	if (span->link != NULL)
		add_link(span->link, out);
	buf_printf(out, ",\"status\":{%s}", span->failed ? STATUS_ERROR : "");
	buf_add(out, "}");
}
