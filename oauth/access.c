/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/access_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define SCHEME "Bearer "

struct entry *entry_find(struct access *access, const struct grant_key *key)
{
	struct entry *entry;

	HASH_FIND(hh, access->entries, key, sizeof(*key), entry);
	return entry;
}

static void wipe_token(struct entry *entry)
{
	entry->access->n_bytes -= entry->authorization.n;
	secret_fini(&entry->authorization);
}

static void entry_free(struct entry *entry)
{
	struct access *access = entry->access;

	assert(entry->waiting == NULL && entry->job == NULL);
	deferred_cancel(&entry->turn);
	wipe_token(entry);
	free(entry->account);
	HASH_DEL(access->entries, entry);
	DL_DELETE(access->recent, entry);
	access->n_entries--;
	free(entry);
}

static bool is_idle(const struct entry *entry)
{
	return entry->waiting == NULL && entry->job == NULL && entry->turn.loop == NULL &&
	       entry->pins == 0;
}

void entry_drop(struct entry *entry)
{
	if (is_idle(entry))
		entry_free(entry);
}

/* Those that are in use stay: they are bounded by the calls that run. */
static void make_room(struct access *access)
{
	struct entry *entry = access->recent != NULL ? access->recent->prev : NULL;

	while (entry != NULL &&
	       (access->n_entries > ACCESS_MAX_GRANTS || access->n_bytes > ACCESS_MAX_BYTES)) {
		struct entry *before = entry == access->recent ? NULL : entry->prev;

		entry_drop(entry);
		entry = before;
	}
}

struct entry *entry_get(struct access *access, const struct grant_key *key)
{
	struct entry *entry = entry_find(access, key);

	if (entry != NULL)
		return entry;
	make_room(access);
	entry = mem_new(sizeof(*entry));
	entry->key = *key;
	entry->access = access;
	entry->row_state = GRANT_ACTIVE;
	entry->refused_ms = INT64_MIN / 2;
	HASH_ADD(hh, access->entries, key, sizeof(entry->key), entry);
	DL_PREPEND(access->recent, entry);
	access->n_entries++;
	return entry;
}

void entry_put(struct entry *entry, const struct grant *grant)
{
	const struct secret *token = &grant->access_token;
	struct access *access = entry->access;
	char *value = mem_new(sizeof(SCHEME) + token->n);

	wipe_token(entry);
	memcpy(value, SCHEME, sizeof(SCHEME) - 1);
	memcpy(value + sizeof(SCHEME) - 1, token->reveal, token->n + 1);
	entry->authorization = (struct secret){ value, sizeof(SCHEME) - 1 + token->n };
	access->n_bytes += entry->authorization.n;
	free(entry->account);
	entry->account = grant->account != NULL ? mem_strdup(grant->account) : NULL;
	entry->state = ENTRY_TOKEN;
	entry->row_state = grant->state;
	entry->version = grant->version;
	entry->connected_version = grant->connected_version;
	entry->expires_at = grant->expires_at;
	entry->confirmed_ms = loop_now_ms(access->params.loop);
}

void entry_none(struct entry *entry, const char *why)
{
	wipe_token(entry);
	entry->state = ENTRY_NONE;
	entry->none_until_ms = loop_now_ms(entry->access->params.loop) + ACCESS_NONE_MS;
	snprintf(entry->why, sizeof(entry->why), "%s", why != NULL ? why : "");
}

void entry_forget(struct entry *entry)
{
	wipe_token(entry);
	entry->state = ENTRY_UNKNOWN;
	entry->backoff_until_ms = 0;
}

bool entry_is_good(const struct entry *entry)
{
	const struct access_params *params = &entry->access->params;

	return entry->state == ENTRY_TOKEN &&
	       loop_now_ms(params->loop) - entry->confirmed_ms <= params->stale_max_ms &&
	       (entry->expires_at == 0 || loop_unix_us() / 1000000 < entry->expires_at);
}

const struct secret *access_client_secret(const struct access *access,
					  const struct access_tenant *tenant,
					  const struct grant *grant)
{
	const struct access_params *params = &access->params;
	const struct secret *now = params->client_secret != NULL
					   ? params->client_secret(params->ctx, tenant, grant)
					   : NULL;

	if (now != NULL)
		return now;
	return grant->client_secret.n > 0 ? &grant->client_secret : NULL;
}

const struct grant_keys *access_keys(const struct access *access,
				     const struct access_tenant *tenant, struct grant_keys *room)
{
	if (access->params.store->plain)
		return NULL;
	*room = (struct grant_keys){
		.deployment = access->deployment,
		.keys = tenant->keys,
		.n_keys = tenant->n_keys,
	};
	return room;
}

enum access_state access_find(struct access *access, const struct grant_key *key,
			      struct access_token *out)
{
	struct entry *entry = entry_find(access, key);
	int64_t now_ms;

	if (entry == NULL || entry->state == ENTRY_UNKNOWN)
		return ACCESS_UNKNOWN;
	now_ms = loop_now_ms(access->params.loop);
	if (entry->state == ENTRY_NONE)
		return now_ms < entry->none_until_ms ? ACCESS_NONE : ACCESS_UNKNOWN;
	if (!entry_is_good(entry))
		return ACCESS_UNKNOWN;
	entry->used_ms = now_ms;
	if (access->recent != entry) {
		DL_DELETE(access->recent, entry);
		DL_PREPEND(access->recent, entry);
	}
	*out = (struct access_token){ entry->authorization.reveal, entry->version,
				      entry->connected_version, entry->account };
	return ACCESS_READY;
}

struct access *access_new(const struct access_params *params, struct err *err)
{
	struct access *access = mem_new(sizeof(*access));

	assert(params->stale_max_ms > 0 && params->refresh_grace_ms > 0);
	access->params = *params;
	snprintf(access->node_id, sizeof(access->node_id), "%s", params->node_id);
	access->deployment = mem_strdup(params->deployment);
	access->servers = servers_new(params->loop);
	if (params->spool != NULL) {
		access->spool = refresh_spool_new(access, params->spool, err);
		if (access->spool == NULL) {
			access_free(&access);
			return NULL;
		}
	}
	watch_start_polling(access);
	if (params->background)
		due_start(access);
	return access;
}

void access_free(struct access **slot)
{
	struct access *access = *slot;
	bool outstanding;
	struct entry *entry;
	struct entry *next;

	if (access == NULL)
		return;
	*slot = NULL;
	outstanding = refresh_is_sending(access) || access->due != NULL;
	due_stop(access);
	watch_stop_polling(access);
	changes_free(access);
	refresh_free_all(access);
	deferred_cancel(&access->drained_turn);
	refresh_spool_free(&access->spool, outstanding);
	HASH_ITER(hh, access->entries, entry, next)
	{
		entry_free(entry);
	}
	servers_free(&access->servers);
	free(access->deployment);
	free(access);
}

/* Once. */
static void on_drained(void *ctx)
{
	struct access *access = ctx;
	loop_cb *done = access->drained;

	access->drained = NULL;
	done(access->drained_ctx);
}

void access_drain(struct access *access, loop_cb *done, void *ctx)
{
	access->draining = true;
	access->drained = done;
	access->drained_ctx = ctx;
	timer_stop(&access->due_timer); /* what was asked for is still taken, and renewed */
	access_check_drained(access);
}

void access_check_drained(struct access *access)
{
	if (access->draining && access->drained != NULL && !refresh_is_sending(access) &&
	    access->due == NULL && access->drained_turn.loop == NULL)
		loop_defer(access->params.loop, &access->drained_turn, on_drained, access);
}
