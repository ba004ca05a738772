/* SPDX-License-Identifier: Apache-2.0 */

/* The steps of what is done with attempts, run in order, and what they share. */

#include "gateway/core/connect_priv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/log.h"
#include "gateway/core/meters.h"
/* Of every tenant's attempts, sessions and codes that are over. */
#define SWEEP_MS       60000
#define MAX_TEXT_BYTES 400

static const struct log_subject subject = { .component = "connect" };

static void op_free(struct connect_op *op)
{
	struct arena *arena = op->arena;

	DL_DELETE(op->connects->ops, op);
	db_cancel(&op->query);
	tenants_cancel(&op->loading);
	discovery_cancel(&op->discovery);
	registration_cancel(&op->registration);
	token_request_cancel(&op->token);
	client_issuer_cancel(&op->binding);
	fetch_cancel(&op->fetch);
	revoke_cancel(&op->revocation);
	probe_cancel(&op->probe);
	access_cancel(&op->storing);
	timer_stop(&op->timer);
	deferred_cancel(&op->turn);
	secret_fini(&op->verifier);
	secret_fini(&op->client_secret);
	secret_fini(&op->access_token);
	secret_fini(&op->refresh_token);
	tenant_unref(&op->tenant);
	principal_unref(&op->principal);
	arena_free(&arena);
}

struct connect_op *connect_op_new(struct connects *connects, struct connect_op **slot,
				  enum connect_kind kind, connect_step *const *steps, void *ctx)
{
	struct arena *arena = arena_new();
	struct connect_op *op = arena_alloc(arena, sizeof(*op));

	assert(*slot == NULL);
	*op = (struct connect_op){
		.connects = connects,
		.slot = slot,
		.arena = arena,
		.step = steps,
		.kind = kind,
		.ctx = ctx,
	};
	*slot = op;
	DL_APPEND(connects->ops, op);
	return op;
}

void connect_op_about(struct connect_op *op, const char *attempt_id, struct principal *principal)
{
	snprintf(op->tenant_id, sizeof(op->tenant_id), "%s", principal->tenant_id);
	snprintf(op->attempt.id, sizeof(op->attempt.id), "%s", attempt_id);
	op->principal = principal_ref(principal);
}

/* --- what is told ---------------------------------------------------------------------------- */

/* The operation ends: whoever waits for it hears of it. */
static void finish(struct connect_op *op, const struct err *err)
{
	struct connect_view view;

	if (op->slot == NULL) {
		op_free(op);
		return;
	}
	*op->slot = NULL;
	if (op->kind == CONNECT_FOR_LINK) {
		op->done.requested(op->ctx, err == NULL ? &op->link : NULL, err);
	} else if (err != NULL) {
		op->done.viewed(op->ctx, NULL, NULL, err);
	} else {
		connect_compose_view(op, &view);
		op->done.viewed(op->ctx, &view, op->url, NULL);
	}
	op_free(op);
}

/* --- steps ----------------------------------------------------------------------------------- */

static const struct connection *find_connection(const struct tenant *tenant, const char *id);

/* An attempt may have failed before anybody needed to know what its connection is like. */
void connect_measure(const struct connect_op *op, const char *event)
{
	struct tenant *tenant = tenants_want(op->connects->params.tenants, op->tenant_id);
	const struct connection *connection = NULL;

	if (tenant == NULL)
		return;
	if (op->attempt.connection_id != NULL)
		connection = find_connection(tenant, op->attempt.connection_id);
	meter_grant_event(op->connects->params.meter, tenant->name,
			  connection != NULL ? connection->name : METRIC_OTHER, event);
	tenant_unref(&tenant);
}

static void on_failure_saved(void *ctx, const struct db_result *const *results, size_t n,
			     const struct err *err)
{
	struct connect_op *op = ctx;

	(void)n;
	if (err == NULL && db_affected(results[0]) == 1)
		connect_measure(op, "connect_failed");
	if (err != NULL)
		log_warn(&subject, "attempt %s has failed, and that cannot be stored: %s",
			 op->attempt.id, err->text);
	finish(op, NULL);
}

static void log_failure(const struct connect_op *op)
{
	const struct log_subject about = {
		.component = "connect",
		.tenant = op->tenant != NULL ? op->tenant->name : NULL,
		.connection = op->connection != NULL ? op->connection->name : NULL,
	};

	log_warn(&about, "attempt %s: %s%s%s",
		 op->attempt.id[0] != '\0' ? op->attempt.id : "unknown",
		 connect_errors[op->failure].code, op->failure_text != NULL ? ": " : "",
		 op->failure_text != NULL ? op->failure_text : "");
}

static void fail(struct connect_op *op)
{
	const struct db_setting setting = { "app.tenant", op->tenant_id };
	struct db_statement statements[2];
	struct db_tx tx = { .settings = &setting, .n_settings = 1, .statements = statements };

	log_failure(op);
	/* Somebody else's attempt does not end because others try to use it. */
	if (op->attempt.id[0] == '\0' || op->somebody_elses) {
		finish(op, NULL);
		return;
	}
	statements[tx.n_statements++] = connect_failure(op);
	if (op->client_forgotten)
		statements[tx.n_statements++] = connect_forget_client(op);
	db_start(op->connects->params.db, &op->query, &tx, on_failure_saved, op);
}

void connect_resume_with(struct connect_op *op, enum connect_result result)
{
	while (result == CONNECT_NEXT) {
		connect_step *step = *op->step++;

		assert(step != NULL);
		result = step(op);
	}
	switch (result) {
	case CONNECT_NEXT:
	case CONNECT_WAIT:
		return;
	case CONNECT_END:
		finish(op, NULL);
		return;
	case CONNECT_REFUSE:
		finish(op, &op->err);
		return;
	case CONNECT_FAIL:
		fail(op);
		return;
	}
}

void connect_resume(struct connect_op *op)
{
	connect_resume_with(op, CONNECT_NEXT);
}

static void on_turn(void *ctx)
{
	connect_resume(ctx);
}

void connect_op_start(struct connect_op *op)
{
	loop_defer(op->connects->params.loop, &op->turn, on_turn, op);
}

enum connect_result connect_refuse(struct connect_op *op, enum err_code code, const char *format,
				   ...)
{
	char text[sizeof(op->err.text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_set(&op->err, code, "%s", text);
	return CONNECT_REFUSE;
}

enum connect_result connect_fail(struct connect_op *op, enum connect_error error,
				 const char *format, ...)
{
	char text[MAX_TEXT_BYTES];
	va_list args;

	op->failure = error;
	if (format == NULL)
		return CONNECT_FAIL;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	op->failure_text = arena_strdup(op->arena, text);
	return CONNECT_FAIL;
}

enum connect_result connect_fail_by(struct connect_op *op, const struct err *err)
{
	bool unreachable = err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE ||
			   err->code == ERR_FORBIDDEN;

	return connect_fail(op, unreachable ? CONNECT_NETWORK : CONNECT_PROVIDER_ERROR, "%s",
			    err->text);
}

static void on_results(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct connect_op *op = ctx;

	(void)n;
	if (err != NULL) {
		log_debug(&subject, "%s", err->text);
		connect_resume_with(op, connect_refuse(op, ERR_UNAVAILABLE,
						       "the gateway cannot use its database now"));
		return;
	}
	op->results = results;
	connect_resume(op);
}

enum connect_result connect_run(struct connect_op *op, const struct db_statement *statements,
				size_t n)
{
	const struct db_setting setting = { "app.tenant", op->tenant_id };
	const struct db_tx tx = {
		.settings = &setting,
		.n_settings = op->tenant_id[0] != '\0' ? 1 : 0,
		.statements = statements,
		.n_statements = n,
	};

	db_start(op->connects->params.db, &op->query, &tx, on_results, op);
	return CONNECT_WAIT;
}

enum connect_result connect_query(struct connect_op *op, const char *sql, const struct span *params,
				  size_t n)
{
	const struct db_statement statement = { .sql = sql, .params = params, .n_params = n };

	return connect_run(op, &statement, 1);
}

void connect_cancel(struct connect_op **slot)
{
	struct connect_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	if (op->committed)
		op->slot = NULL;
	else
		op_free(op);
}

/* --- who and what ---------------------------------------------------------------------------- */

int connect_subject(const struct connection *connection, const struct principal *principal,
		    char *out, struct err *err)
{
	out[0] = '\0';
	if (connection->oauth == NULL || !connection->oauth->per_user)
		return 0;
	if (principal->user_id[0] == '\0')
		return err_set(err, ERR_FORBIDDEN,
			       "the accounts of %s are the users' own, and this key belongs to a "
			       "service",
			       connection->name);
	snprintf(out, GRANT_SUBJECT_BYTES, "user:%s", principal->user_id);
	return 0;
}

enum connect_result connect_check_viewer(struct connect_op *op)
{
	if (connect_may(op->principal, op->attempt.principal, op->attempt.subject))
		return CONNECT_NEXT;
	op->somebody_elses = true;
	return connect_fail(op, CONNECT_WRONG_USER, NULL);
}

static void on_tenant(void *ctx, struct tenant *tenant, const struct err *err)
{
	struct connect_op *op = ctx;

	if (err != NULL) {
		connect_resume_with(op, connect_refuse(op, ERR_UNAVAILABLE,
						       "the gateway cannot use its database now"));
		return;
	}
	op->tenant = tenant_ref(tenant);
	connect_resume(op);
}

enum connect_result connect_load_tenant(struct connect_op *op)
{
	tenants_start(op->connects->params.tenants, &op->loading, op->tenant_id, on_tenant, op);
	return CONNECT_WAIT;
}

/* New settings that are tried out are the ones to connect: they may have to be, to serve. */
static const struct connection *find_connection(const struct tenant *tenant, const char *id)
{
	for (size_t i = 0; i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];

		if (strcmp(connection->id, id) != 0)
			continue;
		if (connection->trial != NULL && connection->trial->auth_mode == AUTH_OAUTH)
			return connection->trial;
		return connection;
	}
	return NULL;
}

enum connect_result connect_take_connection(struct connect_op *op)
{
	const struct connection *connection =
		find_connection(op->tenant, op->attempt.connection_id);

	if (connection == NULL || !op->tenant->enabled || !connection->enabled ||
	    connection->invalid != NULL || connection->auth_mode != AUTH_OAUTH)
		return connect_refuse(op, ERR_CONFLICT,
				      "the connection has been changed, and no account can be "
				      "connected to it now");
	if (connection->oauth->per_user != (op->attempt.subject[0] != '\0'))
		return connect_refuse(op, ERR_CONFLICT,
				      "whose accounts the connection uses has been changed; ask "
				      "for a new link");
	op->connection = connection;
	return CONNECT_NEXT;
}

/* --- all of them ----------------------------------------------------------------------------- */

static void start_sweep_timer(struct connects *connects);

static void on_swept(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	(void)results;
	(void)n;
	if (err != NULL)
		log_debug(&subject, "no sweep: %s", err->text);
	start_sweep_timer(ctx);
}

static void on_sweep(void *ctx)
{
	struct connects *connects = ctx;

	db_query(connects->params.db, &connects->sweep, NULL, "SELECT tollgate.sweep_connect()",
		 NULL, 0, on_swept, connects);
}

static void start_sweep_timer(struct connects *connects)
{
	timer_start(connects->params.loop, &connects->sweep_timer, SWEEP_MS, on_sweep, connects);
}

struct connects *connects_new(const struct connects_params *params)
{
	struct connects *connects = mem_new(sizeof(*connects));

	*connects = (struct connects){
		.params = *params,
		.http = http_client_new(params->loop),
	};
	start_sweep_timer(connects);
	return connects;
}

void connects_free(struct connects **connects)
{
	struct connects *was = *connects;

	if (was == NULL)
		return;
	*connects = NULL;
	while (was->ops != NULL) {
		if (was->ops->slot != NULL)
			*was->ops->slot = NULL;
		op_free(was->ops);
	}
	timer_stop(&was->sweep_timer);
	db_cancel(&was->sweep);
	http_client_free(&was->http);
	mem_wipe(was, sizeof(*was));
	free(was);
}
