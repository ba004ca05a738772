/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_UPSTREAM_H
#define GATEWAY_CORE_UPSTREAM_H

/*
 * Speaking to upstream MCP servers, of either era, as the rest of the gateway sees it.
 * Implemented in gateway/upstream/.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "base/trace_context.h"
#include "gateway/core/mcp.h"
#include "gateway/core/tenant.h"

struct upstreams;      /* what this worker knows of all upstreams */
struct upstream_op;    /* one running request: the slot */
struct upstream_watch; /* one that listens: the slot */

#define UPSTREAM_SUBJECT_BYTES (5 + UUID_TEXT_BYTES)

/* A token of a connection whose auth_mode is AUTH_OAUTH. */
struct upstream_token {
	const char *authorization; /* the value of the header. Borrowed until the loop turns */
	int64_t version;
	/* Sessions are gone on with by tokens of the same one only: the next may be of another
	 * account. */
	int64_t connected_version;
};
/* Where they come from: memory, at once, for every single request that is sent. */
struct upstream_credentials {
	/* False: there is none now, and nothing is sent. subject: whose, as in upstream_request. */
	bool (*find)(void *ctx, const char *tenant_id, const char *connection_id,
		     const char *subject, struct upstream_token *token);
	void *ctx;
};

/* credentials is copied; NULL: there are no tokens. */
struct upstreams *upstreams_new(struct loop *loop, struct db *db,
				const struct upstream_credentials *credentials);
/* No request may be running. */
void upstreams_free(struct upstreams **upstreams);
/* The tenant has another snapshot, or has gone (NULL). Of a connection that was removed all is
 * forgotten, and its sessions that this worker knows of are ended over there once no call can run
 * in them. */
void upstreams_tenant_changed(struct upstreams *upstreams, const char *tenant_id,
			      struct tenant *tenant);
/* From now on sessions of ended client sessions and removed principals, and those that nobody
 * uses, are ended over there. tenants is borrowed until this is called with NULL. */
void upstreams_sweep(struct upstreams *upstreams, struct tenants *tenants);

/* What an upstream said when it was last opened. Borrowed until the loop turns. */
struct upstream_facts {
	enum mcp_era era;
	const char *protocol_version;
	/* False if the session was opened by another worker: then the rest is not known. */
	bool introduced;
	const char *server_name; /* NULL: it did not say; so the two below */
	const char *server_version;
	const char *instructions;
};
/* NULL if it was never open as it is now configured, for that subject. */
const struct upstream_facts *upstream_facts(struct upstreams *upstreams, const char *tenant_id,
					    const struct connection *connection,
					    const char *subject);

#define UPSTREAM_SCOPE_CLIENT "session:"

/* tenant is referenced, connection stands in it; the rest is borrowed until upstream_start
 * returns, but params are copied. */
struct upstream_request {
	struct tenant *tenant;
	const struct connection *connection;
	const char *method;    /* "tools/list", "tools/call" */
	struct span params;    /* the client's params object, or absent */
	const char *name;      /* replaces params.name; NULL: leave it */
	bool progress;	       /* the caller wants notifications/progress */
	const char *log_level; /* least level of notifications/message wanted; NULL: none said */
	/* A constant: what a modern upstream, which sends nothing unasked, is told in its place;
	 * NULL: nothing. */
	const char *unsaid_log_level;
	/* Whose session of a legacy upstream it goes on: a principal's subject, or
	 * UPSTREAM_SCOPE_CLIENT and what names a client's session. NULL: the one that all share. */
	const char *scope;
	/* Whose token it bears, if the connection's auth_mode is AUTH_OAUTH: "user:<uuid>", or ""
	 * or NULL for the shared one. Users never share a session: without a scope it is theirs. */
	const char *subject;
	int64_t timeout_ms; /* over everything, sessions and discovery included */
	/* Takes the place of the client's, in _meta and as headers; absent members go. */
	struct trace_carrier trace;
};

/* Exactly one of result and error is present. Borrowed. */
struct upstream_answer {
	enum mcp_era era; /* of the upstream */
	int status;	  /* HTTP */
	struct span result;
	struct span error; /* the whole JSON-RPC error object */
};

/* What it said to a credential that it does not take. Borrowed. */
struct upstream_refusal {
	int status;	       /* 401 or 403 */
	const char *challenge; /* its WWW-Authenticate, or "". Never for a client's eyes */
	int64_t token_version; /* of the token that it was sent; 0: none */
};

struct upstream_events {
	/* A notification that belongs to this request, while it runs: method
	 * "notifications/progress" (params without progressToken's meaning: the caller puts its
	 * client's token back) or "notifications/message". Borrowed. */
	void (*message)(void *ctx, const char *method, struct span params);
	/* err NULL: the upstream answered, if only with a JSON-RPC error. Otherwise
	 * ERR_TIMEOUT; ERR_UPSTREAM unreachable, broke, or spoke nonsense; ERR_UNAUTHENTICATED it
	 * refused our credential (401, 403) and so did not run the request, or there is no token
	 * and nothing was sent; ERR_TOO_LARGE; ERR_FORBIDDEN the egress policy. The tag is the
	 * HTTP status, if that is what speaks against it. */
	void (*done)(void *ctx, const struct upstream_answer *answer, const struct err *err);
	/* Right before a done with ERR_UNAUTHENTICATED, if the upstream said it. Must not cancel.
	 * NULL: no matter. */
	void (*refused)(void *ctx, const struct upstream_refusal *refusal);
};

/* The client's `_meta` members that are not the protocol's own pass through; ids, progress
 * tokens, versions, headers and sessions are the upstream side's own business. */
void upstream_start(struct upstreams *upstreams, struct upstream_op **slot,
		    const struct upstream_request *request, const struct upstream_events *events,
		    void *ctx);
/* Silence; and the upstream is told (notifications/cancelled, or by closing its stream). */
void upstream_cancel(struct upstream_op **slot, const char *reason);

/* Hears from an upstream, for as long as it runs, that its list of tools may have changed: the GET
 * stream of a legacy session, subscriptions/listen of a modern server. */
struct upstream_watch_events {
	void (*opened)(void *ctx);  /* it listens now: changes from here on are heard */
	void (*changed)(void *ctx); /* notifications/tools/list_changed */
	/* Once. ERR_NOT_FOUND: the upstream offers no such stream (405, -32601, …): poll.
	 * Otherwise it broke or could not be opened. */
	void (*ended)(void *ctx, const struct err *err);
};
/* tenant is referenced, connection stands in it. */
struct upstream_watch_request {
	struct tenant *tenant;
	const struct connection *connection;
	const char *subject; /* as in upstream_request; copied */
};
/* Events may cancel it. */
void upstream_watch_start(struct upstreams *upstreams, struct upstream_watch **slot,
			  const struct upstream_watch_request *request,
			  const struct upstream_watch_events *events, void *ctx);
void upstream_watch_cancel(struct upstream_watch **slot);

#endif
