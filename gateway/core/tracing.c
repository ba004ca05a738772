/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/tracing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crypto.h"

/* Of one member of _meta, written with escapes. What is longer is read by nobody. */
#define MAX_TEXT_BYTES ((size_t)16 << 10)

/* --- sampling -------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum tracing_sampler sampler;
	bool by_parent;
} samplers[] = {
	{"always_on",		       TRACING_ALWAYS_ON,  false},
	{ "always_off",		TRACING_ALWAYS_OFF, false},
	{ "traceidratio",		  TRACING_RATIO,	 false},
	{ "parentbased_always_on",	   TRACING_ALWAYS_ON,  true },
	{ "parentbased_always_off",   TRACING_ALWAYS_OFF, true },
	{ "parentbased_traceidratio", TRACING_RATIO,	     true },
};

static int parse_ratio(const char *text, double *out)
{
	char *end;

	if (text[0] == '\0') {
		*out = 1;
		return 0;
	}
	*out = strtod(text, &end);
	return *end == '\0' && isfinite(*out) && *out >= 0 && *out <= 1 ? 0 : -1;
}

int tracing_sampler_parse(const char *word, const char *ratio, struct tracing *out, struct err *err)
{
	for (size_t i = 0; i < sizeof(samplers) / sizeof(samplers[0]); i++) {
		if (strcmp(word, samplers[i].word) != 0)
			continue;
		out->sampler = samplers[i].sampler;
		out->by_parent = samplers[i].by_parent;
		if (out->sampler == TRACING_RATIO && parse_ratio(ratio, &out->ratio) < 0)
			return err_set(err, ERR_BAD_REQUEST, "%s is no number from 0 to 1", ratio);
		return 0;
	}
	return err_set(err, ERR_BAD_REQUEST, "%s is no sampler", word);
}

/* The same traces in every process that has the same ratio: as the SDKs do it, by the low 63 bits
 * of the id. */
static bool in_ratio(double ratio, const uint8_t id[TRACE_ID_BYTES])
{
	uint64_t low = 0;

	for (size_t i = TRACE_ID_BYTES / 2; i < TRACE_ID_BYTES; i++)
		low = low << 8 | id[i];
	return (double)(low >> 1) < ratio * (double)(UINT64_C(1) << 63);
}

static bool is_sampled(const struct tracing *tracing, const struct call_trace *trace)
{
	bool parents = (trace->server.flags & TRACE_SAMPLED) != 0;

	if (tracing == NULL)
		return !trace->has_parent || parents;
	if (tracing->by_parent && trace->has_parent)
		return parents;
	if (tracing->sampler == TRACING_RATIO)
		return in_ratio(tracing->ratio, trace->server.trace_id);
	return tracing->sampler == TRACING_ALWAYS_ON;
}

/* --- reading --------------------------------------------------------------------------------- */

/* The text of a member; absent if it is no string, or too long. */
static struct span text_of(struct span meta, const char *key, struct arena *arena)
{
	struct span value = span_get(meta, key);
	struct span text = { 0 };
	struct buf buf;

	value = span_trim(value);
	if (span_type(value) != SPAN_STRING)
		return text;
	/* Nobody writes these with escapes. */
	if (memchr(value.p, '\\', value.n) == NULL)
		return (struct span){ value.p + 1, value.n - 2 };
	buf_init(&buf, MAX_TEXT_BYTES);
	if (span_string(value, &buf) == 0)
		text = (struct span){ arena_dup(arena, buf_str(&buf), buf.len), buf.len };
	buf_fini(&buf);
	return text;
}

static void take_parent(struct call_trace *out, const struct trace_context *parent)
{
	out->has_parent = true;
	out->server = *parent;
	memcpy(out->parent, parent->span_id, SPAN_ID_BYTES);
}

static void read_meta(struct span meta, struct arena *arena, struct call_trace *out)
{
	struct trace_context parent;

	if (!traceparent_parse(text_of(meta, "traceparent", arena), &parent))
		return;
	take_parent(out, &parent);
	out->tracestate = tracestate_read(text_of(meta, "tracestate", arena), arena);
}

static void read_headers(const struct trace_carrier *headers, struct arena *arena,
			 struct call_trace *out)
{
	const char *tracestate;
	struct trace_context context;

	if (!traceparent_parse(span_of(headers->traceparent), &context))
		return;
	tracestate = tracestate_read(span_of(headers->tracestate), arena);
	if (!out->has_parent) {
		take_parent(out, &context);
		out->tracestate = tracestate;
	} else if (memcmp(context.span_id, out->parent, SPAN_ID_BYTES) != 0 ||
		   memcmp(context.trace_id, out->server.trace_id, TRACE_ID_BYTES) != 0) {
		out->has_link = true;
		out->link = (struct otlp_link){ context, tracestate };
	}
}

static void read_baggage(struct span meta, const struct trace_carrier *headers, struct arena *arena,
			 struct call_trace *out)
{
	if (span_get(meta, "baggage").p != NULL)
		out->baggage = baggage_read(text_of(meta, "baggage", arena), arena);
	else
		out->baggage = baggage_read(span_of(headers->baggage), arena);
}

void call_trace_begin(const struct tracing *tracing, struct span meta,
		      const struct trace_carrier *headers, struct arena *arena,
		      struct call_trace *out)
{
	uint8_t random[TRACE_ID_BYTES + 2 * SPAN_ID_BYTES];

	*out = (struct call_trace){ .has_parent = false };
	read_meta(meta, arena, out);
	read_headers(headers, arena, out);
	read_baggage(meta, headers, arena, out);
	crypto_random(random, sizeof(random));
	if (!out->has_parent) {
		memcpy(out->server.trace_id, random, TRACE_ID_BYTES);
		out->server.flags = TRACE_RANDOM;
	}
	memcpy(out->server.span_id, random + TRACE_ID_BYTES, SPAN_ID_BYTES);
	memcpy(out->client_span_id, random + TRACE_ID_BYTES + SPAN_ID_BYTES, SPAN_ID_BYTES);
	if (is_sampled(tracing, out))
		out->server.flags |= TRACE_SAMPLED;
	else
		out->server.flags &= (uint8_t)~TRACE_SAMPLED;
	hex_encode(out->server.trace_id, TRACE_ID_BYTES, out->trace_id_hex);
	hex_encode(out->server.span_id, SPAN_ID_BYTES, out->span_id_hex);
}

void call_trace_carry(const struct call_trace *trace, bool trusted, struct arena *arena,
		      struct trace_carrier *out)
{
	struct trace_context client = trace->server;
	char *text = arena_alloc(arena, TRACEPARENT_BYTES);

	memcpy(client.span_id, trace->client_span_id, SPAN_ID_BYTES);
	traceparent_write(&client, text);
	*out = (struct trace_carrier){
		.traceparent = text,
		.tracestate = trace->tracestate,
		.baggage = trusted ? trace->baggage : NULL,
	};
}
