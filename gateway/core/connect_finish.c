/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The tokens are here: whose account it is, whether the tools can be listed with them, and whether
 * another account is connected already. Only then are they kept: a token that cannot list tools
 * connects nothing.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/core/connect_priv.h"
#include "oauth/account.h"

#define COUNT(array)	   (sizeof(array) / sizeof((array)[0]))
#define LIST_TIMEOUT_MS	   20000 /* for a probe to be let in: those of a worker are limited */
#define LIST_AGAIN_MS	   250
#define CATALOG_TIMEOUT_MS 5000
#define CATALOG_AGAIN_MS   100

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

static enum connect_result check_account(struct connect_op *op)
{
	const char *former = op->attempt.former_account;
	const char *account = op->attempt.account;

	op->step = former != NULL && account != NULL && strcmp(former, account) != 0
			   ? connect_hold_steps
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
	grant->key = grant_key_of(op->tenant_id, attempt->connection_id, attempt->subject);
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

/* Whoever goes back to a client now is to find the tools: who watches the connection lists them at
 * this moment, if nobody has before. It is connected in any case. */
static void look_for_catalog(struct connect_op *op);

static void on_look_again(void *ctx)
{
	look_for_catalog(ctx);
}

static void on_catalog(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct connect_op *op = ctx;
	struct loop *loop = op->connects->params.loop;

	(void)n;
	if (err == NULL && db_rows(results[0]) == 0 && loop_now_ms(loop) < op->give_up_ms)
		timer_start(loop, &op->timer, CATALOG_AGAIN_MS, on_look_again, op);
	else
		connect_resume(op);
}

static void look_for_catalog(struct connect_op *op)
{
	const struct db_setting setting = { "app.tenant", op->tenant_id };
	const struct span connection = span_of(op->attempt.connection_id);

	db_query(op->connects->params.db, &op->query, &setting,
		 "SELECT FROM tollgate.catalogs WHERE tenant_id = " CONNECT_TENANT
		 " AND connection_id = $1::uuid",
		 &connection, 1, on_catalog, op);
}

static enum connect_result await_catalog(struct connect_op *op)
{
	op->give_up_ms = loop_now_ms(op->connects->params.loop) + CATALOG_TIMEOUT_MS;
	look_for_catalog(op);
	return CONNECT_WAIT;
}

static enum connect_result connected(struct connect_op *op)
{
	op->attempt.state = CONNECT_CONNECTED;
	return CONNECT_END;
}

connect_step *const connect_store_steps[] = { store, save_connected, await_catalog, connected };
