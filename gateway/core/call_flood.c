/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/call_flood.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/redact.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/flood.h"

#define MAX_TEXT	256 /* of what is kept of a text */
#define MAX_CLEAN_BYTES ((size_t)64 * MAX_TEXT)
#define PREFIX_BYTES	8 /* what one holder of IPv6 addresses has at least */
#define ADDRESS_BYTES	16

#define TEXTS(X)                                                                                   \
	X(tenant_id)                                                                               \
	X(tenant)                                                                                  \
	X(user_id)                                                                                 \
	X(user_name)                                                                               \
	X(api_key)                                                                                 \
	X(connection_id)                                                                           \
	X(connection)                                                                              \
	X(protocol_version)                                                                        \
	X(session_id)                                                                              \
	X(source_ip)                                                                               \
	X(persona)                                                                                 \
	X(audit_level)
#define SPANS(X)                                                                                   \
	X(client)                                                                                  \
	X(method)                                                                                  \
	X(tool)                                                                                    \
	X(request_id)                                                                              \
	X(trace_id)                                                                                \
	X(span_id)                                                                                 \
	X(purpose)

struct text {
	bool there;
	size_t n;
	char bytes[MAX_TEXT];
};

/* The first of the merged. Its arguments are not kept. */
struct first {
	char call_id[UUID_TEXT_BYTES];
	int64_t started_us;
	size_t request_bytes;
	struct book_result result;
#define X(name) struct text name;
	TEXTS(X)
	SPANS(X)
#undef X
	struct text error_type;
	struct text error_message;
};

struct call_flood {
	struct book *book;
	struct flood *flood;
};

static void keep(struct span from, struct text *out)
{
	out->there = from.p != NULL;
	out->n = from.n < MAX_TEXT - 1 ? from.n : MAX_TEXT - 1;
	memcpy(out->bytes, from.p != NULL ? from.p : "", out->n);
	out->bytes[out->n] = '\0';
}

/* The rules are gone when it is written, and so may be what a secret is known by: its end. */
static void keep_clean(const struct redact_rules *rules, struct span from, struct text *out)
{
	static const struct redact_rules everybody = { 0 };
	struct buf clean;

	buf_init(&clean, MAX_CLEAN_BYTES);
	if (from.p != NULL &&
	    redact_text(rules != NULL ? rules : &everybody, from, MAX_TEXT, &clean))
		from = buf_span(&clean);
	keep(from, out);
	buf_wipe(&clean);
}

static struct span kept(const struct text *text)
{
	return text->there ? (struct span){ text->bytes, text->n } : (struct span){ 0 };
}

static void keep_first(struct first *first, const struct book_call *call,
		       const struct book_result *result)
{
	snprintf(first->call_id, sizeof(first->call_id), "%s", call->call_id);
	first->started_us = call->started_us;
	first->request_bytes = call->request_bytes;
	first->result = *result;
	first->result.payload_digest = NULL; /* nor its payloads */
#define X(name) keep(span_of(call->name), &first->name);
	TEXTS(X)
#undef X
#define X(name) keep_clean(call->rules, call->name, &first->name);
	SPANS(X)
#undef X
	keep(span_of(result->error_type), &first->error_type);
	keep_clean(call->rules, result->error_message, &first->error_message);
}

static bool on_flood(void *ctx, void *bytes, uint64_t n)
{
	struct call_flood *flood = ctx;
	const struct first *first = bytes;
	struct book_result result = first->result;
	struct book_call call = { .call_id = first->call_id,
				  .started_us = first->started_us,
				  .request_bytes = first->request_bytes,
#define X(name) .name = kept(&first->name).p,
				  TEXTS(X)
#undef X
#define X(name) .name = kept(&first->name),
					  SPANS(X)
#undef X
	};
	struct err err;

	result.error_type = kept(&first->error_type).p;
	result.error_message = kept(&first->error_message);
	result.n_calls = (int64_t)n;
	if (book_entry(flood->book, &call, &result, NULL, NULL, NULL, &err) == 0)
		return true;
	log_warn(&(struct log_subject){ .component = "call", .call_id = first->call_id },
		 "%llu refused calls cannot be recorded now: %s", (unsigned long long)n, err.text);
	return false;
}

struct call_flood *call_flood_new(struct loop *loop, struct book *book)
{
	struct call_flood *flood = mem_new(sizeof(*flood));

	flood->book = book;
	flood->flood = flood_new(&(struct flood_params){
		.loop = loop,
		.own_per_window = CALL_FLOOD_OWN,
		.total_per_window = CALL_FLOOD_TOTAL,
		.first_bytes = sizeof(struct first),
		.write = on_flood,
		.ctx = flood,
	});
	return flood;
}

void call_flood_free(struct call_flood **slot)
{
	struct call_flood *flood = *slot;

	if (flood == NULL)
		return;
	*slot = NULL;
	call_flood_flush(flood);
	if (flood_pending(flood->flood) > 0)
		log_error(&(struct log_subject){ .component = "call" },
			  "%llu refused calls are not recorded",
			  (unsigned long long)flood_pending(flood->flood));
	flood_free(&flood->flood);
	free(flood);
}

static bool may_be_merged(enum book_outcome outcome)
{
	return outcome == BOOK_UNAUTHENTICATED || outcome == BOOK_MALFORMED ||
	       outcome == BOOK_RATE_LIMITED || outcome == BOOK_DENIED;
}

/* Whoever holds one IPv6 address has a network of them. */
static void write_source(const char *address, char out[INET6_ADDRSTRLEN])
{
	uint8_t bytes[ADDRESS_BYTES];

	snprintf(out, INET6_ADDRSTRLEN, "%s", address);
	if (inet_pton(AF_INET6, address, bytes) != 1)
		return;
	memset(bytes + PREFIX_BYTES, 0, sizeof(bytes) - PREFIX_BYTES);
	inet_ntop(AF_INET6, bytes, out, INET6_ADDRSTRLEN);
}

bool call_flood_merge(struct call_flood *flood, const char *subject, const struct book_call *call,
		      const struct book_result *result, char call_id[UUID_TEXT_BYTES])
{
	char source[INET6_ADDRSTRLEN];
	struct flood_verdict verdict;
	struct first *first;

	if (flood == NULL || !may_be_merged(result->outcome))
		return false;
	if (subject == NULL) {
		write_source(call->source_ip != NULL ? call->source_ip : "", source);
		subject = source;
	}
	verdict = flood_note(flood->flood, call->tenant_id, subject, result->outcome);
	if (!verdict.merged)
		return false;
	first = verdict.first;
	if (verdict.fresh)
		keep_first(first, call, result);
	snprintf(call_id, UUID_TEXT_BYTES, "%s", first->call_id);
	return true;
}

void call_flood_flush(struct call_flood *flood)
{
	(void)flood_flush(flood->flood);
}
