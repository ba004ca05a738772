/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gateway/core/call_priv.h"
#include "gateway/core/meters.h"

static enum step_result answer(struct call *call)
{
	return call->method->answer != NULL ? call->method->answer(call) : STEP_NEXT;
}

static enum step_result stay_open(struct call *call)
{
	return call->method->listen != NULL ? call->method->listen(call) : STEP_NEXT;
}

static enum step_result reply(struct call *call);

/*
 * One client call, from request to reply. The steps run top to bottom; a step that fails jumps
 * to OUTCOME, so that nothing escapes the record.
 */
static const struct {
	const char *name;
	enum step_result (*run)(struct call *call);
} call_steps[N_STEPS] = {
	[STEP_AUTHENTICATE] = {"authenticate", call_authenticate},
	[STEP_CONFIGURE] = { "configure",	  call_configure	 },
	[STEP_ACCEPT] = { "accept",	    call_accept	},
	[STEP_SESSION] = { "session",     call_session	   },
	[STEP_ROUTE] = { "route",	  call_route	     },
	[STEP_POLICY] = { "policy",	    call_policy	},
	[STEP_ROOM] = { "room",	call_room	  },
	[STEP_ANSWER] = { "answer",	    answer	   },
	[STEP_HEALTH] = { "health",	    call_health	},
	[STEP_INTENT] = { "intent",	    call_intent	},
	[STEP_LISTEN] = { "listen",	    stay_open	      },
	[STEP_CREDENTIAL] = { "credential",  call_credential  },
	[STEP_FORWARD] = { "forward",     call_forward	   },
	[STEP_OUTCOME] = { "outcome",     call_outcome	   },
	[STEP_REPLY] = { "reply",	  reply		},
};

struct call *call_new(struct gate *gate, struct arena *arena, const struct call_params *params,
		      const struct call_sink *sink)
{
	struct call *call = arena_alloc(arena, sizeof(*call));

	*call = (struct call){
		.magic = CALL_MAGIC,
		.gate = gate,
		.arena = arena,
		.params = *params,
		.sink = *sink,
	};
	buf_init(&call->answer.body, CALL_MAX_ANSWER_BYTES);
	call->record.started_us = loop_unix_us();
	call->record.started_ms = loop_now_ms(gate->loop);
	uuid_v7(call->record.started_us / 1000, call->record.id);
	call_trace_begin(gate->tracing, span_get(params->request.params, "_meta"), &params->trace,
			 arena, &call->trace);
	if (params->principal != NULL)
		call->principal = principal_ref(params->principal);
	DL_APPEND(gate->calls, call);
	meter_gauge_add(gate->meter, METER_INFLIGHT, NULL, 1);
	return call;
}

/* Silence from everything a step may be waiting for. */
static void stop_waiting(struct call *call, const char *reason)
{
	identity_cancel(&call->wait.identity);
	tenants_cancel(&call->wait.tenant);
	session_cancel(&call->wait.session);
	cancels_cancel(&call->wait.cancel);
	health_ask_cancel(&call->wait.health);
	upstream_cancel(&call->wait.upstream, reason);
	call_unheard(call);
	subscription_cancel(&call->wait.subscription);
	credential_cancel(&call->wait.credential);
	connect_cancel(&call->wait.connect);
	timer_stop(&call->wait.look);
	spool_wait_cancel(&call->wait.record);
}

static void call_free(struct call *call)
{
	struct arena *arena = call->arena; /* the call itself lies in it */

	stop_waiting(call, "the call has ended");
	DL_DELETE(call->gate->calls, call);
	meter_gauge_add(call->gate->meter, METER_INFLIGHT, NULL, -1);
	buf_wipe(&call->answer.body);
	session_unref(&call->session);
	tenant_unref(&call->tenant);
	principal_unref(&call->principal);
	call->magic = 0;
	arena_free(&arena);
}

void call_run(struct call *call)
{
	assert(call->magic == CALL_MAGIC);
	while (call->step < N_STEPS) {
		switch (call_steps[call->step].run(call)) {
		case STEP_NEXT:
			call->step++;
			break;
		case STEP_WAIT:
			return;
		case STEP_FAIL:
			assert(call->step < STEP_OUTCOME);
			call->step = STEP_OUTCOME;
			break;
		}
	}
	call_free(call);
}

void call_resume(struct call *call, enum step_result result)
{
	assert(result != STEP_WAIT);
	assert(result == STEP_NEXT || call->step < STEP_OUTCOME);
	call->step = result == STEP_NEXT ? call->step + 1 : STEP_OUTCOME;
	call_run(call);
}

static enum step_result reply(struct call *call)
{
	const struct call_reply what = {
		.http_status = call->answer.http_status,
		.body = buf_span(&call->answer.body),
		.session_id = call->answer.session_id[0] != '\0' ? call->answer.session_id : NULL,
		.retry_after_s = call->answer.retry_after_s,
		.authenticate = call->answer.authenticate,
		.connect_url = call->answer.connect_url,
		.call_id = call->record.id,
	};

	if (call->client != CLIENT_GONE) {
		call->client = CLIENT_GONE;
		call->sink.finish(call->sink.ctx, &what);
	}
	return STEP_NEXT;
}

void call_end_early(struct call *call, enum book_outcome outcome, const char *reason)
{
	if (call->step >= STEP_OUTCOME)
		return;
	stop_waiting(call, reason);
	if (call->record.forwarded_ms != 0)
		call->record.upstream_us =
			(loop_now_ms(call->gate->loop) - call->record.forwarded_ms) * 1000;
	call->record.outcome = outcome;
	call->record.error_type = book_outcome_name(outcome);
	call->record.error_message = reason;
	call->step = STEP_OUTCOME;
	call_run(call);
}

const char *call_id(const struct call *call)
{
	return call->record.id;
}

void call_client_gone(struct call *call)
{
	assert(call->magic == CALL_MAGIC);
	call->client = CLIENT_GONE;
	/* MCP 2025-11-25, transports: a disconnect is no cancel. 2026-07-28: it is one. */
	if (call->params.request.era == MCP_MODERN)
		call_end_early(call, BOOK_CLIENT_CLOSED, "the client left");
}

void call_drain_all(struct gate *gate)
{
	struct call *call;
	struct call *next;

	DL_FOREACH_SAFE(gate->calls, call, next)
	{
		if (call->step < STEP_OUTCOME) {
			answer_unavailable(call, "the gateway is stopping");
			call_end_early(call, BOOK_DRAINED, "the gateway is stopping");
		}
	}
}

void call_abandon_all(struct gate *gate)
{
	while (gate->calls != NULL)
		call_free(gate->calls);
}

size_t call_count(const struct gate *gate)
{
	const struct call *call;
	size_t n = 0;

	DL_COUNT(gate->calls, call, n);
	return n;
}
