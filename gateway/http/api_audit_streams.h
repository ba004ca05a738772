/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_AUDIT_STREAMS_H
#define GATEWAY_HTTP_API_AUDIT_STREAMS_H

/*
 * The tails and exports that run in this worker: how many there may be, and that they end when it
 * stops. Knows nothing of what they send.
 */

#include <stddef.h>

#include "base/err.h"

#define AUDIT_TAILS_PER_WORKER	 64
#define AUDIT_TAILS_PER_TENANT	 16
#define AUDIT_EXPORTS_PER_WORKER 8
#define AUDIT_EXPORTS_PER_TENANT 4

enum audit_stream_kind { AUDIT_TAIL, AUDIT_EXPORT };

struct audit_streams;

/* Embedded in its owner; zero: not there. */
struct audit_stream {
	struct audit_streams *streams; /* NULL: it has left */
	struct audit_stream *next, *prev;
	enum audit_stream_kind kind;
	const char *tenant_id; /* of whose key it is; borrowed */
	/* The worker stops: the owner ends it, at once. It leaves then, or has left. */
	void (*end)(void *ctx);
	void *ctx;
};

struct audit_streams *audit_streams_new(void);
/* All must have left. NULL is nothing. */
void audit_streams_free(struct audit_streams **streams);
/* kind, tenant_id, end and ctx of stream are set. ERR_RATE_LIMITED: there are too many;
 * ERR_UNAVAILABLE: the worker stops. */
int audit_streams_enter(struct audit_streams *streams, struct audit_stream *stream,
			struct err *err) MUST_CHECK;
void audit_streams_leave(struct audit_stream *stream);
/* The worker stops: ends the tails, whose clients go on elsewhere; exports may finish. Nothing
 * enters any more. */
void audit_streams_drain(struct audit_streams *streams);
/* Its time is over: ends the exports too. */
void audit_streams_end(struct audit_streams *streams);

#endif
