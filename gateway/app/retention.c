/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/retention.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/partition_sealer.h"
#include "audit/row.h"
#include "base/db.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/core/meters.h"

#define CONNECT_TIMEOUT_MS 10000
#define OP_TIMEOUT_MS	   600000 /* rows of a day are counted */
#define SINK_LOOK_MS	   50
#define US_PER_DAY	   INT64_C(86400000000)

enum retention_state {
	RETENTION_RESTING,  /* the timer */
	RETENTION_LISTING,  /* the oldest partition behind the last one that was looked at */
	RETENTION_SEALING,  /* the sealer */
	RETENTION_WRITING,  /* the timer: the second sink */
	RETENTION_DROPPING, /* the answer */
};

struct retention {
	struct retention_params params;
	uint8_t seed[ED25519_SEED_BYTES];
	enum retention_state state;
	struct timer timer;
	struct db *db; /* during a sweep */
	struct db_op *op;
	struct partition_sealer *sealer;
	/* The partition at hand. */
	struct partition_seal seal;
	char *statement;
	char signature[2 + 2 * CHAIN_SIGNATURE_BYTES + 1];
	int64_t sink_until_ms;
	/* Of the sweep. */
	struct partition_seal last; /* behind it the next one is looked for */
	uint64_t n_dropped, n_kept;
};

static const struct log_subject subject = { .component = "retention" };

static const struct db_setting scope = { "app.audit_scope", "seals" };

static void sweep(void *ctx);
static void list(struct retention *retention);

static void count(const struct retention *retention, enum gate_metric metric)
{
	meter_count(retention->params.meter, metric, NULL, 1);
}

/* The pool is freed from the loop, not from one of its own callbacks. */
static void on_sweep_end(void *ctx)
{
	struct retention *retention = ctx;

	db_free(&retention->db);
	timer_start(retention->params.loop, &retention->timer, retention->params.sweep_ms, sweep,
		    retention);
	if (retention->params.swept != NULL)
		retention->params.swept(retention->params.ctx, retention->n_dropped,
					retention->n_kept);
}

static void end_sweep(struct retention *retention)
{
	retention->state = RETENTION_RESTING;
	timer_start(retention->params.loop, &retention->timer, 0, on_sweep_end, retention);
}

/* --- a partition that goes, or stays --------------------------------------------------------- */

static void next(struct retention *retention)
{
	free(retention->statement);
	retention->statement = NULL;
	retention->last = retention->seal;
	list(retention);
}

static void keep(struct retention *retention, const char *why)
{
	log_error(&subject, "partition %s is kept: %s", retention->seal.partition, why);
	count(retention, METER_PARTITIONS_KEPT);
	retention->n_kept++;
	next(retention);
}

static void on_dropped(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct retention *retention = ctx;

	if (err != NULL) {
		keep(retention, err->text);
		return;
	}
	assert(n == 1);
	log_info(&subject, "partition %s was dropped with %s rows", retention->seal.partition,
		 db_text(results[0], 0, "n"));
	count(retention, METER_PARTITIONS_DROPPED);
	retention->n_dropped++;
	next(retention);
}

static void drop(struct retention *retention)
{
	const struct span params[] = { span_of(retention->seal.partition),
				       span_of(retention->statement),
				       span_of(retention->signature) };

	retention->state = RETENTION_DROPPING;
	db_query(retention->db, &retention->op, NULL,
		 "SELECT audit.drop_partition($1::name, $2, $3::bytea) AS n", params, 3, on_dropped,
		 retention);
}

/* A seal that only the database has would go with it. */
static void look_at_sink(void *ctx)
{
	struct retention *retention = ctx;

	if (anchor_sink_waiting(retention->params.sink) == 0)
		drop(retention);
	else if (loop_now_ms(retention->params.loop) >= retention->sink_until_ms)
		keep(retention, "its seal cannot be written outside of the database");
	else
		timer_start(retention->params.loop, &retention->timer, SINK_LOOK_MS, look_at_sink,
			    retention);
}

/* --- its seal -------------------------------------------------------------------------------- */

static void write_line(struct retention *retention, const struct sealed_partition *sealed)
{
	char digest[2 * SHA256_BYTES + 1], sealed_at[TEXT_TIME_BYTES];
	uint8_t sum[SHA256_BYTES];
	struct buf line;

	crypto_sha256(sealed->statement.p, sealed->statement.n, sum);
	hex_encode(sum, sizeof(sum), digest);
	text_time(sealed->seal.sealed_us, sealed_at);
	buf_init(&line, ANCHOR_SINK_LINE_BYTES);
	buf_printf(&line,
		   "{\"type\":\"seal\",\"log\":\"%s\",\"partition\":\"%s\",\"rows\":%" PRIu64
		   ",\"sealed_at\":\"%s\",\"statement_sha256\":\"%s\",\"signature\":\"%s\"}",
		   sealed->seal.log, sealed->seal.partition, sealed->seal.rows, sealed_at, digest,
		   retention->signature + 2);
	anchor_sink_add_line(retention->params.sink, buf_span(&line));
	buf_fini(&line);
}

static void on_sealed(void *ctx, const struct sealed_partition *sealed, const struct err *err)
{
	struct retention *retention = ctx;

	if (err != NULL) {
		keep(retention, err->text);
		return;
	}
	retention->statement = mem_strndup(sealed->statement.p, sealed->statement.n);
	memcpy(retention->signature, "\\x", 2);
	hex_encode(sealed->signature, sizeof(sealed->signature), retention->signature + 2);
	write_line(retention, sealed);
	retention->state = RETENTION_WRITING;
	retention->sink_until_ms =
		loop_now_ms(retention->params.loop) + retention->params.sink_wait_ms;
	timer_start(retention->params.loop, &retention->timer, 0, look_at_sink, retention);
}

/* --- which one ------------------------------------------------------------------------------- */

/* Names of partitions hold nothing that JSON would need to escape. */
static bool take_partition(const struct db_result *rows, struct partition_seal *out)
{
	const char *log = db_text(rows, 0, "log");
	const char *partition = db_text(rows, 0, "partition");

	*out = (struct partition_seal){ .sealed_us = loop_unix_us() };
	return snprintf(out->log, sizeof(out->log), "%s", log) < (int)sizeof(out->log) &&
	       snprintf(out->partition, sizeof(out->partition), "%s", partition) <
		       (int)sizeof(out->partition) &&
	       row_parse_int(db_text(rows, 0, "from_us"), &out->from_us) &&
	       row_parse_int(db_text(rows, 0, "to_us"), &out->to_us);
}

static void on_list(void *ctx, const struct db_result *const *results, size_t n,
		    const struct err *err)
{
	struct retention *retention = ctx;

	if (err != NULL)
		log_warn(&subject, "partitions cannot be listed: %s", err->text);
	if (err != NULL || db_rows(results[0]) == 0) {
		end_sweep(retention);
		return;
	}
	assert(n == 1);
	if (!take_partition(results[0], &retention->seal)) {
		end_sweep(retention);
		return;
	}
	retention->state = RETENTION_SEALING;
	partition_sealer_start(&retention->sealer, &(struct partition_sealer_params){
							   .loop = retention->params.loop,
							   .db = retention->db,
							   .setting = &scope,
							   .seed = retention->seed,
							   .seal = retention->seal,
							   .done = on_sealed,
							   .ctx = retention,
						   });
}

/* Before that, partitions have to have ended. */
static void limit_of(int64_t days, char out[TEXT_TIME_BYTES])
{
	if (days == 0)
		snprintf(out, TEXT_TIME_BYTES, "-infinity");
	else
		text_time(loop_unix_us() - days * US_PER_DAY, out);
}

static void list(struct retention *retention)
{
	char calls[TEXT_TIME_BYTES], payloads[TEXT_TIME_BYTES], last[TEXT_TIME_BYTES];

	limit_of(retention->params.call_days, calls);
	limit_of(retention->params.payload_days, payloads);
	text_time(retention->last.to_us, last);

	const struct span params[] = { span_of(calls), span_of(payloads), span_of(last),
				       span_of(retention->last.partition) };

	retention->state = RETENTION_LISTING;
	db_query(retention->db, &retention->op, NULL,
		 "SELECT o.log, o.partition, " ROW_US("o.from_at") " AS from_us, " ROW_US(
			 "o.to_at") " AS to_us FROM audit.old_partitions() o"
				    " WHERE o.to_at <= CASE o.log WHEN 'call_log' THEN"
				    " $1::timestamptz WHEN 'call_payloads' THEN $2::timestamptz END"
				    " AND (o.to_at, o.partition) > ($3::timestamptz, $4::name)"
				    " ORDER BY o.to_at, o.partition LIMIT 1",
		 params, 4, on_list, retention);
}

static void sweep(void *ctx)
{
	struct retention *retention = ctx;

	retention->n_dropped = retention->n_kept = 0;
	retention->last = (struct partition_seal){ .partition = "" };
	retention->db =
		db_new(retention->params.loop, &(struct db_params){
						       .conninfo = retention->params.conninfo,
						       .max_connections = 1,
						       .connect_timeout_ms = CONNECT_TIMEOUT_MS,
						       .op_timeout_ms = OP_TIMEOUT_MS,
						       .idle_ms = OP_TIMEOUT_MS,
						       .max_queued = 4,
					       });
	list(retention);
}

struct retention *retention_new(const struct retention_params *params)
{
	struct retention *retention = mem_new(sizeof(*retention));

	retention->params = *params;
	retention->params.seed = NULL;
	memcpy(retention->seed, params->seed, sizeof(retention->seed));
	if (params->call_days > 0 || params->payload_days > 0)
		timer_start(params->loop, &retention->timer, params->first_ms, sweep, retention);
	return retention;
}

void retention_free(struct retention **slot)
{
	struct retention *retention = *slot;

	if (retention == NULL)
		return;
	*slot = NULL;
	timer_stop(&retention->timer);
	db_cancel(&retention->op);
	partition_sealer_cancel(&retention->sealer);
	db_free(&retention->db);
	free(retention->statement);
	mem_wipe(retention->seed, sizeof(retention->seed));
	free(retention);
}
