/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The browser is back. The answer's state is taken first, by one statement, and what it belongs to
 * is compared with who brings it; then the issuer (RFC 9207), for answers with a code and with an
 * error alike. Until then nothing else of the answer is read, and nothing of it is ever shown.
 */

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/core/connect_priv.h"
#include "oauth/account.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum connect_result take_state(struct connect_op *op)
{
	uint8_t digest[SHA256_BYTES];
	struct span param;

	if (op->answer.state == NULL || op->answer.state[0] == '\0')
		return connect_fail(op, CONNECT_STATE_MISMATCH, NULL);
	crypto_sha256(op->answer.state, strlen(op->answer.state), digest);
	param = span_of(connect_hex(op, digest, sizeof(digest)));
	op->committed = true;
	return connect_query(op, "SELECT tenant_id, id FROM tollgate.take_connect_state($1::bytea)",
			     &param, 1);
}

static enum connect_result find_attempt(struct connect_op *op)
{
	const struct db_result *rows = op->results[0];

	if (db_rows(rows) == 0)
		return connect_fail(op, CONNECT_STATE_MISMATCH, NULL);
	snprintf(op->tenant_id, sizeof(op->tenant_id), "%s", db_text(rows, 0, "tenant_id"));
	snprintf(op->attempt.id, sizeof(op->attempt.id), "%s", db_text(rows, 0, "id"));
	return CONNECT_NEXT;
}

static enum connect_result check_binding(struct connect_op *op)
{
	struct attempt *attempt = &op->attempt;
	struct connect_binding begun = {
		.pending = attempt->state == CONNECT_PENDING,
		.expired = attempt->expired,
		.issuer = connect_issuer_of(&attempt->server),
		.tenant_id = op->tenant_id,
		.user_id = attempt->browser_user,
	};
	const struct connect_answerer answerer = {
		.issuer_hash = op->answer.issuer_hash,
		.principal = op->principal,
		.browser_hash = op->has_browser_hash ? op->browser_hash : NULL,
	};
	enum connect_error error;

	if (begun.issuer == NULL || begun.user_id == NULL)
		return connect_fail(op, CONNECT_STATE_MISMATCH, NULL);
	memcpy(begun.browser_hash, attempt->browser_hash, sizeof(begun.browser_hash));
	error = connect_check_binding(&begun, &answerer);
	return error != CONNECT_NO_ERROR ? connect_fail(op, error, NULL) : CONNECT_NEXT;
}

static enum connect_result check_issuer(struct connect_op *op)
{
	const struct oauth_server *server = &op->attempt.server;

	switch (authorize_check_iss(server->iss_supported, server->issuer, op->answer.iss)) {
	case AUTHORIZE_ISS_OK:
		return CONNECT_NEXT;
	case AUTHORIZE_ISS_MISSING:
		return connect_fail(op, CONNECT_STATE_MISMATCH,
				    "The answer does not say which server it comes from.");
	case AUTHORIZE_ISS_MISMATCH:
		break;
	}
	return connect_fail(op, CONNECT_STATE_MISMATCH, "The answer comes from another server.");
}

/* RFC 6749 4.1.2.1. Printable ASCII, cut: it is shown, escaped, and kept. */
static const char *shown(struct connect_op *op, const char *text)
{
	char *copy = arena_strdup(op->arena, text);
	size_t n = 0;

	for (const char *p = text; *p != '\0' && n < ERROR_DESCRIPTION_BYTES; p++)
		copy[n++] = (char)(*p >= 0x20 && *p < 0x7f ? *p : '?');
	copy[n] = '\0';
	return copy;
}

static enum connect_result check_answer(struct connect_op *op)
{
	const struct connect_answer *answer = &op->answer;

	if (answer->error != NULL && strcmp(answer->error, "access_denied") == 0)
		return connect_fail(op, CONNECT_DENIED, NULL);
	if (answer->error != NULL)
		return connect_fail(op, CONNECT_PROVIDER_ERROR, "%s%s%s", shown(op, answer->error),
				    answer->error_description != NULL ? ": " : "",
				    answer->error_description != NULL
					    ? shown(op, answer->error_description)
					    : "");
	if (answer->code == NULL || answer->code[0] == '\0')
		return connect_fail(op, CONNECT_PROVIDER_ERROR,
				    "the answer has neither a code nor an error");
	return CONNECT_NEXT;
}

/* What was begun with other settings is not ended with these. */
static enum connect_result check_unchanged(struct connect_op *op)
{
	return op->attempt.settings_version == op->connection->settings_version
		       ? CONNECT_NEXT
		       : connect_fail(op, CONNECT_EXPIRED,
				      "The connection has been changed meanwhile.");
}

static enum connect_result open_secrets(struct connect_op *op)
{
	struct attempt *attempt = &op->attempt;
	struct connect_place place = { "connect_attempts", "verifier", attempt->id,
				       attempt->tries };

	if (connect_open(op, &place, attempt->verifier, &op->verifier, &op->err) < 0)
		return CONNECT_REFUSE;
	place.column = "client_secret";
	if (attempt->client_secret.p != NULL &&
	    connect_open(op, &place, attempt->client_secret, &op->client_secret, &op->err) < 0)
		return CONNECT_REFUSE;
	return CONNECT_NEXT;
}

/* --- the code for tokens --------------------------------------------------------------------- */

static void keep_reply(struct connect_op *op, const struct token_reply *reply)
{
	struct attempt *attempt = &op->attempt;
	int64_t now_s = loop_unix_us() / 1000000;

	op->access_token = secret_new(reply->access_token.reveal, reply->access_token.n);
	op->refresh_token = secret_new(reply->refresh_token.reveal, reply->refresh_token.n);
	op->granted_scope = reply->scope != NULL ? arena_strdup(op->arena, reply->scope) : NULL;
	op->expires_at = reply->expires_in_s > 0 ? now_s + reply->expires_in_s : 0;
	op->refresh_expires_at =
		reply->refresh_expires_in_s > 0 ? now_s + reply->refresh_expires_in_s : 0;
	attempt->account = account_of_id_token(&reply->id_token, attempt->server.issuer,
					       attempt->client_id, op->arena);
}

/* What the server says beyond its code is for the log: nobody has to be shown it. */
static enum connect_result fail_exchange(struct connect_op *op, const struct token_error *error)
{
	const struct log_subject about = { .component = "connect",
					   .tenant = op->tenant->name,
					   .connection = op->connection->name };

	log_warn(&about, "attempt %s: %s", op->attempt.id, error->text);
	if (error->http_status == 0)
		return connect_fail(op,
				    error->kind == TOKEN_TRANSIENT ? CONNECT_NETWORK
								   : CONNECT_TOKEN_EXCHANGE_FAILED,
				    NULL);
	if (token_refuses_client(error) && connect_has_registered(op)) {
		op->client_forgotten = true;
		return connect_fail(op, CONNECT_REGISTRATION_REFUSED,
				    "The server does not know the gateway's registration any more "
				    "(%d %s). Start again: the gateway registers anew.",
				    error->http_status, error->code);
	}
	return connect_fail(op, CONNECT_TOKEN_EXCHANGE_FAILED,
			    "The token endpoint answered %d%s%s.", error->http_status,
			    error->code[0] != '\0' ? " " : "", error->code);
}

static void on_tokens(void *ctx, const struct token_reply *reply, const struct token_error *error)
{
	struct connect_op *op = ctx;

	secret_fini(&op->verifier);
	if (reply == NULL) {
		connect_resume_with(op, fail_exchange(op, error));
		return;
	}
	keep_reply(op, reply);
	connect_resume(op);
}

static enum connect_result redeem(struct connect_op *op)
{
	const struct attempt *attempt = &op->attempt;
	const struct oauth_param list[] = {
		{"grant_type",	"authorization_code" },
		   { "code",	     op->answer.code	     },
		{ "redirect_uri",  attempt->redirect_uri},
		   { "code_verifier", op->verifier.reveal  },
		{ "resource",      attempt->resource	},
	};
	const struct token_request_params params = {
		.client = op->connects->http,
		.egress = op->tenant->egress,
		.token_url = attempt->server.token_url,
		.oauth_client = {
			.id = attempt->client_id,
			.auth = attempt->client_auth,
			.secret = &op->client_secret,
			.issuer = attempt->server.issuer,
		},
		.params = list,
		.n_params = attempt->resource != NULL ? COUNT(list) : COUNT(list) - 1,
	};

	token_request_start(op->connects->params.loop, &op->token, &params, on_tokens, op);
	return CONNECT_WAIT;
}

/* A server that says what it granted, and that it lacks what a challenge demanded. */
static enum connect_result check_scope(struct connect_op *op)
{
	if (op->granted_scope == NULL || connect_scope_covers(op->granted_scope, op->attempt.scope))
		return CONNECT_NEXT;
	return connect_fail(op, CONNECT_MISSING_SCOPE, "Granted: %s; needed: %s.",
			    op->granted_scope, op->attempt.scope);
}

static enum connect_result go_on(struct connect_op *op)
{
	op->step = connect_finish_steps;
	return CONNECT_NEXT;
}

static connect_step *const return_steps[] = {
	take_state,
	find_attempt,
	connect_load_attempt,
	connect_take_attempt,
	check_binding,
	connect_check_viewer, /* may have been an administrator when it began */
	check_issuer,
	check_answer,
	connect_load_tenant,
	connect_take_connection,
	check_unchanged,
	open_secrets,
	redeem,
	check_scope,
	go_on,
};

static const char *keep(struct connect_op *op, const char *text)
{
	return text != NULL ? arena_strdup(op->arena, text) : NULL;
}

void connect_return(struct connects *connects, struct connect_op **slot,
		    const struct connect_answer *answer, connect_viewed *done, void *ctx)
{
	struct connect_op *op = connect_op_new(connects, slot, CONNECT_FOR_VIEW, return_steps, ctx);

	op->done.viewed = done;
	op->answer = (struct connect_answer){
		.issuer_hash = keep(op, answer->issuer_hash),
		.state = keep(op, answer->state),
		.code = keep(op, answer->code),
		.error = keep(op, answer->error),
		.error_description = keep(op, answer->error_description),
		.iss = keep(op, answer->iss),
	};
	if (answer->principal != NULL)
		op->principal = principal_ref(answer->principal);
	op->has_browser_hash = answer->browser_hash != NULL;
	if (op->has_browser_hash)
		memcpy(op->browser_hash, answer->browser_hash, sizeof(op->browser_hash));
	connect_op_start(op);
}
