/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKENSTORE_GRANT_STORE_H
#define TOKENSTORE_GRANT_STORE_H

/*
 * Where grants are kept: in tollgate.grants (grant_pg.c), or in memory for embedding and tests
 * (grant_memory.c). One request is one transaction; what it changes is recorded in the same.
 *
 * A store takes and gives secrets as bytes that it does not look into: tokenstore/grant_seal.h
 * seals and opens them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/span.h"
#include "tokenstore/grant.h"

/* As it is stored. Everything is borrowed; the secrets of `grant` are none. */
struct grant_row {
	struct grant grant;
	char id[UUID_TEXT_BYTES];
	struct span client_secret; /* absent: none */
	struct span access_token;
	struct span refresh_token;
	int64_t next_refresh_at; /* 0: not in the background */
	int64_t failures;	 /* in a row */
	int64_t lease_number;
	bool busy; /* leased, or sent within the grace that was asked with */
	bool lost; /* an answer was lost since it was renewed last */
};
/* Into the arena, with all that it borrows. */
struct grant_row *grant_row_dup(struct arena *arena, const struct grant_row *row);

/* For audit.auth_events. NULL: not known. */
struct grant_event {
	const char *type;
	const char *actor;
	const char *attempt_id;
	const char *error_code;
	const char *detail; /* a JSON object */
	/* Who asked for it, for audit.admin_events: the setting app.event of its transaction. */
	const char *context;
};

enum grant_verb {
	/* rows: the grant of `key`, or none. */
	GRANT_LOAD,
	/* To `owner` for lease_ms, if it is active, nobody else's and still of `version`. What was
	 * sent more than grace_ms ago is nobody's. rows: the grant, or none. */
	GRANT_LEASE,
	/* The same for up to `limit` grants that are due, of any tenant. rows: those. */
	GRANT_DUE,
	/* Those below are done only under `version` and `lease_number`; n_done says whether. */
	GRANT_SENT,  /* the request is about to go out */
	GRANT_YIELD, /* the lease is given back, to be due again at row->next_refresh_at */
	/* The same with row->grant.state and .last_error, and an event. With client_refused what a
	 * client that we registered was granted becomes needs_reauth, for that reason, and our
	 * registration is forgotten; what other clients were granted is left as row has it. */
	GRANT_FAIL,
	/* row: its tokens, times and scope, sealed for version + 1. Also under a newer lease under
	 * which nothing was sent yet. n_done is 1 as well if exactly this was stored before; else
	 * `dropped` is recorded. */
	GRANT_COMMIT,
	/* row: all of it, sealed for its version, over what is there of `version`; 0: nothing. Only
	 * while the connection has, or still serves with, settings_version; 0: any. */
	GRANT_PUT,
	GRANT_DISCONNECT, /* what is there of `version` loses its secrets */
	/* What came of it at the server: row->grant.last_error, into last_revocation. */
	GRANT_REVOKED,
	/* changed: which of `seen` are not as they were seen. */
	GRANT_CHANGED,
	/* Every lease of `owner`, who is dead, is given back. */
	GRANT_RELEASE,
	N_GRANT_VERBS,
};

/* What somebody has in memory. */
struct grant_seen {
	struct grant_key key;
	int64_t version;
	const char *state; /* grant_state_name; NULL: there was none */
};

struct grant_request {
	enum grant_verb verb;
	struct grant_key key;
	int64_t version;
	int64_t settings_version;
	int64_t lease_number;
	const char *owner; /* a node's id */
	int64_t lease_ms;
	int64_t grace_ms;
	size_t limit;
	size_t per_server;
	const char *const *not_servers; /* by their token_url */
	size_t n_not_servers;
	const struct grant_row *row;
	const char *client_refused; /* last_error; NULL: it was not */
	struct grant_event event;
	struct grant_event dropped;
	const struct grant_seen *seen;
	size_t n_seen;
};

/* Borrowed in done. */
struct grant_result {
	const struct grant_row *rows;
	size_t n_rows;
	size_t n_done;
	bool needs_reauth;     /* GRANT_FAIL, if it was done: what it is now */
	const size_t *changed; /* indices into `seen` */
	size_t n_changed;
};

struct grant_store;
struct grant_op; /* slot */
/* err: ERR_UNAVAILABLE, ERR_TIMEOUT (what was asked may have been done), ERR_INTERNAL. */
typedef void grant_done(void *ctx, const struct grant_result *result, const struct err *err);
/* The request and all that it borrows is copied. */
void grant_start(struct grant_store *store, struct grant_op **slot,
		 const struct grant_request *request, grant_done *done, void *ctx);
void grant_cancel(struct grant_op **slot);
/* No request may be running. */
void grant_store_free(struct grant_store **store);

/* Rows of tollgate.grants, as tollgate_app. */
struct grant_store *grant_pg_new(struct db *db);
/* told is called for every event that was recorded, before the request's done: its type. */
typedef void grant_told(void *ctx, const struct grant_key *key, const char *type);
void grant_pg_watch(struct grant_store *store, grant_told *told, void *ctx);

struct grant_memory_event {
	struct grant_key key;
	struct grant_event event;
};
struct grant_store *grant_memory_new(struct loop *loop);
/* What was recorded so far, in order. Borrowed until the next request is done. */
const struct grant_memory_event *grant_memory_events(struct grant_store *store, size_t *n);

/* "active", "needs_reauth", "disconnected"; "authorization_code", …: as in the tables. */
const char *grant_state_name(enum grant_state state);
const char *grant_kind_name(enum grant_kind kind);
int grant_state_parse(const char *name, enum grant_state *state, struct err *err) MUST_CHECK;
int grant_kind_parse(const char *name, enum grant_kind *kind, struct err *err) MUST_CHECK;

/* For the caller's own transaction, which sets app.tenant: the statement that records an event of
 * this grant. Its parameters go to the arena. */
struct db_statement grant_event_statement(struct arena *arena, const struct grant_key *key,
					  const struct grant_event *event);
/* The same for what a request with an event writes: GRANT_PUT or GRANT_DISCONNECT in a
 * transaction that does more. It affects one row if it was done. */
struct db_statement grant_statement(struct arena *arena, const struct grant_request *request);

/*
 * What an implementation fills in.
 */
struct grant_op {
	struct grant_op **slot;
	void (*cancel)(struct grant_op *op);
};
struct grant_store {
	void (*start)(struct grant_store *store, struct grant_op **slot,
		      const struct grant_request *request, grant_done *done, void *ctx);
	void (*free)(struct grant_store *store);
	bool plain; /* nothing of it leaves the process: secrets are kept as they are */
};

#endif
