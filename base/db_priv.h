/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DB_PRIV_H
#define BASE_DB_PRIV_H

/*
 * What the files of base/db share: db_resolve (names to addresses, in a thread), db_dial (one
 * attempt to connect), db_conn (one connection's transactions), db_op (what an operation owns),
 * db (pool and queue), db_listen (the connection that LISTENs), db_script (scripts of many
 * statements), db_result (reading results).
 */

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"

#define DB_BACKOFF_MIN_MS 100
/* A database that is back is used again within a second. */
#define DB_BACKOFF_MAX_MS 500
/* How much longer than the server's own statement_timeout we wait for its answer. */
#define DB_GRACE_MS 500

/* A random time between half of ms and ms, so that many processes do not retry in step. */
int64_t db_jitter(int64_t ms);

/* db_resolve.c */

/* Comma lists of equal length, as libpq takes them. */
struct db_addresses {
	const char *host;
	const char *hostaddr;
	const char *port;
};
struct db_lookup;
typedef void db_looked_up(void *ctx, const struct db_addresses *addresses, const struct err *err);

/* True if libpq would look up a name on the spot, given these lists (each may be NULL). */
bool db_lookup_needed(const struct db_addresses *lists);
/* Expands the lists so that each entry has an address. Names without one are left out.
 * On failure done will not be called. */
int db_lookup_start(struct loop *loop, struct db_lookup **slot, const struct db_addresses *lists,
		    db_looked_up *done, void *ctx, struct err *err) MUST_CHECK;
void db_lookup_cancel(struct db_lookup **slot);

/* db_dial.c */

/* Where to connect, worked out once. */
struct db_target {
	char *conninfo;
	char *options; /* the caller's, then ours */
	char *host;    /* these three with libpq's environment variables applied, or NULL */
	char *hostaddr;
	char *port;
	const char *problem; /* why it can never be connected to, or NULL */
};
/* statement_timeout_ms 0: none. A bad conninfo shows as an error of each attempt. */
void db_target_init(struct db_target *target, const char *conninfo, int64_t statement_timeout_ms);
void db_target_fini(struct db_target *target);

/* An established connection in non-blocking mode. libpq closes its descriptor inside
 * PQconsumeInput when the peer has gone; the duplicate stays open, so it may be watched. */
struct db_link {
	PGconn *pg;
	int fd;
};
/* Does not wait. Watches on fd must be stopped before. */
void db_link_close(struct db_link *link);
/* True if bytes wait in the socket under TLS. Then one more PQconsumeInput is due: libpq may
 * leave the rest of a TLS record decrypted inside OpenSSL, where epoll cannot see it. */
bool db_link_tls_readable(const struct db_link *link);
/* The first line of libpq's last error. Always returns -1. */
int db_link_err(const PGconn *pg, struct err *err);

/* Takes *link. */
typedef void db_dialed(void *ctx, const struct db_link *link, const struct err *err);
struct db_dial {
	struct loop *loop; /* NULL while idle */
	const struct db_target *target;
	PGconn *pg;
	struct db_lookup *lookup;
	struct deferred begin;
	struct timer deadline;
	struct watch watch;
	db_dialed *done;
	void *ctx;
};
/* Borrows target until the end. done never runs before this returns; err is ERR_UNAVAILABLE. */
void db_dial_start(struct loop *loop, struct db_dial *dial, const struct db_target *target,
		   int64_t timeout_ms, db_dialed *done, void *ctx);
void db_dial_cancel(struct db_dial *dial);

/* db_conn.c */

enum db_conn_state {
	DB_CONN_IDLE,	      /* waits for an operation */
	DB_CONN_RUNNING,      /* waits for the answers to op's pipeline */
	DB_CONN_DRAINING,     /* waits for the same after a cancel; nobody wants them */
	DB_CONN_ROLLING_BACK, /* waits for the ROLLBACK of what failed */
};
struct db_conn {
	struct db *db;
	struct db_conn *next, *prev;
	struct loop *loop;
	int64_t timeout_ms;
	enum db_conn_state state;
	struct db_link link;
	struct watch watch;
	struct timer timer; /* idle: when to close; else: when to give up */
	struct db_op *op;   /* while RUNNING or ROLLING_BACK; NULL if it was cancelled */
	size_t at;	    /* the command of the pipeline whose answer comes next */
	size_t n_commands;
	size_t largest_bytes; /* sent or received at once: what libpq's buffers have grown to */
	bool proved;	      /* has carried a transaction, or stood idle for long */
};
/* Takes link. */
struct db_conn *db_conn_new(struct loop *loop, struct db *db, const struct db_link *link,
			    int64_t timeout_ms);
void db_conn_free(struct db_conn *conn);
/* Sends op's whole transaction. On failure the connection must be freed; it may have happened if
 * err is tagged "sent". */
int db_conn_run(struct db_conn *conn, struct db_op *op, struct err *err) MUST_CHECK;
/* op is being cancelled: its answers are read and thrown away. */
void db_conn_abandon(struct db_conn *conn);

/* db.c, called by a connection as the last thing it does in an event. */

/* The transaction is over and the connection can take another. */
void db_on_conn_free(struct db_conn *conn);
/* It broke or timed out. Fails conn->op with err, tagged "sent", unless it already failed by
 * itself, and frees conn. */
void db_on_conn_lost(struct db_conn *conn, const struct err *err);

struct db_result {
	PGresult *pg;
};

enum db_op_state {
	DB_OP_WAITING, /* in the queue */
	DB_OP_RUNNING, /* on op->conn */
	DB_OP_ENDED,   /* done is about to run from the loop */
};
struct db_op {
	struct db_op **slot;
	struct db *db;
	struct db_op *next, *prev;
	enum db_op_state state;
	struct db_conn *conn;
	struct timer patience; /* while WAITING */
	int64_t queued_ms;
	struct deferred ended;
	struct arena *arena; /* holds tx until it has been sent */
	struct db_tx tx;
	size_t tx_bytes;
	struct db_result results[DB_MAX_STATEMENTS];
	bool failed;
	struct err err; /* the first failure, if failed */
	db_done *done;
	void *ctx;
};

/* db_op.c */

/* A copy of tx, with nothing else set. */
struct db_op *db_op_new(const struct db_tx *tx);
/* Once sent, of tx only the counts are needed. */
void db_op_forget_tx(struct db_op *op);
void db_op_free(struct db_op *op);

#endif
