/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CALL_H
#define GATEWAY_CORE_CALL_H

/*
 * One call of a client, from request to reply: a table of named steps (call.c) that every
 * transport runs. The transport parses (era rules of its side included), gives a sink, and hears
 * one finish.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/span.h"
#include "base/trace_context.h"
#include "gateway/core/mcp.h"

struct access;
struct book;
struct call;
struct call_flood;
struct cancel_key;
struct cancel_list;
struct cancels;
struct connects;
struct credentials;
struct healths;
struct identity;
struct meter;
struct principal;
struct sessions;
struct subscriptions;
struct tenants;
struct tool_labels;
struct tracing;
struct upstreams;

/* What calls need of the worker. Borrowed by every call; outlives them. */
struct gate {
	struct loop *loop;
	struct book *book;
	struct call_flood *flood; /* NULL: every refused call has a row of its own */
	struct identity *identity;
	struct tenants *tenants;
	struct sessions *sessions;
	struct subscriptions *subscriptions;
	struct upstreams *upstreams;
	struct meter *meter; /* NULL: nothing is measured */
	struct tool_labels *tool_labels;
	struct healths *healths;
	struct credentials *credentials;
	struct connects *connects;
	const char *deployment;
	const char *server_version;
	struct call *calls; /* all that run; a list kept by call.c */
	struct cancels *cancels;
	struct access *access;	       /* upstream OAuth tokens */
	const struct tracing *tracing; /* NULL: spans are named and passed on, and go nowhere */
};

/* The answer. Borrowed by finish. */
struct call_reply {
	int http_status;
	struct span body; /* one JSON-RPC message; empty: none (202; 200: a stream that ends) */
	const char *session_id;	  /* Mcp-Session-Id of a new session, or NULL */
	int retry_after_s;	  /* 0: none */
	const char *authenticate; /* WWW-Authenticate, or NULL */
	/* Somebody has to connect an account first, there; NULL: nobody. The body says so too. */
	const char *connect_url;
	const char *call_id; /* Tollgate-Call-Id: of its row in the book; NULL: it has none */
};

/* Where a call's answers go. message may come any number of times before the one finish; after
 * finish, or after call_client_gone, the sink is not touched again. */
struct call_sink {
	void (*message)(void *ctx, struct span text);
	void (*finish)(void *ctx, const struct call_reply *reply);
	void *ctx;
};

/* A request that the transport's own rules refuse. It still is authenticated first (unless
 * before_auth), recorded, and answered through the sink. */
struct call_refusal {
	bool before_auth; /* Host, Origin: nobody is asked who they are */
	int http_status;
	int rpc_code;
	char message[200];
	struct span data; /* JSON, or absent */
};

/* Everything is borrowed until the call has finished, unless said otherwise. */
struct call_params {
	const char *tenant;	/* from the path, or NULL */
	const char *endpoint;	/* connection in the path; NULL: aggregate */
	const char *credential; /* API key as sent, or NULL */
	const char *session_id; /* legacy: as sent, or NULL */
	const char *source_ip;
	const char *user_agent;
	struct trace_carrier trace; /* of the HTTP headers, as sent */
	struct span body;
	struct mcp_request request;
	const struct call_refusal *refusal; /* NULL: well-formed */
	struct principal *principal;	    /* not NULL: already authenticated (admin API) */
};

/* Takes the arena, in which the transport may have put all of the above. */
struct call *call_new(struct gate *gate, struct arena *arena, const struct call_params *params,
		      const struct call_sink *sink);
/* Runs it. The sink may be finished, and the call freed, before this returns. */
void call_run(struct call *call);
/* UUIDv7. Borrowed until the call has finished. */
const char *call_id(const struct call *call);
/* The client has left: the sink is detached. A modern call is cancelled, a legacy one runs on. */
void call_client_gone(struct call *call);

/* Cancels the call of the same subject, session and request id (notifications/cancelled). False if
 * this worker runs none. */
bool call_cancel(struct gate *gate, const struct principal *principal, const char *session_digest,
		 struct span request_id);
/* For cancels_params; ctx is the gate. */
void call_list_cancellable(void *ctx, const char *tenant_id, struct cancel_list *list);
void call_cancel_by_key(void *ctx, const struct cancel_key *key);
/* Ends everything that still runs with outcome `drained`: the process is stopping. */
void call_drain_all(struct gate *gate);
/* Frees every call, recorded or not: the loop no longer runs, so nothing would end them. Between
 * call_drain_all and book_close. */
void call_abandon_all(struct gate *gate);
size_t call_count(const struct gate *gate);

#endif
