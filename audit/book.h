/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_BOOK_H
#define AUDIT_BOOK_H

/*
 * The book: exactly one row of audit.call_log for each call.
 *
 * A call that leaves the gate is two records in the spool: an INTENT, durable before anything
 * leaves, and an OUTCOME, durable before the last byte of the answer is released. A call answered
 * or refused by the gate itself is one ENTRY. The drain pairs them, writes batches of rows as the
 * role tollgate_audit_writer and releases the spool. An INTENT found at start without its OUTCOME
 * becomes a row with outcome `unknown`.
 *
 * Nothing that a field may hold loses a row: NUL and invalid UTF-8 are replaced, sizes are capped
 * (BOOK_MAX_…), a row that Postgres still refuses is stored reduced and marked `damaged`.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "base/spool.h"

struct book;
struct chain_anchor;
struct db;
struct redact_rules;

/* The words of audit.call_log.outcome. */
#define BOOK_OUTCOMES(X)                                                                           \
	X(OK, "ok")                                                                                \
	X(TOOL_ERROR, "tool_error")                                                                \
	X(PROTOCOL_ERROR, "protocol_error")                                                        \
	X(UPSTREAM_ERROR, "upstream_error")                                                        \
	X(TIMEOUT, "timeout")                                                                      \
	X(DENIED, "denied")                                                                        \
	X(UNAUTHENTICATED, "unauthenticated")                                                      \
	X(MALFORMED, "malformed")                                                                  \
	X(RATE_LIMITED, "rate_limited")                                                            \
	X(UNAVAILABLE, "unavailable")                                                              \
	X(NEEDS_AUTH, "needs_auth")                                                                \
	X(CANCELLED, "cancelled")                                                                  \
	X(CLIENT_CLOSED, "client_closed")                                                          \
	X(DRAINED, "drained")                                                                      \
	X(UNKNOWN, "unknown")

enum book_outcome {
#define X(name, text) BOOK_##name,
	BOOK_OUTCOMES(X)
#undef X
};
const char *book_outcome_name(enum book_outcome outcome);

/* What the spool has room for. It comes back by itself as Postgres takes rows, or as the disk gets
 * room; out of FAILED only another process comes. */
enum book_room {
	BOOK_ROOM_PLENTY,
	BOOK_ROOM_TIGHT,  /* better do without what can wait */
	BOOK_ROOM_NONE,	  /* for no new call; those that run have a reserve */
	BOOK_ROOM_FAILED, /* the disk refused twice in a row: nothing is recorded any more */
};

/* What is known when a call arrives. Everything is borrowed; absent spans and NULL are SQL NULL.
 * Spans are raw bytes from the peer and may hold anything. */
struct book_call {
	const char *call_id;   /* UUIDv7 text */
	int64_t started_us;    /* Unix microseconds */
	const char *tenant_id; /* NULL: the nil UUID */
	const char *tenant;
	const char *user_id;
	const char *user_name; /* or that of the service key */
	const char *api_key;   /* its public id */
	const char *connection_id;
	const char *connection;
	struct span client; /* name/version of the client */
	struct span method;
	struct span tool;	/* as the client sent it */
	struct span request_id; /* raw JSON */
	struct span arguments;	/* raw JSON; redacted and capped before it is stored */
	const char *protocol_version;
	const char *session_id; /* a digest, never the id itself */
	const char *source_ip;
	struct span trace_id;
	struct span span_id;
	size_t request_bytes;
	const char *persona;
	struct span purpose;
	const char *audit_level; /* metadata (arguments are left out), redacted or full */
	/* What is hidden in what came from peers, and how; NULL: as for everybody, without a
	 * digest. */
	const struct redact_rules *rules;
};

struct book_result {
	enum book_outcome outcome;
	int64_t duration_us;
	int64_t upstream_us; /* -1: nothing left the gate */
	const char *error_type;
	struct span error_message;
	size_t response_bytes;
	int http_status;	       /* 0: none was sent */
	const char *account;	       /* at the upstream, whose credential was used */
	int64_t n_calls;	       /* that the row stands for; 0 is 1 */
	int upstream_status;	       /* HTTP; 0: none came */
	const uint8_t *payload_digest; /* SHA256_BYTES, or NULL */
};

struct book_params {
	struct loop *loop;
	struct db *db; /* connected as tollgate_audit_writer */
	const char *spool_dir;
	const char *node_id;
	/* On disk. What is not yet in Postgres is in memory too: at most so many bytes again, and
	 * some 300 for each row. Calls are refused when a tenth is left, which is for the OUTCOMEs
	 * of those that run. */
	size_t spool_max_bytes;
	/* Calls are refused, too, while the spool's filesystem has less than that; 0: never. */
	uint64_t spool_min_free_bytes;
	bool fsync;
	/* Runs from the loop for each anchor that is durable, for who keeps them outside of the
	 * database; one that a process ended with comes again. May be NULL. */
	void (*anchored)(void *ctx, const struct chain_anchor *anchor);
	void *ctx;
};
/* Replays the spool; open INTENTs become `unknown` rows. Drains by itself from then on. */
struct book *book_open(const struct book_params *params, struct err *err) MUST_CHECK;
/* Appended records are durable afterwards; what is not drained waits for the next start. */
void book_close(struct book **book);
/* Who can sign has anchors made (audit/chain.h): at most BOOK_EPOCH_MS after a link, or after
 * BOOK_EPOCH_LINKS, at a flush, and at close. The seed (ED25519_SEED_BYTES) is copied; NULL: nobody
 * can, from now on. */
#define BOOK_EPOCH_MS	 60000
#define BOOK_EPOCH_LINKS 10000
void book_set_signer(struct book *book, const uint8_t *seed);

/*
 * Each appends one record and calls durable(ctx, err) from the loop when it is on disk, as
 * spool_append does; wait and durable may be NULL. Returns 0, or -1 if it was refused at once:
 * then the caller must not go on (fail closed). While there is room for no new call, the first
 * ENTRY with outcome BOOK_UNAVAILABLE is taken all the same: it tells that calls are refused.
 */
int book_intent(struct book *book, const struct book_call *call, struct spool_wait *wait,
		void (*durable)(void *ctx, const struct err *err), void *ctx,
		struct err *err) MUST_CHECK;
/* call names the INTENT (call_id, started_us, tenant_id); of its other members only rules are
 * read. */
int book_outcome(struct book *book, const struct book_call *call, const struct book_result *result,
		 struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		 void *ctx, struct err *err) MUST_CHECK;
/* The OUTCOME of that call could not be recorded, and nobody will try again: its row says unknown,
 * as soon as there is room for that. */
void book_abandon(struct book *book, const struct book_call *call);
int book_entry(struct book *book, const struct book_call *call, const struct book_result *result,
	       struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
	       void *ctx, struct err *err) MUST_CHECK;

/* Appends a record of another kind (audit/kind.h), which is a row by itself; as the others. If its
 * rows are links of the chain, the record is given without its link. ERR_TOO_LARGE: over the kind's
 * limit. */
int book_append_record(struct book *book, uint8_t type, struct span record, struct spool_wait *wait,
		       void (*durable)(void *ctx, const struct err *err), void *ctx,
		       struct err *err) MUST_CHECK;

/* Complete rows that are in the spool and not yet in Postgres. */
uint64_t book_backlog(const struct book *book);
/* Rows that Postgres refused even reduced and records that could not be read, since book_open.
 * Each was logged. */
uint64_t book_lost(const struct book *book);

struct book_stats {
	uint64_t backlog;  /* book_backlog */
	int64_t oldest_ms; /* how long the oldest of these rows has waited */
	uint64_t written;  /* rows of calls that Postgres has taken, since book_open */
	uint64_t lost;	   /* book_lost */
	size_t bytes_on_disk;
	enum book_room room;
};
void book_stats(struct book *book, struct book_stats *out);
/* Asked before a call is let in. */
enum book_room book_room(struct book *book);
/* Anchors what is not anchored yet, and runs done once, from the loop, when the backlog is empty or
 * timeout_ms have passed. */
struct book_flush;
void book_flush_start(struct book *book, struct book_flush **slot, int64_t timeout_ms,
		      void (*done)(void *ctx), void *ctx);
void book_flush_cancel(struct book_flush **slot);

#endif
