/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_OTLP_H
#define BASE_OTLP_H

/*
 * Spans on their way to an OpenTelemetry collector: OTLP/HTTP 1.x in its JSON form, POSTed in
 * batches. Never blocks and never fails whoever adds: a span that there is no room for is dropped
 * and counted, as are those that the collector does not take.
 *
 * Knows no attribute by name.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/trace_context.h"

/* SpanKind of opentelemetry/proto/trace/v1. */
enum otlp_kind { OTLP_SERVER = 2, OTLP_CLIENT = 3 };

struct otlp_attribute {
	const char *key;
	struct span text; /* absent: the number */
	int64_t number;
};

struct otlp_link {
	struct trace_context context;
	const char *tracestate; /* NULL: none */
};

/* All borrowed. */
struct otlp_span {
	struct trace_context context; /* its own */
	const char *tracestate;	      /* NULL: none */
	const uint8_t *parent;	      /* SPAN_ID_BYTES; NULL: it begins the trace */
	bool remote_parent;	      /* of another process */
	enum otlp_kind kind;
	struct span name;
	int64_t start_us; /* Unix microseconds */
	int64_t end_us;
	const struct otlp_attribute *attributes;
	size_t n_attributes;
	const struct otlp_link *link; /* NULL: none */
	bool failed;		      /* status ERROR; otherwise it is left unset */
};
/* Appends one Span message as JSON. */
void otlp_span_json(const struct otlp_span *span, struct buf *out);
/* Appends a list of KeyValue messages as JSON. */
void otlp_attributes_json(const struct otlp_attribute *attributes, size_t n, struct buf *out);

#define OTLP_BATCH_SPANS  512
#define OTLP_BATCH_BYTES  ((size_t)2 << 20)
#define OTLP_MAX_BATCHES  8 /* waiting or being sent; then spans are dropped */
#define OTLP_BATCH_MS	  5000
#define OTLP_TIMEOUT_MS	  10000
#define OTLP_RETRY_MIN_MS 1000
#define OTLP_RETRY_MAX_MS 30000
/* The longest that a collector's Retry-After is heeded. */
#define OTLP_RETRY_AFTER_MAX_MS 300000
#define OTLP_MAX_TRIES		5
#define OTLP_ANSWER_BYTES	65536
#define OTLP_MAX_SPAN_BYTES	65536

struct otlp_params {
	struct loop *loop;
	const char *url; /* whole; http and https */
	/* Beside Content-Type. Copied, and wiped when they are freed: they may be credentials. */
	const struct http_header *headers;
	size_t n_headers;
	const struct otlp_attribute *resource;
	size_t n_resource;
	const char *scope_name;
	const char *scope_version;
	int64_t timeout_ms;   /* of one POST */
	int64_t batch_ms;     /* 0: OTLP_BATCH_MS; how long a span waits for others */
	int64_t retry_min_ms; /* 0: OTLP_RETRY_MIN_MS; doubles from try to try */
};

struct otlp;
/* NULL if the URL cannot be used. The address is the operator's: of the egress rules for tenants
 * it is exempt, in every other way it is asked like any other, and no redirect is followed. */
struct otlp *otlp_new(const struct otlp_params *params, struct err *err) MUST_CHECK;
/* What was not sent is lost: see otlp_flush_start. */
void otlp_free(struct otlp **otlp);
/* To NULL it is nothing. */
void otlp_add(struct otlp *otlp, const struct otlp_span *span);

struct otlp_stats {
	uint64_t exported; /* spans that the collector has taken */
	uint64_t dropped;  /* there was no room, or it could not be reached for too long */
	uint64_t rejected; /* it answered that it does not take them */
};
void otlp_stats(const struct otlp *otlp, struct otlp_stats *out);

/* Sends at once what waits. done runs once, from the loop, when nothing waits any more or
 * timeout_ms have passed. One at a time. */
struct otlp_flush; /* the slot */
void otlp_flush_start(struct otlp *otlp, struct otlp_flush **slot, int64_t timeout_ms,
		      void (*done)(void *ctx), void *ctx);
void otlp_flush_cancel(struct otlp_flush **slot);

#endif
