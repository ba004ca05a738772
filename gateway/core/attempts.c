/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/attempts.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/event_context.h"
#include "gateway/core/flood.h"

#define NOBODY	     "00000000-0000-0000-0000-000000000000"
#define NUMBER_BYTES 24
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TEXTS(X)                                                                                   \
	X(event_id)                                                                                \
	X(tenant_id)                                                                               \
	X(tenant)                                                                                  \
	X(actor)                                                                                   \
	X(user_id)                                                                                 \
	X(user_name)                                                                               \
	X(api_key)                                                                                 \
	X(source_ip)                                                                               \
	X(client)                                                                                  \
	X(error_code)                                                                              \
	X(role)                                                                                    \
	X(actor_tenant_id)                                                                         \
	X(actor_tenant)                                                                            \
	X(action)                                                                                  \
	X(target_kind)                                                                             \
	X(target_id)                                                                               \
	X(target)                                                                                  \
	X(outcome)                                                                                 \
	X(error_message)                                                                           \
	X(http_status)

enum text {
#define X(name) TEXT_##name,
	TEXTS(X)
#undef X
		N_TEXTS
};
static const size_t texts[N_TEXTS] = {
#define X(name) offsetof(struct attempt, name),
	TEXTS(X)
#undef X
};

static const enum text admin_params[] = {
	TEXT_event_id,	 TEXT_tenant_id,     TEXT_tenant,	   TEXT_actor,
	TEXT_user_id,	 TEXT_api_key,	     TEXT_source_ip,	   TEXT_client,
	TEXT_error_code, TEXT_role,	     TEXT_actor_tenant_id, TEXT_actor_tenant,
	TEXT_action,	 TEXT_target_kind,   TEXT_target_id,	   TEXT_target,
	TEXT_outcome,	 TEXT_error_message, TEXT_http_status,
};
static const enum text signin_params[] = {
	TEXT_event_id, TEXT_tenant_id, TEXT_tenant, TEXT_actor,	     TEXT_user_id, TEXT_user_name,
	TEXT_api_key,  TEXT_source_ip, TEXT_client, TEXT_error_code, TEXT_action,
};

/* Each takes its texts and then, as the last, how many the row stands for. */
static const struct {
	const char *sql;
	const enum text *params;
	size_t n;
} statements[] = {
	[ATTEMPT_ADMIN] = {"INSERT INTO audit.admin_event_log (event_id, tenant_id, tenant, actor,"
			    " user_id, api_key, source_ip, client, error_code, role, "
			    "actor_tenant_id,"
			    " actor_tenant, action, target_kind, target_id, target, outcome,"
			    " error_message, http_status, n_events, node_id, via)"
			    " VALUES ($1::uuid, $2::uuid, $3, $4, $5::uuid, $6, $7::inet, $8, $9,"
			    " $10, $11::uuid, $12, $13, $14, $15, $16, $17, $18, $19::int,"
			    " $20::bigint, $21::uuid, 'api')",			    admin_params,  COUNT(admin_params) },
	[ATTEMPT_SIGNIN] = { "INSERT INTO audit.auth_event_log (event_id, tenant_id, tenant, type,"
			     " actor, subject, user_name, api_key, source_ip, client, error_code,"
			     " detail, n_events) VALUES ($1::uuid, $2::uuid, $3, 'signin_refused',"
			     " $4, coalesce('user:' || $5::uuid, ''), $6, $7, $8::inet, $9, $10,"
			     " jsonb_build_object('by', $11::text), $12::bigint)", signin_params, COUNT(signin_params)},
};
enum { MAX_PARAMS = COUNT(admin_params) + 2 };

/* What is kept of the first of a flood. */
struct kept {
	enum attempt_kind kind;
	bool there[N_TEXTS];
	char texts[N_TEXTS][EVENT_MAX_TEXT + 1];
};

/* A row, until it is written. */
struct attempt_op {
	struct attempts *attempts;
	struct attempt_op *prev, *next;
	struct attempt_op **slot; /* NULL: nobody waits */
	attempt_done *done;
	void *ctx;
	struct kept kept;
	uint64_t n; /* attempts that it stands for */
	struct db_op *query;
};

struct attempts {
	struct loop *loop;
	struct db *db;
	const char *node_id;
	struct flood *flood;
	struct attempt_op *waiting; /* being written, or to be tried again */
	size_t n_waiting;
	struct timer retry;
	loop_cb *drained; /* NULL: nobody waits */
	void *drained_ctx;
	struct deferred drain_call;
};

static const char *text_at(const struct attempt *attempt, size_t i)
{
	return *(const char *const *)((const char *)attempt + texts[i]);
}

static void keep(const struct attempt *attempt, struct kept *out)
{
	out->kind = attempt->kind;
	for (size_t i = 0; i < N_TEXTS; i++) {
		const char *text = text_at(attempt, i);

		out->there[i] = text != NULL;
		snprintf(out->texts[i], sizeof(out->texts[i]), "%s", text != NULL ? text : "");
	}
}

static void write_row(struct attempt_op *op);

static void on_retry(void *ctx)
{
	struct attempts *attempts = ctx;
	struct attempt_op *at;

	DL_FOREACH(attempts->waiting, at)
	{
		if (at->query == NULL)
			write_row(at);
	}
}

static void on_drain_call(void *ctx)
{
	struct attempts *attempts = ctx;
	loop_cb *done = attempts->drained;

	attempts->drained = NULL;
	done(attempts->drained_ctx);
}

static void check_drained(struct attempts *attempts)
{
	struct attempt_op *at;

	if (attempts->drained == NULL)
		return;
	DL_FOREACH(attempts->waiting, at)
	{
		if (at->query != NULL)
			return;
	}
	loop_defer(attempts->loop, &attempts->drain_call, on_drain_call, attempts);
}

static void op_free(struct attempt_op *op)
{
	DL_DELETE(op->attempts->waiting, op);
	op->attempts->n_waiting--;
	if (op->slot != NULL)
		*op->slot = NULL;
	db_cancel(&op->query);
	free(op);
}

static void tell(struct attempt_op *op, const struct err *err)
{
	attempt_done *done = op->done;
	void *ctx = op->ctx;
	bool waited_for = op->slot != NULL;

	op_free(op);
	if (waited_for)
		done(ctx, err);
}

static void try_later(struct attempt_op *op, const struct err *err)
{
	log_warn(&(struct log_subject){ .component = "events" },
		 "%llu refused attempts cannot be recorded now: %s", (unsigned long long)op->n,
		 err->text);
	timer_start(op->attempts->loop, &op->attempts->retry, ATTEMPTS_RETRY_MS, on_retry,
		    op->attempts);
}

static void on_written(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct attempt_op *op = ctx;
	struct attempts *attempts = op->attempts;

	(void)results;
	(void)n;
	/* Its id is there: it was written, and the answer to that was lost. */
	if (err != NULL && err->code == ERR_CONFLICT)
		err = NULL;
	if (err == NULL || op->slot != NULL)
		tell(op, err);
	else
		try_later(op, err);
	check_drained(attempts);
}

static void write_row(struct attempt_op *op)
{
	const struct kept *kept = &op->kept;
	const char *tenant_id = kept->there[TEXT_tenant_id] ? kept->texts[TEXT_tenant_id] : NOBODY;
	const struct db_setting setting = { "app.tenant", tenant_id };
	struct span params[MAX_PARAMS];
	char number[NUMBER_BYTES];
	size_t n_params = statements[kept->kind].n;

	for (size_t i = 0; i < n_params; i++) {
		enum text text = statements[kept->kind].params[i];

		params[i] = span_of(kept->there[text] ? kept->texts[text] : NULL);
	}
	params[TEXT_tenant_id] = span_of(tenant_id); /* the second of both */
	snprintf(number, sizeof(number), "%llu", (unsigned long long)op->n);
	params[n_params++] = span_of(number);
	if (kept->kind == ATTEMPT_ADMIN)
		params[n_params++] = span_of(op->attempts->node_id);
	db_query(op->attempts->db, &op->query, &setting, statements[kept->kind].sql, params,
		 n_params, on_written, op);
}

static struct attempt_op *op_new(struct attempts *attempts, uint64_t n)
{
	struct attempt_op *op = mem_new(sizeof(*op));

	op->attempts = attempts;
	op->n = n;
	DL_APPEND(attempts->waiting, op);
	attempts->n_waiting++;
	return op;
}

static bool on_flood(void *ctx, void *first, uint64_t n)
{
	struct attempts *attempts = ctx;
	struct attempt_op *op;

	if (attempts->n_waiting >= ATTEMPTS_WAITING)
		return false;
	op = op_new(attempts, n);
	memcpy(&op->kept, first, sizeof(op->kept));
	write_row(op);
	return true;
}

struct attempts *attempts_new(struct loop *loop, struct db *db, const char *node_id)
{
	struct attempts *attempts = mem_new(sizeof(*attempts));

	attempts->loop = loop;
	attempts->db = db;
	attempts->node_id = node_id;
	attempts->flood = flood_new(&(struct flood_params){
		.loop = loop,
		.own_per_window = ATTEMPTS_OWN,
		.total_per_window = ATTEMPTS_TOTAL,
		.first_bytes = sizeof(struct kept),
		.write = on_flood,
		.ctx = attempts,
	});
	return attempts;
}

void attempts_free(struct attempts **slot)
{
	struct attempts *attempts = *slot;
	struct attempt_op *at, *next;

	if (attempts == NULL)
		return;
	*slot = NULL;
	DL_FOREACH_SAFE(attempts->waiting, at, next)
	{
		op_free(at);
	}
	timer_stop(&attempts->retry);
	deferred_cancel(&attempts->drain_call);
	flood_free(&attempts->flood);
	free(attempts);
}

/* Outcomes are merged each by itself. */
static unsigned kind_of(const struct attempt *attempt)
{
	static const char *const outcomes[] = { "denied",   "unauthenticated", "invalid",
						"conflict", "not_found",       "stale",
						"failed",   "rate_limited",    "unavailable" };

	if (attempt->kind == ATTEMPT_SIGNIN)
		return COUNT(outcomes);
	for (unsigned i = 0; i < COUNT(outcomes); i++) {
		if (strcmp(outcomes[i], attempt->outcome) == 0)
			return i;
	}
	return COUNT(outcomes) + 1;
}

static const char *source_of(const struct attempt *attempt)
{
	if (attempt->kind == ATTEMPT_ADMIN && attempt->api_key != NULL)
		return attempt->api_key;
	return attempt->source_ip != NULL ? attempt->source_ip : "";
}

bool attempts_write(struct attempts *attempts, struct attempt_op **slot,
		    const struct attempt *attempt, attempt_done *done, void *ctx)
{
	struct flood_verdict verdict = { false, NULL, false };
	struct attempt_op *op;

	if (attempt->kind == ATTEMPT_SIGNIN || strcmp(attempt->outcome, "ok") != 0)
		verdict = flood_note(attempts->flood, attempt->tenant_id, source_of(attempt),
				     kind_of(attempt));
	if (verdict.merged) {
		if (verdict.fresh)
			keep(attempt, verdict.first);
		return false;
	}
	if (slot == NULL && attempts->n_waiting >= ATTEMPTS_WAITING) {
		log_warn(&(struct log_subject){ .component = "events" },
			 "a refused attempt is not recorded: %d wait already", ATTEMPTS_WAITING);
		return false;
	}
	op = op_new(attempts, 1);
	keep(attempt, &op->kept);
	if (slot != NULL) {
		assert(*slot == NULL);
		op->slot = slot;
		op->done = done;
		op->ctx = ctx;
		*slot = op;
	}
	write_row(op);
	return true;
}

void attempt_leave(struct attempt_op **slot)
{
	if (*slot != NULL)
		(*slot)->slot = NULL;
	*slot = NULL;
}

void attempts_drain(struct attempts *attempts, loop_cb *done, void *ctx)
{
	assert(attempts->drained == NULL);
	attempts->drained = done;
	attempts->drained_ctx = ctx;
	(void)flood_flush(attempts->flood);
	timer_stop(&attempts->retry);
	on_retry(attempts);
	check_drained(attempts);
}
