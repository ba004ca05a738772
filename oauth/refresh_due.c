/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "base/log.h"
#include "oauth/access_priv.h"

#define MAX_EXCLUDED 256
/* So many of one server are taken at once, if no more than so many run: never more than
 * REFRESH_PER_SERVER. */
#define HANDFUL (REFRESH_PER_SERVER / 2)

/*
 * The background. Whatever is due, of whatever tenant, is taken by any node that has a place
 * free, a few at a time, of each server fewer: ten thousand that fall due at once are renewed one
 * after the other, and the calls do not notice.
 */

static void look(void *ctx);

static void look_after(struct access *access, int64_t ms)
{
	if (access->params.background && !access->draining && access->due == NULL)
		timer_start(access->params.loop, &access->due_timer, ms, look, access);
}

static int64_t some_time(const struct access *access)
{
	int64_t ms = access->due_more ? REFRESH_DUE_MS : REFRESH_IDLE_MS;

	return ms / 2 + crypto_chance(ms - 1);
}

static size_t places(const struct access *access)
{
	return REFRESH_PARALLEL - access->n_background;
}

/* One that a call renews at this moment waits for this lease: it gets it. */
static void begin(struct access *access, const struct grant_row *row)
{
	struct entry *entry = entry_get(access, &row->grant.key);

	if (entry->job != NULL)
		refresh_hand_over(entry->job, row);
	else
		refresh_start_leased(entry, row);
}

static void on_due(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct access *access = ctx;
	size_t wanted = places(access);

	if (err != NULL) {
		log_debug(&(struct log_subject){ .component = "oauth" },
			  "what is due cannot be asked for: %s", err->text);
		look_after(access, some_time(access));
		access_check_drained(access);
		return;
	}
	for (size_t i = 0; i < result->n_rows; i++)
		begin(access, &result->rows[i]);
	/* There may be more: the next to end looks. */
	access->due_more = result->n_rows > 0;
	if (result->n_rows < wanted)
		look_after(access, some_time(access));
	access_check_drained(access);
}

static void look(void *ctx)
{
	struct access *access = ctx;
	const char *busy[MAX_EXCLUDED];
	struct grant_request request = {
		.verb = GRANT_DUE,
		.owner = access->node_id,
		.lease_ms = access->params.refresh_grace_ms,
		.grace_ms = access->params.refresh_grace_ms,
		.limit = places(access),
		.per_server = HANDFUL,
		.not_servers = busy,
	};

	if (request.limit == 0)
		return;
	request.n_not_servers = servers_busy(access->servers, HANDFUL + 1, busy, MAX_EXCLUDED);
	grant_start(access->params.store, &access->due, &request, on_due, access);
}

void due_start(struct access *access)
{
	look_after(access, some_time(access));
}

void due_stop(struct access *access)
{
	timer_stop(&access->due_timer);
	grant_cancel(&access->due);
}

void due_ended(struct access *access)
{
	if (access->due_more && places(access) >= REFRESH_PARALLEL / 2)
		look_after(access, 0);
}
