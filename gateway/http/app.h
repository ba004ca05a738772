/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_APP_H
#define GATEWAY_HTTP_APP_H

/* What HTTP handlers need of the worker: exchange_app points to it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/core/call.h"
#include "gateway/http/server.h"

struct access;
struct acquires;
struct attempts;
struct audit_streams;
struct board;
struct browsers;
struct connects;
struct db;
struct keyring;
struct meter;
struct probes;

struct http_app {
	struct loop *loop;
	struct gate *gate;
	const struct board *board; /* the whole gateway: what /readyz and /metrics tell */
	struct meter *meter;
	struct db *db;
	struct db *audit_db; /* for reading the record, so that nothing else waits for that */
	struct audit_streams *audit_streams;
	struct keyring *keyring;
	struct probes *probes;
	struct access *access;
	struct acquires *acquires;
	struct browsers *browsers;
	struct connects *connects;
	struct attempts *attempts; /* NULL: only triggers record */
	const char *node_id;
	const char *deployment;
	const char *public_url;
	/* Hosts ("name", "name:port") and the hosts of Origins that are served. */
	const char *const *allowed_hosts;
	size_t n_allowed_hosts;
	bool development;   /* loopback names with any port are served too */
	int64_t started_us; /* Unix microseconds: when this worker began to serve */
};

extern const struct route http_routes[];
/* What no route matches: 404, or 405 with the methods that would. */
void http_unrouted(struct exchange *exchange, const char *allow);

/* The surface of a worker without the right keyring, which uses of http_app only loop, board, meter
 * and what says who is served: the operations paths, and 503 for everything else. */
extern const struct route http_sealed_routes[];
void http_sealed(struct exchange *exchange, const char *allow);

#endif
