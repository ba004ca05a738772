/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The tokens are here: whose account it is, whether the tools can be listed with them, and whether
 * another account is connected already. Only then are they kept: a token that cannot list tools
 * connects nothing.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/core/connect_priv.h"
#include "oauth/account.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define LIST_TIMEOUT_MS 20000 /* for a probe to be let in: those of a worker are limited */
#define LIST_AGAIN_MS	250
#define MAX_HELD_BYTES	((size_t)4 * TOKEN_MAX_BYTES)

/* --- whose account --------------------------------------------------------------------------- */

static void on_userinfo(void *ctx, const struct fetch_answer *answer)
{
	struct connect_op *op = ctx;

	if (answer->err == NULL && answer->status == 200)
		op->attempt.account = account_of_userinfo(answer->body, op->arena);
	connect_resume(op);
}

/* A name to show is not worth a failure. */
static enum connect_result ask_userinfo(struct connect_op *op)
{
	char *authorization;
	struct http_header headers[] = {
		{"accept",	    "application/json"},
		{ "authorization", NULL		},
	};
	const struct fetch_params params = {
		.client = op->connects->http,
		.egress = op->tenant->egress,
		.method = "GET",
		.url = op->attempt.server.userinfo_url,
		.headers = headers,
		.n_headers = COUNT(headers),
		.want = FETCH_OK,
	};

	if (op->attempt.account != NULL || params.url == NULL)
		return CONNECT_NEXT;
	authorization = mem_printf("Bearer %s", op->access_token.reveal);
	headers[1].value = authorization;
	fetch_start(&op->fetch, &params, on_userinfo, op);
	mem_wipe(authorization, strlen(authorization));
	free(authorization);
	return CONNECT_WAIT;
}

/* --- whether it lists tools ------------------------------------------------------------------ */

static void list_tools(struct connect_op *op);

static void on_again(void *ctx)
{
	list_tools(ctx);
}

static enum connect_result judge(struct connect_op *op, const struct probe_report *report)
{
	if (report->refused == 403)
		return connect_fail(op, CONNECT_MISSING_SCOPE,
				    "The server does not list its tools to this account.");
	if (report->refused != 0)
		return connect_fail(op, CONNECT_PROVIDER_ERROR,
				    "The server refuses the token that was given for it.");
	if (report->problem != NULL)
		return connect_fail_by(op, report->problem);
	op->attempt.tools_count = (int64_t)report->n_tools;
	return CONNECT_NEXT;
}

static void on_listed(void *ctx, const struct probe_report *report)
{
	struct connect_op *op = ctx;
	struct loop *loop = op->connects->params.loop;

	if (report->problem != NULL && report->problem->code == ERR_UNAVAILABLE &&
	    loop_now_ms(loop) < op->give_up_ms)
		timer_start(loop, &op->timer, LIST_AGAIN_MS, on_again, op);
	else
		connect_resume_with(op, judge(op, report));
}

/* With a session of its own and this very token: nothing that serves calls is touched. */
static void list_tools(struct connect_op *op)
{
	struct connection connection = *op->connection;

	connection.auth_mode = AUTH_BEARER;
	connection.oauth = NULL;
	connection.credential = op->access_token;
	probe_start(op->connects->params.probes, &op->probe, op->tenant, &connection, on_listed,
		    op);
}

static enum connect_result list(struct connect_op *op)
{
	op->give_up_ms = loop_now_ms(op->connects->params.loop) + LIST_TIMEOUT_MS;
	list_tools(op);
	return CONNECT_WAIT;
}

/* --- another account ------------------------------------------------------------------------- */

static const char *text_of(const struct secret *secret)
{
	return secret->n > 0 ? secret->reveal : NULL;
}

/* The tokens as they wait for the user's choice. Wiped by the caller. */
static void write_held(const struct connect_op *op, struct buf *out)
{
	json_t *json =
		json_pack("{s:s?, s:s?, s:s?, s:I, s:I}", "access_token",
			  text_of(&op->access_token), "refresh_token", text_of(&op->refresh_token),
			  "scope", op->granted_scope, "expires_at", (json_int_t)op->expires_at,
			  "refresh_expires_at", (json_int_t)op->refresh_expires_at);

	if (json == NULL || json_write(json, out) < 0)
		buf_wipe(out);
	json_decref(json);
}

static enum connect_result hold(struct connect_op *op)
{
	static const char sql[] =
		"UPDATE tollgate.connect_attempts a SET held = $2::bytea, account = $3,"
		" tools_count = $4::int, verifier = NULL" CONNECT_ATTEMPT
		" AND a.state = 'pending'";
	const struct connect_place place = { "connect_attempts", "held", op->attempt.id,
					     op->attempt.tries };
	const char *sealed = NULL;
	struct buf text;

	buf_init(&text, MAX_HELD_BYTES);
	write_held(op, &text);
	if (text.len > 0)
		sealed = connect_seal(op, &place, buf_span(&text));
	buf_wipe(&text);
	if (sealed == NULL)
		return connect_refuse(op, ERR_INTERNAL, "the tokens cannot be kept");

	const struct span params[] = {
		span_of(op->attempt.id),
		span_of(sealed),
		span_of(op->attempt.account),
		span_of(arena_printf(op->arena, "%lld", (long long)op->attempt.tools_count)),
	};

	op->attempt.state = CONNECT_CHOOSING;
	return connect_query(op, sql, params, COUNT(params));
}

static enum connect_result held(struct connect_op *op)
{
	(void)op;
	return CONNECT_END;
}

static connect_step *const hold_steps[] = { hold, held };

static enum connect_result check_account(struct connect_op *op)
{
	const char *former = op->attempt.former_account;
	const char *account = op->attempt.account;

	op->step = former != NULL && account != NULL && strcmp(former, account) != 0
			   ? hold_steps
			   : connect_store_steps;
	return CONNECT_NEXT;
}

connect_step *const connect_finish_steps[] = { ask_userinfo, list, check_account };

/* --- keeping them ---------------------------------------------------------------------------- */

static void on_stored(void *ctx, const struct err *err)
{
	struct connect_op *op = ctx;

	connect_resume_with(op, err == NULL ? CONNECT_NEXT
					    : connect_refuse(op, err->code, "%s", err->text));
}

static enum connect_result store(struct connect_op *op)
{
	const struct attempt *attempt = &op->attempt;
	struct grant *grant = arena_alloc(op->arena, sizeof(*grant));
	const struct access_put put = {
		.grant = grant,
		.event = "connect_completed",
		.actor = arena_printf(op->arena, "user:%s", op->principal->user_name),
		.attempt_id = attempt->id,
		.settings_version = attempt->settings_version,
	};

	*grant = (struct grant){
		.state = GRANT_ACTIVE,
		.kind = GRANT_AUTHORIZATION_CODE,
		.issuer = attempt->server.issuer,
		.token_url = attempt->server.token_url,
		.revocation_url = attempt->server.revocation_url,
		.client_id = attempt->client_id,
		.client_auth = client_auth_name(attempt->client_auth),
		.client_secret = op->client_secret,
		.resource = attempt->resource,
		.scope = op->granted_scope != NULL ? op->granted_scope : attempt->asked_scope,
		.access_token = op->access_token,
		.refresh_token = op->refresh_token,
		.expires_at = op->expires_at,
		.refresh_expires_at = op->refresh_expires_at,
		.account = attempt->account,
		.authenticated_by = op->principal->user_name,
		.authenticated_at = loop_unix_us() / 1000000,
	};
	snprintf(grant->key.tenant_id, sizeof(grant->key.tenant_id), "%s", op->tenant_id);
	snprintf(grant->key.connection_id, sizeof(grant->key.connection_id), "%s",
		 attempt->connection_id);
	snprintf(grant->key.subject, sizeof(grant->key.subject), "%s", attempt->subject);
	access_put(op->connects->params.access, &op->storing, &put, on_stored, op);
	return CONNECT_WAIT;
}

/* Who watches the connection lists it at once: it may have been refused until now. */
static enum connect_result save_connected(struct connect_op *op)
{
	static const char connected[] =
		"UPDATE tollgate.connect_attempts a SET state = 'connected', account = $2,"
		" tools_count = $3::int, finished_at = now(), state_hash = NULL, verifier = NULL,"
		" client_secret = NULL, held = NULL" CONNECT_ATTEMPT
		" AND a.state IN ('open', 'pending')";
	static const char wanted[] =
		"UPDATE tollgate.connection_status SET refresh_wanted = refresh_wanted + 1"
		" WHERE tenant_id = " CONNECT_TENANT " AND connection_id = $1::uuid";
	const struct span params[] = {
		span_of(op->attempt.id),
		span_of(op->attempt.account),
		span_of(arena_printf(op->arena, "%lld", (long long)op->attempt.tools_count)),
	};
	const struct span connection = span_of(op->attempt.connection_id);
	const struct db_statement statements[] = {
		{.sql = connected, .params = params,      .n_params = COUNT(params)},
		{ .sql = wanted,	 .params = &connection, .n_params = 1	      },
	};

	return connect_run(op, statements, COUNT(statements));
}

static enum connect_result connected(struct connect_op *op)
{
	op->attempt.state = CONNECT_CONNECTED;
	return CONNECT_END;
}

connect_step *const connect_store_steps[] = { store, save_connected, connected };

/* --- the user's choice ----------------------------------------------------------------------- */

static enum connect_result check_choosing(struct connect_op *op)
{
	if (op->attempt.state != CONNECT_CHOOSING)
		return CONNECT_END;
	if (op->attempt.expired)
		return connect_fail(op, CONNECT_EXPIRED, NULL);
	return op->choice == CONNECT_KEEP ? connect_fail(op, CONNECT_ACCOUNT_MISMATCH, NULL)
					  : CONNECT_NEXT;
}

static int read_held(struct connect_op *op, const struct secret *text, struct err *err)
{
	json_t *json = json_parse((struct span){ text->reveal, text->n }, err);
	const char *access_token = json != NULL ? json_text(json, "access_token") : NULL;
	const char *refresh_token = json != NULL ? json_text(json, "refresh_token") : NULL;
	const char *scope = json != NULL ? json_text(json, "scope") : NULL;

	if (access_token == NULL) {
		json_decref(json);
		return err_set(err, ERR_INTERNAL, "tokens that were kept make no sense");
	}
	op->access_token = secret_new(access_token, strlen(access_token));
	if (refresh_token != NULL)
		op->refresh_token = secret_new(refresh_token, strlen(refresh_token));
	op->granted_scope = scope != NULL ? arena_strdup(op->arena, scope) : NULL;
	op->expires_at = json_integer_value(json_object_get(json, "expires_at"));
	op->refresh_expires_at = json_integer_value(json_object_get(json, "refresh_expires_at"));
	json_decref(json);
	return 0;
}

static enum connect_result open_held(struct connect_op *op)
{
	struct attempt *attempt = &op->attempt;
	struct connect_place place = { "connect_attempts", "held", attempt->id, attempt->tries };
	struct secret text = { 0 };
	int ret;

	if (attempt->settings_version != op->connection->settings_version)
		return connect_fail(op, CONNECT_EXPIRED,
				    "The connection has been changed meanwhile.");
	if (connect_open(op, &place, attempt->held, &text, &op->err) < 0)
		return CONNECT_REFUSE;
	ret = read_held(op, &text, &op->err);
	secret_fini(&text);
	place.column = "client_secret";
	if (ret < 0 ||
	    (attempt->client_secret.p != NULL &&
	     connect_open(op, &place, attempt->client_secret, &op->client_secret, &op->err) < 0))
		return CONNECT_REFUSE;
	op->committed = true;
	op->step = connect_store_steps;
	return CONNECT_NEXT;
}

static connect_step *const choose_steps[] = {
	connect_load_attempt,
	connect_take_attempt,
	connect_check_viewer,
	check_choosing,
	connect_load_tenant,
	connect_take_connection,
	open_held,
};

void connect_choose(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		    struct principal *principal, enum connect_choice choice, connect_viewed *done,
		    void *ctx)
{
	struct connect_op *op = connect_op_new(connects, slot, CONNECT_FOR_VIEW, choose_steps, ctx);

	op->done.viewed = done;
	snprintf(op->tenant_id, sizeof(op->tenant_id), "%s", principal->tenant_id);
	snprintf(op->attempt.id, sizeof(op->attempt.id), "%s", attempt_id);
	op->principal = principal_ref(principal);
	op->choice = choice;
	connect_op_start(op);
}
