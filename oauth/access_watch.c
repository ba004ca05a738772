/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/text.h"
#include "oauth/access_priv.h"

#define MAX_PAYLOAD_BYTES 256

/*
 * What changes elsewhere is heard of at once; what was missed shows when what is in use is
 * compared with the store, every few seconds.
 */

static void poll_store(void *ctx);

static const char *seen_state(const struct entry *entry)
{
	return grant_state_name(entry->row_state);
}

static void poll_later(struct access *access)
{
	timer_start(access->params.loop, &access->poll_timer, ACCESS_POLL_MS, poll_store, access);
}

static void end_poll(struct access *access)
{
	free(access->polled);
	access->polled = NULL;
	access->n_polled = 0;
}

static void on_polled(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct access *access = ctx;
	int64_t now_ms = loop_now_ms(access->params.loop);
	bool *changed = mem_new_array(access->n_polled, sizeof(*changed));

	for (size_t i = 0; err == NULL && i < result->n_changed; i++)
		changed[result->changed[i]] = true;
	for (size_t i = 0; err == NULL && i < access->n_polled; i++) {
		const struct grant_seen *seen = &access->polled[i];
		struct entry *entry = entry_find(access, &seen->key);

		if (entry == NULL || entry->state != ENTRY_TOKEN || entry->version != seen->version)
			continue;
		if (changed[i] && entry->job == NULL)
			entry_forget(entry);
		else if (!changed[i])
			entry->confirmed_ms = now_ms;
	}
	free(changed);
	end_poll(access);
	poll_later(access);
}

/* Those in use, the latest first, that were not compared for a while. */
static void collect(struct access *access)
{
	int64_t now_ms = loop_now_ms(access->params.loop);
	const struct entry *entry;

	access->polled = mem_new_array(ACCESS_POLL_GRANTS, sizeof(*access->polled));
	DL_FOREACH(access->recent, entry)
	{
		if (access->n_polled == ACCESS_POLL_GRANTS)
			break;
		if (entry->state != ENTRY_TOKEN || entry->used_ms < entry->confirmed_ms ||
		    now_ms - entry->confirmed_ms < ACCESS_CONFIRM_MS)
			continue;
		access->polled[access->n_polled++] = (struct grant_seen){
			.key = entry->key,
			.version = entry->version,
			.state = seen_state(entry),
		};
	}
}

static void poll_store(void *ctx)
{
	struct access *access = ctx;
	struct grant_request request = { .verb = GRANT_CHANGED };

	collect(access);
	if (access->n_polled == 0) {
		end_poll(access);
		poll_later(access);
		return;
	}
	request.seen = access->polled;
	request.n_seen = access->n_polled;
	grant_start(access->params.store, &access->poll, &request, on_polled, access);
}

void watch_start_polling(struct access *access)
{
	poll_later(access);
}

void watch_stop_polling(struct access *access)
{
	timer_stop(&access->poll_timer);
	grant_cancel(&access->poll);
	end_poll(access);
}

/* What was confirmed before counts no more. */
void access_hint(struct access *access, const char *tenant_id)
{
	struct entry *entry;

	DL_FOREACH(access->recent, entry)
	{
		if (tenant_id != NULL && strcmp(entry->key.tenant_id, tenant_id) != 0)
			continue;
		if (entry->state == ENTRY_NONE)
			entry->none_until_ms = 0;
		entry->confirmed_ms -= ACCESS_CONFIRM_MS;
		if (entry->job != NULL)
			refresh_kick(entry->job);
	}
	if (access->poll == NULL)
		timer_start(access->params.loop, &access->poll_timer, 0, poll_store, access);
}

/* A job that runs learns it from the row. */
void access_doubt(struct access *access, const char *tenant_id, const char *connection_id)
{
	struct entry *entry;

	DL_FOREACH(access->recent, entry)
	{
		if (strcmp(entry->key.tenant_id, tenant_id) == 0 &&
		    strcmp(entry->key.connection_id, connection_id) == 0)
			entry_forget(entry);
	}
}

/* --- one that has changed -------------------------------------------------------------------- */

struct note {
	struct grant_key key;
	int64_t version;
	char state[16];
};

/* tenant connection version state subject; the subject may be empty. */
static int note_parse(const char *payload, struct note *note, struct err *err)
{
	char tenant[UUID_TEXT_BYTES], connection[UUID_TEXT_BYTES], version[21];
	char subject[GRANT_SUBJECT_BYTES] = "";
	uint64_t number;

	_Static_assert(UUID_TEXT_BYTES == 36 + 1 && sizeof(version) == 20 + 1 &&
			       sizeof(note->state) == 15 + 1 && GRANT_SUBJECT_BYTES == 41 + 1,
		       "the widths below");

	if (strlen(payload) > MAX_PAYLOAD_BYTES ||
	    sscanf(payload, "%36s %36s %20s %15s %41s", tenant, connection, version, note->state,
		   subject) < 4 ||
	    !uuid_valid(tenant) || !uuid_valid(connection))
		return err_set(err, ERR_BAD_REQUEST, "not a notification of a grant");
	if (text_uint(version, 0, INT64_MAX, &number, err) < 0)
		return -1;
	note->key = grant_key_of(tenant, connection, subject);
	note->version = (int64_t)number;
	return 0;
}

void access_notified(struct access *access, const char *payload)
{
	struct note note;
	struct entry *entry;
	struct err err;

	if (note_parse(payload, &note, &err) < 0) {
		access_hint(access, NULL);
		return;
	}
	entry = entry_find(access, &note.key);
	if (entry == NULL)
		return;
	if (entry->job != NULL) {
		if (note.version > entry->hinted_version)
			entry->hinted_version = note.version;
		refresh_kick(entry->job);
		return;
	}
	if (entry->state == ENTRY_NONE)
		entry->none_until_ms = 0;
	else if (entry->version != note.version || strcmp(seen_state(entry), note.state) != 0)
		entry_forget(entry);
}

void access_tenant_loaded(struct access *access, const char *tenant_id)
{
	refresh_tenant_loaded(access, tenant_id);
	changes_tenant_loaded(access, tenant_id);
}

void access_look(struct access *access)
{
	if (access->spool != NULL)
		refresh_spool_look(access->spool);
}
