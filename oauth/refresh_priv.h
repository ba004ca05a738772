/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_REFRESH_PRIV_H
#define OAUTH_REFRESH_PRIV_H

/* One renewal, between refresh.c (its life), refresh_take.c (what there is and whose it is) and
 * refresh_send.c (what is asked and what becomes of the answer). */

#include "base/spool.h"
#include "oauth/access_priv.h"

/* error.code of a grant whose stored secrets do not open. */
#define REFRESH_UNDECRYPTABLE "undecryptable"

enum refresh_step {
	STEP_TENANT, /* its keys and egress policy are in memory */
	STEP_LOAD,   /* the row as it is now */
	STEP_OPEN,   /* its secrets */
	STEP_JUDGE,  /* whether it will do as it is */
	STEP_LEASE,  /* nobody else renews it */
	STEP_BUSY,   /* somebody else does: wait, then load again */
	STEP_SENT,   /* that it is about to be sent is stored */
	STEP_ASK,    /* the server */
	STEP_SPOOL,  /* its answer is on disk */
	STEP_COMMIT, /* and in the row */
	STEP_FAIL,   /* or why not */
	STEP_YIELD,  /* the lease is given back: there is nothing to do yet */
	STEP_END,    /* the outcome is set */
	N_STEPS,
};

/* What a step says: step is set, go on; something is under way that will run it on; it is over. */
enum refresh_go { GO_ON, GO_WAIT, GO_END };

struct refresh {
	struct access *access;
	struct entry *entry;
	struct refresh *prev, *next;
	enum refresh_step step;
	bool background;
	bool leased; /* the lease is ours: row->lease_number */
	bool retried;
	bool keep; /* NONE is said of this renewal, not of the grant */
	char actor[ACCESS_ACTOR_BYTES];
	int64_t above; /* the version that the upstream refused; -1: none */
	struct access_tenant tenant;
	bool has_tenant;
	struct arena *arena; /* of the row and what is made of it */
	struct grant_row *row;
	struct arena *handed_arena;
	struct grant_row *handed; /* refresh_hand_over; NULL: none */
	struct grant_op *query;
	struct timer timer;
	int64_t busy_ms;
	struct token_request *request;
	int64_t asked_ms;
	struct token_error error;     /* STEP_FAIL */
	const char *failed_event;     /* the same: its type; NULL: error says */
	struct grant_row *renewed;    /* STEP_SPOOL, STEP_COMMIT */
	struct grant_row failed;      /* STEP_FAIL */
	struct grant_request storing; /* what is spooled and committed */
	struct spool_wait wait;
	uint64_t sequence; /* in the spool; 0: it is not there */
	/* What comes of it. */
	enum ending outcome;
	bool succeeded;
	struct err err;
	char why[ACCESS_WHY_BYTES];
};

void refresh_run(struct refresh *job);
/* The step that waited says this; the job may be gone when it returns. */
void refresh_resume(struct refresh *job, enum refresh_go go);
/* Where the result comes from; each returns GO_END. */
enum refresh_go refresh_end_token(struct refresh *job, const struct grant *grant);
enum refresh_go refresh_end_none(struct refresh *job, const char *why);
enum refresh_go refresh_end_failed(struct refresh *job, const struct err *err);
enum refresh_go refresh_go_to(struct refresh *job, enum refresh_step step);
/* The row is replaced by this one. */
void refresh_take_row(struct refresh *job, const struct grant_row *row);

enum refresh_go refresh_step_tenant(struct refresh *job);
enum refresh_go refresh_step_load(struct refresh *job);
enum refresh_go refresh_step_open(struct refresh *job);
enum refresh_go refresh_step_judge(struct refresh *job);
enum refresh_go refresh_step_lease(struct refresh *job);
enum refresh_go refresh_step_busy(struct refresh *job);
enum refresh_go refresh_step_sent(struct refresh *job);
enum refresh_go refresh_step_ask(struct refresh *job);
enum refresh_go refresh_step_spool(struct refresh *job);
enum refresh_go refresh_step_commit(struct refresh *job);
enum refresh_go refresh_step_fail(struct refresh *job);
enum refresh_go refresh_step_yield(struct refresh *job);

#endif
