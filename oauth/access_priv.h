/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_ACCESS_PRIV_H
#define OAUTH_ACCESS_PRIV_H

/*
 * What the files behind oauth/access.h share: access (the table in memory), access_op (who waits
 * for a token), access_change (put and disconnect), access_watch (what changed elsewhere), refresh
 * (one renewal, step by step; refresh_take and refresh_send have the steps), refresh_reply (what an
 * answer means), refresh_due (the background), refresh_spool (answers on disk).
 */

#include <uthash.h>

#include "base/mem.h"
#include "oauth/access.h"
#include "oauth/servers.h"
#include "oauth/token.h"
#include "tokenstore/grant_seal.h"
#include "tokenstore/grant_store.h"

#define ACCESS_WHY_BYTES	  248
#define ACCESS_ACTOR_BYTES	  128
#define ACCESS_NONE_MS		  1000 /* how long it is believed that there is no grant */
#define ACCESS_CONFIRM_MS	  4000 /* what is used is compared with Postgres so often, at least */
#define ACCESS_POLL_MS		  2000
#define ACCESS_POLL_GRANTS	  4096
#define ACCESS_REFUSED_MS	  1000 /* between two renewals because the upstream refuses a token */
#define REFRESH_BUSY_MIN_MS	  50   /* until a grant that another renews is looked at again */
#define REFRESH_BUSY_MAX_MS	  1000
#define REFRESH_TENANT_MS	  5000 /* for a tenant to be loaded */
#define REFRESH_PARALLEL	  8    /* at once in the background */
#define REFRESH_PER_SERVER	  4
#define REFRESH_DUE_MS		  1000 /* between two looks at what is due, if there was some */
#define REFRESH_IDLE_MS		  4000 /* and if there was none */
#define REFRESH_BACKOFF_MAX_S	  300  /* after failures, while the token is good */
#define REFRESH_BACKOFF_EXPIRED_S 15   /* and when it is not, for calls wait for it */
#define REFRESH_LEAD_MIN_S	  30

enum entry_state {
	ENTRY_UNKNOWN, /* nothing is known, or no longer */
	ENTRY_TOKEN,
	ENTRY_NONE, /* there is no usable grant, until none_until_ms */
};

/* One grant in memory. */
struct entry {
	struct grant_key key;
	struct access *access;
	enum entry_state state;
	enum grant_state row_state;  /* as it was seen, with version */
	struct secret authorization; /* "Bearer …" */
	char *account;		     /* whose it is; NULL: not known */
	int64_t version;	     /* ENTRY_TOKEN; the last one seen else */
	int64_t connected_version;   /* ENTRY_TOKEN */
	int64_t expires_at;	     /* Unix seconds; 0: not known */
	int64_t none_until_ms;
	int64_t confirmed_ms; /* when the store last said that it is so */
	int64_t used_ms;
	int64_t hinted_version; /* heard of while a job ran */
	int64_t backoff_until_ms;
	int64_t refused_ms;	    /* when it was last renewed because of a refusal */
	char why[ACCESS_WHY_BYTES]; /* there is no token, or the last failure */
	struct refresh *job;
	struct access_op *waiting;
	struct deferred turn;	   /* those that need not wait are told */
	unsigned pins;		   /* somebody is being told */
	struct entry *prev, *next; /* by use, the latest first */
	UT_hash_handle hh;
};

enum op_kind {
	OP_TOKEN, /* any that is good */
	OP_NEWER, /* than version */
	OP_RENEW, /* whatever there is */
};

struct access_op {
	struct access_op **slot;
	void (*cancel)(struct access_op *op); /* NULL: it waits at an entry */
	enum op_kind kind;
	int64_t version;
	char actor[ACCESS_ACTOR_BYTES];
	struct entry *entry;
	struct access_op **list;
	struct access_op *prev, *next;
	struct timer patience;
	access_done *done;
	void *ctx;
};

struct access {
	struct access_params params;
	char node_id[UUID_TEXT_BYTES];
	char *deployment;
	struct entry *entries; /* by key */
	struct entry *recent;  /* the same by use */
	size_t n_entries;
	size_t n_bytes; /* of their tokens */
	struct servers *servers;
	struct refresh *jobs;
	size_t n_background; /* of them */
	struct refresh_spool *spool;
	struct access_change *changes;
	/* access_watch.c */
	struct timer poll_timer;
	struct grant_op *poll;
	struct grant_seen *polled;
	size_t n_polled;
	/* refresh_due.c */
	struct timer due_timer;
	struct grant_op *due;
	bool due_more; /* the last look found something */
	bool draining;
	struct deferred drained_turn;
	loop_cb *drained;
	void *drained_ctx;
};

/* access.c */

struct entry *entry_find(struct access *access, const struct grant_key *key);
/* Makes it if there is none. */
struct entry *entry_get(struct access *access, const struct grant_key *key);
/* A token of this row, which is open; wiped and replaced what was there. */
void entry_put(struct entry *entry, const struct grant *grant);
void entry_none(struct entry *entry, const char *why);
void entry_forget(struct entry *entry);
/* True if the token has not expired, as far as is known, and that is known lately enough. */
bool entry_is_good(const struct entry *entry);
/* What the grant's client shows itself with, in the tenant or in the grant; NULL: nothing. */
const struct secret *access_client_secret(const struct access *access,
					  const struct access_tenant *tenant,
					  const struct grant *grant);
/* What seals and opens the tenant's grants, in `room`; NULL: the store keeps them as they are. */
const struct grant_keys *access_keys(const struct access *access,
				     const struct access_tenant *tenant, struct grant_keys *room);
/* Removes it if nobody uses it. */
void entry_drop(struct entry *entry);
/* Tells who drains, if there is nothing left to wait for. */
void access_check_drained(struct access *access);

/* access_op.c */

enum ending { ENDED_TOKEN, ENDED_NONE, ENDED_FAILED };
/* The job of the entry has ended (it is detached by now): everybody who can be told is, and what
 * is still wanted begins anew. err: with ENDED_FAILED. */
void entry_settle(struct entry *entry, enum ending outcome, bool renewed, const struct err *err);
/* What those who wait want of the next job. */
struct wanted {
	bool any; /* somebody waits */
	bool forced;
	int64_t above; /* a token of this version is not enough; -1: any will do */
	const char *actor;
};
struct wanted entry_wanted(const struct entry *entry);

/* access_change.c */

/* There must be none. */
void changes_free(struct access *access);
void changes_tenant_loaded(struct access *access, const char *tenant_id);

/* access_watch.c */

void watch_start_polling(struct access *access);
void watch_stop_polling(struct access *access);

/* refresh.c, and of refresh_take.c refresh_kick */

struct refresh;
/* For those who wait at the entry. */
void refresh_start(struct entry *entry);
/* In the background: of a row whose lease is ours. */
void refresh_start_leased(struct entry *entry, const struct grant_row *row);
/* The row that it waits for may be free. */
void refresh_kick(struct refresh *job);
/* The background has leased the row that this job is about: it goes on with that lease, or leaves
 * it to a job after it. */
void refresh_hand_over(struct refresh *job, const struct grant_row *row);
void refresh_tenant_loaded(struct access *access, const char *tenant_id);
void refresh_free_all(struct access *access);
/* Whether any has sent something whose answer is not stored. */
bool refresh_is_sending(const struct access *access);

/* refresh_reply.c */

/* When to renew: at 80 % of its lifetime, but at least REFRESH_LEAD_MIN_S and at most half of it
 * before it expires; earlier by chance, so that what was issued together is not renewed together.
 * 0: never. */
int64_t refresh_due_at(const struct grant *grant, int64_t now_s);
/* Whether it can be renewed without a person. */
bool refresh_is_possible(const struct grant *grant);
/* The row after the reply: secrets open, borrowed from reply and row; not sealed. */
void refresh_apply(const struct grant_row *row, const struct token_reply *reply, int64_t now_s,
		   struct arena *arena, struct grant_row *renewed);
/* A JSON object for the event. after: NULL if it failed. */
struct refresh_story {
	const struct grant_row *before;
	const struct grant_row *after;
	int64_t duration_ms;
	const struct token_error *error;
};
const char *refresh_detail(struct arena *arena, const struct refresh_story *story);
/* What a failure means for the row: state, last_error, next_refresh_at, lost. Returns the event's
 * type. */
const char *refresh_judge(const struct grant_row *row, const struct token_error *error,
			  int64_t now_s, struct arena *arena, struct grant_row *failed);
int64_t refresh_backoff_s(int64_t failures, bool expired);

/* refresh_due.c */

void due_start(struct access *access);
void due_stop(struct access *access);
/* One in the background has ended. */
void due_ended(struct access *access);

/* refresh_spool.c */

struct refresh_spool;
struct spool_wait;
/* ERR_INTERNAL. */
struct refresh_spool *refresh_spool_new(struct access *access, const struct access_spool *params,
					struct err *err) MUST_CHECK;
/* outstanding: something was sent and is not answered, so a trace must stay. */
void refresh_spool_free(struct refresh_spool **spool, bool outstanding);
void refresh_spool_look(struct refresh_spool *spool);
/* Appends what request (GRANT_COMMIT) would store. Returns its number, or 0 with err. */
uint64_t refresh_spool_append(struct refresh_spool *spool, const struct grant_request *request,
			      struct spool_wait *wait,
			      void (*durable)(void *ctx, const struct err *err), void *ctx,
			      struct err *err) MUST_CHECK;
/* It is stored, or superseded. */
void refresh_spool_settled(struct refresh_spool *spool, uint64_t sequence);
/* It could not be stored now: it will be. request is that of the append. */
void refresh_spool_leave(struct refresh_spool *spool, uint64_t sequence,
			 const struct grant_request *request);

#endif
