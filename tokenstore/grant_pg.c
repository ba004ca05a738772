/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenstore/grant_sql.h"

struct pg_store {
	struct grant_store store; /* first */
	struct db *db;
	grant_told *told; /* NULL: nobody wants to know */
	void *told_ctx;
};

#define MAX_EVENT_BYTES 64

struct pg_op {
	struct grant_op op; /* first */
	struct db_op *query;
	enum grant_verb verb;
	struct pg_store *store;
	struct grant_key key;
	char event[MAX_EVENT_BYTES];   /* recorded if it is done, or "" */
	char dropped[MAX_EVENT_BYTES]; /* else */
	grant_done *done;
	void *ctx;
};

static void pg_cancel(struct grant_op *op)
{
	struct pg_op *self = (struct pg_op *)op;

	db_cancel(&self->query);
	free(self);
}

static const char *text_of(struct arena *arena, const struct db_result *rows, size_t row,
			   const char *column)
{
	const char *text = db_text(rows, row, column);

	return text != NULL ? arena_strdup(arena, text) : NULL;
}

static struct span bytes_of(struct arena *arena, const struct db_result *rows, size_t row,
			    const char *column)
{
	struct span bytes;
	void *p = db_bytes(rows, row, column, &bytes.n);

	bytes.p = p != NULL ? arena_dup(arena, p, bytes.n) : NULL;
	free(p);
	return bytes;
}

static void read_grant(struct arena *arena, const struct db_result *rows, size_t row,
		       struct grant *grant)
{
	struct err err;
	int known;

	grant->key =
		grant_key_of(db_text(rows, row, "tenant_id"), db_text(rows, row, "connection_id"),
			     db_text(rows, row, "subject"));
	known = grant_state_parse(db_text(rows, row, "state"), &grant->state, &err) == 0 &&
		grant_kind_parse(db_text(rows, row, "kind"), &grant->kind, &err) == 0;
	assert(known); /* the table's checks say so */
	grant->issuer = text_of(arena, rows, row, "issuer");
	grant->token_url = text_of(arena, rows, row, "token_url");
	grant->revocation_url = text_of(arena, rows, row, "revocation_url");
	grant->client_id = text_of(arena, rows, row, "client_id");
	grant->client_auth = text_of(arena, rows, row, "client_auth");
	grant->resource = text_of(arena, rows, row, "resource");
	grant->audience = text_of(arena, rows, row, "audience");
	grant->scope = text_of(arena, rows, row, "scope");
	grant->account = text_of(arena, rows, row, "account");
	grant->authenticated_by = text_of(arena, rows, row, "authenticated_by");
	grant->last_error = text_of(arena, rows, row, "last_error");
	grant->expires_at = db_int(rows, row, "expires_at");
	grant->refresh_expires_at = db_int(rows, row, "refresh_expires_at");
	grant->authenticated_at = db_int(rows, row, "authenticated_at");
	grant->last_refreshed_at = db_int(rows, row, "last_refreshed_at");
	grant->last_error_at = db_int(rows, row, "last_error_at");
	grant->version = db_int(rows, row, "version");
	grant->connected_version = db_int(rows, row, "connected_version");
}

static void read_row(struct arena *arena, const struct db_result *rows, size_t row,
		     struct grant_row *out)
{
	read_grant(arena, rows, row, &out->grant);
	snprintf(out->id, sizeof(out->id), "%s", db_text(rows, row, "id"));
	out->client_secret = bytes_of(arena, rows, row, "client_secret");
	out->access_token = bytes_of(arena, rows, row, "access_token");
	out->refresh_token = bytes_of(arena, rows, row, "refresh_token");
	out->next_refresh_at = db_int(rows, row, "next_refresh_at");
	out->failures = db_int(rows, row, "failures");
	out->lease_number = db_int(rows, row, "lease_number");
	out->busy = db_bool(rows, row, "busy");
	out->lost = db_bool(rows, row, "lost");
}

static void take_rows(struct arena *arena, const struct db_result *rows, struct grant_result *out)
{
	struct grant_row *list = arena_alloc(arena, (db_rows(rows) + 1) * sizeof(*list));

	for (size_t i = 0; i < db_rows(rows); i++)
		read_row(arena, rows, i, &list[i]);
	out->rows = list;
	out->n_rows = db_rows(rows);
}

static void take_numbers(struct arena *arena, const struct db_result *rows,
			 struct grant_result *out)
{
	size_t *list = arena_alloc(arena, (db_rows(rows) + 1) * sizeof(*list));

	for (size_t i = 0; i < db_rows(rows); i++)
		list[i] = (size_t)db_int(rows, i, "n") - 1;
	out->changed = list;
	out->n_changed = db_rows(rows);
}

static void take(enum grant_takes takes, struct arena *arena,
		 const struct db_result *const *results, struct grant_result *out)
{
	switch (takes) {
	case GRANT_TAKES_ROWS:
		take_rows(arena, results[0], out);
		break;
	case GRANT_TAKES_COUNT:
		out->n_done = db_affected(results[0]);
		break;
	case GRANT_TAKES_STATE:
		out->n_done = db_affected(results[0]);
		out->needs_reauth = out->n_done > 0 &&
				    strcmp(db_text(results[0], 0, "state"), "needs_reauth") == 0;
		break;
	case GRANT_TAKES_SAME:
		out->n_done = db_rows(results[1]);
		break;
	case GRANT_TAKES_NUMBERS:
		take_numbers(arena, results[0], out);
		break;
	case GRANT_TAKES_NOTHING:
		break;
	}
}

static void keep_type(char out[MAX_EVENT_BYTES], const char *type)
{
	snprintf(out, MAX_EVENT_BYTES, "%s", type != NULL ? type : "");
}

static void tell(const struct pg_op *op, const struct grant_result *result)
{
	const char *type = result->n_done > 0 ? op->event : op->dropped;

	if (op->store->told != NULL && type[0] != '\0')
		op->store->told(op->store->told_ctx, &op->key, type);
}

static void on_answered(void *ctx, const struct db_result *const *results, size_t n,
			const struct err *err)
{
	struct pg_op was = *(struct pg_op *)ctx;
	struct arena *arena = arena_new();
	struct grant_result result = { .rows = NULL };

	(void)n;
	*was.op.slot = NULL;
	free(ctx);
	if (err == NULL) {
		take(grant_sql[was.verb].takes, arena, results, &result);
		tell(&was, &result);
	}
	was.done(was.ctx, err == NULL ? &result : NULL, err);
	arena_free(&arena);
}

static void pg_start(struct grant_store *store, struct grant_op **slot,
		     const struct grant_request *request, grant_done *done, void *ctx)
{
	struct pg_store *self = (struct pg_store *)store;
	const struct grant_sql *sql = &grant_sql[request->verb];
	const struct db_setting settings[] = {
		{"app.tenant", request->key.tenant_id},
		{ "app.event", request->event.context},
	};
	struct db_statement statements[GRANT_SQL_STATEMENTS];
	struct arena *arena = arena_new();
	struct pg_op *op = mem_new(sizeof(*op));
	const struct db_tx tx = {
		.settings = settings,
		.n_settings = !sql->of_tenant		       ? 0
			      : request->event.context != NULL ? 2
							       : 1,
		.statements = statements,
		.n_statements = sql->build(arena, request, statements),
	};

	*op = (struct pg_op){
		.op = {slot, pg_cancel},
		.verb = request->verb,
		.store = self,
		.key = request->key,
		.done = done,
		.ctx = ctx,
	};
	keep_type(op->event, request->event.type);
	keep_type(op->dropped, request->dropped.type);
	*slot = &op->op;
	db_start(self->db, &op->query, &tx, on_answered, op);
	arena_free(&arena);
}

static void pg_free(struct grant_store *store)
{
	free(store);
}

struct grant_store *grant_pg_new(struct db *db)
{
	struct pg_store *self = mem_new(sizeof(*self));

	*self = (struct pg_store){
		.store = {.start = pg_start, .free = pg_free},
			 .db = db
	};
	return &self->store;
}

void grant_pg_watch(struct grant_store *store, grant_told *told, void *ctx)
{
	struct pg_store *self = (struct pg_store *)store;

	self->told = told;
	self->told_ctx = ctx;
}
