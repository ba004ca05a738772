/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_SESSION_PRIV_H
#define GATEWAY_CORE_SESSION_PRIV_H

/* Shared by the files of gateway/core/session*.c: what is asked of Postgres, and what is known. */

#include "base/crypto.h"
#include "gateway/core/names.h"
#include "gateway/core/session.h"

struct known_session;

struct sessions {
	struct loop *loop;
	struct db *db;
	int64_t stale_max_ms;
	struct known_session *known;
	struct meter *meter; /* NULL: nothing is measured */
	unsigned generation; /* grows with each forget: an answer asked for before is not kept */
};

struct session_op {
	struct session_op **slot;
	struct sessions *sessions;
	struct session *session; /* create: what will be announced */
	uint8_t binding[SHA256_BYTES];
	char tenant_id[UUID_TEXT_BYTES];
	char tenant[NAME_MAX_BYTES + 1]; /* its name, of one that is ended */
	unsigned generation;
	struct db_op *query;
	session_done *done;
	void *ctx;
};

/* All that a session is bound to, as one value. */
void session_binding(const struct session_key *key, uint8_t binding[SHA256_BYTES]);

/* What Postgres said last of the session that op is about: it is there; it has been changed. */
void session_remember(struct session_op *op, struct session *session);
void session_forget(struct session_op *op);
/* It is not there. */
void session_known_missing(struct session_op *op);
/* A new reference; NULL if it is not known, or has not been confirmed for too long. */
struct session *session_known(const struct session_op *op);

#endif
