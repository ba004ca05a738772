/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/partition_sealer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "audit/row.h"
#include "audit/verify_run.h"
#include "base/mem.h"
#include "base/text.h"

/* Small ones, because a gateway serves meanwhile. */
#define PAGE_ROWS 100

/* A chain of which links are in the partition. */
struct part {
	uint8_t chain[CHAIN_ID_BYTES];
	uint64_t first, last;
	uint64_t n;
};

struct partition_sealer {
	struct partition_sealer_params params;
	struct partition_sealer **slot;
	struct db_op *op;
	struct verify_run *run;
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	struct part *parts;
	size_t n_parts, at;
	uint64_t n_found; /* links of the chain at hand */
	struct ranges ranges;
	bool bad;
	struct err problem;
};

/* Of $1 to $2. */
static const char calls_sql[] =
	"SELECT c.chain_id, min(c.chain_seq) AS first, max(c.chain_seq) AS last, count(*) AS n"
	" FROM audit.call_log c WHERE c.started_at >= $1::timestamptz"
	" AND c.started_at < $2::timestamptz GROUP BY c.chain_id LIMIT $3::bigint";
/* What the rows' payload digests speak for: they are in the chain, and stay. */
static const char payloads_sql[] =
	"SELECT NULL AS chain_id, count(*) AS n FROM audit.call_payloads p"
	" WHERE p.started_at >= $1::timestamptz AND p.started_at < $2::timestamptz LIMIT "
	"$3::bigint";

static const struct {
	const char *log;
	const char *sql;
} logs[] = {
	{"call_log",	      calls_sql	},
	{ "call_payloads", payloads_sql},
};

static void finish(struct partition_sealer *sealer, const struct sealed_partition *sealed,
		   const struct err *err)
{
	const struct partition_sealer_params params = sealer->params;
	struct err copy;

	if (err != NULL)
		copy = *err;
	partition_sealer_cancel(sealer->slot);
	params.done(params.ctx, sealed, err != NULL ? &copy : NULL);
}

static void fail(struct partition_sealer *sealer, enum err_code code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	finish(sealer, NULL, &err);
}

/* --- what it held ---------------------------------------------------------------------------- */

static void on_finding(void *ctx, enum verify_problem problem, const struct verify_record *record)
{
	struct partition_sealer *sealer = ctx;
	char id[UUID_TEXT_BYTES];

	if (sealer->bad)
		return;
	sealer->bad = true;
	uuid_text(record->chain, id);
	err_set(&sealer->problem, ERR_CONFLICT, "%s %llu of chain %s: %s",
		verify_kind_word(record->kind), (unsigned long long)record->first, id,
		verify_problem_text(problem));
}

static bool in_partition(const struct partition_sealer *sealer, const struct verify_record *record)
{
	return record->kind == VERIFY_CALL && record->started_us >= sealer->params.seal.from_us &&
	       record->started_us < sealer->params.seal.to_us;
}

static void on_judged(void *ctx, const struct verify_link *link, const uint8_t *before)
{
	struct partition_sealer *sealer = ctx;
	struct verify_range *last = NULL;
	struct verify_range range = { .first = link->record.first, .last = link->record.first };

	if (!in_partition(sealer, &link->record))
		return;
	sealer->n_found++;
	memcpy(range.chain, sealer->parts[sealer->at].chain, sizeof(range.chain));
	memcpy(range.mac, link->mac, sizeof(range.mac));
	if (before == NULL) {
		/* There is a hole in front of it, and so a finding. */
		return;
	}
	memcpy(range.before, before, sizeof(range.before));
	if (sealer->ranges.n > 0)
		last = &sealer->ranges.items[sealer->ranges.n - 1];
	if (last != NULL && last->last + 1 == range.first &&
	    memcmp(last->chain, range.chain, sizeof(range.chain)) == 0) {
		last->last = range.first;
		memcpy(last->mac, range.mac, sizeof(range.mac));
	} else if (!ranges_add(&sealer->ranges, &range)) {
		sealer->bad = true;
		err_set(&sealer->problem, ERR_TOO_LARGE, "it is in too many pieces");
	}
}

/* --- the seal -------------------------------------------------------------------------------- */

static void write_seal(struct partition_sealer *sealer)
{
	struct sealed_partition sealed = { .seal = sealer->params.seal };
	struct buf statement;

	ranges_sort(&sealer->ranges);
	buf_init(&statement, PARTITION_SEAL_MAX_BYTES);
	partition_seal_write(&sealed.seal, &sealer->ranges, &statement);
	if (statement.overflow) {
		fail(sealer, ERR_TOO_LARGE, "it is in too many pieces");
	} else {
		sealed.statement = buf_span(&statement);
		partition_seal_sign(sealer->params.seed, sealed.statement, sealed.signature);
		finish(sealer, &sealed, NULL);
	}
	buf_fini(&statement);
}

static void verify_next(struct partition_sealer *sealer);

static void on_verified(void *ctx, const struct verify_totals *totals, const struct err *err)
{
	struct partition_sealer *sealer = ctx;

	(void)totals;
	if (err != NULL) {
		finish(sealer, NULL, err);
		return;
	}
	if (!sealer->bad && sealer->n_found != sealer->parts[sealer->at].n) {
		sealer->bad = true;
		err_set(&sealer->problem, ERR_CONFLICT, "rows claim each other's places, or came");
	}
	if (sealer->bad) {
		finish(sealer, NULL, &sealer->problem);
		return;
	}
	sealer->at++;
	verify_next(sealer);
}

static void verify_next(struct partition_sealer *sealer)
{
	const struct partition_sealer_params *params = &sealer->params;
	const struct part *part = &sealer->parts[sealer->at];

	if (sealer->at == sealer->n_parts) {
		write_seal(sealer);
		return;
	}
	sealer->n_found = 0;
	verify_run_start(&sealer->run, &(struct verify_run_params){
					       .loop = params->loop,
					       .db = params->db,
					       .setting = params->setting,
					       .public_key = sealer->public_key,
					       .now_us = params->seal.sealed_us,
					       .page_rows = PAGE_ROWS,
					       .from_us = INT64_MIN,
					       .to_us = INT64_MAX,
					       .chain = part->chain,
					       .first_seq = part->first,
					       .last_seq = part->last,
					       .report = on_finding,
					       .judged = on_judged,
					       .done = on_verified,
					       .ctx = sealer,
				       });
}

/* --- which chains ---------------------------------------------------------------------------- */

static bool take_part(struct partition_sealer *sealer, const struct db_result *rows, size_t i)
{
	struct part *part = &sealer->parts[sealer->n_parts];
	uint64_t n = (uint64_t)db_int(rows, i, "n");

	sealer->params.seal.rows += n;
	if (db_text(rows, i, "chain_id") == NULL) {
		sealer->params.seal.unchained += n;
		return true;
	}
	part->n = n;
	part->first = (uint64_t)db_int(rows, i, "first");
	part->last = (uint64_t)db_int(rows, i, "last");
	sealer->n_parts++;
	return part->first > 0 && part->last >= part->first &&
	       uuid_parse(db_text(rows, i, "chain_id"), part->chain);
}

static void on_parts(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct partition_sealer *sealer = ctx;
	size_t n_rows;

	if (err != NULL) {
		finish(sealer, NULL, err);
		return;
	}
	assert(n == 1);
	n_rows = db_rows(results[0]);
	if (n_rows > PARTITION_MAX_CHAINS) {
		fail(sealer, ERR_TOO_LARGE, "there are links of too many chains in it");
		return;
	}
	sealer->parts = mem_new_array(n_rows + 1, sizeof(*sealer->parts));
	for (size_t i = 0; i < n_rows; i++) {
		if (take_part(sealer, results[0], i))
			continue;
		fail(sealer, ERR_CONFLICT, "a row says of its place in a chain what cannot be");
		return;
	}
	verify_next(sealer);
}

static const char *find_sql(const char *log)
{
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		if (strcmp(logs[i].log, log) == 0)
			return logs[i].sql;
	}
	return NULL;
}

void partition_sealer_start(struct partition_sealer **slot,
			    const struct partition_sealer_params *params)
{
	struct partition_sealer *sealer = mem_new(sizeof(*sealer));
	char from[TEXT_TIME_BYTES], to[TEXT_TIME_BYTES];
	const char *sql = find_sql(params->seal.log);

	assert(*slot == NULL && sql != NULL);
	*slot = sealer;
	sealer->slot = slot;
	sealer->params = *params;
	crypto_ed25519_public(params->seed, sealer->public_key);
	text_time(params->seal.from_us, from);
	text_time(params->seal.to_us, to);

	const struct span values[] = { span_of(from), span_of(to), SPAN("10001") };

	_Static_assert(PARTITION_MAX_CHAINS == 10000, "one more is asked for");
	db_query(params->db, &sealer->op, params->setting, sql, values, 3, on_parts, sealer);
}

void partition_sealer_cancel(struct partition_sealer **slot)
{
	struct partition_sealer *sealer = *slot;

	if (sealer == NULL)
		return;
	*slot = NULL;
	db_cancel(&sealer->op);
	verify_run_cancel(&sealer->run);
	ranges_fini(&sealer->ranges);
	free(sealer->parts);
	free(sealer);
}
