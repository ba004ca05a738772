/* SPDX-License-Identifier: Apache-2.0 */
/* HEALTH: a call that an upstream in trouble would only fail is answered at once. */

#include "gateway/core/call_priv.h"

#define MS_PER_SECOND 1000

static enum step_result refuse(struct call *call, const struct health_refusal *refusal)
{
	answer_tool_error(call, BOOK_UPSTREAM_ERROR,
			  "%s is not called now: %u of its last %d calls have failed, the last one "
			  "because %s. It is tried again in %.1f s. (call %s)",
			  call->connection->name, refusal->failures, BREAKER_WINDOW,
			  refusal->last_error, (double)refusal->retry_ms / MS_PER_SECOND,
			  call->record.id);
	call->record.error_type = "circuit_open";
	return STEP_FAIL;
}

static enum step_result admit(struct call *call);

/* Not granted: another worker probes, and this call is refused like the others. */
static void on_asked(void *ctx, bool granted)
{
	struct call *call = ctx;

	if (granted)
		call->pass = BREAKER_PROBE;
	call_resume(call, granted ? STEP_NEXT : admit(call));
}

static enum step_result admit(struct call *call)
{
	struct health_refusal refusal;
	enum breaker_verdict verdict =
		health_admit(call->gate->healths, call->tenant, call->connection, &refusal);

	if (verdict == BREAKER_REFUSE)
		return refuse(call, &refusal);
	call->pass = verdict;
	return STEP_NEXT;
}

enum step_result call_health(struct call *call)
{
	struct health_refusal refusal;

	if (call->tool == NULL)
		return STEP_NEXT; /* answered already */
	switch (health_admit(call->gate->healths, call->tenant, call->connection, &refusal)) {
	case BREAKER_REFUSE:
		return refuse(call, &refusal);
	case BREAKER_PASS:
		call->pass = BREAKER_PASS;
		return STEP_NEXT;
	case BREAKER_PROBE:
		break;
	}
	health_ask_start(call->gate->healths, &call->wait.health, call->tenant, call->connection,
			 on_asked, call);
	return STEP_WAIT;
}

void call_heard(struct call *call, const struct err *err)
{
	if (call->pass != BREAKER_REFUSE)
		health_heard(call->gate->healths, call->tenant, call->connection, call->pass, err);
	call->pass = BREAKER_REFUSE;
}

void call_unheard(struct call *call)
{
	if (call->pass != BREAKER_REFUSE)
		health_abandoned(call->gate->healths, call->tenant, call->connection, call->pass);
	call->pass = BREAKER_REFUSE;
}
