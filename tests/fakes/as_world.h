/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_AS_WORLD_H
#define FAKES_AS_WORLD_H

/*
 * An authorization server (and a protected resource beside it) that answers the k-th request with
 * the k-th answer, whatever was asked, and keeps what was asked. On tests/fakes/http_world.
 */

#include <stddef.h>

#include "base/mem.h"
#include "tests/fakes/http_world.h"

#define AS_MAX_ANSWERS 16
#define AS_JSON	       "Content-Type: application/json\r\n"
#define AS_HTML	       "Content-Type: text/html\r\n"

/* "$O" in headers and body becomes the server's origin, http://127.0.0.1:port. */
struct as_answer {
	int status;	     /* 0: the connection is closed instead */
	const char *headers; /* each with its CRLF; NULL: JSON */
	const char *body;    /* NULL: empty */
};

struct as_world {
	struct world *world;
	struct arena *arena; /* of one play */
	struct peer_step steps[AS_MAX_ANSWERS + 1][3];
	const struct peer_step *scripts[AS_MAX_ANSWERS + 1];
	char origin[64];
	size_t dones;
};

/* For cmocka_unit_test_setup_teardown; *state is the as_world. */
int as_set_up(void **state);
int as_tear_down(void **state);

/* Ends what was played before. A request beyond the n-th finds the connection closed. */
void as_play(struct as_world *as, const struct as_answer *answers, size_t n);
/* The same, where every request gets these steps. */
void as_play_steps(struct as_world *as, const struct peer_step *steps);
const char *as_text(struct as_world *as, const char *text); /* "$O" replaced; until the next play */
/* "GET /path\nPOST /path\n": all that was asked so far; until the next play. */
const char *as_asked(struct as_world *as);
/* The k-th request whole, and its body alone. */
const char *as_request(struct as_world *as, size_t k);
const char *as_body(struct as_world *as, size_t k);
/* Runs the loop until as->dones, which the test's callback raises with as_done, is n. */
void as_wait(struct as_world *as, size_t n);
void as_done(struct as_world *as);

#endif
