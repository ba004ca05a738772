/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_SESSION_STREAM_H
#define GATEWAY_CORE_SESSION_STREAM_H

/*
 * What the rows of legacy sessions say about their GET streams, so that of all streams that
 * workers hold of one session the newest alone tells the client of a change, and tells it once:
 * the row holds the number of that stream and the digest of the list that the client knows, and
 * who changes the digest sends the message. A change that no stream was there for is found by the
 * next one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/db.h"

/* At most so many streams in one transaction. */
#define SESSION_STREAMS_AT_ONCE 500
/* An open stream keeps its session from expiring: seen again when last seen so long ago. */
#define SESSION_SEEN_SECONDS 3600

/* What is asked of one stream. */
enum {
	SESSION_STREAM_CLAIM = 1 << 0,	 /* it is the session's newest */
	SESSION_STREAM_COMPARE = 1 << 1, /* does the client know of this list? */
	SESSION_STREAM_CHANGED = 1 << 2, /* … also if it was never given one */
};
struct session_stream {
	uint8_t session[SHA256_BYTES]; /* of the session id */
	int64_t number;		       /* of the stream: random, over 0 */
	unsigned asks;
	uint8_t list[SHA256_BYTES];
};

/* What is found. A session that has ended is not among them. */
struct session_stream_found {
	uint8_t session[SHA256_BYTES];
	int64_t newest; /* number of its newest stream; 0: none */
	bool tell;	/* the row now says that the client knows the list: see to it */
};
struct session_stream_op; /* the slot */
typedef void session_stream_done(void *ctx, const struct session_stream_found *found, size_t n,
				 const struct err *err);
/* 1 to SESSION_STREAMS_AT_ONCE streams, copied, each of another session of the tenant. */
void session_stream_start(struct db *db, struct session_stream_op **slot, const char *tenant_id,
			  const struct session_stream *streams, size_t n, session_stream_done *done,
			  void *ctx);
void session_stream_cancel(struct session_stream_op **slot);

/* The client was given the list with that digest. */
void session_listed(struct db *db, struct db_op **slot, const char *tenant_id,
		    const uint8_t session[SHA256_BYTES], const uint8_t list[SHA256_BYTES],
		    db_done *done, void *ctx);

#endif
