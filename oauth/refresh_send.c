/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "oauth/refresh_priv.h"

#define MAX_PARAMS 6
/* Two attempts and the way to the spool fit into the time for which nobody else sends. */
#define ATTEMPTS_PER_GRACE 3

static struct log_subject subject_of(const struct refresh *job)
{
	return (struct log_subject){
		.component = "oauth",
		.tenant = job->row->grant.key.tenant_id,
		.connection = job->row->grant.key.connection_id,
	};
}

/* Asking again costs nothing: there is no token that could be used up. */
static bool repeats(const struct refresh *job)
{
	return job->row->grant.kind == GRANT_CLIENT_CREDENTIALS;
}

static void run_after(struct refresh *job, enum refresh_step step)
{
	job->step = step;
	refresh_run(job);
}

static void fenced(struct refresh *job, struct grant_request *request, enum grant_verb verb)
{
	*request = (struct grant_request){
		.verb = verb,
		.key = job->entry->key,
		.version = job->row->grant.version,
		.lease_number = job->row->lease_number,
	};
}

static enum refresh_go end_unavailable(struct refresh *job, const char *what, const struct err *err)
{
	struct err problem = *err;

	err_prefix(&problem, "%s", what);
	problem.code = ERR_UNAVAILABLE;
	return refresh_end_failed(job, &problem);
}

/* --- that it is about to be sent ------------------------------------------------------------- */

static void on_sent(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct refresh *job = ctx;

	if (err != NULL) {
		end_unavailable(job, "the renewal cannot be noted", err);
		run_after(job, STEP_END);
		return;
	}
	if (result->n_done == 0) /* somebody has taken it over, or changed it */
		job->leased = false;
	run_after(job, result->n_done == 0 ? STEP_LOAD : STEP_ASK);
}

enum refresh_go refresh_step_sent(struct refresh *job)
{
	struct grant_request request;

	if (repeats(job))
		return refresh_go_to(job, STEP_ASK);
	fenced(job, &request, GRANT_SENT);
	grant_start(job->access->params.store, &job->query, &request, on_sent, job);
	return GO_WAIT;
}

/* --- asking ---------------------------------------------------------------------------------- */

static size_t compose(const struct grant *grant, struct oauth_param params[MAX_PARAMS])
{
	size_t n = 0;

	if (grant->kind == GRANT_CLIENT_CREDENTIALS) {
		params[n++] = (struct oauth_param){ "grant_type", "client_credentials" };
		if (grant->scope != NULL && grant->scope[0] != '\0')
			params[n++] = (struct oauth_param){ "scope", grant->scope };
	} else {
		params[n++] = (struct oauth_param){ "grant_type", "refresh_token" };
		params[n++] = (struct oauth_param){ "refresh_token", grant->refresh_token.reveal };
	}
	if (grant->resource != NULL)
		params[n++] = (struct oauth_param){ "resource", grant->resource };
	if (grant->audience != NULL)
		params[n++] = (struct oauth_param){ "audience", grant->audience };
	return n;
}

static enum refresh_go renewed(struct refresh *job, const struct token_reply *reply)
{
	struct grant_row *after = arena_alloc(job->arena, sizeof(*after));
	const struct refresh_story story = {
		.before = job->row,
		.after = after,
		.duration_ms = loop_now_ms(job->access->params.loop) - job->asked_ms,
	};
	struct grant_keys keys;
	struct err err;

	job->renewed = after;
	refresh_apply(job->row, reply, loop_unix_us() / 1000000, job->arena, after);
	if (grant_seal(access_keys(job->access, &job->tenant, &keys), job->arena, after, &err) < 0)
		return end_unavailable(job, "what was renewed cannot be sealed", &err);
	fenced(job, &job->storing, GRANT_COMMIT);
	job->storing.row = after;
	job->storing.event = (struct grant_event){
		.type = "refresh_succeeded",
		.actor = job->actor,
		.detail = refresh_detail(job->arena, &story),
	};
	job->storing.dropped = job->storing.event;
	job->storing.dropped.type = "refresh_rotation_persistence_failed";
	return refresh_go_to(job, job->access->spool != NULL && !repeats(job) ? STEP_SPOOL
									      : STEP_COMMIT);
}

/* No answer came to what may have arrived: the token may be used up. Servers that count on this
 * take it once more for a short while, so it is sent again at once, but once only. */
static bool is_lost(const struct refresh *job, const struct token_error *error)
{
	return error->sent && error->http_status == 0 && !repeats(job);
}

static enum refresh_go failed(struct refresh *job, const struct token_error *error)
{
	job->error = *error;
	job->failed_event = NULL;
	if (is_lost(job, error)) {
		job->row->lost = true;
		if (!job->retried) {
			job->retried = true;
			return refresh_go_to(job, STEP_ASK);
		}
	}
	return refresh_go_to(job, STEP_FAIL);
}

static void on_answer(void *ctx, const struct token_reply *reply, const struct token_error *error)
{
	struct refresh *job = ctx;
	bool answered = reply != NULL || (error->http_status != 0 && error->http_status < 500);
	enum refresh_go go;

	server_end(job->access->servers, job->row->grant.token_url, answered);
	go = reply != NULL ? renewed(job, reply) : failed(job, error);
	run_after(job, go == GO_END ? STEP_END : job->step);
}

static enum refresh_go cannot_ask(struct refresh *job, const struct err *err)
{
	job->error = (struct token_error){ .kind = err->code == ERR_BAD_REQUEST ? TOKEN_CLIENT
										: TOKEN_TRANSIENT };
	snprintf(job->error.text, sizeof(job->error.text), "token endpoint: %.*s",
		 (int)sizeof(job->error.text) - 20, err->text);
	job->failed_event = NULL;
	return refresh_go_to(job, STEP_FAIL);
}

/* One that was exchanged serves what was granted with the one before, and is stored with it. */
static void take_client_secret(struct refresh *job)
{
	struct grant *grant = &job->row->grant;
	const struct secret *secret = access_client_secret(job->access, &job->tenant, grant);

	if (secret == NULL || secret == &grant->client_secret)
		return;
	secret_fini(&grant->client_secret);
	grant->client_secret = secret_new(secret->reveal, secret->n);
}

enum refresh_go refresh_step_ask(struct refresh *job)
{
	const struct access_params *access = &job->access->params;
	const struct grant *grant = &job->row->grant;
	int64_t timeout_ms = access->refresh_grace_ms / ATTEMPTS_PER_GRACE;
	struct oauth_param params[MAX_PARAMS];
	struct token_request_params request = {
		.client = access->client,
		.egress = job->tenant.egress,
		.token_url = grant->token_url,
		.oauth_client = {.id = grant->client_id != NULL ? grant->client_id : "",
				  .secret = &grant->client_secret,
				  .issuer = grant->issuer},
		.params = params,
		.n_params = compose(grant, params),
		.timeout_ms = timeout_ms < TOKEN_TIMEOUT_MS ? timeout_ms : TOKEN_TIMEOUT_MS,
	};
	struct err err;

	take_client_secret(job);
	/* What the tenant's own policy forbids says nothing about the server. */
	if (client_auth_parse(grant->client_auth, &request.oauth_client.auth, &err) < 0 ||
	    egress_check_url(job->tenant.egress, grant->token_url, &err) < 0)
		return cannot_ask(job, &err);
	if (grant->client_secret.n == 0)
		request.oauth_client.secret = NULL;
	job->asked_ms = loop_now_ms(access->loop);
	server_begin(job->access->servers, grant->token_url);
	token_request_start(access->loop, &job->request, &request, on_answer, job);
	return GO_WAIT;
}

/* --- storing --------------------------------------------------------------------------------- */

static void on_durable(void *ctx, const struct err *err)
{
	struct refresh *job = ctx;
	const struct log_subject subject = subject_of(job);

	if (err != NULL) {
		log_error(&subject, "a renewed token could not be spooled: %s", err->text);
		job->sequence = 0;
	}
	run_after(job, STEP_COMMIT);
}

/* Without the disk it is stored all the same, with a moment in which it could be lost. */
enum refresh_go refresh_step_spool(struct refresh *job)
{
	const struct log_subject subject = subject_of(job);
	struct err err;

	job->sequence = refresh_spool_append(job->access->spool, &job->storing, &job->wait,
					     on_durable, job, &err);
	if (job->sequence != 0)
		return GO_WAIT;
	log_error(&subject, "a renewed token cannot be spooled: %s", err.text);
	return refresh_go_to(job, STEP_COMMIT);
}

static void log_left(const struct refresh *job, const struct err *err)
{
	const struct log_subject subject = subject_of(job);

	if (job->sequence != 0)
		log_warn(&subject, "a renewed token waits in the spool: %s", err->text);
	else
		log_error(&subject, "a renewed token is in this worker's memory only: %s",
			  err->text);
}

static void on_committed(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct refresh *job = ctx;
	const struct log_subject subject = subject_of(job);

	if (err != NULL) {
		log_left(job, err);
		if (job->sequence != 0)
			refresh_spool_leave(job->access->spool, job->sequence, &job->storing);
	} else if (job->sequence != 0) {
		refresh_spool_settled(job->access->spool, job->sequence);
	}
	job->sequence = 0;
	job->leased = false;
	if (err == NULL && result->n_done == 0) {
		log_warn(&subject, "a renewed token came too late: the grant was changed or taken "
				   "over meanwhile");
		run_after(job, STEP_LOAD);
		return;
	}
	job->succeeded = true;
	refresh_end_token(job, &job->renewed->grant);
	run_after(job, STEP_END);
}

enum refresh_go refresh_step_commit(struct refresh *job)
{
	grant_start(job->access->params.store, &job->query, &job->storing, on_committed, job);
	return GO_WAIT;
}

/* --- or not ---------------------------------------------------------------------------------- */

static void end_with_error(struct refresh *job)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "%s", job->error.text);
	job->entry->backoff_until_ms = loop_now_ms(job->access->params.loop) +
				       1000 * refresh_backoff_s(job->row->failures, true);
	refresh_end_failed(job, &err);
}

/* Only under the version and lease that it failed with: what moved meanwhile is better. */
static void on_failed(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct refresh *job = ctx;
	bool done = err == NULL && result->n_done > 0;

	job->leased = false;
	if (err == NULL && !done) {
		run_after(job, STEP_LOAD);
		return;
	}
	if (done && result->needs_reauth)
		refresh_end_none(job, job->failed.grant.state == GRANT_NEEDS_REAUTH
					      ? job->failed.grant.last_error
					      : job->storing.client_refused);
	else if (strcmp(job->error.code, REFRESH_UNDECRYPTABLE) == 0)
		refresh_end_none(job, job->error.text);
	else
		end_with_error(job);
	run_after(job, STEP_END);
}

/* Why somebody has to sign in, if the client turns out to be one that we registered. */
static const char *forgotten_client(struct refresh *job)
{
	return token_refuses_client(&job->error)
		       ? arena_printf(job->arena,
				      "the authorization server does not know our registration any "
				      "more (%s)",
				      job->error.text)
		       : NULL;
}

enum refresh_go refresh_step_fail(struct refresh *job)
{
	const struct log_subject subject = subject_of(job);
	const struct refresh_story story = {
		.before = job->row,
		.duration_ms = job->asked_ms != 0
				       ? loop_now_ms(job->access->params.loop) - job->asked_ms
				       : 0,
		.error = &job->error,
	};
	struct grant_request *request = &job->storing;
	const char *event = refresh_judge(job->row, &job->error, loop_unix_us() / 1000000,
					  job->arena, &job->failed);

	if (job->failed_event != NULL)
		event = job->failed_event;
	fenced(job, request, GRANT_FAIL);
	request->row = &job->failed;
	request->client_refused = forgotten_client(job);
	request->event = (struct grant_event){
		.type = event,
		.actor = job->actor[0] != '\0' ? job->actor : ACCESS_TOOL_CALL,
		.error_code = job->error.code[0] != '\0' ? job->error.code : NULL,
		.detail = refresh_detail(job->arena, &story),
	};
	log_warn(&subject, "%s: %s", event, job->error.text);
	grant_start(job->access->params.store, &job->query, request, on_failed, job);
	return GO_WAIT;
}

static void on_yielded(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct refresh *job = ctx;

	(void)result;
	(void)err; /* then it runs out */
	job->leased = false;
	refresh_end_none(job, job->error.text);
	run_after(job, STEP_END);
}

/* To be looked at again when the token expires. */
enum refresh_go refresh_step_yield(struct refresh *job)
{
	struct grant_request request;

	job->failed = *job->row;
	job->failed.next_refresh_at = job->row->grant.expires_at;
	fenced(job, &request, GRANT_YIELD);
	request.row = &job->failed;
	grant_start(job->access->params.store, &job->query, &request, on_yielded, job);
	return GO_WAIT;
}
