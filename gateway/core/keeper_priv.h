/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_KEEPER_PRIV_H
#define GATEWAY_CORE_KEEPER_PRIV_H

/* What the files keeper*.c share. */

#include <uthash.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "gateway/core/credential.h"
#include "gateway/core/keeper.h"
#include "gateway/core/upstream.h"

/* --- keeper_list.c: the tools of one upstream, all pages ------------------------------------- */

struct keeper_list {
	char subject[UPSTREAM_SUBJECT_BYTES]; /* OAuth: whose token; set before start */
	struct upstreams *upstreams;
	struct tenant *tenant; /* of connection; NULL: it does not run */
	const struct connection *connection;
	struct upstream_op *request;
	int refused_status; /* with ERR_UNAUTHENTICATED; 0: nothing was sent */
	int64_t refused_version;
	struct buf tools; /* a JSON array; open while pages are missing */
	size_t n_tools;
	size_t n_pages;
	void (*done)(void *ctx, const struct err *err);
	void *ctx;
};
void keeper_list_init(struct keeper_list *list);
void keeper_list_fini(struct keeper_list *list);
/* done once; then tools and n_tools are there until the next start. */
void keeper_list_start(struct keeper_list *list, struct upstreams *upstreams, struct tenant *tenant,
		       const struct connection *connection,
		       void (*done)(void *ctx, const struct err *err), void *ctx);
void keeper_list_cancel(struct keeper_list *list);

/* --- keeper_credential.c: whose token a listing uses ----------------------------------------- */

struct keeper_credential {
	char subject[UPSTREAM_SUBJECT_BYTES]; /* the answer */
	struct credentials *credentials;
	struct tenant *tenant; /* of connection; NULL: it does not run */
	const struct connection *connection;
	struct db_op *query;
	struct credential_op *op;
	/* err, state and why as of credential_done. */
	credential_done *done;
	void *ctx;
};
struct keeper_credential_params {
	struct db *db;
	struct credentials *credentials;
	struct tenant *tenant;
	const struct connection *connection;
};
/* The shared grant; where each user has one, that of whoever connected last. */
void keeper_credential_start(struct keeper_credential *credential,
			     const struct keeper_credential_params *params, credential_done *done,
			     void *ctx);
/* After one that was READY: the upstream has refused the token of this version. */
void keeper_credential_renew(struct keeper_credential *credential,
			     const struct keeper_credential_params *params, int64_t version,
			     credential_done *done, void *ctx);
void keeper_credential_cancel(struct keeper_credential *credential);

/* --- keeper_watch.c: one upstream ------------------------------------------------------------ */

enum watch_state {
	WATCH_STOPPED, /* nothing: not there, disabled or invalid */
	WATCH_RESTING, /* the timer, for the next listing */
	WATCH_LISTING,
	WATCH_STORING, /* Postgres */
};

enum watch_kind {
	WATCH_SERVING, /* what serves calls */
	WATCH_TRIAL,   /* what an edit wants to serve, once it has been listed */
	N_WATCHES,
};

enum stream_state {
	STREAM_OFF, /* until it has been listed */
	STREAM_OPENING,
	STREAM_OPEN,
	STREAM_BROKEN, /* the timer, to open it again */
	STREAM_NONE,   /* it has none: poll */
};

struct lease;

struct connection_watch {
	struct lease *lease;
	enum watch_kind kind;
	enum watch_state state;
	struct tenant *tenant; /* the snapshot that connection stands in; NULL: nothing to watch */
	const struct connection *connection;
	struct keeper_credential credential;
	struct keeper_list list;
	bool renewed;	 /* the token, in this listing: once */
	bool needs_auth; /* there was no grant */
	struct timer timer;
	struct db_op *storing;
	unsigned failures;
	int64_t rest_ms;   /* after STORING */
	int64_t listed_ms; /* when it was last begun */
	bool wanted;	   /* somebody has reason to think that the next listing is news */
	int64_t refresh;   /* the lease's, as the listing began */
	struct {
		enum stream_state state;
		struct upstream_watch *watch;
		struct timer timer;
		unsigned failures;
		int64_t opened_ms;
	} stream;
};

void watch_init(struct connection_watch *watch, struct lease *lease, enum watch_kind kind);
void watch_fini(struct connection_watch *watch);
/* connection stands in tenant; both NULL: there is nothing any more. What is watched already goes
 * on if nothing that it depends on has changed. */
void watch_subject(struct connection_watch *watch, struct tenant *tenant,
		   const struct connection *connection);
/* Lists it at once; if that runs already, once more behind it. */
void watch_again(struct connection_watch *watch);
/* keeper_stream.c: listens, if it does not and may. */
void watch_stream_open(struct connection_watch *watch);
void watch_stream_stop(struct connection_watch *watch);
int64_t watch_retry_ms(unsigned failures);
int64_t watch_jittered(int64_t delay_ms); /* anything from half of it to all of it */
struct log_subject watch_log_subject(const struct connection_watch *watch);

/* --- keeper.c -------------------------------------------------------------------------------- */

struct lease_key {
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
};

struct lease {
	struct lease_key key;
	struct keeper *keeper;
	int64_t number;
	int64_t refresh; /* how often a refresh was asked for */
	unsigned seen;	 /* the keeper's round in which it still had it */
	unsigned found;	 /* the keeper's change in which its tenant still had the connection */
	struct connection_watch watches[N_WATCHES];
	UT_hash_handle hh;
};

/* keeper_accounts.c: how many grants the watched connections have, for METER_ACCOUNTS. */
struct keeper_accounts {
	struct timer timer;
	struct db_op *query;
	char tenant_id[UUID_TEXT_BYTES]; /* asked for now, or last; "": none in this round */
};
/* Nothing if nothing is measured. */
void keeper_accounts_start(struct keeper *keeper);
void keeper_accounts_stop(struct keeper *keeper);
/* Nobody counts them any more. */
void keeper_accounts_end(struct keeper *keeper, const char *tenant, const char *connection);

enum keeper_state {
	KEEPER_WATCHING,
	KEEPER_RELEASING,
	KEEPER_RELEASED,
};

struct keeper {
	struct keeper_params params;
	enum keeper_state state;
	struct lease *leases;
	size_t n_busy; /* watches that are LISTING or STORING */
	size_t n_streams;
	unsigned round;
	unsigned change;
	struct db_op *renewal;
	int64_t renewal_ms; /* when it was begun */
	bool look_again;    /* a hint came while it ran */
	struct timer renew_timer;
	struct timer expiry_timer; /* nobody has confirmed the lease: others may hold it */
	struct keeper_accounts accounts;
	loop_cb *released;
	void *released_ctx;
};

/* --- keeper_store.c: the SQL of catalogs and connection_status ------------------------------- */

/* What is stored is stored only while the lease is the holder's own, and the settings are still
 * the ones that it was found out with. */
struct keeper_place {
	const char *tenant_id;
	const char *connection_id;
	int64_t lease_number;
	int64_t settings_version;
	int64_t refresh; /* refreshes that this answers; 0: none */
};

struct keeper_finding {
	struct keeper_place place;
	struct span tools; /* JSON array */
	size_t n_tools;
	const struct upstream_facts *facts;
};
/* Settings that were tried out serve from then on. */
void keeper_store_catalog(struct db *db, struct db_op **slot, const struct keeper_finding *finding,
			  db_done *done, void *ctx);

struct keeper_problem {
	struct keeper_place place;
	const char *state; /* as in tollgate.connection_status */
	const char *text;  /* NULL: none */
	int64_t retry_ms;  /* < 0: no retry is planned */
};
void keeper_store_state(struct db *db, struct db_op **slot, const struct keeper_problem *problem,
			db_done *done, void *ctx);
/* Of settings that are tried out; its state is not stored. */
void keeper_store_trial(struct db *db, struct db_op **slot, const struct keeper_problem *problem,
			db_done *done, void *ctx);
/* A call has been answered lately: no need to list it. */
void keeper_store_well(struct db *db, struct db_op **slot, const struct keeper_place *place,
		       db_done *done, void *ctx);

#endif
