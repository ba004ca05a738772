/* SPDX-License-Identifier: Apache-2.0 */

/* Somebody came back with another account than the connected one: the tokens wait, sealed, until
 * the user has chosen. */

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "gateway/core/connect_priv.h"

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define MAX_HELD_BYTES ((size_t)4 * TOKEN_MAX_BYTES)

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

connect_step *const connect_hold_steps[] = { hold, held };

/* --- the user's choice ----------------------------------------------------------------------- */

static enum connect_result check_choosing(struct connect_op *op)
{
	if (op->attempt.state != CONNECT_CHOOSING)
		return CONNECT_END;
	if (op->attempt.expired)
		return connect_fail(op, CONNECT_EXPIRED, NULL);
	return CONNECT_NEXT;
}

/* Of two choices at once one is made: the other would keep what this one gives back. */
static enum connect_result take_held(struct connect_op *op)
{
	static const char sql[] =
		"UPDATE tollgate.connect_attempts a SET held = NULL" CONNECT_ATTEMPT
		" AND a.tries = $2::int AND a.held IS NOT NULL";
	const struct span params[] = {
		span_of(op->attempt.id),
		span_of(arena_printf(op->arena, "%lld", (long long)op->attempt.tries)),
	};

	op->committed = true;
	return connect_query(op, sql, params, COUNT(params));
}

static enum connect_result check_taken(struct connect_op *op)
{
	return db_affected(op->results[0]) == 1 ? CONNECT_NEXT : CONNECT_END;
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

static void on_revoked(void *ctx, const struct err *err)
{
	struct connect_op *op = ctx;
	const struct log_subject about = { .component = "connect",
					   .tenant = op->tenant->name,
					   .connection = op->connection->name };

	if (err != NULL)
		log_warn(&about, "attempt %s: what is not used cannot be revoked: %s",
			 op->attempt.id, err->text);
	connect_resume(op);
}

/* What nobody will use is given back, where the server has an endpoint for it. */
static enum connect_result give_back(struct connect_op *op)
{
	const struct attempt *attempt = &op->attempt;
	bool refreshes = op->refresh_token.n > 0;
	const struct revoke_params params = {
		.client = op->connects->http,
		.egress = op->tenant->egress,
		.revocation_url = attempt->server.revocation_url,
		.oauth_client = {
			.id = attempt->client_id,
			.auth = attempt->client_auth,
			.secret = &op->client_secret,
			.issuer = attempt->server.issuer,
		},
		.token = refreshes ? &op->refresh_token : &op->access_token,
		.hint = refreshes ? REVOKE_REFRESH_TOKEN : REVOKE_ACCESS_TOKEN,
	};

	if (params.revocation_url == NULL)
		return CONNECT_NEXT;
	revoke_start(op->connects->params.loop, &op->revocation, &params, on_revoked, op);
	return CONNECT_WAIT;
}

static enum connect_result kept(struct connect_op *op)
{
	return connect_fail(op, CONNECT_ACCOUNT_MISMATCH, NULL);
}

static connect_step *const keep_steps[] = { give_back, kept };

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
	op->step = op->choice == CONNECT_REPLACE ? connect_store_steps : keep_steps;
	return CONNECT_NEXT;
}

static connect_step *const choose_steps[] = {
	connect_load_attempt,
	connect_take_attempt,
	connect_check_viewer,
	check_choosing,
	connect_load_tenant,
	connect_take_connection,
	take_held,
	check_taken,
	open_held,
};

void connect_choose(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		    struct principal *principal, enum connect_choice choice, connect_viewed *done,
		    void *ctx)
{
	struct connect_op *op = connect_op_new(connects, slot, CONNECT_FOR_VIEW, choose_steps, ctx);

	op->done.viewed = done;
	connect_op_about(op, attempt_id, principal);
	op->choice = choice;
	connect_op_start(op);
}
