/* SPDX-License-Identifier: Apache-2.0 */

/* A connection of its own that LISTENs, kept up for as long as its owner wants it. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/buf.h"
#include "base/db_priv.h"
#include "base/log.h"

#define SETUP_TIMEOUT_MS 10000
#define MAX_SQL_BYTES	 ((size_t)64 * 1024)

enum listener_state {
	LISTENER_WAITING,     /* for the back-off to pass */
	LISTENER_DIALING,     /* for a connection */
	LISTENER_SUBSCRIBING, /* for the answers to LISTEN */
	LISTENER_READY,	      /* for notifications */
};

struct db_listener {
	struct loop *loop;
	struct db_target target;
	struct db_listener_params params;
	char **channels;
	enum listener_state state;
	int64_t backoff_ms;
	struct timer timer; /* WAITING: until the next attempt; SUBSCRIBING: the deadline */
	struct db_dial dial;
	struct db_link link;
	struct watch watch;
	struct deferred delivery; /* while libpq may hold notifications */
};

static const struct log_subject subject = { .component = "db-listen" };

static void on_dialed(void *ctx, const struct db_link *link, const struct err *err);

static void disconnect(struct db_listener *listener)
{
	timer_stop(&listener->timer);
	db_dial_cancel(&listener->dial);
	watch_stop(&listener->watch);
	deferred_cancel(&listener->delivery);
	if (listener->link.pg != NULL)
		db_link_close(&listener->link);
}

static void on_retry(void *ctx)
{
	struct db_listener *listener = ctx;

	listener->state = LISTENER_DIALING;
	db_dial_start(listener->loop, &listener->dial, &listener->target, SETUP_TIMEOUT_MS,
		      on_dialed, listener);
}

static void retry_later(struct db_listener *listener, const struct err *err)
{
	int64_t next_ms = listener->backoff_ms * 2;

	if (listener->state == LISTENER_READY)
		log_warn(&subject, "lost the connection: %s", err->text);
	else
		log_debug(&subject, "no connection: %s", err->text);
	disconnect(listener);
	listener->state = LISTENER_WAITING;
	timer_start(listener->loop, &listener->timer, db_jitter(listener->backoff_ms), on_retry,
		    listener);
	listener->backoff_ms = next_ms < DB_BACKOFF_MAX_MS ? next_ms : DB_BACKOFF_MAX_MS;
}

/* One at a time, and the callback last: it may free the listener. */
static void on_delivery(void *ctx)
{
	struct db_listener *listener = ctx;
	PGnotify *notify = PQnotifies(listener->link.pg);

	if (notify == NULL)
		return;
	loop_defer(listener->loop, &listener->delivery, on_delivery, listener);
	listener->params.notified(listener->params.ctx, notify->relname, notify->extra);
	PQfreemem(notify);
}

static int flush(struct db_listener *listener, struct err *err)
{
	int left = PQflush(listener->link.pg);

	if (left < 0)
		return db_link_err(listener->link.pg, err);
	watch_change(&listener->watch, left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return 0;
}

/* The answers to LISTEN, one for each. 1: all are there; 0: not yet. */
static int take_results(struct db_listener *listener, struct err *err)
{
	while (PQisBusy(listener->link.pg) == 0) {
		PGresult *result = PQgetResult(listener->link.pg);
		ExecStatusType status = PQresultStatus(result);

		PQclear(result);
		if (result == NULL)
			return 1;
		if (status != PGRES_COMMAND_OK)
			return db_link_err(listener->link.pg, err);
	}
	return 0;
}

/* 1 when SUBSCRIBING is over. */
static int advance(struct db_listener *listener, struct err *err)
{
	bool again;
	int ret = 0;

	do {
		again = db_link_tls_readable(&listener->link);
		if (PQconsumeInput(listener->link.pg) == 0)
			return db_link_err(listener->link.pg, err);
		if (listener->state == LISTENER_SUBSCRIBING)
			ret = take_results(listener, err);
	} while (ret == 0 && again);
	return ret < 0 || flush(listener, err) < 0 ? -1 : ret;
}

static void on_ready(void *ctx, uint32_t events)
{
	struct db_listener *listener = ctx;
	struct err err;
	int ret = advance(listener, &err);

	(void)events;
	if (ret < 0) {
		retry_later(listener, &err);
		return;
	}
	if (listener->delivery.loop == NULL)
		loop_defer(listener->loop, &listener->delivery, on_delivery, listener);
	if (ret == 0)
		return;
	timer_stop(&listener->timer);
	listener->state = LISTENER_READY;
	listener->backoff_ms = listener->params.retry_ms;
	listener->params.connected(listener->params.ctx);
}

static void on_deadline(void *ctx)
{
	struct err err;

	err_set(&err, ERR_TIMEOUT, "no answer to LISTEN in %d ms", SETUP_TIMEOUT_MS);
	retry_later(ctx, &err);
}

static int send_listen(struct db_listener *listener, struct err *err)
{
	PGconn *pg = listener->link.pg;
	struct buf sql;
	int ok;

	buf_init(&sql, MAX_SQL_BYTES);
	for (size_t i = 0; i < listener->params.n_channels; i++) {
		const char *channel = listener->channels[i];
		char *quoted = PQescapeIdentifier(pg, channel, strlen(channel));

		assert(quoted != NULL);
		buf_printf(&sql, "LISTEN %s;", quoted);
		PQfreemem(quoted);
	}
	assert(!sql.overflow);
	ok = PQsendQuery(pg, buf_str(&sql));
	buf_fini(&sql);
	return ok == 1 ? flush(listener, err) : db_link_err(pg, err);
}

static void on_dialed(void *ctx, const struct db_link *link, const struct err *err)
{
	struct db_listener *listener = ctx;
	struct err problem;

	if (err != NULL) {
		retry_later(listener, err);
		return;
	}
	listener->state = LISTENER_SUBSCRIBING;
	listener->link = *link;
	watch_start(listener->loop, &listener->watch, link->fd, EPOLLIN, on_ready, listener);
	timer_start(listener->loop, &listener->timer, SETUP_TIMEOUT_MS, on_deadline, listener);
	if (send_listen(listener, &problem) < 0)
		retry_later(listener, &problem);
}

struct db_listener *db_listener_new(struct loop *loop, const struct db_listener_params *params)
{
	struct db_listener *listener = mem_new(sizeof(*listener));

	assert(params->n_channels > 0 && params->retry_ms > 0);
	listener->loop = loop;
	listener->params = *params;
	listener->channels = mem_new_array(params->n_channels, sizeof(*listener->channels));
	for (size_t i = 0; i < params->n_channels; i++)
		listener->channels[i] = mem_strdup(params->channels[i]);
	listener->params.conninfo = NULL;
	listener->params.channels = NULL;
	listener->backoff_ms = params->retry_ms;
	db_target_init(&listener->target, params->conninfo, 0);
	on_retry(listener);
	return listener;
}

void db_listener_free(struct db_listener **listener)
{
	struct db_listener *was = *listener;

	if (was == NULL)
		return;
	*listener = NULL;
	disconnect(was);
	for (size_t i = 0; i < was->params.n_channels; i++)
		free(was->channels[i]);
	free(was->channels);
	db_target_fini(&was->target);
	free(was);
}
