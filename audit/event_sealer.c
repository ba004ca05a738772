/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/event_sealer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/event.h"
#include "audit/event_seal.h"
#include "base/log.h"
#include "base/mem.h"

/* A range of each log comes at most. */
#define MAX_CLAIMS 8

enum sealer_state {
	SEALER_WAITING,	  /* the timer */
	SEALER_CLAIMING,  /* which events */
	SEALER_DIGESTING, /* those of the claim at hand */
	SEALER_APPENDING, /* its seal, until it is durable */
};

struct event_sealer {
	struct event_sealer_params params;
	enum sealer_state state;
	bool again; /* there is more, or a hint came meanwhile */
	bool failing;
	struct timer timer;
	struct db_op *op;
	struct spool_wait wait;
	struct event_seal claims[MAX_CLAIMS];
	size_t n_claims, at;
	uint64_t n_sealed;
};

static const struct log_subject subject = { .component = "book" };

static void on_timer(void *ctx);
static void next_claim(struct event_sealer *sealer);

static void wait_for(struct event_sealer *sealer, int64_t ms)
{
	sealer->state = SEALER_WAITING;
	timer_start(sealer->params.loop, &sealer->timer, ms, on_timer, sealer);
}

static void rest(struct event_sealer *sealer)
{
	wait_for(sealer, sealer->again ? EVENT_SEALER_GATHER_MS : EVENT_SEALER_LOOK_MS);
}

/* What was claimed is given out again, to whom it may be. */
static void give_up(struct event_sealer *sealer, const struct err *err)
{
	if (!sealer->failing)
		log_warn(&subject, "events cannot be sealed: %s", err->text);
	sealer->failing = true;
	sealer->again = false;
	rest(sealer);
}

static void on_durable(void *ctx, const struct err *err)
{
	struct event_sealer *sealer = ctx;

	if (err != NULL) {
		give_up(sealer, err);
		return;
	}
	sealer->n_sealed++;
	sealer->at++;
	next_claim(sealer);
}

static void append(struct event_sealer *sealer, struct event_seal *seal)
{
	struct buf record;
	struct err err;
	int ret;

	seal->sealed_us = loop_unix_us();
	buf_init(&record, EVENT_SEAL_RECORD_BYTES);
	event_seal_encode(seal, &record);
	sealer->state = SEALER_APPENDING;
	ret = book_append_record(sealer->params.book, EVENT_SEAL, buf_span(&record), &sealer->wait,
				 on_durable, sealer, &err);
	buf_fini(&record);
	if (ret < 0)
		give_up(sealer, &err);
}

/* Otherwise nobody would ever seal what is claimed together with them. */
static void skip_gone(struct event_sealer *sealer, const struct event_seal *seal)
{
	log_error(&subject,
		  "events %" PRIu64 " to %" PRIu64 " of %s are gone before they were sealed",
		  seal->first_n, seal->last_n, seal->source);
	sealer->at++;
	next_claim(sealer);
}

static void on_digest(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct event_sealer *sealer = ctx;
	struct event_seal *seal = &sealer->claims[sealer->at];
	const char *digest;

	if (err != NULL) {
		give_up(sealer, err);
		return;
	}
	assert(n == 1);
	digest = db_text(results[0], 0, "digest");
	if (digest == NULL || hex_decode(span_of(digest), seal->digest, sizeof(seal->digest)) < 0) {
		skip_gone(sealer, seal);
		return;
	}
	append(sealer, seal);
}

static void next_claim(struct event_sealer *sealer)
{
	static const struct db_setting scope = { "app.audit_scope", "seals" };
	const struct event_seal *seal = &sealer->claims[sealer->at];
	char first[24], last[24];

	if (sealer->at == sealer->n_claims) {
		sealer->failing = false;
		rest(sealer);
		return;
	}
	snprintf(first, sizeof(first), "%" PRIu64, seal->first_n);
	snprintf(last, sizeof(last), "%" PRIu64, seal->last_n);

	const struct span params[] = { span_of(seal->source), span_of(first), span_of(last) };

	sealer->state = SEALER_DIGESTING;
	db_query(sealer->params.db, &sealer->op, &scope, event_seal_digest_sql, params, 3,
		 on_digest, sealer);
}

/* A log whose name we do not know has a newer gateway to seal it. */
static bool take_claim(const struct db_result *rows, size_t i, struct event_seal *out)
{
	const char *source = db_text(rows, i, "source");

	*out = (struct event_seal){
		.first_n = (uint64_t)db_int(rows, i, "first_n"),
		.last_n = (uint64_t)db_int(rows, i, "last_n"),
	};
	return snprintf(out->source, sizeof(out->source), "%s", source) < (int)sizeof(out->source);
}

static void on_claims(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct event_sealer *sealer = ctx;

	if (err != NULL) {
		give_up(sealer, err);
		return;
	}
	assert(n == 1);
	sealer->n_claims = sealer->at = 0;
	for (size_t i = 0; i < db_rows(results[0]) && sealer->n_claims < MAX_CLAIMS; i++)
		sealer->n_claims += take_claim(results[0], i, &sealer->claims[sealer->n_claims]);
	/* There may be more behind what came. */
	sealer->again |= sealer->n_claims > 0;
	next_claim(sealer);
}

static void on_timer(void *ctx)
{
	struct event_sealer *sealer = ctx;
	char limit[16];

	snprintf(limit, sizeof(limit), "%d", EVENT_SEAL_EVENTS);
	sealer->again = false;
	sealer->state = SEALER_CLAIMING;
	db_query(sealer->params.db, &sealer->op, NULL,
		 "SELECT source, first_n, last_n FROM audit.claim_events($1::int)",
		 &(const struct span){ limit, strlen(limit) }, 1, on_claims, sealer);
}

struct event_sealer *event_sealer_new(const struct event_sealer_params *params)
{
	struct event_sealer *sealer = mem_new(sizeof(*sealer));

	sealer->params = *params;
	wait_for(sealer, EVENT_SEALER_GATHER_MS);
	return sealer;
}

void event_sealer_free(struct event_sealer **slot)
{
	struct event_sealer *sealer = *slot;

	if (sealer == NULL)
		return;
	*slot = NULL;
	timer_stop(&sealer->timer);
	db_cancel(&sealer->op);
	spool_wait_cancel(&sealer->wait);
	free(sealer);
}

/* A look that is due anyway is not put off by what comes meanwhile. */
void event_sealer_hint(struct event_sealer *sealer)
{
	if (sealer->state != SEALER_WAITING) {
		sealer->again = true;
	} else if (!sealer->again) {
		sealer->again = true;
		timer_stop(&sealer->timer);
		wait_for(sealer, EVENT_SEALER_GATHER_MS);
	}
}

uint64_t event_sealer_n_sealed(const struct event_sealer *sealer)
{
	return sealer->n_sealed;
}
