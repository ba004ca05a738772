/* SPDX-License-Identifier: Apache-2.0 */

/* What a row pays for its place in the chain: CPU time of reading both records of a call, joining
 * them, summing, linking, and writing the link into the second. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit/kind.h"
#include "audit/links.h"
#include "base/loop.h"

#define N_ROWS	   200000
#define CEILING_NS 5000

static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void encode(struct buf *out, enum event_type type)
{
	const struct book_call call = {
		.call_id = "01920000-0000-7000-8000-000000000001",
		.started_us = loop_unix_us(),
		.tenant_id = "11111111-2222-4333-8444-555555555555",
		.tenant = "acme",
		.user_id = "aaaaaaaa-0000-4000-8000-000000000001",
		.user_name = "ana@acme.example",
		.api_key = "laptop",
		.connection_id = "bbbbbbbb-0000-4000-8000-000000000002",
		.connection = "crm",
		.client = SPAN("claude-code/2.0.14"),
		.method = SPAN("tools/call"),
		.tool = SPAN("crm__search_contacts"),
		.request_id = SPAN("17"),
		.arguments =
			SPAN("{\"query\":\"everybody who bought a boat last year\",\"limit\":50,"
			     "\"fields\":[\"name\",\"city\",\"email\"],\"cursor\":null}"),
		.protocol_version = "2026-07-28",
		.session_id = "b6b1f2a8f1d7f0f7c5d2f0a1",
		.source_ip = "192.0.2.17",
		.trace_id = SPAN("0af7651916cd43dd8448eb211c80319c"),
		.span_id = SPAN("b7ad6b7169203331"),
		.request_bytes = 512,
		.persona = "sales",
		.audit_level = "redacted",
	};
	const struct book_result result = {
		.outcome = BOOK_OK,
		.duration_us = 81234,
		.upstream_us = 80000,
		.response_bytes = 4096,
		.http_status = 200,
		.account = "ana@crm.example",
		.upstream_status = 200,
	};

	buf_init(out, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ .type = type,
					     .call = &call,
					     .result = type == EVENT_INTENT ? NULL : &result,
					     .node_id = "cccccccc-0000-4000-8000-000000000003" },
		     out);
}

int main(void)
{
	struct buf opening, closing, canonical, record;
	struct links links = { .known = false };
	int64_t began_ns, row_ns;

	encode(&opening, EVENT_INTENT);
	encode(&closing, EVENT_OUTCOME);
	buf_init(&canonical, EVENT_MAX_BYTES);
	buf_init(&record, EVENT_MAX_BYTES);
	(void)!links_ready(&links);
	began_ns = cpu_ns();
	for (unsigned i = 0; i < N_ROWS; i++) {
		uint8_t digest[SHA256_BYTES];
		struct chain_link link;
		struct chain next;

		buf_clear(&canonical);
		kind_calls.canonical(buf_span(&opening), buf_span(&closing), &canonical);
		crypto_sha256(canonical.data, canonical.len, digest);
		link = links_next(&links, digest, &next);
		buf_clear(&record);
		buf_add_span(&record, buf_span(&closing));
		kind_calls.add_link(&record, &link);
		links.last = next;
	}
	row_ns = (cpu_ns() - began_ns) / N_ROWS;
	printf("%s chain_row: %" PRId64 ".%03" PRId64
	       " us of CPU, ceiling %d us (%zu bytes of a row)\n",
	       row_ns <= CEILING_NS ? "ok" : "not ok", row_ns / 1000, row_ns % 1000,
	       CEILING_NS / 1000, canonical.len);
	return row_ns <= CEILING_NS && links.last.seq == N_ROWS ? 0 : 1;
}
