/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_SESSION_H
#define GATEWAY_CORE_SESSION_H

/*
 * Sessions of legacy clients: rows in Postgres that any worker can serve, remembered in memory.
 * Bound to tenant, subject and endpoint: with any other it does not exist. The id is 256 random
 * bits; only its SHA-256 is stored.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/db.h"
#include "base/loop.h"
#include "gateway/core/principal.h"

#define SESSION_ID_BYTES     44 /* base64url of 32 bytes and NUL */
#define SESSION_IDLE_SECONDS (7 * 24 * 3600)

struct session {
	unsigned refs;
	char id_hash[65];   /* hex of the SHA-256: names its row */
	char id_digest[17]; /* the first 16 of them: what the book shows */
	char protocol_version[16];
	char *client;	  /* "name/version" or NULL */
	int log_level;	  /* mcp_log_level; -1: never set */
	bool elicits_url; /* its client said so in initialize, whatever version it speaks */
};
struct session *session_ref(struct session *session);
void session_unref(struct session **session);

struct meter;
struct sessions;
struct session_op;
/* One that is known is served from memory. When its row was last seen more than stale_max_ms ago it
 * is read again meanwhile, which keeps a used session from expiring and shows what other workers
 * changed; when that does not succeed within the same time again, it is not known any more. */
struct sessions *sessions_new(struct loop *loop, struct db *db, int64_t stale_max_ms);
void sessions_free(struct sessions **sessions);
/* From now on it is measured how long those lasted that are ended. */
void sessions_measure(struct sessions *sessions, struct meter *meter);
/* What is remembered of the tenant's sessions, or of all (NULL), is asked for again; where Postgres
 * does not answer it is served as it was, for the same time as above. */
void sessions_forget(struct sessions *sessions, const char *tenant_id);

struct session_key {
	const struct principal *principal;
	const char *endpoint; /* "" or the connection's name */
	const char *id;	      /* as the client sent it */
};
/* A new reference if it is in memory, else NULL: ask session_find_start. */
struct session *session_find(struct sessions *sessions, const struct session_key *key);

/* err NULL: session is borrowed. ERR_NOT_FOUND, ERR_UNAVAILABLE. */
typedef void session_done(void *ctx, struct session *session, const struct err *err);
void session_find_start(struct sessions *sessions, struct session_op **slot,
			const struct session_key *key, session_done *done, void *ctx);

struct session_new {
	const struct principal *principal;
	const char *endpoint;
	const char *protocol_version;
	const char *client_name; /* may be NULL */
	const char *client_version;
	struct span capabilities;
};
/* Writes the new id to id_out at once; it is valid when done says so. */
void session_create_start(struct sessions *sessions, struct session_op **slot,
			  const struct session_new *params, char id_out[SESSION_ID_BYTES],
			  session_done *done, void *ctx);
/* done's session is NULL. ERR_NOT_FOUND if there was none. */
void session_end_start(struct sessions *sessions, struct session_op **slot,
		       const struct session_key *key, session_done *done, void *ctx);
void session_log_level_start(struct sessions *sessions, struct session_op **slot,
			     const struct session_key *key, const char *level, session_done *done,
			     void *ctx);
void session_cancel(struct session_op **slot);

#endif
