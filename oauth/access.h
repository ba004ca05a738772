/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_ACCESS_H
#define OAUTH_ACCESS_H

/*
 * Usable upstream tokens: what a call takes from memory, and everything that keeps it usable.
 * Grants live in tollgate.grants; a worker remembers those that it uses. Of any number of workers
 * and machines one renews a grant, by a lease on its row (decision 5).
 *
 * Knows how to renew, revoke and store grants, not how one is obtained: core/connect.h does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/egress.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/seal.h"
#include "tokenstore/grant.h"

struct access;
struct access_op; /* slot */
struct grant_store;

#define ACCESS_MAX_GRANTS 16384	   /* in memory; who was used longest ago makes room */
#define ACCESS_MAX_BYTES  67108864 /* 64 MiB, of their tokens */
#define ACCESS_WAIT_MS	  30000	   /* the longest that an operation takes */

/* Actors of events that nobody has asked for by name. */
#define ACCESS_TOOL_CALL  "system:tool-call"
#define ACCESS_BACKGROUND "system:background-refresh"

/* What is needed of a tenant to speak to its authorization servers and to open its secrets.
 * Borrowed until it is given back. */
struct access_tenant {
	struct egress_policy *egress;
	const struct seal_key *keys; /* oldest first */
	size_t n_keys;
	void *held; /* the giver's own */
};

/* The directories of answers that are not in Postgres yet: `refresh-<slot>`, `refresh-<slot>.1`, …
 * (gateway/app/spools.h: owned and adopted in the same way). */
struct access_spool {
	const char *data_dir;
	unsigned slot;
	unsigned n_slots;
	bool fsync;
};

struct access_params {
	struct loop *loop;
	struct grant_store *store;
	struct http_client *client;
	const char *deployment;
	const char *node_id;
	const struct access_spool *spool; /* NULL: none. A store in memory needs none */
	/* How long a refresh token that was sent is left alone before another node sends it again,
	 * because who sent it seems to be dead. */
	int64_t refresh_grace_ms;
	int64_t stale_max_ms; /* how long what is known is used without Postgres */
	bool background;      /* grants are renewed before they expire */
	/* False: the tenant is not in memory. It is being loaded, and access_tenant_loaded tells
	 * when it is. */
	bool (*take)(void *ctx, const char *tenant_id, struct access_tenant *out);
	void (*give_back)(void *ctx, struct access_tenant *tenant);
	/* The secret that the grant's client has by now, borrowed with the tenant; NULL: the one
	 * that is stored with the grant. The function may be NULL: always that. */
	const struct secret *(*client_secret)(void *ctx, const struct access_tenant *tenant,
					      const struct grant *grant);
	void *ctx;
};
/* All strings are copied. ERR_INTERNAL: the spool cannot be opened. */
struct access *access_new(const struct access_params *params, struct err *err) MUST_CHECK;
/* All slots must be empty. What is being renewed is abandoned: who adopts the spool goes on. */
void access_free(struct access **access);
/* Begins nothing in the background any more; `done` runs once no answer of a server is
 * outstanding, which takes at most ACCESS_WAIT_MS. */
void access_drain(struct access *access, loop_cb *done, void *ctx);

enum access_state {
	ACCESS_READY,
	ACCESS_UNKNOWN, /* not in memory: access_start */
	ACCESS_NONE,	/* there is no usable grant: somebody has to connect */
};

struct access_token {
	const char *authorization; /* the value of the header. Borrowed until the loop turns */
	int64_t version;	   /* for access_refused */
	int64_t connected_version; /* of the grant: another one may be another account */
	const char *account; /* at the upstream, as far as it is known; or NULL. Borrowed too */
};

/* The hot path: memory only. READY is a token that has not expired, as far as is known. */
enum access_state access_find(struct access *access, const struct grant_key *key,
			      struct access_token *out);

/*
 * err NULL: state is READY (token is not NULL) or NONE. `why` is why there is none, one sentence
 * for people without a secret, or NULL: never connected. err: ERR_UNAVAILABLE (Postgres, or the
 * authorization server failed and the token has expired), ERR_TIMEOUT.
 */
typedef void access_done(void *ctx, enum access_state state, const struct access_token *token,
			 const char *why, const struct err *err);
/* Loads the grant, and renews it first if its token has expired. */
void access_start(struct access *access, struct access_op **slot, const struct grant_key *key,
		  access_done *done, void *ctx);
/* The upstream has refused (401) the token of this version: whoever comes first with it renews,
 * the others wait for that or get what is newer. READY means: it is worth another try. */
void access_refused(struct access *access, struct access_op **slot, const struct grant_key *key,
		    int64_t version, access_done *done, void *ctx);
/* Renews now, whatever the clock says (`reacquire`). actor: for the event, "user:ana". */
void access_renew(struct access *access, struct access_op **slot, const struct grant_key *key,
		  const char *actor, access_done *done, void *ctx);

/* Writes a grant that was just obtained over what is there, with its event (connect_completed, …)
 * in one transaction; its version and times of change are set here. */
struct access_put {
	const struct grant *grant;
	const char *event; /* type in audit.auth_events */
	const char *actor;
	const char *attempt_id; /* NULL: none */
	const char *context;	/* the setting app.event of the transaction; NULL: none */
	/* Of the connection, that it was granted for; 0: whatever it is now. ERR_UNAVAILABLE: they
	 * are no more. */
	int64_t settings_version;
};
typedef void access_put_done(void *ctx, const struct err *err);
void access_put(struct access *access, struct access_op **slot, const struct access_put *put,
		access_put_done *done, void *ctx);

/* Revokes at the server if it can, and forgets the tokens whatever that says. `revocation` is
 * "revoked", "failed: …", or "none" (the server has no endpoint); NULL with err. ERR_NOT_FOUND. */
typedef void access_disconnect_done(void *ctx, const char *revocation, const struct err *err);
struct access_asker {
	const char *actor;   /* for the event */
	const char *context; /* as of access_put */
};
void access_disconnect(struct access *access, struct access_op **slot, const struct grant_key *key,
		       const struct access_asker *asker, access_disconnect_done *done, void *ctx);

void access_cancel(struct access_op **slot);

/* Rows of the tenant's grants may have changed; NULL: of any. */
void access_hint(struct access *access, const char *tenant_id);
/* The connection has other settings, for which its grants may not be: what is in memory of them is
 * not used before it was read again, whether a notification of them has come or not. */
void access_doubt(struct access *access, const char *tenant_id, const char *connection_id);
/* A notification of the channel tollgate_grants: this one has. Foreign bytes. */
#define ACCESS_CHANNEL "tollgate_grants"
void access_notified(struct access *access, const char *payload);
/* What take could not give is there now. */
void access_tenant_loaded(struct access *access, const char *tenant_id);
/* A worker has ended: somebody's spool may have lost its owner. */
void access_look(struct access *access);

#endif
