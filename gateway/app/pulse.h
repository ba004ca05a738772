/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_PULSE_H
#define GATEWAY_APP_PULSE_H

/*
 * Every second a worker says on the board that its loop turns, how late it was, and how it fares:
 * its database, its books, its connections. It also looks what others say: when one has ended,
 * its spool may have to be adopted.
 */

#include "base/db.h"
#include "base/loop.h"
#include "gateway/core/board.h"

struct http_server;
struct meter;
struct otlp;
struct pulse;
struct spools;

#define PULSE_MS	 1000
#define PULSE_WITHOUT_DB 200 /* so that its return is noticed soon */

struct pulse_params {
	struct loop *loop;
	const struct board *board;
	struct board_seat *seat; /* its own */
	struct meter *meter;
	struct db *db;
	const struct db *drain_db;
	const struct db *audit_db;
	struct spools *spools;
	const struct otlp *otlp; /* NULL: no spans leave */
	/* A worker of this gateway has ended: what was its own may have no owner. May be NULL. */
	void (*ended)(void *ctx);
	/* Its spool has failed: it can record nothing any more. With every beat; may be NULL. */
	void (*failed)(void *ctx);
	void *ctx;
};
struct pulse *pulse_new(const struct pulse_params *params);
void pulse_free(struct pulse **pulse);
/* Its connections are counted as long as it serves; NULL: it does not any more. */
void pulse_watch_server(struct pulse *pulse, const struct http_server *server);

#endif
