/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CANCELS_H
#define GATEWAY_CORE_CANCELS_H

/*
 * How a legacy client's cancel reaches the worker that runs the call, whatever worker the client's
 * connection led to: a row that the other one takes (docs/decisions/015). Does not know what a
 * call is.
 */

#include <stdint.h>

#include "base/crypto.h"
#include "base/db.h"
#include "base/loop.h"
#include "base/span.h"
#include "gateway/core/principal.h"

/* Behind the notification, while there is a request that could be cancelled. */
#define CANCELS_POLL_MS 2000
/* Looked for at a time, the oldest ones. */
#define CANCELS_MAX_LOOK 4096

/* Stands for one request of one session of one principal. */
struct cancel_key {
	uint8_t digest[SHA256_BYTES];
};
/* id: as the client wrote it, in JSON. */
void cancel_key_of(const struct principal *principal, const char *session_digest, struct span id,
		   struct cancel_key *key);

struct cancels;
struct cancel_list; /* of running requests */
void cancel_list_add(struct cancel_list *list, const char *tenant_id, const struct cancel_key *key,
		     int64_t age_ms);

struct cancels_params {
	struct loop *loop;
	struct db *db;
	/* Adds each request that runs here and could be cancelled, of that tenant or (NULL) of
	 * all, the oldest first. */
	void (*list)(void *ctx, const char *tenant_id, struct cancel_list *list);
	/* Its client cancelled it. It may have ended meanwhile. */
	void (*cancelled)(void *ctx, const struct cancel_key *key);
	void *ctx;
};
struct cancels *cancels_new(const struct cancels_params *params);
/* No operation may be running. */
void cancels_free(struct cancels **cancels);

/* A request that could be cancelled has been started. */
void cancels_expect(struct cancels *cancels);
/* Somebody says that a request of the tenant was cancelled (NULL: of any): the rows tell. */
void cancels_look(struct cancels *cancels, const char *tenant_id);

/* Lets the other workers know. err NULL: it is in Postgres; else ERR_UNAVAILABLE. */
struct cancel_op;
typedef void cancel_done(void *ctx, const struct err *err);
void cancels_start(struct cancels *cancels, struct cancel_op **slot, const char *tenant_id,
		   const struct cancel_key *key, cancel_done *done, void *ctx);
void cancels_cancel(struct cancel_op **slot);

#endif
