/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DB_H
#define BASE_DB_H

/*
 * PostgreSQL without blocking: a pool of connections in pipeline mode. One operation is one
 * transaction: BEGIN, settings (set_config(…, true)), statements, COMMIT travel together in one
 * round trip. Settings die with the transaction, so a pooled connection carries nothing over.
 *
 * Knows no schema. Statements are literals with $n parameters.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"

struct db;
struct db_op;	  /* one running transaction: the slot */
struct db_result; /* of one statement */

/* ERR_BAD_REQUEST if it cannot be parsed or is of a kind that db_new does not take. */
int db_conninfo_check(const char *conninfo, struct err *err) MUST_CHECK;
/* The same as key=value, with "[REDACTED]" for what is secret; "[REDACTED]" alone if it cannot be
 * parsed. The caller frees. */
char *db_conninfo_redact(const char *conninfo);
/* The same as key=value without its password, which *password is, or NULL. NULL if it cannot be
 * parsed. The caller frees both. */
char *db_conninfo_split(const char *conninfo, char **password);

struct db_params {
	const char *conninfo; /* URI or key=value. A host name in it is resolved off the loop. */
	int max_connections;  /* opened on demand, closed after idle_ms; one is kept */
	int64_t connect_timeout_ms;
	int64_t op_timeout_ms; /* also sent as statement_timeout; then the socket is dropped */
	int64_t idle_ms;
	size_t max_queued; /* more waiting operations fail at once with ERR_UNAVAILABLE */
	/* An operation has got a connection, and waited so long for it; from within the pool. NULL:
	 * no matter. */
	void (*waited)(void *ctx, int64_t ms);
	void *ctx;
};
struct db *db_new(struct loop *loop, const struct db_params *params);
/* Cancels nothing: all slots must be empty. */
void db_free(struct db **db);
/* True while the last attempt to connect or use a connection succeeded. */
bool db_up(const struct db *db);
/* changed is called whenever db_up may give another answer, from within the pool: it may ask
 * db_up, all else it does later. One at a time; NULL ends it. */
typedef void db_changed(void *ctx);
void db_watch(struct db *db, db_changed *changed, void *ctx);

struct db_stats {
	size_t n_busy; /* connections with a transaction */
	size_t n_idle;
	size_t n_waiting; /* operations without a connection */
};
void db_stats(const struct db *db, struct db_stats *out);

struct db_setting {
	const char *name;
	const char *value;
};
struct db_statement {
	const char *sql;
	const struct span *params; /* text form; absent: NULL. bytea as "\x<hex>" */
	size_t n_params;
};
/* Everything is copied by db_start. */
struct db_tx {
	const struct db_setting *settings;
	size_t n_settings;
	const struct db_statement *statements;
	size_t n_statements;
};
#define DB_MAX_STATEMENTS 8
#define DB_MAX_PARAMS	  64

/*
 * results: one per statement, in order, valid during the call. err NULL on success.
 * ERR_UNAVAILABLE: no connection, or it broke; the transaction may have committed if tag is
 * "sent". ERR_TIMEOUT, likewise. ERR_CONFLICT for SQLSTATE 23505. ERR_INTERNAL else; err->tag holds
 * the SQLSTATE, err->text the server's primary message, never its detail (that may hold values).
 */
typedef void db_done(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err);
void db_start(struct db *db, struct db_op **slot, const struct db_tx *tx, db_done *done, void *ctx);
void db_cancel(struct db_op **slot);

/* Shorthand for a transaction of one statement. setting may be NULL. */
void db_query(struct db *db, struct db_op **slot, const struct db_setting *setting, const char *sql,
	      const struct span *params, size_t n_params, db_done *done, void *ctx);

size_t db_rows(const struct db_result *result);
size_t db_affected(const struct db_result *result);
/* Borrowed text of a column by name (asserted to exist); NULL if it is SQL NULL. */
const char *db_text(const struct db_result *result, size_t row, const char *column);
struct span db_span(const struct db_result *result, size_t row, const char *column);
/* The same by the place of the column, from 0: for many rows. */
struct span db_span_at(const struct db_result *result, size_t row, size_t column);
int64_t db_int(const struct db_result *result, size_t row, const char *column); /* NULL: 0 */
bool db_bool(const struct db_result *result, size_t row, const char *column);	/* NULL: false */
/* Decodes a bytea; the caller frees. NULL for SQL NULL. */
void *db_bytes(const struct db_result *result, size_t row, const char *column, size_t *n);

/* A connection of its own that LISTENs. `notified` gets each notification; `connected` runs at
 * every (re)connect, because what was notified meanwhile is lost. */
struct db_listener;
struct db_listener_params {
	const char *conninfo;
	const char *const *channels;
	size_t n_channels;
	int64_t retry_ms; /* back-off starts here, doubles to 0.5 s, with jitter */
	void (*notified)(void *ctx, const char *channel, const char *payload);
	void (*connected)(void *ctx);
	void *ctx;
};
struct db_listener *db_listener_new(struct loop *loop, const struct db_listener_params *params);
void db_listener_free(struct db_listener **listener);

/*
 * Scripts: texts of many statements without parameters, one after the other on one connection of
 * their own, which a pipeline cannot carry. A transaction and its locks may span texts; the end
 * of the operation, a cancel too, closes the connection and so rolls back what was not committed.
 */
struct db_script; /* the slot */
/*
 * Returns the next text, which must live until next is called again, or NULL: finished. result is
 * that of the last statement with rows in the text before, NULL if it had none and at the start.
 * It must not cancel the operation.
 */
typedef const char *db_script_next(void *ctx, const struct db_result *result);
/* err as of db_done; a failing statement ends the operation. */
typedef void db_script_done(void *ctx, const struct err *err);
struct db_script_params {
	const char *conninfo;
	int64_t connect_timeout_ms;
	int64_t text_timeout_ms; /* of one text, waiting for locks included */
	db_script_next *next;
	db_script_done *done;
	void *ctx;
};
void db_script_start(struct loop *loop, struct db_script **slot,
		     const struct db_script_params *params);
void db_script_cancel(struct db_script **slot);

#endif
