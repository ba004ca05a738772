/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "oauth/refresh_priv.h"

static int64_t now_s(void)
{
	return loop_unix_us() / 1000000;
}

/* --- how it ends ----------------------------------------------------------------------------- */

static void drop_row(struct refresh *job)
{
	if (job->row != NULL)
		grant_wipe(&job->row->grant);
	if (job->renewed != NULL)
		grant_wipe(&job->renewed->grant);
	job->row = job->renewed = NULL;
	if (job->arena != NULL)
		arena_free(&job->arena);
}

void refresh_take_row(struct refresh *job, const struct grant_row *row)
{
	drop_row(job);
	job->arena = arena_new();
	job->row = grant_row_dup(job->arena, row);
}

static void job_free(struct access *access, struct refresh *job)
{
	timer_stop(&job->timer);
	grant_cancel(&job->query);
	token_request_cancel(&job->request);
	spool_wait_cancel(&job->wait);
	drop_row(job);
	if (job->handed_arena != NULL)
		arena_free(&job->handed_arena);
	if (job->has_tenant)
		access->params.give_back(access->params.ctx, &job->tenant);
	DL_DELETE(access->jobs, job);
	if (job->background)
		access->n_background--;
	job->entry->job = NULL;
	free(job);
}

static void note_outcome(struct refresh *job)
{
	struct entry *entry = job->entry;

	switch (job->outcome) {
	case ENDED_TOKEN:
		entry->why[0] = '\0';
		entry->backoff_until_ms = 0;
		break;
	case ENDED_NONE:
		if (!job->keep)
			entry_none(entry, job->why);
		snprintf(entry->why, sizeof(entry->why), "%s", job->why);
		break;
	case ENDED_FAILED:
		snprintf(entry->why, sizeof(entry->why), "%s", job->err.text);
		break;
	}
}

static void finish(struct refresh *job)
{
	struct access *access = job->access;
	struct entry *entry = job->entry;
	enum ending outcome = job->outcome;
	bool succeeded = job->succeeded;
	bool background = job->background;
	struct err err = job->err;
	struct arena *handed_arena = job->handed_arena;
	const struct grant_row *handed = job->handed;

	job->handed_arena = NULL;
	note_outcome(job);
	if (succeeded && job->above >= 0)
		entry->refused_ms = loop_now_ms(access->params.loop);
	job_free(access, job);
	entry->pins++;
	entry_settle(entry, outcome, succeeded, &err);
	entry->pins--;
	if (handed_arena != NULL) {
		refresh_start_leased(entry, handed);
		arena_free(&handed_arena);
	}
	/* Whoever waited has got what was true; the next one looks again. */
	if (entry->hinted_version > entry->version)
		entry_forget(entry);
	entry->hinted_version = 0;
	/* What nobody uses makes room for what is used. */
	if (background && entry->used_ms == 0)
		entry_drop(entry);
	if (background)
		due_ended(access);
	access_check_drained(access);
}

enum refresh_go refresh_end_token(struct refresh *job, const struct grant *grant)
{
	entry_put(job->entry, grant);
	job->outcome = ENDED_TOKEN;
	return GO_END;
}

enum refresh_go refresh_end_none(struct refresh *job, const char *why)
{
	job->outcome = ENDED_NONE;
	snprintf(job->why, sizeof(job->why), "%s", why != NULL ? why : "");
	return GO_END;
}

enum refresh_go refresh_end_failed(struct refresh *job, const struct err *err)
{
	job->outcome = ENDED_FAILED;
	job->err = *err;
	return GO_END;
}

enum refresh_go refresh_go_to(struct refresh *job, enum refresh_step step)
{
	job->step = step;
	return GO_ON;
}

static enum refresh_go unavailable(struct refresh *job, const char *why)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "%s", why);
	return refresh_end_failed(job, &err);
}

static enum refresh_go store_failed(struct refresh *job, const struct err *err)
{
	struct err problem = *err;

	err_prefix(&problem, "the grant cannot be read now");
	problem.code = err->code == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE;
	return refresh_end_failed(job, &problem);
}

/* --- the steps until it is ours -------------------------------------------------------------- */

static void on_no_tenant(void *ctx)
{
	struct refresh *job = ctx;

	unavailable(job, "the tenant cannot be read now");
	finish(job);
}

static enum refresh_go step_tenant(struct refresh *job)
{
	struct access *access = job->access;

	job->has_tenant =
		access->params.take(access->params.ctx, job->entry->key.tenant_id, &job->tenant);
	if (!job->has_tenant) {
		if (job->timer.loop == NULL)
			timer_start(access->params.loop, &job->timer, REFRESH_TENANT_MS,
				    on_no_tenant, job);
		return GO_WAIT;
	}
	timer_stop(&job->timer);
	return refresh_go_to(job, job->leased ? STEP_OPEN : STEP_LOAD);
}

static void run_after(struct refresh *job, enum refresh_go go)
{
	if (go == GO_ON)
		refresh_run(job);
	else if (go == GO_END)
		finish(job);
}

static void on_loaded(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct refresh *job = ctx;

	if (err != NULL) {
		run_after(job, store_failed(job, err));
		return;
	}
	if (result->n_rows == 0) {
		run_after(job, refresh_end_none(job, NULL));
		return;
	}
	refresh_take_row(job, &result->rows[0]);
	run_after(job, refresh_go_to(job, STEP_OPEN));
}

static enum refresh_go step_load(struct refresh *job)
{
	const struct grant_request request = {
		.verb = GRANT_LOAD,
		.key = job->entry->key,
		.grace_ms = job->access->params.refresh_grace_ms,
	};

	grant_start(job->access->params.store, &job->query, &request, on_loaded, job);
	return GO_WAIT;
}

/* What does not open harms nobody else, and is kept: its key may come back. */
static enum refresh_go unreadable(struct refresh *job, const struct err *err)
{
	const char *before = job->row->grant.last_error;

	log_error(&(struct log_subject){ .component = "oauth",
					 .tenant = job->row->grant.key.tenant_id,
					 .connection = job->row->grant.key.connection_id },
		  "%s", err->text);
	if (before != NULL && strcmp(before, err->text) == 0 && !job->leased)
		return refresh_end_none(job, err->text);
	job->error = (struct token_error){ .kind = TOKEN_CLIENT };
	snprintf(job->error.code, sizeof(job->error.code), REFRESH_UNDECRYPTABLE);
	snprintf(job->error.text, sizeof(job->error.text), "%.*s", (int)sizeof(job->error.text) - 1,
		 err->text);
	job->failed_event = "refresh_failed_client";
	return refresh_go_to(job, STEP_FAIL);
}

static bool is_good(const struct grant *grant)
{
	return grant->access_token.n > 0 && (grant->expires_at == 0 || now_s() < grant->expires_at);
}

/* It cannot be renewed without a person: that is so from now on if it is of no use as it is. */
static enum refresh_go impossible(struct refresh *job)
{
	const struct grant *grant = &job->row->grant;
	bool good = is_good(grant);
	bool expired = grant->refresh_token.n > 0 && grant->token_url != NULL;

	job->error = (struct token_error){ .kind = TOKEN_TERMINAL };
	snprintf(job->error.text, sizeof(job->error.text), "%s",
		 expired ? "the refresh token has expired"
			 : "it has no refresh token, and the token is not good any more");
	job->failed_event = expired ? "refresh_skipped_expired" : "refresh_skipped_no_token";
	if (!good || job->above >= grant->version)
		return refresh_go_to(job, STEP_FAIL);
	job->keep = true;
	if (job->leased)
		return refresh_go_to(job, STEP_YIELD);
	return refresh_end_none(job, expired ? "the refresh token has expired"
					     : "it has no refresh token");
}

static enum refresh_go step_open(struct refresh *job)
{
	const struct grant *grant = &job->row->grant;
	struct grant_keys keys;
	struct err err;

	job->entry->row_state = grant->state;
	job->entry->version = grant->version;
	if (grant->state == GRANT_DISCONNECTED)
		return refresh_end_none(job, "it was disconnected");
	if (grant->state == GRANT_NEEDS_REAUTH)
		return refresh_end_none(job, grant->last_error != NULL
						     ? grant->last_error
						     : "the authorization server does not renew it "
						       "any more");
	if (grant_open(access_keys(job->access, &job->tenant, &keys), job->row, &err) < 0)
		return unreadable(job, &err);
	if (job->leased && !refresh_is_possible(grant))
		return impossible(job);
	return refresh_go_to(job, job->leased ? STEP_SENT : STEP_JUDGE);
}

/* After failures it is left alone for a while, shorter if calls wait for it. 0: it is not. */
static int64_t rests_until(const struct grant_row *row)
{
	int64_t soon = row->grant.last_error_at + REFRESH_BACKOFF_EXPIRED_S;

	if (row->failures == 0)
		return 0;
	return row->next_refresh_at != 0 && row->next_refresh_at < soon ? row->next_refresh_at
									: soon;
}

static enum refresh_go rest(struct refresh *job, int64_t until)
{
	job->entry->backoff_until_ms =
		loop_now_ms(job->access->params.loop) + (until - now_s()) * 1000;
	return unavailable(job, job->row->grant.last_error != NULL ? job->row->grant.last_error
								   : "it cannot be renewed now");
}

static enum refresh_go step_judge(struct refresh *job)
{
	const struct grant *grant = &job->row->grant;
	struct wanted wanted = entry_wanted(job->entry);
	bool good = is_good(grant);
	int64_t rested = rests_until(job->row);

	if (!wanted.forced && good && grant->version > wanted.above)
		return refresh_end_token(job, grant);
	if (!wanted.any)
		return unavailable(job, "nobody waits for it");
	if (good && job->entry->state != ENTRY_TOKEN)
		entry_put(job->entry, grant); /* whatever becomes of its renewal */
	job->above = wanted.above;
	snprintf(job->actor, sizeof(job->actor), "%s", wanted.actor);
	if (!refresh_is_possible(grant))
		return impossible(job);
	if (wanted.forced)
		return refresh_go_to(job, STEP_LEASE);
	if (good &&
	    loop_now_ms(job->access->params.loop) - job->entry->refused_ms < ACCESS_REFUSED_MS) {
		job->keep = true;
		return refresh_end_none(job, "the upstream refuses a token that was renewed a "
					     "moment ago");
	}
	if (now_s() < rested)
		return rest(job, rested);
	if (!server_admits(job->access->servers, grant->token_url))
		return unavailable(job, "the authorization server has not answered for a while");
	return refresh_go_to(job, STEP_LEASE);
}

static void on_leased(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct refresh *job = ctx;

	if (err != NULL) {
		run_after(job, store_failed(job, err));
		return;
	}
	if (result->n_rows == 0) {
		run_after(job, refresh_go_to(job, STEP_BUSY));
		return;
	}
	job->leased = true;
	refresh_take_row(job, &result->rows[0]);
	run_after(job, refresh_go_to(job, STEP_OPEN));
}

static enum refresh_go step_lease(struct refresh *job)
{
	struct access *access = job->access;
	const struct grant_request request = {
		.verb = GRANT_LEASE,
		.key = job->entry->key,
		.version = job->row->grant.version,
		.owner = access->node_id,
		.lease_ms = access->params.refresh_grace_ms,
		.grace_ms = access->params.refresh_grace_ms,
	};

	grant_start(access->params.store, &job->query, &request, on_leased, job);
	return GO_WAIT;
}

static void on_look_again(void *ctx)
{
	struct refresh *job = ctx;

	run_after(job, refresh_go_to(job, STEP_LOAD));
}

/* Its owner's commit is notified; this is for the case that nobody hears of it. */
static enum refresh_go step_busy(struct refresh *job)
{
	if (job->handed != NULL) {
		job->leased = true;
		refresh_take_row(job, job->handed);
		job->handed = NULL;
		arena_free(&job->handed_arena);
		return refresh_go_to(job, STEP_OPEN);
	}
	if (job->entry->waiting == NULL)
		return unavailable(job, "nobody waits for it");
	timer_start(job->access->params.loop, &job->timer,
		    job->busy_ms + crypto_chance(job->busy_ms), on_look_again, job);
	job->busy_ms =
		job->busy_ms * 2 < REFRESH_BUSY_MAX_MS ? job->busy_ms * 2 : REFRESH_BUSY_MAX_MS;
	return GO_WAIT;
}

/* --- running --------------------------------------------------------------------------------- */

static enum refresh_go step_end(struct refresh *job)
{
	(void)job;
	return GO_END;
}

static enum refresh_go (*const steps[N_STEPS])(struct refresh *job) = {
	[STEP_TENANT] = step_tenant,
	[STEP_LOAD] = step_load,
	[STEP_OPEN] = step_open,
	[STEP_JUDGE] = step_judge,
	[STEP_LEASE] = step_lease,
	[STEP_BUSY] = step_busy,
	[STEP_SENT] = refresh_step_sent,
	[STEP_ASK] = refresh_step_ask,
	[STEP_SPOOL] = refresh_step_spool,
	[STEP_COMMIT] = refresh_step_commit,
	[STEP_FAIL] = refresh_step_fail,
	[STEP_YIELD] = refresh_step_yield,
	[STEP_END] = step_end,
};

void refresh_run(struct refresh *job)
{
	enum refresh_go go;

	do
		go = steps[job->step](job);
	while (go == GO_ON);
	if (go == GO_END)
		finish(job);
}

static struct refresh *job_new(struct entry *entry)
{
	struct access *access = entry->access;
	struct refresh *job = mem_new(sizeof(*job));

	assert(entry->job == NULL);
	*job = (struct refresh){
		.access = access,
		.entry = entry,
		.step = STEP_TENANT,
		.above = -1,
		.busy_ms = REFRESH_BUSY_MIN_MS,
	};
	entry->job = job;
	DL_APPEND(access->jobs, job);
	return job;
}

void refresh_start(struct entry *entry)
{
	refresh_run(job_new(entry));
}

void refresh_start_leased(struct entry *entry, const struct grant_row *row)
{
	struct refresh *job = job_new(entry);

	job->background = true;
	job->leased = true;
	snprintf(job->actor, sizeof(job->actor), ACCESS_BACKGROUND);
	entry->access->n_background++;
	refresh_take_row(job, row);
	refresh_run(job);
}

void refresh_kick(struct refresh *job)
{
	if (job->step != STEP_BUSY)
		return;
	timer_stop(&job->timer);
	on_look_again(job);
}

void refresh_hand_over(struct refresh *job, const struct grant_row *row)
{
	if (job->handed_arena != NULL)
		arena_free(&job->handed_arena);
	job->handed_arena = arena_new();
	job->handed = grant_row_dup(job->handed_arena, row);
	if (job->step != STEP_BUSY)
		return;
	timer_stop(&job->timer);
	refresh_run(job);
}

static void on_look_for_tenant(void *ctx)
{
	refresh_run(ctx);
}

void refresh_tenant_loaded(struct access *access, const char *tenant_id)
{
	struct refresh *job;
	struct refresh *next;

	DL_FOREACH_SAFE(access->jobs, job, next)
	{
		if (job->step == STEP_TENANT && strcmp(job->entry->key.tenant_id, tenant_id) == 0)
			timer_start(access->params.loop, &job->timer, 0, on_look_for_tenant, job);
	}
}

bool refresh_is_sending(const struct access *access)
{
	const struct refresh *job;

	DL_FOREACH(access->jobs, job)
	{
		if (job->leased)
			return true;
	}
	return false;
}

void refresh_free_all(struct access *access)
{
	while (access->jobs != NULL)
		job_free(access, access->jobs);
}
