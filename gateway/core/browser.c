/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/browser.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/core/attempts.h"
#include "gateway/core/event_context.h"
#include "gateway/core/identity.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x)  TEXT_OF_(x)
#define SECONDS(x)  "'" TEXT_OF(x) " seconds'::interval"

struct browsers {
	struct db *db;
	struct identity *identity;
	struct attempts *attempts;
};

/* What is to be told, and to whom. */
enum op_kind { OP_FIND, OP_FIND_CODE, OP_SIGN_IN, OP_SIGN_OUT };

struct browser_op {
	struct browser_op **slot;
	struct browsers *browsers;
	enum op_kind kind;
	union {
		browser_found *found;
		browser_code_found *code_found;
		browser_signed_in *signed_in;
		browser_signed_out *signed_out;
	} done;
	void *ctx;
	struct db_op *query;
	struct identity_op *identity;
	struct attempt_op *recording;
	struct arena *arena;		 /* what it has of the visitor lies in it */
	struct browser_visitor visitor;	 /* of a sign-in or sign-out */
	const char *by;			 /* code, key or out; NULL: of something else */
	struct err refusal;		 /* while it is recorded */
	char token[BROWSER_TOKEN_BYTES]; /* of the session that is made */
	char former[BROWSER_HASH_BYTES]; /* of the one that it replaces; "": none */
};

const char browser_insert_code[] =
	"INSERT INTO tollgate.signin_codes (tenant_id, code_hash, user_id, created_by, api_key_id,"
	" expires_at) SELECT u.tenant_id, $1::bytea, u.id, $3, $4::uuid, now() + " SECONDS(
		BROWSER_CODE_S) " FROM tollgate.users u WHERE u.tenant_id = "
				"current_setting('app.tenant')::uuid"
				" AND u.id = $2::uuid AND u.enabled"
				" RETURNING extract(epoch FROM expires_at)::bigint AS expires_at";

struct browsers *browsers_new(struct db *db, struct identity *identity, struct attempts *attempts)
{
	struct browsers *browsers = mem_new(sizeof(*browsers));

	*browsers = (struct browsers){ .db = db, .identity = identity, .attempts = attempts };
	return browsers;
}

void browsers_free(struct browsers **browsers)
{
	free(*browsers);
	*browsers = NULL;
}

void browser_token_new(char out[BROWSER_TOKEN_BYTES])
{
	uint8_t bytes[SHA256_BYTES];
	char room[(SHA256_BYTES + 2) / 3 * 4 + 1];

	crypto_random(bytes, sizeof(bytes));
	snprintf(out, BROWSER_TOKEN_BYTES, "%.*s",
		 (int)base64url_encode(bytes, sizeof(bytes), room), room);
	mem_wipe(bytes, sizeof(bytes));
	mem_wipe(room, sizeof(room));
}

void browser_token_hash(const char *token, char out[BROWSER_HASH_BYTES])
{
	uint8_t digest[SHA256_BYTES];

	crypto_sha256(token, strlen(token), digest);
	out[0] = '\\';
	out[1] = 'x';
	hex_encode(digest, sizeof(digest), out + 2);
}

static void op_free(struct browser_op *op)
{
	identity_cancel(&op->identity);
	db_cancel(&op->query);
	attempt_leave(&op->recording);
	arena_free(&op->arena);
	mem_wipe(op->token, sizeof(op->token));
	free(op);
}

static struct browser_op *op_new(struct browsers *browsers, struct browser_op **slot,
				 enum op_kind kind, void *ctx)
{
	struct browser_op *op = mem_new(sizeof(*op));

	assert(*slot == NULL);
	*op = (struct browser_op){
		.slot = slot, .browsers = browsers, .kind = kind, .ctx = ctx, .arena = arena_new()
	};
	*slot = op;
	return op;
}

static void tell_failure(struct browser_op *op, const struct err *err)
{
	switch (op->kind) {
	case OP_FIND:
		op->done.found(op->ctx, NULL, err);
		return;
	case OP_FIND_CODE:
		op->done.code_found(op->ctx, NULL, NULL, err);
		return;
	case OP_SIGN_IN:
		op->done.signed_in(op->ctx, NULL, err);
		return;
	case OP_SIGN_OUT:
		op->done.signed_out(op->ctx, err);
		return;
	}
}

static void fail(struct browser_op *op, enum err_code code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	*op->slot = NULL;
	tell_failure(op, &err);
	op_free(op);
}

static void on_recorded(void *ctx, const struct err *err)
{
	struct browser_op *op = ctx;

	/* A sign-in that nobody can know of is refused as well. */
	(void)err;
	fail(op, op->refusal.code, op->refusal.text);
}

/* principal: of the key that was shown; NULL: nobody was recognised. */
static void refuse(struct browser_op *op, const char *error_code, const struct principal *principal,
		   enum err_code code, const char *text)
{
	struct attempts *attempts = op->browsers->attempts;
	struct attempt attempt = {
		.kind = ATTEMPT_SIGNIN,
		.actor = "nobody",
		.action = op->by,
		.error_code = error_code,
		.source_ip = op->visitor.source_ip,
		.client = op->visitor.client,
	};
	char id[UUID_TEXT_BYTES];

	uuid_v7(loop_unix_us() / 1000, id);
	attempt.event_id = id;
	if (principal != NULL) {
		attempt.tenant_id = principal->tenant_id;
		attempt.tenant = principal->tenant;
		attempt.api_key = principal->api_key_public;
	}
	err_set(&op->refusal, code, "%s", text);
	if (attempts == NULL ||
	    !attempts_write(attempts, &op->recording, &attempt, on_recorded, op))
		fail(op, code, text);
}

/* Never more than the user has, and never the deployment's. */
static enum role role_of(const struct db_result *row)
{
	enum role session = ROLE_USER;
	enum role user = ROLE_USER;
	struct err ignored;

	if (role_parse(db_text(row, 0, "role"), &session, &ignored) < 0 ||
	    role_parse(db_text(row, 0, "user_role"), &user, &ignored) < 0)
		return ROLE_USER;
	return session >= ROLE_ADMIN && user >= ROLE_ADMIN ? ROLE_ADMIN : ROLE_USER;
}

static struct principal *principal_of(const struct db_result *row)
{
	struct principal *p = mem_new(sizeof(*p));

	p->refs = 1;
	snprintf(p->tenant_id, sizeof(p->tenant_id), "%s", db_text(row, 0, "tenant_id"));
	snprintf(p->user_id, sizeof(p->user_id), "%s", db_text(row, 0, "user_id"));
	snprintf(p->subject, sizeof(p->subject), "user:%s", p->user_id);
	p->tenant = mem_strdup(db_text(row, 0, "tenant_name"));
	p->user_name = mem_strdup(db_text(row, 0, "user_name"));
	p->role = role_of(row);
	return p;
}

/* A row says yes; which no is nobody's business. */
static void tell(struct browser_op *op, const struct db_result *row)
{
	struct principal *principal;

	*op->slot = NULL;
	switch (op->kind) {
	case OP_FIND:
		principal = principal_of(row);
		op->done.found(op->ctx, principal, NULL);
		principal_unref(&principal);
		break;
	case OP_FIND_CODE:
		op->done.code_found(op->ctx, db_text(row, 0, "tenant_name"),
				    db_text(row, 0, "user_name"), NULL);
		break;
	case OP_SIGN_IN:
		op->done.signed_in(op->ctx, op->token, NULL);
		break;
	case OP_SIGN_OUT:
		op->done.signed_out(op->ctx, NULL);
		break;
	}
	op_free(op);
}

/* Known and no good any more, which the database has recorded. */
static bool is_void(const struct db_result *row)
{
	return db_text(row, 0, "user_name") == NULL;
}

static void on_row(void *ctx, const struct db_result *const *results, size_t n,
		   const struct err *err)
{
	static const char *const no[] = {
		[OP_FIND] = "nobody is signed in",
		[OP_FIND_CODE] = "this sign-in code is not valid, or has been used",
		[OP_SIGN_IN] = "this sign-in code is not valid, or has been used",
		[OP_SIGN_OUT] = "",
	};
	struct browser_op *op = ctx;

	if (err != NULL) {
		fail(op, ERR_UNAVAILABLE, "the gateway cannot reach its database now");
		return;
	}
	assert(n == 1);
	if (op->kind == OP_SIGN_IN && db_rows(results[0]) == 0)
		refuse(op, "code_unknown", NULL, ERR_UNAUTHENTICATED, no[op->kind]);
	else if ((op->kind != OP_SIGN_OUT && db_rows(results[0]) == 0) ||
		 (op->kind == OP_SIGN_IN && is_void(results[0])))
		fail(op, ERR_UNAUTHENTICATED, no[op->kind]);
	else
		tell(op, results[0]);
}

/* As the tenant, if it is known; of a sign-in and its end it is recorded who sat there. */
static void ask(struct browser_op *op, const char *tenant_id, const char *sql,
		const struct span *params, size_t n)
{
	const struct db_statement statement = { sql, params, n };
	struct db_setting settings[2];
	struct db_tx tx = { .settings = settings, .statements = &statement, .n_statements = 1 };

	if (tenant_id != NULL)
		settings[tx.n_settings++] = (struct db_setting){ "app.tenant", tenant_id };
	if (op->by != NULL)
		settings[tx.n_settings++] = (struct db_setting){
			EVENT_CONTEXT_SETTING,
			event_context_write(
				&(struct event_context){ .via = "connect",
							 .source_ip = op->visitor.source_ip,
							 .client = op->visitor.client,
							 .signin = op->by },
				op->arena)
		};
	db_start(op->browsers->db, &op->query, &tx, on_row, op);
}

/* What stands in the row of a token or a code; of it the database has the hash only. */
static void ask_of(struct browser_op *op, const char *sql, const char *token)
{
	char hash[BROWSER_HASH_BYTES];
	struct span param;

	browser_token_hash(token, hash);
	param = span_of(hash);
	ask(op, NULL, sql, &param, 1);
}

void browser_find(struct browsers *browsers, struct browser_op **slot, const char *token,
		  browser_found *done, void *ctx)
{
	static const char sql[] = "SELECT * FROM tollgate.use_browser_session($1::bytea, " SECONDS(
		BROWSER_IDLE_S) ")";
	struct browser_op *op = op_new(browsers, slot, OP_FIND, ctx);

	op->done.found = done;
	ask_of(op, sql, token);
}

void browser_find_code(struct browsers *browsers, struct browser_op **slot, const char *code,
		       browser_code_found *done, void *ctx)
{
	struct browser_op *op = op_new(browsers, slot, OP_FIND_CODE, ctx);

	op->done.code_found = done;
	ask_of(op, "SELECT * FROM tollgate.find_signin_code($1::bytea)", code);
}

static void take_visitor(struct browser_op *op, const char *by,
			 const struct browser_visitor *visitor)
{
	op->by = by;
	op->visitor.source_ip = event_text(op->arena, visitor->source_ip);
	op->visitor.client = event_foreign_text(op->arena, visitor->client);
	if (visitor->former[0] != '\0')
		browser_token_hash(visitor->former, op->former);
}

/* NULL: none, and none is ended. */
static struct span former_of(const struct browser_op *op)
{
	return span_of(op->former[0] != '\0' ? op->former : NULL);
}

void browser_sign_in_by_code(struct browsers *browsers, struct browser_op **slot, const char *code,
			     const struct browser_visitor *visitor, browser_signed_in *done,
			     void *ctx)
{
	struct browser_op *op = op_new(browsers, slot, OP_SIGN_IN, ctx);
	char code_hash[BROWSER_HASH_BYTES];
	char token_hash[BROWSER_HASH_BYTES];
	struct span params[3];

	op->done.signed_in = done;
	take_visitor(op, "code", visitor);
	browser_token_new(op->token);
	browser_token_hash(code, code_hash);
	browser_token_hash(op->token, token_hash);
	params[0] = span_of(code_hash);
	params[1] = span_of(token_hash);
	params[2] = former_of(op);
	ask(op, NULL,
	    "SELECT s.*, CASE WHEN s.user_name IS NOT NULL THEN"
	    " tollgate.end_browser_session($3::bytea) END"
	    " FROM tollgate.sign_in_by_code($1::bytea, $2::bytea, " SECONDS(
		    BROWSER_LIFETIME_S) ") s",
	    params, 3);
}

/* The session ends with its key, and the key's role is the most that it may. */
static void make_session(struct browser_op *op, const struct principal *principal)
{
	static const char sql[] =
		"INSERT INTO tollgate.browser_sessions"
		" (tenant_id, token_hash, user_id, api_key_id, role, expires_at)"
		" SELECT k.tenant_id, $1::bytea, k.user_id, k.id, $3,"
		" least(now() + " SECONDS(
			BROWSER_LIFETIME_S) ", coalesce(k.expires_at, 'infinity'))"
					    " FROM tollgate.api_keys k WHERE k.tenant_id ="
					    " current_setting('app.tenant')::uuid"
					    " AND k.id = $2::uuid AND k.user_id IS NOT NULL"
					    " RETURNING user_id::text AS user_name,"
					    " tollgate.end_browser_session($4::bytea)";
	char hash[BROWSER_HASH_BYTES];
	struct span params[4];

	browser_token_new(op->token);
	browser_token_hash(op->token, hash);
	params[0] = span_of(hash);
	params[1] = span_of(principal->api_key_id);
	params[2] = span_of(principal->role >= ROLE_ADMIN ? "admin" : "user");
	params[3] = former_of(op);
	ask(op, principal->tenant_id, sql, params, 4);
}

static void on_identity(void *ctx, struct principal *principal, const struct err *err)
{
	struct browser_op *op = ctx;

	if (err != NULL && err->code == ERR_UNAUTHENTICATED)
		refuse(op, "key_unknown", NULL, err->code, "this API key is not valid");
	else if (err != NULL)
		fail(op, err->code, "API keys cannot be checked now");
	else if (principal->user_id[0] == '\0')
		refuse(op, "key_of_service", principal, ERR_FORBIDDEN,
		       "this API key belongs to a service, and only users can sign in");
	else
		make_session(op, principal);
}

void browser_sign_in_by_key(struct browsers *browsers, struct browser_op **slot, const char *key,
			    const struct browser_visitor *visitor, browser_signed_in *done,
			    void *ctx)
{
	struct browser_op *op = op_new(browsers, slot, OP_SIGN_IN, ctx);

	op->done.signed_in = done;
	take_visitor(op, "key", visitor);
	/* Never from memory: a sign-in is rare, and what was revoked a moment ago is no key. */
	identity_start(browsers->identity, &op->identity, key, on_identity, op);
}

void browser_sign_out(struct browsers *browsers, struct browser_op **slot,
		      const struct browser_visitor *visitor, browser_signed_out *done, void *ctx)
{
	struct browser_op *op = op_new(browsers, slot, OP_SIGN_OUT, ctx);

	op->done.signed_out = done;
	take_visitor(op, "out", visitor);
	ask_of(op, "SELECT tollgate.end_browser_session($1::bytea)", visitor->former);
}

void browser_cancel(struct browser_op **slot)
{
	struct browser_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	op_free(op);
}
