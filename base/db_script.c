/* SPDX-License-Identifier: Apache-2.0 */

/* Scripts by the simple query protocol, on a connection that is not in pipeline mode. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/db_priv.h"

struct db_script {
	struct db_script **slot;
	struct loop *loop;
	struct db_target target;
	struct db_dial dial;
	struct db_link link; /* pg NULL until connected */
	struct watch watch;
	struct timer deadline;
	int64_t text_timeout_ms;
	struct db_result last; /* with rows, of the text that runs */
	struct err problem;    /* of the text that runs, if failed */
	bool failed;
	db_script_next *next;
	db_script_done *done;
	void *ctx;
};

static void script_free(struct db_script *script)
{
	*script->slot = NULL;
	db_dial_cancel(&script->dial);
	watch_stop(&script->watch);
	timer_stop(&script->deadline);
	PQclear(script->last.pg);
	if (script->link.pg != NULL)
		db_link_close(&script->link);
	db_target_fini(&script->target);
	free(script);
}

static void finish(struct db_script *script, const struct err *err)
{
	struct err problem = { 0 };
	db_script_done *done = script->done;
	void *ctx = script->ctx;

	/* It may lie in what is freed. */
	if (err != NULL)
		problem = *err;
	script_free(script);
	done(ctx, err == NULL ? NULL : &problem);
}

static void on_deadline(void *ctx)
{
	struct db_script *script = ctx;
	struct err err;

	err_set(&err, ERR_TIMEOUT, "the database did not finish a script in %lld ms",
		(long long)script->text_timeout_ms);
	finish(script, &err);
}

static int flush(struct db_script *script, struct err *err)
{
	int left = PQflush(script->link.pg);
	uint32_t events = left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;

	if (left < 0)
		return db_link_err(script->link.pg, err);
	if (script->watch.events != events)
		watch_change(&script->watch, events);
	return 0;
}

/* Sends the next text, or ends the operation if there is none or it cannot be sent. */
static void step(struct db_script *script)
{
	struct db_result before = script->last;
	const char *sql = script->next(script->ctx, before.pg == NULL ? NULL : &before);
	struct err err;

	PQclear(before.pg);
	script->last.pg = NULL;
	if (sql == NULL) {
		finish(script, NULL);
		return;
	}
	timer_start(script->loop, &script->deadline, script->text_timeout_ms, on_deadline, script);
	if (PQsendQuery(script->link.pg, sql) == 0) {
		db_link_err(script->link.pg, &err);
		finish(script, &err);
	} else if (flush(script, &err) < 0) {
		finish(script, &err);
	}
}

static void keep_problem(struct db_script *script, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	/* The first failure counts. Without a state the connection broke. */
	if (script->failed)
		return;
	script->failed = true;
	text = text == NULL ? PQresultErrorMessage(result) : text;
	err_set(&script->problem, state == NULL ? ERR_UNAVAILABLE : ERR_INTERNAL, "%.*s",
		(int)strcspn(text, "\n"), text);
	snprintf(script->problem.tag, sizeof(script->problem.tag), "%s",
		 state == NULL ? "sent" : state);
}

/* Takes result. -1: the connection is of no further use. */
static int take_result(struct db_script *script, PGresult *result, struct err *err)
{
	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
		PQclear(script->last.pg);
		script->last.pg = result;
		return 0;
	case PGRES_EMPTY_QUERY:
	case PGRES_COMMAND_OK:
		break;
	case PGRES_FATAL_ERROR:
		keep_problem(script, result);
		break;
	default:
		/* COPY would wait for data that nobody sends. */
		err_set(err, ERR_INTERNAL, "unexpected answer to a script: %s",
			PQresStatus(PQresultStatus(result)));
		PQclear(result);
		return -1;
	}
	PQclear(result);
	return 0;
}

/* 1: the text is answered completely. 0: more is to come. */
static int take_results(struct db_script *script, struct err *err)
{
	while (PQisBusy(script->link.pg) == 0) {
		PGresult *result = PQgetResult(script->link.pg);

		if (result == NULL)
			return 1;
		if (take_result(script, result, err) < 0)
			return -1;
	}
	return 0;
}

static int advance(struct db_script *script, uint32_t events, struct err *err)
{
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && PQconsumeInput(script->link.pg) == 0)
		return db_link_err(script->link.pg, err);
	if (flush(script, err) < 0)
		return -1;
	return take_results(script, err);
}

static void on_ready(void *ctx, uint32_t events)
{
	struct db_script *script = ctx;
	struct err err;
	bool again;
	int got;

	do {
		again = db_link_tls_readable(&script->link);
		got = advance(script, events, &err);
	} while (got == 0 && again);

	if (got < 0)
		finish(script, &err);
	else if (got > 0 && script->failed)
		finish(script, &script->problem);
	else if (got > 0)
		step(script);
}

static void on_dialed(void *ctx, const struct db_link *link, const struct err *err)
{
	struct db_script *script = ctx;

	if (err != NULL) {
		finish(script, err);
		return;
	}
	script->link = *link;
	watch_start(script->loop, &script->watch, link->fd, EPOLLIN, on_ready, script);
	step(script);
}

void db_script_start(struct loop *loop, struct db_script **slot,
		     const struct db_script_params *params)
{
	struct db_script *script = mem_new(sizeof(*script));

	assert(*slot == NULL);
	*script = (struct db_script){
		.slot = slot,
		.loop = loop,
		.text_timeout_ms = params->text_timeout_ms,
		.next = params->next,
		.done = params->done,
		.ctx = params->ctx,
	};
	*slot = script;
	db_target_init(&script->target, params->conninfo, 0);
	db_dial_start(loop, &script->dial, &script->target, params->connect_timeout_ms, on_dialed,
		      script);
}

void db_script_cancel(struct db_script **slot)
{
	if (*slot != NULL)
		script_free(*slot);
}
