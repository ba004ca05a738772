/* SPDX-License-Identifier: Apache-2.0 */
/* What they were given: the rows of sessions are told which list their client knows. */

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "gateway/core/subscription_priv.h"
#include "gateway/core/tool_list.h"

/* On their way at a time; what is over is not noted, and its client told once too often. */
#define MAX_NOTES 10000

struct note {
	struct subscriptions *owner;
	char tenant_id[UUID_TEXT_BYTES];
	uint8_t session[SHA256_BYTES];
	uint8_t list[SHA256_BYTES];
	bool again; /* the client was given another list while the query ran */
	struct db_op *query;
	struct timer retry;
	UT_hash_handle hh;
};

static void note_free(struct note *note)
{
	HASH_DEL(note->owner->notes, note);
	timer_stop(&note->retry);
	db_cancel(&note->query);
	free(note);
}

void notes_free(struct subscriptions *subscriptions)
{
	struct note *note;
	struct note *next;

	HASH_ITER(hh, subscriptions->notes, note, next)
	{
		note_free(note);
	}
}

static void note_write(void *ctx);

static void on_written(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct note *note = ctx;

	(void)results;
	(void)n;
	if (err != NULL)
		timer_start(note->owner->loop, &note->retry, SUBSCRIPTION_RETRY_MS, note_write,
			    note);
	else if (note->again)
		note_write(note);
	else
		note_free(note);
}

static void note_write(void *ctx)
{
	struct note *note = ctx;

	note->again = false;
	session_listed(note->owner->db, &note->query, note->tenant_id, note->session, note->list,
		       on_written, note);
}

static struct note *note_new(struct subscriptions *subscriptions, const char *tenant_id,
			     const uint8_t session[SHA256_BYTES])
{
	struct note *note = mem_new(sizeof(*note));

	note->owner = subscriptions;
	memcpy(note->session, session, SHA256_BYTES);
	memcpy(note->tenant_id, tenant_id, sizeof(note->tenant_id));
	HASH_ADD(hh, subscriptions->notes, session, SHA256_BYTES, note);
	return note;
}

/* One query at a time for each session, whatever its client does. */
static void note_down(struct subscriptions *subscriptions, const char *tenant_id,
		      const char *session_id, const uint8_t list[SHA256_BYTES])
{
	uint8_t session[SHA256_BYTES];
	struct note *note;

	crypto_sha256(session_id, strlen(session_id), session);
	HASH_FIND(hh, subscriptions->notes, session, SHA256_BYTES, note);
	if (note == NULL && HASH_COUNT(subscriptions->notes) >= MAX_NOTES)
		return;
	if (note == NULL)
		note = note_new(subscriptions, tenant_id, session);
	memcpy(note->list, list, SHA256_BYTES);
	note->again = true;
	if (note->query == NULL && note->retry.loop == NULL)
		note_write(note);
}

/* The snapshot that the list was written from may be older than the audience's by now. */
static void digest_of(struct subscriptions *subscriptions, const struct subscription_listed *listed,
		      uint8_t out[SHA256_BYTES])
{
	struct audience *audience =
		audience_get(subscriptions, listed->principal->tenant_id, listed->tenant);
	const struct tool_list_params params = {
		.principal = listed->principal,
		.tenant = listed->tenant,
		.only = listed->only,
		.era = MCP_LEGACY,
	};
	struct view *view;

	if (audience->tenant != listed->tenant) {
		tool_list_digest(&params, out);
		return;
	}
	view = view_get(audience, MCP_LEGACY, listed->only != NULL ? listed->only->name : "",
			listed->principal);
	memcpy(out, view_digest(audience, view, listed->principal), SHA256_BYTES);
}

void subscriptions_listed(struct subscriptions *subscriptions,
			  const struct subscription_listed *listed)
{
	uint8_t digest[SHA256_BYTES];

	digest_of(subscriptions, listed, digest);
	note_down(subscriptions, listed->principal->tenant_id, listed->session_id, digest);
}
