/* SPDX-License-Identifier: Apache-2.0 */
/* CREDENTIAL: is there a token for the upstream? And what becomes of a call whose token it refused:
 * a renewal, and one replay. */

#include <string.h>

#include "gateway/core/call_priv.h"
#include "oauth/access.h"
#include "oauth/challenge.h"
#include "tokenstore/grant.h"

/* A user who has just said that they are about to connect is waited for. */
#define LOOK_MS	    1000
#define LOOK_MAX_MS 20000

static void start(struct call *call, int64_t refused_version, credential_done *done)
{
	credential_start(call->gate->credentials, &call->wait.credential,
			 &(struct credential_request){
				 .tenant = call->tenant,
				 .connection = call->connection,
				 .subject = call->credential.subject,
				 .refused_version = refused_version,
				 .actor = ACCESS_TOOL_CALL,
			 },
			 done, call);
}

/* The authorization server, or Postgres: no person can do anything about it. */
static void answer_later(struct call *call, const struct err *err)
{
	answer_tool_error(call, BOOK_UNAVAILABLE,
			  "%s cannot be used now: there is no token for it: %s. Try again later. "
			  "(call %s)",
			  call->connection->name, err->text, call->record.id);
}

/* --- before it is sent ----------------------------------------------------------------------- */

static void on_found(void *ctx, enum credential_state state, const char *why,
		     const struct err *err);

static void on_look(void *ctx)
{
	start(ctx, 0, on_found);
}

static void on_found(void *ctx, enum credential_state state, const char *why, const struct err *err)
{
	struct call *call = ctx;
	struct loop *loop = call->gate->loop;

	if (err != NULL) {
		answer_later(call, err);
		call_resume(call, STEP_FAIL);
	} else if (state == CREDENTIAL_READY) {
		call_resume(call, STEP_NEXT);
	} else if (loop_now_ms(loop) < call->credential.look_until_ms) {
		timer_start(loop, &call->wait.look, LOOK_MS, on_look, call);
	} else {
		call_ask_to_connect(call, why);
	}
}

static enum step_result refuse_key(struct call *call)
{
	answer_tool_error(call, BOOK_NEEDS_AUTH,
			  "%s is used by each user with an account of their own, and a service key "
			  "belongs to no user. Call it with a user's key. (call %s)",
			  call->connection->name, call->record.id);
	return STEP_FAIL;
}

static enum step_result take_retry(struct call *call)
{
	switch (call_take_retry(call)) {
	case RETRY_INVALID:
		answer_error(call, 400, RPC_INVALID_PARAMS, BOOK_PROTOCOL_ERROR, (struct span){ 0 },
			     "params.requestState is not of this call");
		return STEP_FAIL;
	case RETRY_DECLINED:
		answer_tool_error(call, BOOK_NEEDS_AUTH,
				  "%s was not called: it needs an account, and connecting one was "
				  "declined. (call %s)",
				  call->connection->name, call->record.id);
		return STEP_FAIL;
	case RETRY_GOES_ON:
		call->credential.look_until_ms = loop_now_ms(call->gate->loop) + LOOK_MAX_MS;
		return STEP_NEXT;
	case RETRY_NONE:
		break;
	}
	return STEP_NEXT;
}

enum step_result call_credential(struct call *call)
{
	struct err err;

	if (call->tool == NULL || call->connection->auth_mode != AUTH_OAUTH)
		return STEP_NEXT;
	_Static_assert(sizeof(call->credential.subject) == GRANT_SUBJECT_BYTES, "one subject");
	if (connect_subject(call->connection, call->principal, call->credential.subject, &err) < 0)
		return refuse_key(call);
	if (take_retry(call) == STEP_FAIL)
		return STEP_FAIL;
	if (credential_ready(call->gate->credentials, call->tenant, call->connection,
			     call->credential.subject))
		return STEP_NEXT;
	start(call, 0, on_found);
	return STEP_WAIT;
}

/* --- after it was refused -------------------------------------------------------------------- */

static void heard_refusal(struct call *call)
{
	struct err err;

	err_set(&err, ERR_UNAUTHENTICATED, "it refuses the credential with HTTP %d",
		call->credential.refused_status);
	if (call->credential.refused_status != 0)
		call_heard(call, &err);
	else
		call_unheard(call); /* nothing was sent */
}

void call_note_refusal(struct call *call, const struct upstream_refusal *refusal)
{
	struct challenge challenge = { 0 };
	bool wants_scope;
	struct err ignored; /* of a challenge that cannot be read the status says enough */

	call->credential.refused_status = refusal->status;
	call->credential.refused_version = refusal->token_version;
	call->credential.scope = NULL;
	if (refusal->challenge[0] == '\0' ||
	    challenge_parse(span_of(refusal->challenge), call->arena, &challenge, &ignored) < 0)
		return;
	wants_scope = challenge.error != NULL && strcmp(challenge.error, "insufficient_scope") == 0;
	if (refusal->status == 403 && wants_scope)
		call->credential.scope = challenge.scope != NULL ? challenge.scope : "";
	/* RFC 6750 3.1 wants 401 for it; what it says counts, not the number. */
	if (challenge.error != NULL && strcmp(challenge.error, "invalid_token") == 0)
		call->credential.refused_status = 401;
}

static void on_renewed(void *ctx, enum credential_state state, const char *why,
		       const struct err *err)
{
	struct call *call = ctx;

	if (err == NULL && state == CREDENTIAL_READY) {
		call->credential.replayed = true;
		call_run(call); /* FORWARD again: what was refused did not run over there */
		return;
	}
	heard_refusal(call);
	if (err == NULL) {
		call_ask_to_connect(call, why);
		return;
	}
	answer_later(call, err);
	call_resume(call, STEP_FAIL);
}

void call_refused(struct call *call)
{
	const char *name = call->connection->name;

	if (call->credential.scope != NULL) {
		heard_refusal(call);
		call_ask_to_connect(call, "it asks for more than was granted");
	} else if (call->credential.refused_status == 403) {
		heard_refusal(call);
		answer_tool_error(call, BOOK_UPSTREAM_ERROR,
				  "%s does not let the connected account do this (HTTP 403). "
				  "(call %s)",
				  name, call->record.id);
		call_resume(call, STEP_FAIL);
	} else if (call->credential.replayed) {
		heard_refusal(call);
		call_ask_to_connect(call, "it takes no token of the account that is connected");
	} else {
		start(call,
		      call->credential.refused_status != 0 ? call->credential.refused_version : 0,
		      on_renewed);
	}
}
