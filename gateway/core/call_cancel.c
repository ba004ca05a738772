/* SPDX-License-Identifier: Apache-2.0 */
/* notifications/cancelled of legacy clients: whose call it ends, wherever that runs. */

#include <string.h>

#include <utlist.h>

#include "gateway/core/call_priv.h"

#define REASON "the client cancelled the call"

/* MCP 2025-11-25, cancellation: initialize must not be cancelled. What is being recorded already
 * has ended. */
static bool can_be_cancelled(const struct call *call)
{
	return call->session != NULL && !call_is_notification(call) && call->step < STEP_OUTCOME &&
	       (call->method == NULL || strcmp(call->method->name, "initialize") != 0);
}

static void end(struct call *call)
{
	answer_silence(call);
	call_end_early(call, BOOK_CANCELLED, REASON);
}

static bool is_of(const struct call *call, const struct principal *principal,
		  const char *session_digest)
{
	return strcmp(call->principal->tenant_id, principal->tenant_id) == 0 &&
	       strcmp(call->principal->subject, principal->subject) == 0 &&
	       strcmp(call->session->id_digest, session_digest) == 0;
}

bool call_cancel(struct gate *gate, const struct principal *principal, const char *session_digest,
		 struct span request_id)
{
	struct call *call;

	DL_FOREACH(gate->calls, call)
	{
		if (can_be_cancelled(call) && is_of(call, principal, session_digest) &&
		    span_eq(call->params.request.id, request_id)) {
			end(call);
			return true;
		}
	}
	return false;
}

static void key_of(const struct call *call, struct cancel_key *key)
{
	cancel_key_of(call->principal, call->session->id_digest, call->params.request.id, key);
}

void call_list_cancellable(void *ctx, const char *tenant_id, struct cancel_list *list)
{
	const struct gate *gate = ctx;
	const struct call *call;
	struct cancel_key key;

	DL_FOREACH(gate->calls, call)
	{
		if (!can_be_cancelled(call) ||
		    (tenant_id != NULL && strcmp(call->principal->tenant_id, tenant_id) != 0))
			continue;
		key_of(call, &key);
		cancel_list_add(list, call->principal->tenant_id, &key,
				loop_now_ms(gate->loop) - call->record.started_ms);
	}
}

void call_cancel_by_key(void *ctx, const struct cancel_key *key)
{
	const struct gate *gate = ctx;
	struct cancel_key own;
	struct call *call;

	DL_FOREACH(gate->calls, call)
	{
		if (!can_be_cancelled(call))
			continue;
		key_of(call, &own);
		if (memcmp(own.digest, key->digest, sizeof(own.digest)) == 0) {
			end(call);
			return;
		}
	}
}

static void on_passed_on(void *ctx, const struct err *err)
{
	struct call *call = ctx;

	if (err != NULL)
		answer_unavailable(call, "the cancel cannot be passed on now");
	call_resume(call, STEP_FAIL);
}

enum step_result call_take_cancel(struct call *call)
{
	struct span id = span_trim(span_get(call->params.request.params, "requestId"));
	enum span_type type = span_type(id);
	struct cancel_key key;

	if (call->session == NULL || (type != SPAN_STRING && type != SPAN_NUMBER))
		return STEP_FAIL;
	if (call_cancel(call->gate, call->principal, call->session->id_digest, id))
		return STEP_FAIL;
	cancel_key_of(call->principal, call->session->id_digest, id, &key);
	cancels_start(call->gate->cancels, &call->wait.cancel, call->principal->tenant_id, &key,
		      on_passed_on, call);
	return STEP_WAIT;
}
