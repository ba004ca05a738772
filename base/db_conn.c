/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One connection in pipeline mode, one transaction at a time.
 *
 * A failing statement makes the server skip the rest up to the Sync, COMMIT included, and leaves
 * the transaction open and failed: then a ROLLBACK follows in a second round trip, before the
 * operation is told. Only a connection whose transaction status is idle takes the next.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/db_priv.h"

#define SQLSTATE_UNIQUE_VIOLATION "23505"
#define SQLSTATE_QUERY_CANCELED	  "57014"
#define CLASS_DATA_EXCEPTION	  "22"

enum progress {
	PROGRESS_MORE,	 /* wait for the socket */
	PROGRESS_SYNC,	 /* the pipeline is answered completely */
	PROGRESS_BROKEN, /* the connection is of no further use */
};

static bool is_fatal(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity == NULL || strcmp(severity, "ERROR") != 0;
}

/* The server's primary message; for data exceptions only what stands before the value it
 * quotes. */
static void set_server_err(struct err *err, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	enum err_code code = ERR_INTERNAL;
	size_t n;

	state = state == NULL ? "" : state;
	text = text == NULL ? PQresultErrorMessage(result) : text;
	n = strcspn(text, strncmp(state, CLASS_DATA_EXCEPTION, 2) == 0 ? "\n\"" : "\n");
	if (is_fatal(result))
		code = ERR_UNAVAILABLE;
	else if (strcmp(state, SQLSTATE_UNIQUE_VIOLATION) == 0)
		code = ERR_CONFLICT;
	else if (strcmp(state, SQLSTATE_QUERY_CANCELED) == 0)
		code = ERR_TIMEOUT;
	err_set(err, code, "%.*s", (int)n, text);
	snprintf(err->tag, sizeof(err->tag), "%s", state);
}

/* The first failure counts: what follows is its consequence. */
static void keep_err(struct db_conn *conn, const struct err *err)
{
	if (conn->op == NULL || conn->op->failed)
		return;
	conn->op->failed = true;
	conn->op->err = *err;
}

static void note_size(struct db_conn *conn, size_t bytes)
{
	if (bytes > conn->largest_bytes)
		conn->largest_bytes = bytes;
}

/* Keeps the result of a statement, if somebody still wants it. */
static void keep_result(struct db_conn *conn, PGresult *result)
{
	struct db_op *op = conn->op;
	size_t first = op == NULL ? 0 : 1 + op->tx.n_settings;

	note_size(conn, PQresultMemorySize(result) / (size_t)(PQntuples(result) + 1));
	if (op != NULL && conn->at >= first && conn->at < first + op->tx.n_statements &&
	    op->results[conn->at - first].pg == NULL)
		op->results[conn->at - first].pg = result;
	else
		PQclear(result);
}

static enum progress take_result(struct db_conn *conn, PGresult *result, struct err *err)
{
	enum progress progress = PROGRESS_MORE;

	switch (PQresultStatus(result)) {
	case PGRES_EMPTY_QUERY:
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		keep_result(conn, result);
		return PROGRESS_MORE;
	case PGRES_PIPELINE_ABORTED:
		break;
	case PGRES_PIPELINE_SYNC:
		progress = PROGRESS_SYNC;
		break;
	case PGRES_FATAL_ERROR:
		set_server_err(err, result);
		if (is_fatal(result))
			progress = PROGRESS_BROKEN;
		else
			keep_err(conn, err);
		break;
	default:
		/* COPY, above all, which a pipeline cannot carry. */
		err_set(err, ERR_INTERNAL, "unexpected answer: %s",
			PQresStatus(PQresultStatus(result)));
		keep_err(conn, err);
		progress = PROGRESS_BROKEN;
	}
	PQclear(result);
	return progress;
}

/* A NULL ends the results of one command; only the Sync ends the pipeline. */
static enum progress take_results(struct db_conn *conn, struct err *err)
{
	while (PQisBusy(conn->link.pg) == 0) {
		PGresult *result = PQgetResult(conn->link.pg);
		enum progress progress = PROGRESS_MORE;

		if (result != NULL) {
			progress = take_result(conn, result, err);
		} else if (PQstatus(conn->link.pg) == CONNECTION_BAD ||
			   conn->at == conn->n_commands) {
			db_link_err(conn->link.pg, err);
			progress = PROGRESS_BROKEN;
		} else {
			conn->at++;
		}
		if (progress != PROGRESS_MORE)
			return progress;
	}
	return PROGRESS_MORE;
}

/* What fails here fails again when we read: the peer has closed, so the socket is readable. */
static void flush(struct db_conn *conn)
{
	uint32_t events = PQflush(conn->link.pg) > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;

	if (conn->watch.events != events)
		watch_change(&conn->watch, events);
}

static enum progress advance(struct db_conn *conn, uint32_t events, struct err *err)
{
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && PQconsumeInput(conn->link.pg) == 0) {
		db_link_err(conn->link.pg, err);
		return PROGRESS_BROKEN;
	}
	flush(conn);
	if (conn->state != DB_CONN_IDLE)
		return take_results(conn, err);
	/* Only notices and parameter changes arrive here; PQisBusy makes libpq read them. */
	if (PQisBusy(conn->link.pg) != 0 || PQstatus(conn->link.pg) == CONNECTION_BAD) {
		err_set(err, ERR_UNAVAILABLE, "the connection broke while idle");
		return PROGRESS_BROKEN;
	}
	return PROGRESS_MORE;
}

static void on_deadline(void *ctx)
{
	struct db_conn *conn = ctx;
	struct err err;

	err_set(&err, ERR_TIMEOUT, "the database did not answer in %lld ms",
		(long long)conn->timeout_ms);
	db_on_conn_lost(conn, &err);
}

static int send_command(struct db_conn *conn, const struct db_statement *statement, struct err *err)
{
	const char *values[DB_MAX_PARAMS];

	/* The spans are our own copies, with a NUL behind each. */
	for (size_t i = 0; i < statement->n_params; i++)
		values[i] = statement->params[i].p;
	if (PQsendQueryParams(conn->link.pg, statement->sql, (int)statement->n_params, NULL, values,
			      NULL, NULL, 0) == 0)
		return db_link_err(conn->link.pg, err);
	conn->n_commands++;
	return 0;
}

static int send_literal(struct db_conn *conn, const char *sql, struct err *err)
{
	return send_command(conn, &(struct db_statement){ .sql = sql }, err);
}

static int send_setting(struct db_conn *conn, const struct db_setting *setting, struct err *err)
{
	const struct span params[] = { span_of(setting->name), span_of(setting->value) };

	return send_command(conn,
			    &(struct db_statement){ .sql = "SELECT set_config($1, $2, true)",
						    .params = params,
						    .n_params = 2 },
			    err);
}

/* The end of each pipeline. Whatever runs on the server now has until the timer. */
static int send_sync(struct db_conn *conn, enum db_conn_state state, struct err *err)
{
	if (PQpipelineSync(conn->link.pg) == 0)
		return db_link_err(conn->link.pg, err);
	conn->state = state;
	timer_start(conn->loop, &conn->timer, conn->timeout_ms, on_deadline, conn);
	flush(conn);
	return 0;
}

static int send_rollback(struct db_conn *conn, struct err *err)
{
	conn->at = 0;
	conn->n_commands = 0;
	if (send_literal(conn, "ROLLBACK", err) < 0)
		return -1;
	return send_sync(conn, DB_CONN_ROLLING_BACK, err);
}

int db_conn_run(struct db_conn *conn, struct db_op *op, struct err *err)
{
	const struct db_tx *tx = &op->tx;

	assert(conn->state == DB_CONN_IDLE && conn->op == NULL);
	conn->at = 0;
	conn->n_commands = 0;
	note_size(conn, op->tx_bytes);
	if (send_literal(conn, "BEGIN", err) < 0)
		return -1;
	for (size_t i = 0; i < tx->n_settings; i++) {
		if (send_setting(conn, &tx->settings[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < tx->n_statements; i++) {
		if (send_command(conn, &tx->statements[i], err) < 0)
			return -1;
	}
	if (send_literal(conn, "COMMIT", err) < 0)
		return -1;
	/* What libpq has sent by then, the server may carry out, COMMIT included. */
	if (send_sync(conn, DB_CONN_RUNNING, err) < 0) {
		snprintf(err->tag, sizeof(err->tag), "sent");
		return -1;
	}
	conn->op = op;
	return 0;
}

void db_conn_abandon(struct db_conn *conn)
{
	assert(conn->op != NULL);
	conn->op = NULL;
	if (conn->state == DB_CONN_RUNNING)
		conn->state = DB_CONN_DRAINING;
}

/* At the Sync. */
static void settle(struct db_conn *conn)
{
	PGTransactionStatusType status = PQtransactionStatus(conn->link.pg);
	struct err err;

	if (status == PQTRANS_IDLE) {
		timer_stop(&conn->timer);
		conn->state = DB_CONN_IDLE;
		db_on_conn_free(conn);
	} else if (conn->state == DB_CONN_ROLLING_BACK) {
		err_set(&err, ERR_INTERNAL, "a ROLLBACK left a transaction open");
		db_on_conn_lost(conn, &err);
	} else if (send_rollback(conn, &err) < 0) {
		db_on_conn_lost(conn, &err);
	}
}

static void on_ready(void *ctx, uint32_t events)
{
	struct db_conn *conn = ctx;
	enum progress progress;
	struct err err;
	bool again;

	do {
		again = db_link_tls_readable(&conn->link);
		progress = advance(conn, events, &err);
	} while (progress == PROGRESS_MORE && again);

	if (progress == PROGRESS_SYNC)
		settle(conn);
	else if (progress == PROGRESS_BROKEN)
		db_on_conn_lost(conn, &err);
}

struct db_conn *db_conn_new(struct loop *loop, struct db *db, const struct db_link *link,
			    int64_t timeout_ms)
{
	struct db_conn *conn = mem_new(sizeof(*conn));
	int entered = PQenterPipelineMode(link->pg);

	assert(entered == 1); /* refused only while a command runs */
	conn->db = db;
	conn->loop = loop;
	conn->timeout_ms = timeout_ms;
	conn->link = *link;
	watch_start(loop, &conn->watch, conn->link.fd, EPOLLIN, on_ready, conn);
	return conn;
}

void db_conn_free(struct db_conn *conn)
{
	assert(conn->op == NULL);
	watch_stop(&conn->watch);
	timer_stop(&conn->timer);
	db_link_close(&conn->link);
	free(conn);
}
