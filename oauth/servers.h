/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_SERVERS_H
#define OAUTH_SERVERS_H

/*
 * How authorization servers fare, as this worker sees it: one that does not answer is left alone
 * for a while, whatever tenant asks, and how much is asked of one at a time is limited. They go by
 * their token endpoint: what else is said of them, one tenant could say about another's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define SERVERS_MAX	    1024 /* remembered; beyond, nothing is learnt */
#define SERVER_FAILURES	    5	 /* in a row, until it is left alone */
#define SERVER_PAUSE_MIN_MS 1000
#define SERVER_PAUSE_MAX_MS 60000

struct servers;
struct servers *servers_new(struct loop *loop);
void servers_free(struct servers **servers);

/* False: it does not answer, do not ask now. One question in each pause is let through. */
bool server_admits(struct servers *servers, const char *url);
/* A question begins, and ends. answered: it said anything that makes sense. */
void server_begin(struct servers *servers, const char *url);
void server_end(struct servers *servers, const char *url, bool answered);
/* Those that are not to be asked in the background now: not answering, or with per_server
 * questions. They are borrowed until the next call of anything. Returns how many. */
size_t servers_busy(struct servers *servers, size_t per_server, const char **urls, size_t room);

#endif
