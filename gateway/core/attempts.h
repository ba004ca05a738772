/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_ATTEMPTS_H
#define GATEWAY_CORE_ATTEMPTS_H

/*
 * Events that no change of a row writes: what the admin API refused, what it did elsewhere, and
 * sign-ins that were refused. Rows of audit.admin_event_log and audit.auth_event_log; a flood of
 * refusals is merged (flood.h).
 */

#include "base/crypto.h"
#include "base/db.h"
#include "base/loop.h"

struct attempts;
struct attempt_op; /* slot: somebody waits for a row */

#define ATTEMPTS_OWN	  200  /* refusals of one source with rows of their own, per window */
#define ATTEMPTS_TOTAL	  2000 /* of all sources */
#define ATTEMPTS_RETRY_MS 2000
#define ATTEMPTS_WAITING  2048 /* rows that are not written yet */

enum attempt_kind {
	ATTEMPT_ADMIN,	/* audit.admin_event_log */
	ATTEMPT_SIGNIN, /* audit.auth_event_log: signin_refused */
};

/* Borrowed. NULL: SQL NULL; a NULL tenant_id: nobody's. Texts are as of event_text. */
struct attempt {
	enum attempt_kind kind;
	const char *event_id; /* UUID */
	const char *tenant_id;
	const char *tenant;
	const char *actor;
	const char *user_id;
	const char *user_name; /* of a sign-in */
	const char *api_key;
	const char *source_ip;
	const char *client;
	const char *error_code;
	const char *action; /* of a sign-in: code or key */
	/* The rest is of ATTEMPT_ADMIN. */
	const char *role;
	const char *actor_tenant_id;
	const char *actor_tenant;
	const char *target_kind;
	const char *target_id;
	const char *target;
	const char *outcome; /* a word of the table; "ok" is never merged */
	const char *error_message;
	const char *http_status;
};

/* Borrows all; node_id may be NULL. */
struct attempts *attempts_new(struct loop *loop, struct db *db, const char *node_id);
/* What is counted and not written is lost: attempts_drain comes before. */
void attempts_free(struct attempts **attempts);
/* False: it was merged with others, and there is nothing to wait for. Else done tells when it is
 * written, or that it cannot be: then it is given up. slot NULL: nobody waits, and it is tried
 * until it is written, unless more than ATTEMPTS_WAITING do already: then it is given up. */
typedef void attempt_done(void *ctx, const struct err *err);
bool attempts_write(struct attempts *attempts, struct attempt_op **slot,
		    const struct attempt *attempt, attempt_done *done, void *ctx);
/* Nobody waits any more; it is written all the same. */
void attempt_leave(struct attempt_op **slot);
/* Writes what is counted; done runs once, from the loop, when it is written or could not be. */
void attempts_drain(struct attempts *attempts, loop_cb *done, void *ctx);

#endif
