/* SPDX-License-Identifier: Apache-2.0 */

/* The pool, the queue, and the operations. */

#include "base/db.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/db_priv.h"
#include "base/log.h"

/* A connection through which more than this went at once is closed after its transaction:
 * libpq's buffers never shrink. */
#define KEEP_BYTES ((size_t)8 * 1024 * 1024)
/* While operations fail because the database is down, an attempt at least this often. */
#define NUDGE_MS 1000

enum db_state {
	DB_UNSURE, /* nothing tried yet, or a connection broke and none has been tried since */
	DB_UP,	   /* the last thing tried worked */
	DB_DOWN,   /* the last attempt to connect failed */
};

struct db {
	struct loop *loop;
	struct db_target target;
	struct db_params params; /* conninfo NULL: it is in target */
	enum db_state state;
	db_changed *changed; /* NULL: nobody watches */
	void *changed_ctx;
	struct db_conn *conns; /* most recently used first */
	int n_conns;
	struct db_op *first_waiting, *last_waiting;
	size_t n_waiting;
	size_t n_ops; /* whose done is still to come */
	/* One attempt to connect at a time; while retry runs, none. */
	struct db_dial dial;
	struct timer retry;
	int64_t backoff_ms; /* the next wait before an attempt; 0: none */
	int64_t failed_at_ms;
	struct err last_err;
};

static const struct log_subject subject = { .component = "db" };

static void on_retry(void *ctx);
static void on_dialed(void *ctx, const struct db_link *link, const struct err *err);
static void on_idle(void *ctx);

static void set_state(struct db *db, enum db_state state, const struct err *err)
{
	if (err != NULL)
		err_set(&db->last_err, ERR_UNAVAILABLE, "%s", err->text);
	if (db->state == state)
		return;
	db->state = state;
	if (state == DB_UP)
		log_info(&subject, "the database is up");
	else
		log_warn(&subject, "%s: %s",
			 state == DB_DOWN ? "the database is down" : "lost a database connection",
			 db->last_err.text);
	if (db->changed != NULL)
		db->changed(db->changed_ctx);
}

void db_watch(struct db *db, db_changed *changed, void *ctx)
{
	db->changed = changed;
	db->changed_ctx = ctx;
}

bool db_up(const struct db *db)
{
	return db->state == DB_UP;
}

void db_stats(const struct db *db, struct db_stats *out)
{
	*out = (struct db_stats){ .n_waiting = db->n_waiting };
	for (const struct db_conn *conn = db->conns; conn != NULL; conn = conn->next)
		out->n_busy += conn->state != DB_CONN_IDLE;
	out->n_idle = (size_t)db->n_conns - out->n_busy;
}

/* Operations. */

static void waiting_append(struct db *db, struct db_op *op)
{
	op->prev = db->last_waiting;
	if (op->prev != NULL)
		op->prev->next = op;
	else
		db->first_waiting = op;
	db->last_waiting = op;
	db->n_waiting++;
}

static void waiting_remove(struct db *db, struct db_op *op)
{
	if (op->prev != NULL)
		op->prev->next = op->next;
	else
		db->first_waiting = op->next;
	if (op->next != NULL)
		op->next->prev = op->prev;
	else
		db->last_waiting = op->prev;
	op->next = op->prev = NULL;
	db->n_waiting--;
	timer_stop(&op->patience);
}

static void on_ended(void *ctx)
{
	struct db_op *op = ctx;
	const struct db_result *results[DB_MAX_STATEMENTS];

	op->db->n_ops--;
	*op->slot = NULL;
	for (size_t i = 0; i < op->tx.n_statements; i++)
		results[i] = &op->results[i];
	if (op->failed)
		op->done(op->ctx, NULL, 0, &op->err);
	else
		op->done(op->ctx, results, op->tx.n_statements, NULL);
	db_op_free(op);
}

/* Callbacks of operations always run from the loop, alone: nothing else of the pool is on the
 * stack then, so they may do anything. */
static void op_end(struct db_op *op)
{
	op->conn = NULL;
	op->state = DB_OP_ENDED;
	loop_defer(op->db->loop, &op->ended, on_ended, op);
}

static void op_fail(struct db_op *op, const struct err *err)
{
	if (!op->failed) {
		op->failed = true;
		op->err = *err;
	}
	op_end(op);
}

static void on_impatient(void *ctx)
{
	struct db_op *op = ctx;
	struct db *db = op->db;
	struct err err;

	waiting_remove(db, op);
	if (db->state == DB_UP || db->last_err.text[0] == '\0')
		err_set(&err, ERR_UNAVAILABLE, "no free database connection in %" PRId64 " ms",
			db->params.op_timeout_ms);
	else
		err = db->last_err;
	op_fail(op, &err);
}

/* The pool. */

static void conn_remove(struct db *db, struct db_conn *conn)
{
	if (conn->prev != NULL)
		conn->prev->next = conn->next;
	else
		db->conns = conn->next;
	if (conn->next != NULL)
		conn->next->prev = conn->prev;
	conn->next = conn->prev = NULL;
	db->n_conns--;
}

static void conn_push(struct db *db, struct db_conn *conn)
{
	conn->next = db->conns;
	if (conn->next != NULL)
		conn->next->prev = conn;
	db->conns = conn;
	db->n_conns++;
}

static void close_conn(struct db *db, struct db_conn *conn)
{
	conn_remove(db, conn);
	db_conn_free(conn);
}

/* Before the next attempt. Doubles until a connection proves good. */
static void delay_retry(struct db *db)
{
	int64_t next_ms = db->backoff_ms == 0 ? DB_BACKOFF_MIN_MS : db->backoff_ms * 2;

	if (db->backoff_ms > 0)
		timer_start(db->loop, &db->retry, db_jitter(db->backoff_ms), on_retry, db);
	db->backoff_ms = next_ms < DB_BACKOFF_MAX_MS ? next_ms : DB_BACKOFF_MAX_MS;
}

/* Only what carried a transaction, or stood for long, ends a back-off: a server that takes
 * connections and drops them again must not be asked without pause. */
static void prove(struct db *db, struct db_conn *conn)
{
	if (conn->proved)
		return;
	conn->proved = true;
	db->backoff_ms = 0;
}

static void lose_conn(struct db *db, struct db_conn *conn, const struct err *err)
{
	close_conn(db, conn);
	if (db->state != DB_DOWN)
		set_state(db, DB_UNSURE, err);
	if (db->dial.loop == NULL && db->retry.loop == NULL)
		delay_retry(db);
}

static struct db_conn *find_idle(const struct db *db)
{
	struct db_conn *conn = db->conns;

	while (conn != NULL && conn->state != DB_CONN_IDLE)
		conn = conn->next;
	return conn;
}

/* The first in the queue goes to conn. */
static void dispatch(struct db *db, struct db_conn *conn)
{
	struct db_op *op = db->first_waiting;
	struct err err;

	waiting_remove(db, op);
	if (db_conn_run(conn, op, &err) < 0) {
		lose_conn(db, conn, &err);
		op_fail(op, &err);
		return;
	}
	op->state = DB_OP_RUNNING;
	op->conn = conn;
	db_op_forget_tx(op);
	if (db->params.waited != NULL)
		db->params.waited(db->params.ctx, loop_now_ms(db->loop) - op->queued_ms);
}

/* Brings waiting operations and connections together. */
static void pump(struct db *db)
{
	struct db_conn *conn;

	while (db->first_waiting != NULL && (conn = find_idle(db)) != NULL)
		dispatch(db, conn);
	if (db->dial.loop != NULL || db->retry.loop != NULL)
		return;
	if (db->n_conns == 0 ||
	    (db->first_waiting != NULL && db->n_conns < db->params.max_connections))
		db_dial_start(db->loop, &db->dial, &db->target, db->params.connect_timeout_ms,
			      on_dialed, db);
}

static void on_retry(void *ctx)
{
	pump(ctx);
}

static void idle_start(struct db *db, struct db_conn *conn)
{
	timer_start(db->loop, &conn->timer, db->params.idle_ms, on_idle, conn);
}

static void on_idle(void *ctx)
{
	struct db_conn *conn = ctx;

	prove(conn->db, conn);
	if (conn->db->n_conns > 1)
		close_conn(conn->db, conn);
	else
		idle_start(conn->db, conn);
}

/* Not getting one more connection is not the same as being down. */
static void dial_failed(struct db *db, const struct err *err)
{
	log_debug(&subject, "no connection: %s", err->text);
	db->failed_at_ms = loop_now_ms(db->loop);
	if (db->n_conns == 0)
		set_state(db, DB_DOWN, err);
	if (db->backoff_ms == 0)
		db->backoff_ms = DB_BACKOFF_MIN_MS;
	delay_retry(db);
}

static void on_dialed(void *ctx, const struct db_link *link, const struct err *err)
{
	struct db *db = ctx;
	struct db_conn *conn;

	if (err != NULL) {
		dial_failed(db, err);
		return;
	}
	conn = db_conn_new(db->loop, db, link, db->params.op_timeout_ms + DB_GRACE_MS);
	conn_push(db, conn);
	idle_start(db, conn);
	set_state(db, DB_UP, NULL);
	pump(db);
}

void db_on_conn_free(struct db_conn *conn)
{
	struct db *db = conn->db;
	struct db_op *op = conn->op;

	conn->op = NULL;
	prove(db, conn);
	set_state(db, DB_UP, NULL);
	if (op != NULL)
		op_end(op);
	conn_remove(db, conn);
	if (conn->largest_bytes > KEEP_BYTES) {
		db_conn_free(conn);
	} else {
		conn_push(db, conn);
		idle_start(db, conn);
	}
	pump(db);
}

void db_on_conn_lost(struct db_conn *conn, const struct err *err)
{
	struct db *db = conn->db;
	struct db_op *op = conn->op;
	struct err sent = *err;

	conn->op = NULL;
	snprintf(sent.tag, sizeof(sent.tag), "sent");
	if (op != NULL)
		op_fail(op, &sent);
	lose_conn(db, conn, err);
	pump(db);
}

struct db *db_new(struct loop *loop, const struct db_params *params)
{
	struct db *db = mem_new(sizeof(*db));

	assert(params->max_connections > 0 && params->op_timeout_ms > 0);
	db->loop = loop;
	db->params = *params;
	db->params.conninfo = NULL;
	db_target_init(&db->target, params->conninfo, params->op_timeout_ms);
	pump(db);
	return db;
}

void db_free(struct db **db)
{
	struct db *was = *db;

	if (was == NULL)
		return;
	*db = NULL;
	assert(was->n_ops == 0);
	db_dial_cancel(&was->dial);
	timer_stop(&was->retry);
	while (was->conns != NULL)
		close_conn(was, was->conns);
	db_target_fini(&was->target);
	free(was);
}

/* What is down is asked again before long, whatever the back-off, but nobody waits for it. */
static bool known_down(struct db *db)
{
	if (db->state != DB_DOWN || db->n_conns > 0 || db->retry.loop == NULL)
		return false;
	if (loop_now_ms(db->loop) - db->failed_at_ms >= NUDGE_MS)
		timer_start(db->loop, &db->retry, 0, on_retry, db);
	return true;
}

void db_start(struct db *db, struct db_op **slot, const struct db_tx *tx, db_done *done, void *ctx)
{
	struct db_op *op = db_op_new(tx);
	struct err full;

	assert(*slot == NULL);
	op->slot = slot;
	op->db = db;
	op->done = done;
	op->ctx = ctx;
	op->queued_ms = loop_now_ms(db->loop);
	*slot = op;
	db->n_ops++;
	if (known_down(db)) {
		op_fail(op, &db->last_err);
		return;
	}
	waiting_append(db, op);
	timer_start(db->loop, &op->patience, db->params.op_timeout_ms, on_impatient, op);
	pump(db);
	if (op->state == DB_OP_WAITING && db->n_waiting > db->params.max_queued) {
		waiting_remove(db, op);
		err_set(&full, ERR_UNAVAILABLE, "more than %zu operations wait for the database",
			db->params.max_queued);
		op_fail(op, &full);
	}
}

void db_cancel(struct db_op **slot)
{
	struct db_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	op->db->n_ops--;
	switch (op->state) {
	case DB_OP_WAITING:
		waiting_remove(op->db, op);
		break;
	case DB_OP_RUNNING:
		db_conn_abandon(op->conn);
		break;
	case DB_OP_ENDED:
		deferred_cancel(&op->ended);
		break;
	}
	db_op_free(op);
}

void db_query(struct db *db, struct db_op **slot, const struct db_setting *setting, const char *sql,
	      const struct span *params, size_t n_params, db_done *done, void *ctx)
{
	const struct db_statement statement = { .sql = sql,
						.params = params,
						.n_params = n_params };
	const struct db_tx tx = { .settings = setting,
				  .n_settings = setting == NULL ? 0 : 1,
				  .statements = &statement,
				  .n_statements = 1 };

	db_start(db, slot, &tx, done, ctx);
}
