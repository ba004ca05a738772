/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "oauth/refresh_priv.h"

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

/* --- running --------------------------------------------------------------------------------- */

static enum refresh_go step_end(struct refresh *job)
{
	(void)job;
	return GO_END;
}

static enum refresh_go (*const steps[N_STEPS])(struct refresh *job) = {
	[STEP_TENANT] = refresh_step_tenant,
	[STEP_LOAD] = refresh_step_load,
	[STEP_OPEN] = refresh_step_open,
	[STEP_JUDGE] = refresh_step_judge,
	[STEP_LEASE] = refresh_step_lease,
	[STEP_BUSY] = refresh_step_busy,
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

void refresh_resume(struct refresh *job, enum refresh_go go)
{
	if (go == GO_ON)
		refresh_run(job);
	else if (go == GO_END)
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
