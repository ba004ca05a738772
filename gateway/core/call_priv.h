/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CALL_PRIV_H
#define GATEWAY_CORE_CALL_PRIV_H

/* What the files call*.c and methods.c share. */

#include "audit/book.h"
#include "audit/payload.h"
#include "base/crypto.h"
#include "gateway/core/call.h"
#include "gateway/core/cancels.h"
#include "gateway/core/connect.h"
#include "gateway/core/credential.h"
#include "gateway/core/health.h"
#include "gateway/core/identity.h"
#include "gateway/core/principal.h"
#include "gateway/core/session.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "gateway/core/tracing.h"
#include "gateway/core/upstream.h"

#define CALL_MAGIC	      0x7447ca11
#define CALL_MAX_ANSWER_BYTES ((size_t)32 << 20)
#define CALL_RETRY_AFTER_S    2

/* In the order they run; call_steps in call.c names them. */
enum call_step {
	STEP_AUTHENTICATE, /* who is asking? */
	STEP_CONFIGURE,	   /* what did their tenant configure? */
	STEP_ACCEPT,	   /* is it well-formed, at an endpoint that exists? */
	STEP_SESSION,	   /* legacy: which session? */
	STEP_ROUTE,	   /* which method; which connection and tool? */
	STEP_POLICY,	   /* may they? */
	STEP_ROOM,	   /* has the book room for it? */
	STEP_ANSWER,	   /* methods that the gate itself answers */
	STEP_HEALTH,	   /* does the upstream fare well enough to be called? */
	STEP_INTENT,	   /* written in the book before anything leaves or stays open */
	STEP_LISTEN,	   /* a stream that stays open until somebody ends it */
	STEP_CREDENTIAL,   /* OAuth: is there a token for the upstream? */
	STEP_FORWARD,	   /* the upstream */
	STEP_OUTCOME,	   /* written in the book before the answer is released */
	STEP_REPLY,
	N_STEPS,
};

enum step_result {
	STEP_NEXT,
	STEP_WAIT, /* its one callback calls call_resume */
	STEP_FAIL, /* the answer is set: go to OUTCOME */
};

/* Who the answer is for. */
enum call_client {
	CLIENT_WAITING,
	CLIENT_STREAMING, /* has been sent a message already */
	CLIENT_GONE,
};

struct method;

struct call {
	unsigned magic;
	enum call_step step;
	enum call_client client;
	struct gate *gate;
	struct call *prev, *next; /* in gate->calls */
	struct arena *arena;
	struct call_params params;
	struct call_sink sink;
	struct principal *principal;
	struct tenant *tenant;
	struct session *session;

	/* ROUTE */
	const struct method *method;
	const struct connection *connection; /* stands in tenant */
	const char *tool;		     /* the upstream's name for it */
	const char *tool_sent;		     /* the client's */
	size_t tool_sent_bytes;

	/* HEALTH: how it was let through. REFUSE: not, or what became of it has been told. */
	enum breaker_verdict pass;

	/* CREDENTIAL, and FORWARD of a call that was refused. */
	struct {
		char subject[UPSTREAM_SUBJECT_BYTES];
		bool replayed;
		int refused_status; /* what the upstream said; 0: nothing yet */
		int64_t refused_version;
		const char *scope;     /* of its challenge, if that is what it wants; NULL */
		const char *message;   /* why an account has to be connected */
		int64_t look_until_ms; /* the user is connecting, it was said: until then */
	} credential;

	/* Whatever a step waits for; at most one is active. */
	struct {
		struct identity_op *identity;
		struct tenants_op *tenant;
		struct session_op *session;
		struct cancel_op *cancel;
		struct health_op *health;
		struct upstream_op *upstream;
		struct subscription *subscription;
		struct credential_op *credential;
		struct connect_op *connect;
		struct timer look;
		struct spool_wait record;
	} wait;

	struct call_trace trace;

	/* The answer, as far as it is known. */
	struct {
		struct buf body;
		int http_status;
		int retry_after_s;
		const char *authenticate;
		const char *connect_url;
		char session_id[SESSION_ID_BYTES]; /* of a new session, or "" */
	} answer;

	/* For the book. */
	struct {
		char id[UUID_TEXT_BYTES];
		int64_t started_us;
		int64_t started_ms;
		int64_t forwarded_ms; /* 0: nothing left the gate */
		int64_t upstream_us;
		bool intended; /* an INTENT is written */
		/* SHA-256 of each sealed part, in the order of enum payload_part. */
		uint8_t payloads[PAYLOAD_N_PARTS][SHA256_BYTES];
		bool has_payload[PAYLOAD_N_PARTS];
		uint8_t payload_digest[SHA256_BYTES];
		enum book_outcome outcome;
		const char *error_type;
		const char *error_message;
		int upstream_status; /* of the last answer; 0: none came */
		const char *account; /* whose token it went with; NULL: no account's */
	} record;
};

/* The methods that clients may use. A table in methods.c. */
struct method {
	const char *name;
	unsigned eras; /* bits of 1 << enum mcp_era */
	/* Answers by itself, or checks what a stream is asked for; NULL: the call is forwarded. */
	enum step_result (*answer)(struct call *call);
	/* Opens a stream; NULL: the call has its answer by then. */
	enum step_result (*listen)(struct call *call);
	bool can_wait; /* refused already while the book's room is tight */
};
const struct method *method_find(enum mcp_era era, const char *name);

/* Continues after a WAIT: with the next step, or at OUTCOME if the answer is a failure. */
void call_resume(struct call *call, enum step_result result);
/* Ends the call now, whatever it waits for; its row says how. Nothing if it is being recorded. */
void call_end_early(struct call *call, enum book_outcome outcome, const char *reason);

/* The steps, in their files. */
enum step_result call_authenticate(struct call *call); /* call_admit.c */
enum step_result call_configure(struct call *call);
enum step_result call_accept(struct call *call);
enum step_result call_session(struct call *call);
/* call_route.c */
/* The name that the client sent, for the book: also of a call that is refused before ROUTE. */
void call_note_tool(struct call *call);
/* The tool as the aggregate endpoint calls it, at whichever it was called, if it is in the catalog
 * of its connection: a name that nobody can make up. NULL: it is not. */
const char *call_known_tool(const struct call *call);
enum step_result call_route(struct call *call);
enum step_result call_policy(struct call *call);
enum step_result call_room(struct call *call); /* call_record.c */
enum step_result call_intent(struct call *call);
enum step_result call_outcome(struct call *call);
/* call_trace.c: its spans, if they are sampled and anybody wants them. */
void call_trace_export(const struct call *call, const struct book_result *result);
/* call_payload.c: if the connection's audit level is full. Appends the part, sealed, to the book;
 * durable when what is appended next is. -1 with err: it cannot be kept, so the call must not go
 * on. Nothing if that part was appended before. */
int call_payload(struct call *call, enum payload_part part, struct err *err) MUST_CHECK;
/* Of what was appended; NULL: nothing was. */
const uint8_t *call_payload_digest(struct call *call);
enum step_result call_health(struct call *call); /* call_health.c */
/* err as of upstream_events.done. Once; nothing for a call that was not let through. */
void call_heard(struct call *call, const struct err *err);
void call_unheard(struct call *call);
enum step_result call_credential(struct call *call); /* call_credential.c */
/* Of a call that FORWARD sent: replays it, or gives it an answer, and resumes it. */
void call_refused(struct call *call);
void call_note_refusal(struct call *call, const struct upstream_refusal *refusal);
/* call_connect.c: gives the call an answer that asks for an account to be connected, and resumes
 * it. why: one sentence, or NULL: it never was. */
void call_ask_to_connect(struct call *call, const char *why);
/* What a retry brings back of that is taken out of it. */
enum connect_retry {
	RETRY_NONE,    /* it is a new call */
	RETRY_GOES_ON, /* the user is about to connect */
	RETRY_DECLINED,
	RETRY_INVALID,
};
enum connect_retry call_take_retry(struct call *call);
enum step_result call_forward(struct call *call); /* call_forward.c */
/* notifications/cancelled: of a call that runs here, or elsewhere (call_cancel.c). */
enum step_result call_take_cancel(struct call *call);
/* call_listen.c: subscriptions/listen */
enum step_result call_listen_check(struct call *call);
enum step_result call_listen(struct call *call);

bool call_is_notification(const struct call *call);
struct session_key call_session_key(const struct call *call);

/* Setting the answer (call_answer.c). Each may be called again: the last one counts. */
void answer_result(struct call *call, struct span result);
/* message is copied. data absent: none. */
void answer_error(struct call *call, int http_status, int rpc_code, enum book_outcome outcome,
		  struct span data, const char *format, ...) ERR_PRINTF(6, 7);
/* The JSON-RPC error object of an upstream, byte for byte. */
void answer_relayed_error(struct call *call, int rpc_code, struct span error);
/* A tool's failure as the model can read it: a result with isError. */
void answer_tool_error(struct call *call, enum book_outcome outcome, const char *format, ...)
	ERR_PRINTF(3, 4);
/* 503 with Retry-After. */
void answer_unavailable(struct call *call, const char *message);
/* The same, of a call that cannot be recorded: its data says audit_unavailable. */
void answer_unrecorded(struct call *call);
/* 429 with Retry-After. */
void answer_rate_limited(struct call *call, const char *message);
/* The call is known by another id, in its answer too: that of the row that stands for it. */
void answer_rename(struct call *call, const char *id);
/* No body: a notification taken. */
void answer_nothing(struct call *call);
/* A cancelled request has no answer (MCP 2025-11-25, cancellation), but HTTP wants an end. */
void answer_silence(struct call *call);

/* The same as call_text without the secrets in it, for what is stored (call_record.c). */
const char *call_clean_text(struct call *call, struct span string, size_t max_bytes);
/* A JSON string as C text, NUL bytes replaced, cut at max_bytes; NULL if it is no string. */
char *call_text(struct arena *arena, struct span string, size_t max_bytes);

#endif
