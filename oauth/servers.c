/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/servers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/crypto.h"
#include "base/mem.h"

/* Of the shortest pause: with more it is longer than the longest. */
#define MAX_DOUBLINGS 6

struct server {
	char *url;
	size_t n_running;
	unsigned failures;	/* in a row */
	int64_t pause_until_ms; /* it is not asked before */
	UT_hash_handle hh;
};

struct servers {
	struct loop *loop;
	struct server *all;
};

struct servers *servers_new(struct loop *loop)
{
	struct servers *servers = mem_new(sizeof(*servers));

	servers->loop = loop;
	return servers;
}

static void drop(struct servers *servers, struct server *server)
{
	HASH_DEL(servers->all, server);
	free(server->url);
	free(server);
}

void servers_free(struct servers **servers)
{
	struct server *server;
	struct server *next;

	if (*servers == NULL)
		return;
	HASH_ITER(hh, (*servers)->all, server, next)
	{
		drop(*servers, server);
	}
	free(*servers);
	*servers = NULL;
}

static struct server *find(const struct servers *servers, const char *url)
{
	struct server *server;

	HASH_FIND_STR(servers->all, url, server);
	return server;
}

static bool is_paused(const struct servers *servers, const struct server *server)
{
	return server->failures >= SERVER_FAILURES &&
	       loop_now_ms(servers->loop) < server->pause_until_ms;
}

/* Half of it is chance, so that many workers do not ask in step. */
static int64_t pause_ms(unsigned failures)
{
	unsigned doublings = failures - SERVER_FAILURES;
	int64_t ms = SERVER_PAUSE_MAX_MS;

	if (doublings < MAX_DOUBLINGS)
		ms = (int64_t)SERVER_PAUSE_MIN_MS << doublings;
	return ms / 2 + crypto_chance(ms / 2);
}

bool server_admits(struct servers *servers, const char *url)
{
	struct server *server = find(servers, url);

	if (server == NULL || server->failures < SERVER_FAILURES)
		return true;
	if (is_paused(servers, server))
		return false;
	/* The next one waits for what comes of this. */
	server->pause_until_ms = loop_now_ms(servers->loop) + pause_ms(server->failures);
	return true;
}

static void make_room(struct servers *servers)
{
	struct server *server;
	struct server *next;

	HASH_ITER(hh, servers->all, server, next)
	{
		if (HASH_COUNT(servers->all) < SERVERS_MAX)
			return;
		if (server->n_running == 0 && !is_paused(servers, server))
			drop(servers, server);
	}
}

void server_begin(struct servers *servers, const char *url)
{
	struct server *server = find(servers, url);

	if (server == NULL)
		make_room(servers);
	if (server == NULL && HASH_COUNT(servers->all) >= SERVERS_MAX)
		return;
	if (server == NULL) {
		server = mem_new(sizeof(*server));
		server->url = mem_strdup(url);
		HASH_ADD_KEYPTR(hh, servers->all, server->url, strlen(server->url), server);
	}
	server->n_running++;
}

void server_end(struct servers *servers, const char *url, bool answered)
{
	struct server *server = find(servers, url);

	if (server == NULL || server->n_running == 0)
		return;
	server->n_running--;
	if (answered)
		server->failures = 0;
	else if (++server->failures >= SERVER_FAILURES)
		server->pause_until_ms = loop_now_ms(servers->loop) + pause_ms(server->failures);
	if (server->n_running == 0 && server->failures == 0)
		drop(servers, server);
}

size_t servers_busy(struct servers *servers, size_t per_server, const char **urls, size_t room)
{
	struct server *server;
	struct server *next;
	size_t n = 0;

	HASH_ITER(hh, servers->all, server, next)
	{
		if (n < room && (is_paused(servers, server) || server->n_running >= per_server))
			urls[n++] = server->url;
	}
	return n;
}
