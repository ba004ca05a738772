/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "oauth/access_priv.h"

/* What one who waits is told. */
struct verdict {
	enum access_state state;
	const char *why;
	const struct err *err;
};

/* It stands in no list any more. */
static void op_finish(struct access_op *op, const struct verdict *verdict)
{
	struct access_op was = *op;
	struct access_token token;

	timer_stop(&op->patience);
	*op->slot = NULL;
	free(op);
	token = (struct access_token){ was.entry->authorization.reveal, was.entry->version,
				       was.entry->connected_version, was.entry->account };
	if (verdict->err != NULL)
		was.done(was.ctx, ACCESS_UNKNOWN, NULL, NULL, verdict->err);
	else if (verdict->state == ACCESS_READY)
		was.done(was.ctx, ACCESS_READY, &token, NULL, NULL);
	else
		was.done(was.ctx, ACCESS_NONE, NULL, verdict->why, NULL);
}

static bool is_satisfied(const struct access_op *op)
{
	const struct entry *entry = op->entry;

	switch (op->kind) {
	case OP_TOKEN:
		return entry_is_good(entry);
	case OP_NEWER:
		return entry_is_good(entry) && entry->version > op->version;
	case OP_RENEW:
		break;
	}
	return false;
}

struct wanted entry_wanted(const struct entry *entry)
{
	struct wanted wanted = { .above = -1, .actor = ACCESS_TOOL_CALL };
	const struct access_op *op;

	DL_FOREACH(entry->waiting, op)
	{
		wanted.any = true;
		if (op->kind == OP_RENEW && !wanted.forced) {
			wanted.forced = true;
			wanted.actor = op->actor;
		}
		if (op->kind == OP_NEWER && op->version > wanted.above)
			wanted.above = op->version;
	}
	return wanted;
}

/* The list moves aside first: whoever is told may cancel others and begin anew. */
static void tell(struct entry *entry,
		 bool (*judge)(const struct access_op *op, void *ctx, struct verdict *verdict),
		 void *ctx)
{
	struct access_op *telling = entry->waiting;
	struct access_op *op;
	struct verdict verdict;

	entry->waiting = NULL;
	entry->pins++;
	DL_FOREACH(telling, op)
	{
		op->list = &telling;
	}
	while ((op = telling) != NULL) {
		DL_DELETE(telling, op);
		if (judge(op, ctx, &verdict)) {
			op_finish(op, &verdict);
			continue;
		}
		op->list = &entry->waiting;
		DL_APPEND(entry->waiting, op);
	}
	entry->pins--;
}

static bool judge_now(const struct access_op *op, void *ctx, struct verdict *verdict)
{
	(void)ctx;
	*verdict = (struct verdict){ .state = ACCESS_READY };
	return is_satisfied(op);
}

/* --- before any job -------------------------------------------------------------------------- */

/* It was tried a moment ago: what it said then is said again. */
static void fail_all(struct entry *entry)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "%s", entry->why);
	entry_settle(entry, ENDED_FAILED, false, &err);
}

static void on_turn(void *ctx)
{
	struct entry *entry = ctx;

	tell(entry, judge_now, NULL);
	if (entry->waiting == NULL || entry->job != NULL)
		return;
	if (loop_now_ms(entry->access->params.loop) < entry->backoff_until_ms &&
	    !entry_wanted(entry).forced)
		fail_all(entry);
	else
		refresh_start(entry);
}

static void on_impatient(void *ctx)
{
	struct access_op *op = ctx;
	struct err err;
	const struct verdict verdict = { .err = &err };

	err_set(&err, ERR_TIMEOUT, "no token was there within %d s", ACCESS_WAIT_MS / 1000);
	DL_DELETE(*op->list, op);
	op_finish(op, &verdict);
}

static void op_cancel(struct access_op *op)
{
	timer_stop(&op->patience);
	DL_DELETE(*op->list, op);
	free(op);
}

static struct access_op *op_start(struct access *access, struct access_op **slot,
				  const struct grant_key *key, enum op_kind kind, access_done *done,
				  void *ctx)
{
	struct access_op *op = mem_new(sizeof(*op));
	struct entry *entry = entry_get(access, key);

	assert(*slot == NULL);
	*op = (struct access_op){
		.slot = slot,
		.kind = kind,
		.entry = entry,
		.list = &entry->waiting,
		.done = done,
		.ctx = ctx,
	};
	*slot = op;
	DL_APPEND(entry->waiting, op);
	timer_start(access->params.loop, &op->patience, ACCESS_WAIT_MS, on_impatient, op);
	entry->used_ms = loop_now_ms(access->params.loop);
	/* A job that runs tells at its end; what is good already need not wait for it. */
	if (entry->turn.loop == NULL)
		loop_defer(access->params.loop, &entry->turn, on_turn, entry);
	return op;
}

void access_start(struct access *access, struct access_op **slot, const struct grant_key *key,
		  access_done *done, void *ctx)
{
	op_start(access, slot, key, OP_TOKEN, done, ctx);
}

void access_refused(struct access *access, struct access_op **slot, const struct grant_key *key,
		    int64_t version, access_done *done, void *ctx)
{
	op_start(access, slot, key, OP_NEWER, done, ctx)->version = version;
}

void access_renew(struct access *access, struct access_op **slot, const struct grant_key *key,
		  const char *actor, access_done *done, void *ctx)
{
	struct access_op *op = op_start(access, slot, key, OP_RENEW, done, ctx);

	snprintf(op->actor, sizeof(op->actor), "%s", actor);
}

void access_cancel(struct access_op **slot)
{
	struct access_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	if (op->cancel != NULL)
		op->cancel(op);
	else
		op_cancel(op);
}

/* --- after a job ----------------------------------------------------------------------------- */

struct ended {
	enum ending outcome;
	bool succeeded; /* the token was renewed */
	const struct err *err;
};

/*
 * A token that is good serves whoever wants any, whatever became of its renewal. Who wants more
 * is content with what was renewed or is newer; else the failure is his.
 */
static bool judge_ended(const struct access_op *op, void *ctx, struct verdict *verdict)
{
	const struct ended *ended = ctx;

	/* Just renewed is good enough, were it as short-lived as it may. */
	if (is_satisfied(op) ||
	    (ended->succeeded && (op->kind != OP_NEWER || op->entry->version > op->version))) {
		*verdict = (struct verdict){ .state = ACCESS_READY };
		return true;
	}
	if (ended->outcome == ENDED_TOKEN)
		return false; /* loaded, but not what this one wants: a renewal is due */
	*verdict = (struct verdict){
		.state = ACCESS_NONE,
		.why = op->entry->why[0] != '\0' ? op->entry->why : NULL,
		.err = ended->outcome == ENDED_FAILED ? ended->err : NULL,
	};
	return true;
}

void entry_settle(struct entry *entry, enum ending outcome, bool renewed, const struct err *err)
{
	struct ended ended = {
		.outcome = outcome,
		.succeeded = renewed && outcome == ENDED_TOKEN,
		.err = err,
	};

	assert(entry->job == NULL);
	/* Kept by the turn, whoever is told. */
	if (entry->turn.loop == NULL)
		loop_defer(entry->access->params.loop, &entry->turn, on_turn, entry);
	tell(entry, judge_ended, &ended);
	if (entry->waiting == NULL)
		deferred_cancel(&entry->turn);
}
