/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_MCP_CALLER_H
#define GATEWAY_HTTP_MCP_CALLER_H

/*
 * Who asks, where a legacy client does something with its session beside calling (GET, DELETE).
 * What is refused is answered here, in the words of the calls.
 */

#include "base/err.h"
#include "gateway/http/exchange.h"
#include "gateway/http/mcp_answer.h"

struct gate;
struct identity_op;
struct principal;

/* Embedded in its owner; zero-initialise. */
struct mcp_caller {
	struct exchange *exchange;
	struct gate *gate;
	const char *what;	     /* "sessions cannot be ended": of a 503 */
	const char *credential;	     /* borrowed from the exchange; NULL: none was sent */
	struct principal *principal; /* NULL until it is known */
	struct identity_op *identity;
	void (*known)(void *ctx);
	/* The exchange has been answered, and must not be touched. */
	void (*refused)(void *ctx);
	void *ctx;
};
/* exchange, gate, what and the callbacks are set. One of them runs once, perhaps before this
 * returns. */
void mcp_caller_start(struct mcp_caller *caller);
void mcp_caller_fini(struct mcp_caller *caller);
/* Host and Origin are served, and the client does not say that it is a modern one, which has no
 * sessions. If not, the exchange has been answered. */
bool mcp_caller_guard(struct exchange *exchange);

/* Answers, and tells the owner. */
void mcp_caller_refuse(struct mcp_caller *caller, const struct mcp_failure *failure);
/* 503; why is the operator's business. */
void mcp_caller_unavailable(struct mcp_caller *caller, const struct err *err);
/* A session of somebody else does not exist either. */
void mcp_caller_no_session(struct mcp_caller *caller);
/* The session id that was sent; NULL: there was none, and the owner has been told. */
const char *mcp_caller_session_id(struct mcp_caller *caller);

#endif
