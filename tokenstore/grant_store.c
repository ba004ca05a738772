/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenstore/grant_store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void put_text(char *out, size_t room, const char *text)
{
	int n = snprintf(out, room, "%s", text);

	assert(n >= 0 && (size_t)n < room);
}

struct grant_key grant_key_of(const char *tenant_id, const char *connection_id, const char *subject)
{
	struct grant_key key;

	memset(&key, 0, sizeof(key));
	put_text(key.tenant_id, sizeof(key.tenant_id), tenant_id);
	put_text(key.connection_id, sizeof(key.connection_id), connection_id);
	put_text(key.subject, sizeof(key.subject), subject != NULL ? subject : "");
	return key;
}

static const char *const states[] = {
	[GRANT_ACTIVE] = "active",
	[GRANT_NEEDS_REAUTH] = "needs_reauth",
	[GRANT_DISCONNECTED] = "disconnected",
};
static const char *const kinds[] = {
	[GRANT_AUTHORIZATION_CODE] = "authorization_code",
	[GRANT_CLIENT_CREDENTIALS] = "client_credentials",
	[GRANT_INGESTED] = "ingested",
};

const char *grant_state_name(enum grant_state state)
{
	return states[state];
}

const char *grant_kind_name(enum grant_kind kind)
{
	return kinds[kind];
}

static int find(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

int grant_state_parse(const char *name, enum grant_state *state, struct err *err)
{
	int found = find(states, COUNT(states), name);

	if (found < 0)
		return err_set(err, ERR_BAD_REQUEST, "%s is no state of a grant", name);
	*state = (enum grant_state)found;
	return 0;
}

int grant_kind_parse(const char *name, enum grant_kind *kind, struct err *err)
{
	int found = find(kinds, COUNT(kinds), name);

	if (found < 0)
		return err_set(err, ERR_BAD_REQUEST, "%s is no kind of grant", name);
	*kind = (enum grant_kind)found;
	return 0;
}

static const char *dup_text(struct arena *arena, const char *text)
{
	return text != NULL ? arena_strdup(arena, text) : NULL;
}

static struct span dup_span(struct arena *arena, struct span bytes)
{
	if (bytes.p != NULL)
		bytes.p = arena_dup(arena, bytes.p, bytes.n);
	return bytes;
}

struct grant_row *grant_row_dup(struct arena *arena, const struct grant_row *row)
{
	struct grant_row *copy = arena_alloc(arena, sizeof(*copy));
	struct grant *grant = &copy->grant;

	*copy = *row;
	grant->issuer = dup_text(arena, grant->issuer);
	grant->token_url = dup_text(arena, grant->token_url);
	grant->revocation_url = dup_text(arena, grant->revocation_url);
	grant->client_id = dup_text(arena, grant->client_id);
	grant->client_auth = dup_text(arena, grant->client_auth);
	grant->resource = dup_text(arena, grant->resource);
	grant->audience = dup_text(arena, grant->audience);
	grant->scope = dup_text(arena, grant->scope);
	grant->account = dup_text(arena, grant->account);
	grant->authenticated_by = dup_text(arena, grant->authenticated_by);
	grant->last_error = dup_text(arena, grant->last_error);
	grant->client_secret = grant->access_token = grant->refresh_token =
		(struct secret){ .reveal = NULL };
	copy->client_secret = dup_span(arena, row->client_secret);
	copy->access_token = dup_span(arena, row->access_token);
	copy->refresh_token = dup_span(arena, row->refresh_token);
	return copy;
}

void grant_start(struct grant_store *store, struct grant_op **slot,
		 const struct grant_request *request, grant_done *done, void *ctx)
{
	assert(*slot == NULL);
	store->start(store, slot, request, done, ctx);
}

void grant_cancel(struct grant_op **slot)
{
	struct grant_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	op->cancel(op);
}

void grant_store_free(struct grant_store **store)
{
	if (*store == NULL)
		return;
	(*store)->free(*store);
	*store = NULL;
}
