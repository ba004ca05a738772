/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_HTTP_WORLD_H
#define FAKES_HTTP_WORLD_H

/*
 * What tests of base/http_client.h share: a loop with a client and a scripted peer, and a record
 * of what came of each request. Checks the five laws of async on the way.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/http_client.h"
#include "tests/fakes/peer.h"

#define WORLD_GUARD_MS 20000
#define WORLD_MAX_BODY (64 * 1024 * 1024)
#define ANSWER_OK      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define N(array)       (sizeof(array) / sizeof((array)[0]))
#define SCRIPT(name)   static const struct peer_step name[]

struct world {
	struct loop *loop;
	struct http_client *client;
	struct egress_policy *egress; /* loopback allowed */
	struct peer *peer;
	const struct peer_step *script;
	struct timer guard;
	struct timer poll;
	bool (*holds)(void *ctx);
	void *holds_ctx;
	char url[256];
};

struct outcome {
	struct world *world;
	struct http_request *request; /* the slot */
	size_t heads, reads, dones;
	int status;
	char *headers; /* "name: value\n" … */
	struct buf body;
	bool failed;
	struct err err;
	char journal[64]; /* h(ead), d(ata), D(one) in order, as far as there is room */
	size_t n_journal;
	void (*on_head)(struct outcome *outcome);
	void (*on_data)(struct outcome *outcome);
	void (*on_done)(struct outcome *outcome);
	struct outcome *other; /* the test's own */
	char *sending;	       /* the test's own */
};

/* For cmocka_unit_test_setup_teardown; *state is the world. */
int world_set_up(void **state);
int world_tear_down(void **state);

/* Starts the peer: every connection plays `script`. */
void world_play(struct world *world, const struct peer_step *script);
/* Until a request is done or someone stops the loop. */
void world_run(struct world *world);
/* Until holds(ctx); looks every millisecond. */
void world_run_until(struct world *world, bool (*holds)(void *ctx), void *ctx);
bool world_peer_has_closed(void *world); /* all of its connections */

/* Of the peer; valid until the next call. */
const char *world_url(struct world *world, const char *scheme, const char *host,
		      const char *target);
struct http_params world_get(struct world *world);
struct http_params world_post(struct world *world, const char *body);

void outcome_init(struct outcome *outcome, struct world *world);
void outcome_fini(struct outcome *outcome); /* cancels */
void outcome_start(struct outcome *outcome, const struct http_params *params);
void outcome_wait(struct outcome *outcome);
/* init, start and wait. */
void outcome_of(struct outcome *outcome, struct world *world, const struct http_params *params);
bool outcome_has_head(void *outcome);
bool outcome_has_data(void *outcome); /* read once */

void assert_outcome_ok(const struct outcome *outcome, const char *body);
/* text: part of the message */
void assert_outcome_failed(const struct outcome *outcome, enum err_code code, const char *tag,
			   const char *text);
/* A request that must end well with "ok". */
void world_get_ok(struct world *world, const struct http_params *params);

#endif
