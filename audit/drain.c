/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/drain.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/batch.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"

#define BATCH_ROWS     1000
#define BATCH_BYTES    ((size_t)4 << 20) /* of payloads */
#define GATHER_MS      20
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

enum drain_state {
	DRAIN_IDLE,	  /* for a row */
	DRAIN_GATHERING,  /* the timer: more rows, or that they become durable */
	DRAIN_INSERTING,  /* the answer to the kinds' insert_sql */
	DRAIN_PARTITIONS, /* the answer to their partitions_sql */
	DRAIN_BACKING_OFF /* the timer: PostgreSQL is away */
};

struct drain {
	struct drain_params params;
	enum drain_state state;
	struct timer timer;
	struct db_op *op;
	struct ledger_row *rows[BATCH_ROWS]; /* of the running transaction */
	size_t n_rows;
	size_t n_singly; /* so many rows come one by one: PostgreSQL refused them together */
	enum batch_form form;
	bool partitions_asked; /* for the rows that come next */
	bool hurried;
	int64_t backoff_ms; /* 0: the last transaction was answered */
	uint64_t n_written;
	uint64_t n_lost;
	const uint8_t *seed;
};

static const struct log_subject subject = { .component = "book" };

static void on_timer(void *ctx);
static void on_inserted(void *ctx, const struct db_result *const *results, size_t n,
			const struct err *err);
static void on_partitions(void *ctx, const struct db_result *const *results, size_t n,
			  const struct err *err);

static void set_state(struct drain *drain, enum drain_state state, int64_t timer_ms)
{
	drain->state = state;
	if (timer_ms >= 0)
		timer_start(drain->params.loop, &drain->timer, timer_ms, on_timer, drain);
	else
		timer_stop(&drain->timer);
}

/* The batches of the rows to be sent, one for each kind that occurs. */
struct load {
	struct batch batches[KIND_MAX_KINDS];
	size_t n_batches;
	struct span params[KIND_MAX_KINDS][KIND_MAX_COLUMNS];
	struct db_statement statements[KIND_MAX_KINDS];
	size_t n_statements;
};

static struct batch *load_batch(struct load *load, const struct kind *kind)
{
	for (size_t i = 0; i < load->n_batches; i++) {
		if (load->batches[i].kind == kind)
			return &load->batches[i];
	}
	assert(load->n_batches < KIND_MAX_KINDS);
	batch_init(&load->batches[load->n_batches], kind);
	return &load->batches[load->n_batches++];
}

static void load_statement(struct load *load, size_t i, enum drain_state state)
{
	const struct kind *kind = load->batches[i].kind;
	struct db_statement *statement = &load->statements[load->n_statements];

	if (state == DRAIN_INSERTING)
		*statement =
			(struct db_statement){ kind->insert_sql, load->params[i], kind->n_columns };
	else if (kind->partitions_sql != NULL)
		*statement = (struct db_statement){ kind->partitions_sql,
						    &load->params[i][kind->partitions_column], 1 };
	else
		return;
	load->n_statements++;
}

static void load_init(struct load *load, const struct drain *drain, enum drain_state state)
{
	load->n_batches = load->n_statements = 0;
	for (size_t i = 0; i < drain->n_rows; i++) {
		const struct ledger_row *row = drain->rows[i];

		batch_add(load_batch(load, row->kind), &(struct batch_row){
							       .opening = row->opening,
							       .closing = row->closing,
							       .form = drain->form,
							       .seed = drain->seed,
						       });
	}
	for (size_t i = 0; i < load->n_batches; i++) {
		batch_params(&load->batches[i], load->params[i]);
		load_statement(load, i, state);
	}
}

static void load_fini(struct load *load)
{
	for (size_t i = 0; i < load->n_batches; i++)
		batch_fini(&load->batches[i]);
}

/* The same rows make the same arrays, so that a statement after a refusal is about them too. */
static void send_rows(struct drain *drain, enum drain_state state)
{
	struct load load;
	struct db_tx tx;

	load_init(&load, drain, state);
	tx = (struct db_tx){ .statements = load.statements, .n_statements = load.n_statements };
	set_state(drain, state, -1);
	db_start(drain->params.db, &drain->op, &tx,
		 state == DRAIN_INSERTING ? on_inserted : on_partitions, drain);
	load_fini(&load);
}

/* Sends what is durable, or waits for it. */
static void send_next(struct drain *drain)
{
	size_t max_rows = drain->n_singly > 0 ? 1 : BATCH_ROWS;

	drain->n_rows = ledger_peek(drain->params.ledger, drain->rows, max_rows, BATCH_BYTES);
	if (drain->n_rows > 0) {
		send_rows(drain, DRAIN_INSERTING);
	} else if (ledger_n_ready(drain->params.ledger) > 0) {
		set_state(drain, DRAIN_GATHERING, GATHER_MS);
	} else {
		set_state(drain, DRAIN_IDLE, -1);
		drain->hurried = false;
		drain->params.empty(drain->params.ctx);
	}
}

static void on_timer(void *ctx)
{
	send_next(ctx);
}

static void go_on(struct drain *drain)
{
	size_t n = ledger_n_ready(drain->params.ledger);

	if (n == 0 || n >= BATCH_ROWS || drain->n_singly > 0 || drain->hurried)
		send_next(drain);
	else
		set_state(drain, DRAIN_GATHERING, GATHER_MS);
}

static void rows_done(struct drain *drain)
{
	ledger_done(drain->params.ledger, drain->n_rows);
	if (drain->n_singly > 0)
		drain->n_singly--;
	drain->n_rows = 0;
	drain->form = BATCH_WHOLE;
	drain->partitions_asked = false;
	go_on(drain);
}

static void answered(struct drain *drain)
{
	if (drain->backoff_ms > 0)
		log_info(&subject, "PostgreSQL takes rows again, %zu wait",
			 ledger_n_ready(drain->params.ledger));
	drain->backoff_ms = 0;
}

static void back_off(struct drain *drain, const struct err *err)
{
	if (drain->backoff_ms == 0)
		log_warn(&subject, "PostgreSQL takes no rows, %zu wait in the spool: %s",
			 ledger_n_ready(drain->params.ledger), err->text);
	drain->backoff_ms = drain->backoff_ms == 0 ? BACKOFF_MIN_MS : 2 * drain->backoff_ms;
	if (drain->backoff_ms > BACKOFF_MAX_MS)
		drain->backoff_ms = BACKOFF_MAX_MS;
	set_state(drain, DRAIN_BACKING_OFF, drain->backoff_ms);
}

/* Whether another attempt with the same values must fail too: data exception, integrity
 * constraint violation, program limit exceeded. */
static bool is_refusal(const struct err *err)
{
	static const char *const classes[] = { "22", "23", "54" };

	if (err->code != ERR_INTERNAL && err->code != ERR_CONFLICT)
		return false;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strncmp(err->tag, classes[i], strlen(classes[i])) == 0)
			return true;
	}
	return false;
}

static bool may_lack_partition(const struct drain *drain, const struct err *err)
{
	bool has_partitions = false;

	for (size_t i = 0; i < drain->n_rows; i++)
		has_partitions |= drain->rows[i]->kind->partitions_sql != NULL;
	return has_partitions && strcmp(err->tag, "23514") == 0;
}

static void lose_row(struct drain *drain, const struct err *err)
{
	char id[2 * EVENT_UUID_BYTES + 1];
	struct log_subject about = { .component = "book", .call_id = id };

	if (drain->rows[0]->kind == &kind_calls)
		hex_encode(drain->rows[0]->call_id, EVENT_UUID_BYTES, id);
	else
		about.call_id = NULL;
	log_error(&about, "lost: PostgreSQL refuses a row of %s even reduced: %s %s",
		  drain->rows[0]->kind->name, err->tag, err->text);
	drain->n_lost++;
	rows_done(drain);
}

static void on_partitions(void *ctx, const struct db_result *const *results, size_t n,
			  const struct err *err)
{
	struct drain *drain = ctx;

	(void)results;
	(void)n;
	if (err != NULL && !is_refusal(err)) {
		drain->partitions_asked = false;
		back_off(drain, err);
		return;
	}
	answered(drain);
	if (err != NULL)
		log_error(&subject, "a partition cannot be made: %s %s", err->tag, err->text);
	send_rows(drain, DRAIN_INSERTING);
}

/* From together to one by one, from whole to reduced, from reduced to the log. */
static void refused(struct drain *drain, const struct err *err)
{
	if (may_lack_partition(drain, err) && !drain->partitions_asked) {
		drain->partitions_asked = true;
		send_rows(drain, DRAIN_PARTITIONS);
	} else if (drain->n_rows > 1) {
		log_warn(&subject, "%zu rows are sent one by one: %s %s", drain->n_rows, err->tag,
			 err->text);
		drain->n_singly = drain->n_rows;
		drain->partitions_asked = false;
		send_next(drain);
	} else if (drain->form == BATCH_WHOLE && drain->rows[0]->kind->reducible) {
		log_warn(&subject, "a row is stored reduced: %s %s", err->tag, err->text);
		drain->form = BATCH_REDUCED;
		if (drain->n_singly == 0)
			drain->n_singly = 1; /* also if this attempt has to be repeated */
		send_rows(drain, DRAIN_INSERTING);
	} else {
		lose_row(drain, err);
	}
}

static size_t count_calls(const struct drain *drain)
{
	size_t n = 0;

	for (size_t i = 0; i < drain->n_rows; i++)
		n += drain->rows[i]->kind == &kind_calls;
	return n;
}

static void on_inserted(void *ctx, const struct db_result *const *results, size_t n,
			const struct err *err)
{
	struct drain *drain = ctx;

	(void)results;
	(void)n;
	if (err == NULL) {
		answered(drain);
		drain->n_written += count_calls(drain);
		rows_done(drain);
	} else if (is_refusal(err)) {
		answered(drain);
		refused(drain, err);
	} else {
		back_off(drain, err);
	}
}

struct drain *drain_new(const struct drain_params *params)
{
	struct drain *drain = mem_new(sizeof(*drain));

	drain->params = *params;
	drain_poke(drain);
	return drain;
}

void drain_free(struct drain **slot)
{
	struct drain *drain = *slot;

	if (drain == NULL)
		return;
	*slot = NULL;
	db_cancel(&drain->op);
	timer_stop(&drain->timer);
	free(drain);
}

void drain_set_signer(struct drain *drain, const uint8_t *seed)
{
	drain->seed = seed;
}

void drain_poke(struct drain *drain)
{
	size_t n = ledger_n_ready(drain->params.ledger);

	if (n > 0 && drain->state == DRAIN_IDLE)
		set_state(drain, DRAIN_GATHERING, drain->hurried ? 0 : GATHER_MS);
	/* On the dot, because not all may be durable yet: then the timer comes. */
	if (n == BATCH_ROWS && drain->state == DRAIN_GATHERING)
		send_next(drain);
}

void drain_hurry(struct drain *drain)
{
	drain->hurried = true;
	if (drain->state == DRAIN_GATHERING || drain->state == DRAIN_BACKING_OFF)
		timer_start(drain->params.loop, &drain->timer, 0, on_timer, drain);
}

uint64_t drain_n_written(const struct drain *drain)
{
	return drain->n_written;
}

uint64_t drain_n_lost(const struct drain *drain)
{
	return drain->n_lost;
}
