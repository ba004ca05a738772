/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_VERIFY_LIBRARY_H
#define TESTS_UNIT_AUDIT_VERIFY_LIBRARY_H

/*
 * A book with everything that a verifier may meet, built directly in PostgreSQL: chains of epochs,
 * calls of one and of two records, a reduced row, seals of events, payloads, anchors in a file too,
 * rows that no anchor holds yet, and a partition that was sealed and dropped, with runs of links at
 * its edges. What was built is remembered, link by link.
 */

#include <sys/stat.h>

#include "audit/anchor.h"
#include "audit/anchor_file.h"
#include "audit/event_seal.h"
#include "audit/partition_sealer.h"
#include "audit/row.h"
#include "audit/verify_run.h"
#include "base/text.h"
#include "tests/unit/audit/book_fixture.h"

#define DAY_US	      INT64_C(86400000000)
#define N_CHAINS      3
#define OLD_DAYS      20 /* so old is the partition that was dropped */
#define MAX_LINKS     4000
#define EPOCH_LINKS   25
#define MAX_FOUND     64
#define ANCHORS_FILE  "/anchors.jsonl"
#define EVENTS_A_SEAL 5
/* Of a call, so that what is not anchored yet is younger than what is. */
#define ANCHOR_EACH_US INT64_C(1000000)

struct made {
	unsigned chain;
	uint64_t seq;
	unsigned n; /* of the call: its number; 0 for a seal of events */
	unsigned epoch;
	bool dropped, anchored;
	int64_t started_us;
	uint8_t digest[SHA256_BYTES];
	uint8_t mac[CHAIN_MAC_BYTES];
};

struct found {
	enum verify_problem problem;
	struct verify_record record;
};

struct library {
	struct desk desk; /* first: fixtures take it */
	uint8_t seed[ED25519_SEED_BYTES];
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	struct chain chains[N_CHAINS];
	struct chain_anchor last_anchors[N_CHAINS];
	uint8_t mac_keys[N_CHAINS][MAX_LINKS / EPOCH_LINKS + 2][SHA256_BYTES];
	struct made links[MAX_LINKS];
	size_t n_links;
	unsigned n_calls;
	int64_t old_day_us, new_day_us;
	char top[32], file[64];
	struct anchor_files *files;
	struct partition_sealer *sealer;
	bool sealed;
	struct err seal_err;
	char *statement;
	char signature[2 + 2 * CHAIN_SIGNATURE_BYTES + 1];
	/* Of the last verification. */
	struct verify_run *run;
	bool done, failed;
	struct err err;
	struct verify_totals totals;
	struct found found[MAX_FOUND];
	size_t n_found;
	size_t page_rows;
	bool keeps_old; /* the old day is not dropped */
};

/* --- statements ------------------------------------------------------------------------------ */

struct statement {
	bool done, failed;
	struct err err;
	struct db_op *op;
	char v[LONG_TEXT];
};

static inline void on_statement(void *ctx, const struct db_result *const *results, size_t n,
				const struct err *err)
{
	struct statement *statement = ctx;

	statement->done = true;
	statement->failed = err != NULL;
	if (err != NULL)
		statement->err = *err;
	else if (n > 0 && db_rows(results[0]) > 0)
		snprintf(statement->v, sizeof(statement->v), "%s", db_text(results[0], 0, "v"));
}

static inline bool statement_ended(void *ctx)
{
	return ((struct statement *)ctx)->done;
}

/* False: PostgreSQL refused it. The loop is run without ticks, for there are very many. */
static inline bool try_sql(struct library *l, const char *sql, const struct span *params, size_t n,
			   struct statement *out)
{
	struct fixture *f = &l->desk.base;

	*out = (struct statement){ .done = false };
	db_query(f->db, &out->op, NULL, sql, params, n, on_statement, out);
	run_until(f, statement_ended, out);
	return !out->failed;
}

static inline const char *must_sql(struct library *l, const char *sql)
{
	static struct statement statement;

	if (!try_sql(l, sql, NULL, 0, &statement))
		print_error("%s\n%s\n", sql, statement.err.text);
	assert_false(statement.failed);
	return statement.v;
}

static inline void insert_row(struct library *l, const struct kind *kind,
			      const struct batch_row *row)
{
	struct span params[KIND_MAX_COLUMNS];
	struct statement statement;
	struct batch batch;

	batch_init(&batch, kind);
	batch_add(&batch, row);
	batch_params(&batch, params);
	if (!try_sql(l, kind->insert_sql, params, kind->n_columns, &statement))
		print_error("%s: %s\n", kind->name, statement.err.text);
	assert_false(statement.failed);
	batch_fini(&batch);
}

/* --- links ----------------------------------------------------------------------------------- */

static inline struct made *make_link(struct library *l, unsigned chain, struct buf *canonical)
{
	struct made *made = &l->links[l->n_links++];

	assert_true(l->n_links < MAX_LINKS);
	assert_false(canonical->overflow);
	*made = (struct made){ .chain = chain, .epoch = (unsigned)l->chains[chain].epoch };
	crypto_sha256(canonical->data, canonical->len, made->digest);
	chain_link(&l->chains[chain], made->digest);
	made->seq = l->chains[chain].seq;
	memcpy(made->mac, l->chains[chain].mac, sizeof(made->mac));
	memcpy(l->mac_keys[chain][made->epoch], l->chains[chain].mac_key, SHA256_BYTES);
	return made;
}

static inline struct chain_link link_of(const struct library *l, const struct made *made)
{
	struct chain_link link = { .seq = made->seq };

	memcpy(link.id, l->chains[made->chain].id, sizeof(link.id));
	memcpy(link.mac, made->mac, sizeof(link.mac));
	return link;
}

/* What call number n says; variant 1 says something else. */
struct told {
	char id[UUID_TEXT_BYTES], tool[32], arguments[96], trace[33];
	struct book_call call;
	struct book_result result;
	uint8_t payload[SHA256_BYTES];
};

static inline bool has_payload(unsigned n)
{
	return n % 11 == 3;
}

static inline void payload_digest(unsigned n, uint8_t out[SHA256_BYTES])
{
	uint8_t sums[2][SHA256_BYTES];
	char text[32];

	snprintf(text, sizeof(text), "arguments %u", n);
	crypto_sha256(text, strlen(text), sums[0]);
	snprintf(text, sizeof(text), "result %u", n);
	crypto_sha256(text, strlen(text), sums[1]);
	crypto_sha256(sums, sizeof(sums), out);
}

static inline void tell_call(struct told *told, unsigned n, int64_t started_us, unsigned variant)
{
	static const enum book_outcome outcomes[] = { BOOK_OK, BOOK_OK, BOOK_TOOL_ERROR,
						      BOOK_DENIED };

	snprintf(told->id, sizeof(told->id), "00000000-0000-7000-8000-%012x", n);
	snprintf(told->tool, sizeof(told->tool), "crm__%s_%u", variant == 0 ? "get" : "put", n % 7);
	snprintf(told->arguments, sizeof(told->arguments),
		 "{\"n\": %u, \"text\":\"a \\\"quoted\\\" \\\\ line \\u00e9 é\"}", n);
	snprintf(told->trace, sizeof(told->trace), "%032x", n);
	payload_digest(n, told->payload);
	told->call = (struct book_call){
		.call_id = told->id,
		.started_us = started_us,
		.tenant_id = "aaaaaaaa-0000-4000-8000-000000000001",
		.tenant = "demo",
		.user_id = n % 3 == 0 ? NULL : "bbbbbbbb-0000-4000-8000-000000000002",
		.user_name = "ana",
		.client = SPAN("sdk/1.0"),
		.method = SPAN("tools/call"),
		.tool = span_of(told->tool),
		.request_id = SPAN("\"7\""),
		.arguments = n % 4 == 0 ? (struct span){NULL, 0}
			   : span_of(told->arguments),
		.source_ip = n % 2 == 0 ? "10.0.0.1" : "2001:db8::1",
		.trace_id = span_of(told->trace),
		.request_bytes = 100 + n,
		.audit_level = "redacted",
	};
	told->result = (struct book_result){
		.outcome = outcomes[n % 4],
		.duration_us = n % 5 == 0 ? 0 : 1000 + n,
		.upstream_us = n % 3 == 0 ? -1 : (int64_t)(7 * n),
		.error_message = n % 4 == 2 ? SPAN("it said no") : (struct span){NULL, 0},
		.response_bytes = n,
		.http_status = 200,
		.n_calls = n % 9 == 0 ? 3 : 1,
		.payload_digest = has_payload(n) ? told->payload : NULL,
	};
}

/* Odd calls are two records. */
static inline void encode_call(const struct told *told, unsigned n, struct buf *opening,
			       struct buf *closing)
{
	struct event_source source = { .type = n % 2 == 0 ? EVENT_ENTRY : EVENT_INTENT,
				       .call = &told->call,
				       .result = n % 2 == 0 ? &told->result : NULL,
				       .node_id = NODE_ID };

	buf_init(opening, EVENT_MAX_BYTES);
	buf_init(closing, EVENT_MAX_BYTES);
	event_encode(&source, opening);
	if (n % 2 == 0)
		return;
	source.type = EVENT_OUTCOME;
	source.result = &told->result;
	event_encode(&source, closing);
}

static inline struct span span_or_none(const struct buf *buf)
{
	return buf->len > 0 ? buf_span(buf) : (struct span){ NULL, 0 };
}

static inline void digest_call(unsigned n, int64_t started_us, unsigned variant,
			       struct buf *canonical)
{
	struct buf opening, closing;
	struct told told;

	tell_call(&told, n, started_us, variant);
	encode_call(&told, n, &opening, &closing);
	buf_clear(canonical);
	kind_calls.canonical(span_or_none(&opening), span_or_none(&closing), canonical);
	buf_fini(&opening);
	buf_fini(&closing);
}

static inline void put_payload(struct library *l, const struct made *made)
{
	struct told told;
	char at[TEXT_TIME_BYTES];
	char *sql;

	tell_call(&told, made->n, made->started_us, 0);
	text_time(made->started_us, at);
	sql = mem_printf("INSERT INTO audit.call_payloads SELECT 'standard', '%s', '%s', '%s',"
			 " part, 9, false, convert_to(part || ' %u', 'UTF8')"
			 " FROM unnest(ARRAY['arguments', 'result']) part",
			 at, told.call.tenant_id, told.id, made->n);
	must_sql(l, sql);
	free(sql);
}

static inline void make_call(struct library *l, unsigned chain, int64_t started_us,
			     enum batch_form form)
{
	unsigned n = ++l->n_calls;
	struct buf opening, closing, canonical;
	struct chain_link link;
	struct made *made;
	struct told told;

	tell_call(&told, n, started_us, 0);
	encode_call(&told, n, &opening, &closing);
	buf_init(&canonical, EVENT_MAX_BYTES);
	kind_calls.canonical(span_or_none(&opening), span_or_none(&closing), &canonical);
	made = make_link(l, chain, &canonical);
	made->n = n;
	made->started_us = started_us;
	link = link_of(l, made);
	kind_calls.add_link(closing.len > 0 ? &closing : &opening, &link);
	insert_row(l, &kind_calls,
		   &(struct batch_row){ .opening = span_or_none(&opening),
					.closing = span_or_none(&closing),
					.form = form,
					.seed = l->seed });
	if (has_payload(n))
		put_payload(l, made);
	buf_fini(&canonical);
	buf_fini(&opening);
	buf_fini(&closing);
}

/* A call that was open when a process ended, and had no room for its end. */
static inline void put_open_call(struct library *l, unsigned n, const uint8_t *seed)
{
	struct buf opening, closing;
	struct told told;

	assert_int_equal(n % 2, 1);
	tell_call(&told, n, l->new_day_us + INT64_C(3600000000), 0);
	encode_call(&told, n, &opening, &closing);
	insert_row(l, &kind_calls,
		   &(struct batch_row){ .opening = buf_span(&opening), .seed = seed });
	buf_fini(&opening);
	buf_fini(&closing);
}

/* --- events ---------------------------------------------------------------------------------- */

static inline void make_events(struct library *l, unsigned chain)
{
	struct event_seal seal = { .source = "auth", .sealed_us = l->new_day_us };
	struct statement statement;
	struct buf record, canonical;
	struct chain_link link;
	struct made *made;
	char first[24], last[24];

	must_sql(l, "INSERT INTO audit.auth_event_log (tenant_id, tenant, type, actor, detail, at)"
		    " SELECT gen_random_uuid(), 'demo', 'connect_completed', 'user:ana',"
		    " jsonb_build_object('n', i), now() - interval '9 days'"
		    " FROM generate_series(1, 5) i");
	seal.last_n =
		strtoull(must_sql(l, "SELECT last_n AS v FROM audit.claim_events(5)"), NULL, 10);
	assert_true(seal.last_n >= EVENTS_A_SEAL);
	seal.first_n = seal.last_n - EVENTS_A_SEAL + 1;
	snprintf(first, sizeof(first), "%" PRIu64, seal.first_n);
	snprintf(last, sizeof(last), "%" PRIu64, seal.last_n);

	const struct span params[] = { SPAN("auth"), span_of(first), span_of(last) };
	char *sql = mem_printf("SELECT digest AS v FROM (%s) d", event_seal_digest_sql);

	assert_true(try_sql(l, sql, params, 3, &statement));
	free(sql);
	assert_int_equal(hex_decode(span_of(statement.v), seal.digest, sizeof(seal.digest)), 0);
	buf_init(&record, kind_event_seals.max_bytes);
	buf_init(&canonical, EVENT_SEAL_CANONICAL_BYTES);
	event_seal_encode(&seal, &record);
	event_seal_canonical(&seal, &canonical);
	made = make_link(l, chain, &canonical);
	link = link_of(l, made);
	kind_event_seals.add_link(&record, &link);
	insert_row(l, &kind_event_seals, &(struct batch_row){ .opening = buf_span(&record) });
	buf_fini(&record);
	buf_fini(&canonical);
}

/* --- anchors --------------------------------------------------------------------------------- */

static inline void append_line(const struct library *l, const struct buf *line)
{
	int fd = open(l->file, O_WRONLY | O_CREAT | O_APPEND, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, line->data, line->len), line->len);
	close(fd);
}

static inline void make_anchor(struct library *l, unsigned chain, int64_t at_us)
{
	struct chain_anchor *anchor = &l->last_anchors[chain];
	struct buf record, line;

	chain_anchor(&l->chains[chain], at_us, l->seed, anchor);
	for (size_t i = 0; i < l->n_links; i++) {
		if (l->links[i].chain == chain)
			l->links[i].anchored = true;
	}
	buf_init(&record, kind_anchors.max_bytes);
	anchor_encode(anchor, &l->chains[chain], &record);
	insert_row(l, &kind_anchors, &(struct batch_row){ .opening = buf_span(&record) });
	buf_init(&line, ANCHOR_LINE_BYTES + 1);
	anchor_line_write(anchor, &line);
	append_line(l, &line);
	buf_fini(&record);
	buf_fini(&line);
}

/* --- the dropped partition ------------------------------------------------------------------- */

static inline void on_partition_sealed(void *ctx, const struct sealed_partition *sealed,
				       const struct err *err)
{
	struct library *l = ctx;

	l->sealed = true;
	l->seal_err = (struct err){ .text = "" };
	if (err != NULL) {
		l->seal_err = *err;
		return;
	}
	free(l->statement);
	l->statement = mem_strndup(sealed->statement.p, sealed->statement.n);
	memcpy(l->signature, "\\x", 2);
	hex_encode(sealed->signature, sizeof(sealed->signature), l->signature + 2);
}

static inline bool is_partition_sealed(void *ctx)
{
	return ((struct library *)ctx)->sealed;
}

/* False: it does not verify. The seal is then not made. */
static inline bool seal_partition(struct library *l, int64_t day_us, const char *partition)
{
	struct partition_sealer_params params = {
		.loop = l->desk.base.loop,
		.db = l->desk.base.db,
		.seed = l->seed,
		.seal = {.log = "call_log",
			  .from_us = day_us,
			  .to_us = day_us + DAY_US,
			  .sealed_us = loop_unix_us()},
		.done = on_partition_sealed,
		.ctx = l,
	};

	snprintf(params.seal.partition, sizeof(params.seal.partition), "%s", partition);
	l->sealed = false;
	partition_sealer_start(&l->sealer, &params);
	run_until(&l->desk.base, is_partition_sealed, l);
	return l->seal_err.text[0] == '\0';
}

static inline bool drop_sealed(struct library *l, const char *partition, struct statement *out)
{
	const struct span params[] = { span_of(partition), span_of(l->statement),
				       span_of(l->signature) };

	return try_sql(l, "SELECT audit.drop_partition($1::name, $2, $3::bytea)::text AS v", params,
		       3, out);
}

static inline void partition_of(int64_t day_us, char out[PARTITION_NAME_BYTES])
{
	char at[TEXT_TIME_BYTES];

	text_time(day_us, at);
	snprintf(out, PARTITION_NAME_BYTES, "call_log_standard_%.4s%.2s%.2s", at, at + 5, at + 8);
}

static inline void drop_old_day(struct library *l)
{
	char partition[PARTITION_NAME_BYTES];
	struct statement statement;

	partition_of(l->old_day_us, partition);
	if (!seal_partition(l, l->old_day_us, partition))
		print_error("%s\n", l->seal_err.text);
	assert_string_equal(l->seal_err.text, "");
	if (!drop_sealed(l, partition, &statement))
		print_error("%s\n", statement.err.text);
	assert_false(statement.failed);
	for (size_t i = 0; i < l->n_links; i++) {
		if (l->links[i].n != 0 && l->links[i].started_us < l->old_day_us + DAY_US)
			l->links[i].dropped = true;
	}
}

#endif
