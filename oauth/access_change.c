/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "oauth/access_priv.h"
#include "oauth/revoke.h"

#define MAX_TRIES	 5 /* somebody else may change the row between reading and writing it */
#define REVOCATION_BYTES 256
#define FAILED		 "failed: "

enum change_kind { CHANGE_PUT, CHANGE_DISCONNECT };

/* Writing a grant that was just obtained, or ending one. */
struct access_change {
	struct access_op op; /* first; only slot and cancel are used */
	struct access *access;
	enum change_kind kind;
	struct grant_key key;
	struct arena *arena;
	struct grant_row *given; /* CHANGE_PUT: what is to be stored, secrets open */
	struct grant_event event;
	int64_t settings_version;
	struct access_tenant tenant;
	bool has_tenant;
	unsigned tries;
	struct grant_op *query;
	struct timer timer;    /* for the tenant, and for all */
	struct grant_row *row; /* CHANGE_DISCONNECT: what was there, secrets open */
	struct revoke *revoke;
	char revocation[REVOCATION_BYTES];
	access_put_done *put_done;
	access_disconnect_done *disconnect_done;
	void *ctx;
	struct access_change *prev, *next;
};

static void change_load(struct access_change *change);

static void change_free(struct access_change *change)
{
	struct access *access = change->access;

	timer_stop(&change->timer);
	grant_cancel(&change->query);
	revoke_cancel(&change->revoke);
	if (change->given != NULL)
		grant_wipe(&change->given->grant);
	if (change->row != NULL)
		grant_wipe(&change->row->grant);
	if (change->has_tenant)
		access->params.give_back(access->params.ctx, &change->tenant);
	arena_free(&change->arena);
	DL_DELETE(access->changes, change);
	free(change);
}

static void on_cancel(struct access_op *op)
{
	change_free((struct access_change *)op);
}

void changes_free(struct access *access)
{
	assert(access->changes == NULL);
}

/* What this worker remembers is older than what was just written. */
static void forget(struct access_change *change)
{
	struct entry *entry = entry_find(change->access, &change->key);

	if (entry != NULL && entry->job == NULL)
		entry_forget(entry);
	else if (entry != NULL)
		entry->hinted_version = INT64_MAX;
}

static void finish(struct access_change *change, const struct err *err)
{
	access_put_done *put_done = change->put_done;
	access_disconnect_done *disconnect_done = change->disconnect_done;
	enum change_kind kind = change->kind;
	char revocation[REVOCATION_BYTES];
	void *ctx = change->ctx;
	struct err problem;

	if (err != NULL)
		problem = *err;
	memcpy(revocation, change->revocation, sizeof(revocation));
	*change->op.slot = NULL;
	forget(change);
	change_free(change);
	if (kind == CHANGE_PUT)
		put_done(ctx, err != NULL ? &problem : NULL);
	else
		disconnect_done(ctx, err != NULL ? NULL : revocation,
				err != NULL ? &problem : NULL);
}

static void finish_with(struct access_change *change, enum err_code code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	finish(change, &err);
}

/* --- put ------------------------------------------------------------------------------------- */

static void on_put(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct access_change *change = ctx;

	if (err != NULL)
		finish(change, err);
	else if (result->n_done > 0)
		finish(change, NULL);
	else if (++change->tries == MAX_TRIES)
		finish_with(change, ERR_UNAVAILABLE,
			    "the grant, or the settings that it is for, are being changed");
	else
		change_load(change);
}

/* before: what is there, or NULL. Its id stays, for as long as the row does. */
static void put(struct access_change *change, const struct grant_row *before)
{
	struct access *access = change->access;
	struct grant_row *row = change->given;
	int64_t now_s = loop_unix_us() / 1000000;
	struct grant_request request = {
		.verb = GRANT_PUT,
		.key = change->key,
		.version = before != NULL ? before->grant.version : 0,
		.settings_version = change->settings_version,
		.row = row,
		.event = change->event,
	};
	struct grant_keys keys;
	struct err err;

	row->grant.version = request.version + 1;
	row->grant.connected_version = row->grant.version;
	row->next_refresh_at = refresh_due_at(&row->grant, now_s);
	if (row->grant.authenticated_at == 0)
		row->grant.authenticated_at = now_s;
	if (before != NULL)
		memcpy(row->id, before->id, sizeof(row->id));
	else
		uuid_v4(row->id);
	if (grant_seal(access_keys(access, &change->tenant, &keys), change->arena, row, &err) < 0) {
		finish(change, &err);
		return;
	}
	grant_start(access->params.store, &change->query, &request, on_put, change);
}

/* --- disconnect ------------------------------------------------------------------------------ */

static void on_noted(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct access_change *change = ctx;

	(void)result;
	if (err != NULL)
		log_warn(&(struct log_subject){ .component = "oauth",
						.tenant = change->key.tenant_id },
			 "what came of a revocation cannot be stored: %s", err->text);
	finish(change, NULL);
}

static void note_failure(struct access_change *change, const struct err *err)
{
	snprintf(change->revocation, sizeof(change->revocation), FAILED "%.*s",
		 (int)(sizeof(change->revocation) - sizeof(FAILED)), err->text);
}

static void on_revoked(void *ctx, const struct err *err)
{
	struct access_change *change = ctx;
	struct grant_row note = { .grant = { .last_error = change->revocation } };
	const struct grant_request request = {
		.verb = GRANT_REVOKED,
		.key = change->key,
		.version = change->row->grant.version + 1,
		.row = &note,
		.event = {.type = err == NULL ? "revocation_succeeded" : "revocation_failed",
			   .actor = change->event.actor},
	};

	if (err == NULL)
		snprintf(change->revocation, sizeof(change->revocation), "revoked");
	else
		note_failure(change, err);
	grant_start(change->access->params.store, &change->query, &request, on_noted, change);
}

static const struct secret *what_to_revoke(const struct grant *grant)
{
	return grant->refresh_token.n > 0 ? &grant->refresh_token : &grant->access_token;
}

/* Our own forgetting is what counts, and is done by now. */
static void ask_to_revoke(struct access_change *change)
{
	const struct access_params *access = &change->access->params;
	const struct grant *grant = &change->row->grant;
	const struct secret *token = what_to_revoke(grant);
	struct revoke_params params = {
		.client = access->client,
		.egress = change->tenant.egress,
		.revocation_url = grant->revocation_url,
		.oauth_client = {.id = grant->client_id != NULL ? grant->client_id : "",
				  .secret = access_client_secret(change->access, &change->tenant,
				 grant),
				  .issuer = grant->issuer},
		.token = token,
		.hint = token == &grant->refresh_token ? REVOKE_REFRESH_TOKEN : REVOKE_ACCESS_TOKEN,
	};
	struct err err;

	if (client_auth_parse(grant->client_auth, &params.oauth_client.auth, &err) < 0)
		on_revoked(change, &err);
	else
		revoke_start(access->loop, &change->revoke, &params, on_revoked, change);
}

static bool can_revoke(const struct access_change *change)
{
	const struct grant *grant = &change->row->grant;

	return grant->revocation_url != NULL && what_to_revoke(grant)->n > 0;
}

static void on_disconnected(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct access_change *change = ctx;

	if (err != NULL)
		finish(change, err);
	else if (result->n_done == 0 && ++change->tries == MAX_TRIES)
		finish_with(change, ERR_UNAVAILABLE, "the grant is being changed by others");
	else if (result->n_done == 0)
		change_load(change);
	else if (can_revoke(change))
		ask_to_revoke(change);
	else
		finish(change, NULL);
}

static void disconnect(struct access_change *change, const struct grant_row *before)
{
	struct access *access = change->access;
	struct grant_row note = { .grant = { .last_error = NULL } };
	struct grant_request request = {
		.verb = GRANT_DISCONNECT,
		.key = change->key,
		.version = before->grant.version,
		.row = &note,
		.event = change->event,
	};
	struct grant_keys keys;
	struct err err;

	if (change->row != NULL)
		grant_wipe(&change->row->grant);
	change->row = grant_row_dup(change->arena, before);
	snprintf(change->revocation, sizeof(change->revocation), "none");
	/* Tokens that do not open cannot be revoked, but can be forgotten. */
	if (grant_open(access_keys(access, &change->tenant, &keys), change->row, &err) < 0)
		note_failure(change, &err);
	if (!can_revoke(change))
		note.grant.last_error = change->revocation;
	grant_start(access->params.store, &change->query, &request, on_disconnected, change);
}

/* --- what both begin with -------------------------------------------------------------------- */

static void on_loaded(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct access_change *change = ctx;
	const struct grant_row *before =
		err == NULL && result->n_rows > 0 ? &result->rows[0] : NULL;

	if (err != NULL)
		finish(change, err);
	else if (change->kind == CHANGE_PUT)
		put(change, before);
	else if (before == NULL || before->grant.state == GRANT_DISCONNECTED)
		finish_with(change, ERR_NOT_FOUND, "there is no grant");
	else
		disconnect(change, before);
}

static void change_load(struct access_change *change)
{
	const struct grant_request request = {
		.verb = GRANT_LOAD,
		.key = change->key,
		.grace_ms = change->access->params.refresh_grace_ms,
	};

	grant_start(change->access->params.store, &change->query, &request, on_loaded, change);
}

static void on_no_tenant(void *ctx)
{
	finish_with(ctx, ERR_UNAVAILABLE, "the tenant cannot be read now");
}

static void on_begin(void *ctx)
{
	struct access_change *change = ctx;
	struct access *access = change->access;

	change->has_tenant =
		access->params.take(access->params.ctx, change->key.tenant_id, &change->tenant);
	if (change->has_tenant)
		change_load(change);
	else
		timer_start(access->params.loop, &change->timer, REFRESH_TENANT_MS, on_no_tenant,
			    change);
}

void changes_tenant_loaded(struct access *access, const char *tenant_id)
{
	struct access_change *change;

	DL_FOREACH(access->changes, change)
	{
		if (!change->has_tenant && strcmp(change->key.tenant_id, tenant_id) == 0)
			timer_start(access->params.loop, &change->timer, 0, on_begin, change);
	}
}

static struct access_change *change_start(struct access *access, struct access_op **slot,
					  enum change_kind kind, const struct grant_key *key,
					  const struct grant_event *event)
{
	struct access_change *change = mem_new(sizeof(*change));
	struct arena *arena = arena_new();

	assert(*slot == NULL);
	*change = (struct access_change){
		.op = {.slot = slot,					   .cancel = on_cancel						  },
		.access = access,
		.kind = kind,
		.key = *key,
		.arena = arena,
		.event = { .type = arena_strdup(arena, event->type),
			   .actor = event->actor != NULL ? arena_strdup(arena, event->actor) : NULL,
			   .attempt_id = event->attempt_id != NULL
						 ? arena_strdup(arena, event->attempt_id)
						 : NULL,
			   .context = event->context != NULL ? arena_strdup(arena, event->context)
							     : NULL },
	};
	*slot = &change->op;
	DL_APPEND(access->changes, change);
	timer_start(access->params.loop, &change->timer, 0, on_begin, change);
	return change;
}

static struct secret secret_copy(const struct secret *secret)
{
	return secret_new(secret->reveal, secret->n);
}

void access_put(struct access *access, struct access_op **slot, const struct access_put *given,
		access_put_done *done, void *ctx)
{
	const struct grant_event event = { .type = given->event,
					   .actor = given->actor,
					   .attempt_id = given->attempt_id,
					   .context = given->context };
	struct access_change *change =
		change_start(access, slot, CHANGE_PUT, &given->grant->key, &event);
	const struct grant_row row = { .grant = *given->grant };
	struct grant *grant;

	change->settings_version = given->settings_version;
	change->put_done = done;
	change->ctx = ctx;
	change->given = grant_row_dup(change->arena, &row);
	grant = &change->given->grant;
	grant->client_secret = secret_copy(&given->grant->client_secret);
	grant->access_token = secret_copy(&given->grant->access_token);
	grant->refresh_token = secret_copy(&given->grant->refresh_token);
	grant->state = GRANT_ACTIVE;
}

void access_disconnect(struct access *access, struct access_op **slot, const struct grant_key *key,
		       const struct access_asker *asker, access_disconnect_done *done, void *ctx)
{
	const struct grant_event event = { .type = "disconnected",
					   .actor = asker->actor,
					   .context = asker->context };
	struct access_change *change = change_start(access, slot, CHANGE_DISCONNECT, key, &event);

	change->disconnect_done = done;
	change->ctx = ctx;
}
