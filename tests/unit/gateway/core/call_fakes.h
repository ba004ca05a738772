/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_H
#define TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_H

/*
 * Everything that a call needs of a worker, played by functions that stand here in place of the
 * real ones. Each does nothing until it is told, and writes down what it was asked in one journal.
 * Included once in a program, by call_world.h.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/book.h"
#include "base/log.h"
#include "gateway/core/call.h"
#include "gateway/core/cancels.h"
#include "gateway/core/connect.h"
#include "gateway/core/credential.h"
#include "gateway/core/health.h"
#include "gateway/core/identity.h"
#include "gateway/core/session.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "gateway/core/upstream.h"

#define JOURNAL_BYTES (256 * 1024)
#define KEY	      "tgk_key"
#define MODERN_ID     "\"m-1\""

struct world;

/* One operation of any of the played modules. */
struct pending {
	struct world *world;
	void **slot; /* NULL: none runs */
	void *done;
	void *ctx;
};

struct identity {
	struct world *world;
};
struct tenants {
	struct world *world;
};
struct sessions {
	struct world *world;
};
struct subscriptions {
	struct world *world;
};
struct upstreams {
	struct world *world;
};
struct healths {
	struct world *world;
};
struct credentials {
	struct world *world;
};
struct connects {
	struct world *world;
};
struct book {
	struct world *world;
};
struct cancels {
	struct world *world;
};
struct cancel_list {
	struct world *world;
};
struct identity_op {
	struct pending pending;
};
struct tenants_op {
	struct pending pending;
};
struct session_op {
	struct pending pending;
};
struct cancel_op {
	struct pending pending;
};
struct subscription {
	struct pending pending;
	void (*changed)(void *ctx);
};
struct upstream_op {
	struct pending pending;
	struct upstream_events events;
};
struct health_op {
	struct pending pending;
};
struct credential_op {
	struct pending pending;
};
struct connect_op {
	struct pending pending;
};

struct world {
	struct loop *loop;
	struct gate gate;
	struct identity identity;
	struct tenants tenants;
	struct sessions sessions;
	struct subscriptions subscriptions;
	struct upstreams upstreams;
	struct healths healths;
	struct credentials credentials;
	struct connects connects;
	struct book book;
	struct cancels cancels;
	struct buf journal;

	enum identity_found found;
	struct principal *principal;
	struct tenant *tenant;
	bool tenant_in_memory;
	struct session *session;
	bool session_in_memory;
	bool book_refuses; /* at once */
	enum book_room room;
	bool payload_refused;
	char payload[1 << 19]; /* the last record of another kind */
	size_t payload_bytes;
	/* Why no stream may be opened: asked before its record, and when it is opened. NULL: it
	 * may. */
	const struct err *no_check, *no_start;

	struct identity_op identity_op;
	struct tenants_op tenants_op;
	struct session_op session_op;
	struct cancel_op cancel_op;
	struct subscription subscription;
	struct upstream_op upstream_op;
	struct health_op health_op;
	struct credential_op credential_op;
	struct connect_op connect_op;
	bool token_in_memory;
	const char *account; /* whose the token is */
	/* How the upstream fares, and what was told of it. */
	enum breaker_verdict verdict;
	int n_heard;
	int n_abandoned;
	enum breaker_verdict heard_as;
	bool heard_well;
	/* The record that is on its way to the disk. */
	struct spool_wait *record;
	void (*durable)(void *ctx, const struct err *err);
	void *durable_ctx;

	int expected; /* calls that could be cancelled elsewhere */

	/* What the upstream was asked. */
	char sent_name[64];
	char sent_params[512];
	bool sent_progress;
	char sent_level[16];
	char sent_scope[80]; /* "": all share it */
	char sent_subject[UPSTREAM_SUBJECT_BYTES];
	char sent_trace[TRACEPARENT_BYTES];
	char sent_baggage[64];
	int64_t sent_timeout_ms;

	/* What the book was told last. */
	struct book_call recorded;
	char recorded_id[UUID_TEXT_BYTES];
	char recorded_tool[128];
	char recorded_purpose[128];
	char recorded_account[128];
	char recorded_connection[64];
	struct book_result result;
	char error_type[64];

	/* The last reply. Its body without the call's id. */
	char call_id[UUID_TEXT_BYTES];
	bool told_id; /* it was in the body */
	int finishes;
	int status;
	char body[4096];
	char whole[4096]; /* the body as it was sent */
	char session_id[64];
	int retry_after_s;
	char authenticate[64];
	char connect_url[128];
	/* The call, while it may be touched. */
	struct call *call;
	void (*on_message)(struct world *world);
	void (*on_finish)(struct world *world);
};

static inline void note(struct world *world, const char *format, ...) ERR_PRINTF(2, 3);
static inline void note(struct world *world, const char *format, ...)
{
	char line[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	assert_int_equal(buf_add(&world->journal, line), 0);
	assert_int_equal(buf_add(&world->journal, "\n"), 0);
}

/* And begins a new page. */
static inline void expect_journal(struct world *world, const char *expected)
{
	assert_string_equal(buf_str(&world->journal), expected);
	buf_clear(&world->journal);
}

static inline void pend(struct pending *pending, struct world *world, void *slot, void *op,
			void *done, void *ctx)
{
	assert_null(pending->slot);
	*pending = (struct pending){ world, slot, done, ctx };
	assert_null(*pending->slot);
	*pending->slot = op;
}

static inline struct pending take(struct pending *pending)
{
	struct pending was = *pending;

	assert_non_null(was.slot);
	*was.slot = NULL;
	pending->slot = NULL;
	return was;
}

static inline void drop(struct pending *pending, const char *what)
{
	if (pending->slot == NULL)
		return;
	note(pending->world, "cancel %s", what);
	take(pending);
}

#include "tests/unit/gateway/core/call_fakes_book.h"

/* --- identity, tenants, sessions ------------------------------------------------------------- */

enum identity_found identity_find(struct identity *identity, const char *credential,
				  struct principal **principal, struct err *err)
{
	struct world *world = identity->world;

	assert_string_equal(credential, KEY);
	if (world->found == IDENTITY_KNOWN)
		*principal = principal_ref(world->principal);
	if (world->found == IDENTITY_REFUSED)
		err_set(err, ERR_UNAUTHENTICATED, "the API key is not valid");
	return world->found;
}

void identity_start(struct identity *identity, struct identity_op **slot, const char *credential,
		    identity_done *done, void *ctx)
{
	assert_string_equal(credential, KEY);
	note(identity->world, "identity");
	pend(&identity->world->identity_op.pending, identity->world, slot,
	     &identity->world->identity_op, (void *)done, ctx);
}

void identity_cancel(struct identity_op **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "identity");
}

static inline void identity_says(struct world *world, struct principal *principal,
				 const struct err *err)
{
	struct pending was = take(&world->identity_op.pending);

	((identity_done *)was.done)(was.ctx, principal, err);
}

struct tenant *tenants_find(struct tenants *tenants, const char *tenant_id)
{
	assert_string_equal(tenant_id, tenants->world->principal->tenant_id);
	return tenants->world->tenant_in_memory ? tenant_ref(tenants->world->tenant) : NULL;
}

void tenants_start(struct tenants *tenants, struct tenants_op **slot, const char *tenant_id,
		   tenants_done *done, void *ctx)
{
	(void)tenant_id;
	note(tenants->world, "tenant");
	pend(&tenants->world->tenants_op.pending, tenants->world, slot, &tenants->world->tenants_op,
	     (void *)done, ctx);
}

void tenants_cancel(struct tenants_op **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "tenant");
}

static inline void tenants_says(struct world *world, struct tenant *tenant, const struct err *err)
{
	struct pending was = take(&world->tenants_op.pending);

	((tenants_done *)was.done)(was.ctx, tenant, err);
}

struct session *session_ref(struct session *session)
{
	session->refs++;
	return session;
}

void session_unref(struct session **session)
{
	struct session *was = *session;

	*session = NULL;
	if (was != NULL)
		was->refs--;
}

struct session *session_find(struct sessions *sessions, const struct session_key *key)
{
	assert_ptr_equal(key->principal, sessions->world->principal);
	return sessions->world->session_in_memory ? session_ref(sessions->world->session) : NULL;
}

static inline void start_session(struct sessions *sessions, struct session_op **slot,
				 const char *what, session_done *done, void *ctx)
{
	note(sessions->world, "%s", what);
	pend(&sessions->world->session_op.pending, sessions->world, slot,
	     &sessions->world->session_op, (void *)done, ctx);
}

void session_find_start(struct sessions *sessions, struct session_op **slot,
			const struct session_key *key, session_done *done, void *ctx)
{
	char what[128];

	snprintf(what, sizeof(what), "session %s of %s", key->id, key->endpoint);
	start_session(sessions, slot, what, done, ctx);
}

void session_create_start(struct sessions *sessions, struct session_op **slot,
			  const struct session_new *params, char id_out[SESSION_ID_BYTES],
			  session_done *done, void *ctx)
{
	char what[256];

	snprintf(id_out, SESSION_ID_BYTES, "new-session");
	snprintf(what, sizeof(what), "create session at '%s' for %s/%s, %s, %.*s", params->endpoint,
		 params->client_name, params->client_version, params->protocol_version,
		 (int)params->capabilities.n, params->capabilities.p);
	start_session(sessions, slot, what, done, ctx);
}

void session_log_level_start(struct sessions *sessions, struct session_op **slot,
			     const struct session_key *key, const char *level, session_done *done,
			     void *ctx)
{
	char what[128];

	snprintf(what, sizeof(what), "level %s of %s", level, key->id);
	start_session(sessions, slot, what, done, ctx);
}

void session_cancel(struct session_op **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "session");
}

static inline void session_says(struct world *world, struct session *session, const struct err *err)
{
	struct pending was = take(&world->session_op.pending);

	((session_done *)was.done)(was.ctx, session, err);
}

/* --- cancels of other workers ---------------------------------------------------------------- */

/* Readable, in place of a digest. */
void cancel_key_of(const struct principal *principal, const char *session_digest, struct span id,
		   struct cancel_key *key)
{
	*key = (struct cancel_key){ { 0 } };
	snprintf((char *)key->digest, sizeof(key->digest), "%.10s %.4s %.*s", principal->subject,
		 session_digest, (int)(id.n < 10 ? id.n : 10), id.p);
}

void cancel_list_add(struct cancel_list *list, const char *tenant_id, const struct cancel_key *key,
		     int64_t age_ms)
{
	assert_in_range(age_ms, 0, 60000);
	note(list->world, "runs: %s of %s", (const char *)key->digest, tenant_id);
}

void cancels_expect(struct cancels *cancels)
{
	cancels->world->expected++;
}

void cancels_start(struct cancels *cancels, struct cancel_op **slot, const char *tenant_id,
		   const struct cancel_key *key, cancel_done *done, void *ctx)
{
	note(cancels->world, "pass on %s of %s", (const char *)key->digest, tenant_id);
	pend(&cancels->world->cancel_op.pending, cancels->world, slot, &cancels->world->cancel_op,
	     (void *)done, ctx);
}

void cancels_cancel(struct cancel_op **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "passing on");
}

static inline void cancels_says(struct world *world, const struct err *err)
{
	struct pending was = take(&world->cancel_op.pending);

	((cancel_done *)was.done)(was.ctx, err);
}

/* --- the upstream ---------------------------------------------------------------------------- */

void upstream_start(struct upstreams *upstreams, struct upstream_op **slot,
		    const struct upstream_request *request, const struct upstream_events *events,
		    void *ctx)
{
	struct world *world = upstreams->world;

	note(world, "send %s to %s", request->method, request->connection->name);
	snprintf(world->sent_name, sizeof(world->sent_name), "%s",
		 request->name != NULL ? request->name : "");
	snprintf(world->sent_params, sizeof(world->sent_params), "%.*s", (int)request->params.n,
		 request->params.p != NULL ? request->params.p : "");
	snprintf(world->sent_level, sizeof(world->sent_level), "%s",
		 request->log_level != NULL ? request->log_level : "");
	snprintf(world->sent_scope, sizeof(world->sent_scope), "%s",
		 request->scope != NULL ? request->scope : "");
	snprintf(world->sent_trace, sizeof(world->sent_trace), "%s", request->trace.traceparent);
	snprintf(world->sent_baggage, sizeof(world->sent_baggage), "%s",
		 request->trace.baggage != NULL ? request->trace.baggage : "");
	snprintf(world->sent_subject, sizeof(world->sent_subject), "%s",
		 request->subject != NULL ? request->subject : "NULL");
	world->sent_progress = request->progress;
	world->sent_timeout_ms = request->timeout_ms;
	world->upstream_op.events = *events;
	pend(&world->upstream_op.pending, world, slot, &world->upstream_op, NULL, ctx);
}

void upstream_cancel(struct upstream_op **slot, const char *reason)
{
	assert_non_null(reason);
	if (*slot != NULL)
		drop(&(*slot)->pending, "upstream");
}

static inline void upstream_notifies(struct world *world, const char *method, const char *params)
{
	assert_non_null(world->upstream_op.pending.slot);
	world->upstream_op.events.message(world->upstream_op.pending.ctx, method, span_of(params));
}

static inline void upstream_answers(struct world *world, enum mcp_era era, const char *result,
				    const char *error)
{
	const struct upstream_answer answer = { era, 200, span_of(result), span_of(error) };
	struct pending was = take(&world->upstream_op.pending);

	world->upstream_op.events.done(was.ctx, &answer, NULL);
}

static inline void upstream_fails(struct world *world, enum err_code code, const char *why)
{
	struct pending was = take(&world->upstream_op.pending);
	struct err err;

	err_set(&err, code, "%s", why);
	world->upstream_op.events.done(was.ctx, NULL, &err);
}

#include "tests/unit/gateway/core/call_fakes_credential.h"
#include "tests/unit/gateway/core/call_fakes_health.h"
#include "tests/unit/gateway/core/call_fakes_streams.h"

#endif
