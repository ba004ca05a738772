/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "tokenstore/grant_store.h"

/* One process, one loop: what tollgate.grants does, without its tables. Time is the loop's. */

struct memory_row {
	struct grant_key key;
	struct arena *arena; /* of row */
	struct grant_row *row;
	char owner[UUID_TEXT_BYTES]; /* of the lease; "": none */
	int64_t lease_until_ms;
	int64_t sent_ms; /* 0: nothing was sent */
	char *last_revocation;
	UT_hash_handle hh;
};

struct memory_store {
	struct grant_store store; /* first */
	struct loop *loop;
	struct memory_row *rows;
	struct arena *events_arena;
	struct grant_memory_event *events;
	size_t n_events;
};

struct memory_op {
	struct grant_op op; /* first */
	struct memory_store *store;
	struct arena *arena;
	struct grant_request *request; /* a copy, in the arena */
	struct deferred turn;
	grant_done *done;
	void *ctx;
};

static struct memory_row *find(struct memory_store *store, const struct grant_key *key)
{
	struct memory_row *row;

	HASH_FIND(hh, store->rows, key, sizeof(*key), row);
	return row;
}

static void replace(struct memory_row *at, const struct grant_row *row)
{
	struct arena *old = at->arena;

	at->arena = arena_new();
	at->row = grant_row_dup(at->arena, row);
	arena_free(&old);
}

static struct grant_event event_dup(struct arena *arena, const struct grant_event *event)
{
	struct grant_event copy = *event;
	const char **texts[] = { &copy.type,	   &copy.actor,	 &copy.attempt_id,
				 &copy.error_code, &copy.detail, &copy.context };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (*texts[i] != NULL)
			*texts[i] = arena_strdup(arena, *texts[i]);
	}
	return copy;
}

static void record(struct memory_store *store, const struct grant_key *key,
		   const struct grant_event *event)
{
	store->events = mem_resize(store->events, store->n_events + 1, sizeof(*store->events));
	store->events[store->n_events++] = (struct grant_memory_event){
		.key = *key,
		.event = event_dup(store->events_arena, event),
	};
}

static bool is_free(const struct memory_store *store, const struct memory_row *row,
		    int64_t grace_ms)
{
	int64_t now_ms = loop_now_ms(store->loop);

	return (row->owner[0] == '\0' || row->lease_until_ms < now_ms) &&
	       (row->sent_ms == 0 || row->sent_ms < now_ms - grace_ms);
}

static void take_lease(struct memory_store *store, struct memory_row *row,
		       const struct grant_request *request)
{
	snprintf(row->owner, sizeof(row->owner), "%s", request->owner);
	row->lease_until_ms = loop_now_ms(store->loop) + request->lease_ms;
	row->row->lease_number++;
	row->row->lost = row->row->lost || row->sent_ms != 0;
	row->sent_ms = 0;
}

static void end_lease(struct memory_row *row)
{
	row->owner[0] = '\0';
	row->sent_ms = 0;
}

static bool is_under(const struct memory_row *row, const struct grant_request *request)
{
	return row != NULL && row->row->grant.version == request->version &&
	       row->row->lease_number == request->lease_number;
}

static void give_row(struct memory_op *op, struct memory_row *row, struct grant_result *out)
{
	struct grant_row *copy = grant_row_dup(op->arena, row->row);

	copy->busy =
		op->request->verb == GRANT_LOAD && !is_free(op->store, row, op->request->grace_ms);
	out->rows = copy;
	out->n_rows = 1;
}

/* One function per verb. */

static void load(struct memory_op *op, struct grant_result *out)
{
	struct memory_row *row = find(op->store, &op->request->key);

	if (row != NULL)
		give_row(op, row, out);
}

static void lease(struct memory_op *op, struct grant_result *out)
{
	const struct grant_request *request = op->request;
	struct memory_row *row = find(op->store, &request->key);

	if (row == NULL || row->row->grant.version != request->version ||
	    row->row->grant.state != GRANT_ACTIVE || !is_free(op->store, row, request->grace_ms))
		return;
	take_lease(op->store, row, request);
	give_row(op, row, out);
}

static bool is_excluded(const struct grant_request *request, const struct grant *grant)
{
	const char *url = grant->token_url;

	for (size_t i = 0; url != NULL && i < request->n_not_servers; i++) {
		if (strcmp(request->not_servers[i], url) == 0)
			return true;
	}
	return url == NULL;
}

static size_t n_given(const struct grant_row *rows, size_t n, const struct grant *grant)
{
	size_t same = 0;

	for (size_t i = 0; i < n; i++)
		same += strcmp(rows[i].grant.token_url, grant->token_url) == 0;
	return same;
}

static void due(struct memory_op *op, struct grant_result *out)
{
	const struct grant_request *request = op->request;
	struct grant_row *list = arena_alloc(op->arena, (request->limit + 1) * sizeof(*list));
	int64_t now_s = loop_unix_us() / 1000000;
	struct memory_row *row;
	struct memory_row *next;

	HASH_ITER(hh, op->store->rows, row, next)
	{
		if (out->n_rows == request->limit)
			break;
		if (row->row->grant.state != GRANT_ACTIVE || row->row->next_refresh_at == 0 ||
		    row->row->next_refresh_at > now_s || is_excluded(request, &row->row->grant) ||
		    n_given(list, out->n_rows, &row->row->grant) >= request->per_server ||
		    !is_free(op->store, row, request->grace_ms))
			continue;
		take_lease(op->store, row, request);
		list[out->n_rows++] = *grant_row_dup(op->arena, row->row);
	}
	out->rows = list;
}

static void sent(struct memory_op *op, struct grant_result *out)
{
	struct memory_row *row = find(op->store, &op->request->key);

	if (!is_under(row, op->request))
		return;
	row->sent_ms = loop_now_ms(op->store->loop);
	out->n_done = 1;
}

static void yield(struct memory_op *op, struct grant_result *out)
{
	struct memory_row *row = find(op->store, &op->request->key);

	if (!is_under(row, op->request))
		return;
	row->row->next_refresh_at = op->request->row->next_refresh_at;
	end_lease(row);
	out->n_done = 1;
}

/* Registrations are not kept here: whose client it was nobody knows. */
static void fail(struct memory_op *op, struct grant_result *out)
{
	const struct grant_request *request = op->request;
	struct memory_row *row = find(op->store, &request->key);
	struct grant_row changed;

	if (!is_under(row, request) || row->row->grant.state != GRANT_ACTIVE)
		return;
	changed = *row->row;
	changed.grant.state = request->row->grant.state;
	changed.grant.last_error = request->row->grant.last_error;
	changed.grant.last_error_at = loop_unix_us() / 1000000;
	changed.next_refresh_at = request->row->next_refresh_at;
	changed.lost = request->row->lost;
	changed.failures++;
	replace(row, &changed);
	end_lease(row);
	record(op->store, &request->key, &request->event);
	out->n_done = 1;
	out->needs_reauth = changed.grant.state == GRANT_NEEDS_REAUTH;
}

static bool may_commit(const struct memory_row *row, const struct grant_request *request)
{
	return row != NULL && row->row->grant.version == request->version &&
	       row->row->grant.state == GRANT_ACTIVE &&
	       (row->row->lease_number == request->lease_number ||
		(row->row->lease_number > request->lease_number && row->sent_ms == 0));
}

static void commit(struct memory_op *op, struct grant_result *out)
{
	const struct grant_request *request = op->request;
	const struct grant_row *renewed = request->row;
	struct memory_row *row = find(op->store, &request->key);
	struct grant_row changed;

	if (may_commit(row, request)) {
		changed = *row->row;
		changed.access_token = renewed->access_token;
		changed.refresh_token = renewed->refresh_token;
		changed.client_secret = renewed->client_secret;
		changed.grant.scope = renewed->grant.scope;
		changed.grant.expires_at = renewed->grant.expires_at;
		changed.grant.refresh_expires_at = renewed->grant.refresh_expires_at;
		changed.grant.last_refreshed_at = renewed->grant.last_refreshed_at;
		changed.grant.last_error = NULL;
		changed.grant.last_error_at = 0;
		changed.grant.version++;
		changed.next_refresh_at = renewed->next_refresh_at;
		changed.failures = 0;
		changed.lost = false;
		replace(row, &changed);
		end_lease(row);
		record(op->store, &request->key, &request->event);
	}
	if (row != NULL && span_eq(row->row->access_token, renewed->access_token))
		out->n_done = 1;
	else if (request->dropped.type != NULL)
		record(op->store, &request->key, &request->dropped);
}

static void put(struct memory_op *op, struct grant_result *out)
{
	const struct grant_request *request = op->request;
	struct memory_row *row = find(op->store, &request->key);
	int64_t lease_number = 0;

	if (row != NULL && row->row->grant.version != request->version)
		return;
	if (row == NULL) {
		row = mem_new(sizeof(*row));
		row->key = request->key;
		HASH_ADD(hh, op->store->rows, key, sizeof(row->key), row);
	} else {
		lease_number = row->row->lease_number;
	}
	replace(row, request->row);
	row->row->grant.state = GRANT_ACTIVE;
	row->row->lease_number = lease_number;
	end_lease(row);
	record(op->store, &request->key, &request->event);
	out->n_done = 1;
}

static void note_revocation(struct memory_row *row, const struct grant_request *request)
{
	free(row->last_revocation);
	row->last_revocation = request->row != NULL && request->row->grant.last_error != NULL
				       ? mem_strdup(request->row->grant.last_error)
				       : NULL;
}

static void disconnect(struct memory_op *op, struct grant_result *out)
{
	const struct grant_request *request = op->request;
	struct memory_row *row = find(op->store, &request->key);
	struct grant_row changed;

	if (row == NULL || row->row->grant.version != request->version)
		return;
	changed = *row->row;
	changed.client_secret = changed.access_token = changed.refresh_token =
		(struct span){ .p = NULL };
	changed.grant.state = GRANT_DISCONNECTED;
	changed.grant.expires_at = changed.grant.refresh_expires_at = changed.next_refresh_at = 0;
	changed.grant.last_error = NULL;
	changed.grant.last_error_at = 0;
	changed.grant.version++;
	changed.lost = false;
	changed.failures = 0;
	replace(row, &changed);
	end_lease(row);
	note_revocation(row, request);
	record(op->store, &request->key, &request->event);
	out->n_done = 1;
}

static void revoked(struct memory_op *op, struct grant_result *out)
{
	struct memory_row *row = find(op->store, &op->request->key);

	if (row == NULL || row->row->grant.version != op->request->version)
		return;
	note_revocation(row, op->request);
	record(op->store, &op->request->key, &op->request->event);
	out->n_done = 1;
}

static void changed(struct memory_op *op, struct grant_result *out)
{
	const struct grant_request *request = op->request;
	size_t *list = arena_alloc(op->arena, (request->n_seen + 1) * sizeof(*list));

	for (size_t i = 0; i < request->n_seen; i++) {
		const struct grant_seen *seen = &request->seen[i];
		const struct memory_row *row = find(op->store, &seen->key);
		bool same = row == NULL
				    ? seen->state == NULL
				    : seen->state != NULL &&
					      seen->version == row->row->grant.version &&
					      strcmp(seen->state,
						     grant_state_name(row->row->grant.state)) == 0;

		if (!same)
			list[out->n_changed++] = i;
	}
	out->changed = list;
}

static void release(struct memory_op *op, struct grant_result *out)
{
	struct memory_row *row;
	struct memory_row *next;

	HASH_ITER(hh, op->store->rows, row, next)
	{
		if (strcmp(row->owner, op->request->owner) != 0)
			continue;
		row->row->lost = row->row->lost || row->sent_ms != 0;
		end_lease(row);
		out->n_done++;
	}
}

static void (*const verbs[N_GRANT_VERBS])(struct memory_op *op, struct grant_result *out) = {
	[GRANT_LOAD] = load,	   [GRANT_LEASE] = lease,     [GRANT_DUE] = due,
	[GRANT_SENT] = sent,	   [GRANT_YIELD] = yield,     [GRANT_FAIL] = fail,
	[GRANT_COMMIT] = commit,   [GRANT_PUT] = put,	      [GRANT_DISCONNECT] = disconnect,
	[GRANT_REVOKED] = revoked, [GRANT_CHANGED] = changed, [GRANT_RELEASE] = release,
};

static void on_turn(void *ctx)
{
	struct memory_op *op = ctx;
	struct grant_result result = { .rows = NULL };

	verbs[op->request->verb](op, &result);
	*op->op.slot = NULL;
	op->done(op->ctx, &result, NULL);
	arena_free(&op->arena);
	free(op);
}

static void memory_cancel(struct grant_op *op)
{
	struct memory_op *self = (struct memory_op *)op;

	deferred_cancel(&self->turn);
	arena_free(&self->arena);
	free(self);
}

static struct grant_request *request_dup(struct arena *arena, const struct grant_request *request)
{
	struct grant_request *copy = arena_dup(arena, request, sizeof(*request));
	const char **servers = arena_alloc(arena, (request->n_not_servers + 1) * sizeof(*servers));

	if (request->owner != NULL)
		copy->owner = arena_strdup(arena, request->owner);
	if (request->row != NULL)
		copy->row = grant_row_dup(arena, request->row);
	for (size_t i = 0; i < request->n_not_servers; i++)
		servers[i] = arena_strdup(arena, request->not_servers[i]);
	copy->not_servers = servers;
	copy->event = event_dup(arena, &request->event);
	copy->dropped = event_dup(arena, &request->dropped);
	/* The states of `seen` are literals. */
	copy->seen = arena_dup(arena, request->seen, request->n_seen * sizeof(*request->seen));
	return copy;
}

static void memory_start(struct grant_store *store, struct grant_op **slot,
			 const struct grant_request *request, grant_done *done, void *ctx)
{
	struct memory_op *op = mem_new(sizeof(*op));

	*op = (struct memory_op){
		.op = {slot, memory_cancel},
		.store = (struct memory_store *)store,
		.arena = arena_new(),
		.done = done,
		.ctx = ctx,
	};
	op->request = request_dup(op->arena, request);
	*slot = &op->op;
	loop_defer(op->store->loop, &op->turn, on_turn, op);
}

static void memory_free(struct grant_store *store)
{
	struct memory_store *self = (struct memory_store *)store;
	struct memory_row *row;
	struct memory_row *next;

	HASH_ITER(hh, self->rows, row, next)
	{
		HASH_DEL(self->rows, row);
		arena_free(&row->arena);
		free(row->last_revocation);
		free(row);
	}
	arena_free(&self->events_arena);
	free(self->events);
	free(self);
}

struct grant_store *grant_memory_new(struct loop *loop)
{
	struct memory_store *self = mem_new(sizeof(*self));

	*self = (struct memory_store){
		.store = {.start = memory_start, .free = memory_free, .plain = true},
		.loop = loop,
		.events_arena = arena_new(),
	};
	return &self->store;
}

const struct grant_memory_event *grant_memory_events(struct grant_store *store, size_t *n)
{
	const struct memory_store *self = (struct memory_store *)store;

	*n = self->n_events;
	return self->events;
}
