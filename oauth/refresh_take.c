/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a renewal until the grant is ours: what there is, whether it will do, and whose. */

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "oauth/refresh_priv.h"

static int64_t now_s(void)
{
	return loop_unix_us() / 1000000;
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

static void on_no_tenant(void *ctx)
{
	struct refresh *job = ctx;

	refresh_resume(job, unavailable(job, "the tenant cannot be read now"));
}

enum refresh_go refresh_step_tenant(struct refresh *job)
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

static void on_loaded(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct refresh *job = ctx;

	if (err != NULL) {
		refresh_resume(job, store_failed(job, err));
		return;
	}
	if (result->n_rows == 0) {
		refresh_resume(job, refresh_end_none(job, NULL));
		return;
	}
	refresh_take_row(job, &result->rows[0]);
	refresh_resume(job, refresh_go_to(job, STEP_OPEN));
}

enum refresh_go refresh_step_load(struct refresh *job)
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
	bool useless = !is_good(grant) || job->above >= grant->version;
	bool expired = grant->refresh_token.n > 0 && grant->token_url != NULL;
	const char *why = useless ? "it has no refresh token, and the token is not good any more"
				  : "it has no refresh token";

	if (expired)
		why = "the refresh token has expired";
	job->error = (struct token_error){ .kind = TOKEN_TERMINAL };
	snprintf(job->error.text, sizeof(job->error.text), "%s", why);
	job->failed_event = expired ? "refresh_skipped_expired" : "refresh_skipped_no_token";
	if (useless)
		return refresh_go_to(job, STEP_FAIL);
	job->keep = true;
	return job->leased ? refresh_go_to(job, STEP_YIELD) : refresh_end_none(job, why);
}

enum refresh_go refresh_step_open(struct refresh *job)
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

enum refresh_go refresh_step_judge(struct refresh *job)
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
		refresh_resume(job, store_failed(job, err));
		return;
	}
	if (result->n_rows == 0) {
		refresh_resume(job, refresh_go_to(job, STEP_BUSY));
		return;
	}
	job->leased = true;
	refresh_take_row(job, &result->rows[0]);
	refresh_resume(job, refresh_go_to(job, STEP_OPEN));
}

enum refresh_go refresh_step_lease(struct refresh *job)
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

	refresh_resume(job, refresh_go_to(job, STEP_LOAD));
}

/* Its owner's commit is notified; this is for the case that nobody hears of it. */
enum refresh_go refresh_step_busy(struct refresh *job)
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

void refresh_kick(struct refresh *job)
{
	if (job->step != STEP_BUSY)
		return;
	timer_stop(&job->timer);
	on_look_again(job);
}
