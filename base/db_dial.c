/* SPDX-License-Identifier: Apache-2.0 */

/* One attempt to connect, without ever waiting. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/db_priv.h"
#include "base/log.h"

/* Last, so that they win over the caller's own options: our callers read text in these forms. */
#define OPTIONS "-c TimeZone=UTC -c DateStyle=ISO -c bytea_output=hex"

static const struct log_subject subject = { .component = "db" };

int64_t db_jitter(int64_t ms)
{
	assert(ms > 0 && ms < INT32_MAX);
	return ms - arc4random_uniform((uint32_t)(ms / 2 + 1));
}

/* Borrowed; NULL if it is not set. */
static const char *find(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++) {
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	}
	return NULL;
}

static char *find_either(const PQconninfoOption *given, const PQconninfoOption *fallback,
			 const char *keyword)
{
	const char *value = find(given, keyword);

	if (value == NULL)
		value = find(fallback, keyword);
	return value == NULL || value[0] == '\0' ? NULL : mem_strdup(value);
}

void db_target_init(struct db_target *target, const char *conninfo, int64_t statement_timeout_ms)
{
	PQconninfoOption *given = PQconninfoParse(conninfo, NULL);
	PQconninfoOption *environment = PQconndefaults();
	char *own = find_either(given, environment, "options");

	*target = (struct db_target){ .conninfo = mem_strdup(conninfo) };
	/* libpq's own message would quote the string, password and all. */
	if (given == NULL)
		target->problem = "the connection string cannot be parsed";
	/* A service may bring a host name that we would not see. */
	else if (find(given, "service") != NULL)
		target->problem = "the connection string must not name a service";
	target->host = find_either(given, environment, "host");
	target->hostaddr = find_either(given, environment, "hostaddr");
	target->port = find_either(given, environment, "port");
	target->options =
		mem_printf("%s%s%s -c statement_timeout=%lld", own == NULL ? "" : own,
			   own == NULL ? "" : " ", OPTIONS, (long long)statement_timeout_ms);
	free(own);
	PQconninfoFree(given);
	PQconninfoFree(environment);
}

void db_target_fini(struct db_target *target)
{
	mem_wipe(target->conninfo, strlen(target->conninfo));
	free(target->conninfo);
	free(target->options);
	free(target->host);
	free(target->hostaddr);
	free(target->port);
	*target = (struct db_target){ 0 };
}

void db_link_close(struct db_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	PQfinish(link->pg);
	*link = (struct db_link){ .fd = -1 };
}

bool db_link_tls_readable(const struct db_link *link)
{
	char byte;

	return PQsslInUse(link->pg) && recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

int db_link_err(const PGconn *pg, struct err *err)
{
	const char *text = PQerrorMessage(pg);

	return err_set(err, ERR_UNAVAILABLE, "%.*s", (int)strcspn(text, "\n"), text);
}

static void on_notice(void *ctx, const PGresult *result)
{
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	(void)ctx;
	log_debug(&subject, "server says: %s", text == NULL ? "?" : text);
}

/* Stops everything but a PGconn in *kept. */
static void stop(struct db_dial *dial, PGconn **kept)
{
	deferred_cancel(&dial->begin);
	timer_stop(&dial->deadline);
	db_lookup_cancel(&dial->lookup);
	watch_stop(&dial->watch);
	if (kept != NULL)
		*kept = dial->pg;
	else
		PQfinish(dial->pg);
	dial->pg = NULL;
	dial->loop = NULL;
}

static void fail(struct db_dial *dial, const struct err *err)
{
	struct err kept = *err;

	stop(dial, NULL);
	dial->done(dial->ctx, NULL, &kept);
}

static void succeed(struct db_dial *dial)
{
	struct db_link link;
	struct err err;

	link.fd = fcntl(PQsocket(dial->pg), F_DUPFD_CLOEXEC, 0);
	if (link.fd < 0) {
		err_set(&err, ERR_UNAVAILABLE, "dup: %s", strerror(errno));
		fail(dial, &err);
		return;
	}
	stop(dial, &link.pg);
	dial->done(dial->ctx, &link, NULL);
}

/* The watch is stopped around PQconnectPoll, which may close the socket and open another. */
static void on_ready(void *ctx, uint32_t events)
{
	struct db_dial *dial = ctx;
	struct err err;

	(void)events;
	watch_stop(&dial->watch);
	switch (PQconnectPoll(dial->pg)) {
	case PGRES_POLLING_READING:
		watch_start(dial->loop, &dial->watch, PQsocket(dial->pg), EPOLLIN, on_ready, dial);
		break;
	case PGRES_POLLING_WRITING:
		watch_start(dial->loop, &dial->watch, PQsocket(dial->pg), EPOLLOUT, on_ready, dial);
		break;
	case PGRES_POLLING_OK:
		if (PQsetnonblocking(dial->pg, 1) == 0) {
			succeed(dial);
			break;
		}
		/* fall through */
	default:
		db_link_err(dial->pg, &err);
		fail(dial, &err);
	}
}

/* addresses NULL: the target needs no look-up. Earlier entries yield to the conninfo that
 * dbname is expanded to, later ones win over it. */
static void connect_to(struct db_dial *dial, const struct db_addresses *addresses)
{
	const struct db_target *target = dial->target;
	const struct {
		const char *keyword;
		const char *value;
	} table[] = {
	/* GSS may read tickets and ask a KDC, on the spot. */
		{"gssencmode",			"disable"					  },
		{ "keepalives_idle",	     "10"					  },
		{ "keepalives_interval",	 "5"					     },
		{ "keepalives_count",	      "3"					   },
		{ "fallback_application_name", "tollgate"					  },
		{ "dbname",		    target->conninfo				     },
		{ "client_encoding",	     "UTF8"					    },
		{ "options",		     target->options				     },
		{ "host",			  addresses == NULL ? NULL : addresses->host    },
		{ "hostaddr",		      addresses == NULL ? NULL : addresses->hostaddr},
		{ "port",			  addresses == NULL ? NULL : addresses->port    },
	};
	enum { N = sizeof(table) / sizeof(table[0]) };
	const char *keywords[N + 1] = { NULL };
	const char *values[N + 1] = { NULL };
	struct err err;

	for (size_t i = 0; i < N; i++) {
		keywords[i] = table[i].keyword;
		values[i] = table[i].value;
	}
	dial->pg = PQconnectStartParams(keywords, values, 1);
	assert(dial->pg != NULL);
	PQsetNoticeReceiver(dial->pg, on_notice, NULL);
	if (PQstatus(dial->pg) == CONNECTION_BAD) {
		db_link_err(dial->pg, &err);
		fail(dial, &err);
		return;
	}
	watch_start(dial->loop, &dial->watch, PQsocket(dial->pg), EPOLLOUT, on_ready, dial);
}

static void on_addresses(void *ctx, const struct db_addresses *addresses, const struct err *err)
{
	struct db_dial *dial = ctx;

	if (err != NULL)
		fail(dial, err);
	else
		connect_to(dial, addresses);
}

static void on_begin(void *ctx)
{
	struct db_dial *dial = ctx;
	const struct db_target *target = dial->target;
	const struct db_addresses lists = { target->host, target->hostaddr, target->port };
	struct err err;

	if (target->problem != NULL) {
		err_set(&err, ERR_UNAVAILABLE, "%s", target->problem);
		fail(dial, &err);
	} else if (!db_lookup_needed(&lists)) {
		connect_to(dial, NULL);
	} else if (db_lookup_start(dial->loop, &dial->lookup, &lists, on_addresses, dial, &err) <
		   0) {
		fail(dial, &err);
	}
}

static void on_deadline(void *ctx)
{
	struct db_dial *dial = ctx;
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "no connection to the database in time");
	fail(dial, &err);
}

void db_dial_start(struct loop *loop, struct db_dial *dial, const struct db_target *target,
		   int64_t timeout_ms, db_dialed *done, void *ctx)
{
	assert(dial->loop == NULL);
	*dial = (struct db_dial){ .loop = loop, .target = target, .done = done, .ctx = ctx };
	timer_start(loop, &dial->deadline, timeout_ms, on_deadline, dial);
	loop_defer(loop, &dial->begin, on_begin, dial);
}

void db_dial_cancel(struct db_dial *dial)
{
	if (dial->loop != NULL)
		stop(dial, NULL);
}
