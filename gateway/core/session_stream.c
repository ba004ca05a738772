/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/session_stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gateway/core/session.h"

#define HEX_BYTES (2 * SHA256_BYTES + 1)
/* Of an array's text, for each element. */
#define MAX_ELEMENT_BYTES (HEX_BYTES + 1)

/* The lists stand side by side: one element each for every stream. */
#define OF_STREAMS                                                                                 \
	" FROM unnest($1::text[], $2::bigint[], $3::int[], $4::text[])"                            \
	" AS s (session, number, asks, list)"
#define OF_SESSION                                                                                 \
	" m.tenant_id = current_setting('app.tenant')::uuid"                                       \
	" AND m.id_hash = decode(s.session, 'hex') AND m.expires_at > now()"

static const char *const claim_sql =
	"UPDATE tollgate.mcp_sessions m SET stream = s.number, last_seen_at = now(),"
	" expires_at = now() + make_interval(secs => $5::bigint)" OF_STREAMS " WHERE" OF_SESSION
	" AND (s.asks & 1 <> 0 OR (m.stream = s.number"
	" AND m.last_seen_at < now() - make_interval(secs => $6::bigint)))";

static const char *const compare_sql =
	"WITH told AS (UPDATE tollgate.mcp_sessions m SET list_hash = decode(s.list, "
	"'hex')" OF_STREAMS " WHERE" OF_SESSION " AND m.stream = s.number AND s.asks & 2 <> 0"
	" AND m.list_hash IS DISTINCT FROM decode(s.list, 'hex')"
	" AND (m.list_hash IS NOT NULL OR s.asks & 4 <> 0) RETURNING m.id_hash)"
	" SELECT m.id_hash, m.stream, told.id_hash IS NOT NULL AS tell" OF_STREAMS
	" JOIN tollgate.mcp_sessions m ON" OF_SESSION " LEFT JOIN told ON told.id_hash = m.id_hash";

enum { CLAIMED, COMPARED, N_STATEMENTS };

struct session_stream_op {
	struct session_stream_op **slot;
	struct db_op *query;
	session_stream_done *done;
	void *ctx;
};

static void finish(struct session_stream_op *op, const struct session_stream_found *found, size_t n,
		   const struct err *err)
{
	struct session_stream_op was = *op;

	*op->slot = NULL;
	free(op);
	was.done(was.ctx, found, n, err);
}

static void read_row(const struct db_result *rows, size_t row, struct session_stream_found *out)
{
	size_t n;
	uint8_t *session = db_bytes(rows, row, "id_hash", &n);

	assert(n == SHA256_BYTES);
	memcpy(out->session, session, SHA256_BYTES);
	free(session);
	out->newest = db_int(rows, row, "stream");
	out->tell = db_bool(rows, row, "tell");
}

static void on_rows(void *ctx, const struct db_result *const *results, size_t n_results,
		    const struct err *err)
{
	struct session_stream_found *found;
	struct err problem;
	size_t n;

	if (err != NULL) {
		err_set(&problem, ERR_UNAVAILABLE, "sessions cannot be reached now: %s", err->text);
		finish(ctx, NULL, 0, &problem);
		return;
	}
	assert(n_results == N_STATEMENTS);
	n = db_rows(results[COMPARED]);
	found = mem_new_array(n, sizeof(*found));
	for (size_t i = 0; i < n; i++)
		read_row(results[COMPARED], i, &found[i]);
	finish(ctx, found, n, NULL);
	free(found);
}

static const char *digest_text(const uint8_t digest[SHA256_BYTES], char text[HEX_BYTES])
{
	hex_encode(digest, SHA256_BYTES, text);
	return text;
}

/* The four lists as Postgres reads arrays. */
struct lists {
	struct buf sessions, numbers, asks, digests;
};

static void lists_write(struct lists *lists, const struct session_stream *streams, size_t n)
{
	size_t max_bytes = n * MAX_ELEMENT_BYTES + 3;
	char text[HEX_BYTES];

	buf_init(&lists->sessions, max_bytes);
	buf_init(&lists->numbers, max_bytes);
	buf_init(&lists->asks, max_bytes);
	buf_init(&lists->digests, max_bytes);
	for (size_t i = 0; i < n; i++) {
		char before = i == 0 ? '{' : ',';

		buf_printf(&lists->sessions, "%c%s", before, digest_text(streams[i].session, text));
		buf_printf(&lists->numbers, "%c%" PRId64, before, streams[i].number);
		buf_printf(&lists->asks, "%c%u", before, streams[i].asks);
		buf_printf(&lists->digests, "%c%s", before, digest_text(streams[i].list, text));
	}
	buf_add(&lists->sessions, "}");
	buf_add(&lists->numbers, "}");
	buf_add(&lists->asks, "}");
	buf_add(&lists->digests, "}");
}

static void lists_fini(struct lists *lists)
{
	buf_fini(&lists->sessions);
	buf_fini(&lists->numbers);
	buf_fini(&lists->asks);
	buf_fini(&lists->digests);
}

void session_stream_start(struct db *db, struct session_stream_op **slot, const char *tenant_id,
			  const struct session_stream *streams, size_t n, session_stream_done *done,
			  void *ctx)
{
	const struct db_setting tenant = { "app.tenant", tenant_id };
	struct session_stream_op *op = mem_new(sizeof(*op));
	struct lists lists;
	char idle[24];
	char seen[24];

	assert(*slot == NULL && n > 0 && n <= SESSION_STREAMS_AT_ONCE);
	*op = (struct session_stream_op){ .slot = slot, .done = done, .ctx = ctx };
	*slot = op;
	lists_write(&lists, streams, n);
	snprintf(idle, sizeof(idle), "%d", SESSION_IDLE_SECONDS);
	snprintf(seen, sizeof(seen), "%d", SESSION_SEEN_SECONDS);

	const struct span params[] = {
		buf_span(&lists.sessions),
		buf_span(&lists.numbers),
		buf_span(&lists.asks),
		buf_span(&lists.digests),
		span_of(idle),
		span_of(seen),
	};
	const struct db_statement statements[N_STATEMENTS] = {
		[CLAIMED] = {.sql = claim_sql,	.params = params, .n_params = 6},
		[COMPARED] = { .sql = compare_sql, .params = params, .n_params = 4},
	};
	const struct db_tx tx = {
		.settings = &tenant,
		.n_settings = 1,
		.statements = statements,
		.n_statements = N_STATEMENTS,
	};
	db_start(db, &op->query, &tx, on_rows, op);
	lists_fini(&lists);
}

void session_stream_cancel(struct session_stream_op **slot)
{
	struct session_stream_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	db_cancel(&op->query);
	free(op);
}

void session_listed(struct db *db, struct db_op **slot, const char *tenant_id,
		    const uint8_t session[SHA256_BYTES], const uint8_t list[SHA256_BYTES],
		    db_done *done, void *ctx)
{
	static const char *const sql =
		"UPDATE tollgate.mcp_sessions SET list_hash = decode($2, 'hex')"
		" WHERE tenant_id = current_setting('app.tenant')::uuid"
		" AND id_hash = decode($1, 'hex') AND list_hash IS DISTINCT FROM decode($2, 'hex')";
	const struct db_setting tenant = { "app.tenant", tenant_id };
	char texts[2][HEX_BYTES];
	const struct span params[] = {
		span_of(digest_text(session, texts[0])),
		span_of(digest_text(list, texts[1])),
	};

	db_query(db, slot, &tenant, sql, params, 2, done, ctx);
}
