/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which requests may share connections. curl asks the egress policy only when it opens a
 * connection, so a connection must not serve anyone for whom it could not have been opened:
 * each (pool key, egress policy) has a connection cache and TLS sessions of its own.
 */

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/http_curl_priv.h"
#include "base/mem.h"

struct http_pool {
	struct http_pool *next; /* in its bucket */
	char *key;
	uint64_t policy_id;
	CURLSH *share;
	size_t n_requests;
	/* While there are none: */
	struct http_pool *next_idle, *prev_idle;
	int64_t idle_since_ms;
};

/* FNV-1a. A tenant that makes its names collide slows down a list walk of its own pools. */
static size_t bucket_of(const char *key, uint64_t policy_id)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ policy_id;

	for (const char *p = key; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	return (size_t)(hash >> 32) % HTTP_POOL_BUCKETS;
}

static struct http_pool *pool_new(const char *key, uint64_t policy_id)
{
	struct http_pool *pool = mem_new(sizeof(*pool));

	pool->key = mem_strdup(key);
	pool->policy_id = policy_id;
	pool->share = curl_share_init();
	assert(pool->share != NULL);
	must_share(curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT));
	must_share(curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION));
	return pool;
}

static void idle_append(struct http_client *client, struct http_pool *pool)
{
	pool->next_idle = NULL;
	pool->prev_idle = client->last_idle;
	if (client->last_idle != NULL)
		client->last_idle->next_idle = pool;
	else
		client->first_idle = pool;
	client->last_idle = pool;
	client->n_idle++;
}

static void idle_remove(struct http_client *client, struct http_pool *pool)
{
	if (pool->prev_idle != NULL)
		pool->prev_idle->next_idle = pool->next_idle;
	else
		client->first_idle = pool->next_idle;
	if (pool->next_idle != NULL)
		pool->next_idle->prev_idle = pool->prev_idle;
	else
		client->last_idle = pool->prev_idle;
	client->n_idle--;
}

/* Closes the connections of an idle pool. */
static void pool_free(struct http_client *client, struct http_pool *pool)
{
	struct http_pool **link = &client->buckets[bucket_of(pool->key, pool->policy_id)];

	assert(pool->n_requests == 0);
	idle_remove(client, pool);
	while (*link != pool)
		link = &(*link)->next;
	*link = pool->next;
	must_share(curl_share_cleanup(pool->share));
	free(pool->key);
	free(pool);
}

static void on_idle(void *ctx)
{
	struct http_client *client = ctx;
	int64_t limit_ms = loop_now_ms(client->loop) - HTTP_POOL_IDLE_MS;

	while (client->first_idle != NULL && client->first_idle->idle_since_ms <= limit_ms)
		pool_free(client, client->first_idle);
	if (client->first_idle != NULL)
		timer_start(client->loop, &client->idle_timer,
			    client->first_idle->idle_since_ms - limit_ms, on_idle, client);
}

struct http_pool *pool_take(struct http_client *client, const char *key, uint64_t policy_id)
{
	struct http_pool **bucket = &client->buckets[bucket_of(key, policy_id)];
	struct http_pool *pool = *bucket;

	while (pool != NULL && (pool->policy_id != policy_id || strcmp(pool->key, key) != 0))
		pool = pool->next;
	if (pool == NULL) {
		pool = pool_new(key, policy_id);
		pool->next = *bucket;
		*bucket = pool;
	} else if (pool->n_requests == 0) {
		idle_remove(client, pool);
	}
	pool->n_requests++;
	return pool;
}

/* The number of busy pools is bounded by that of running requests, the number of idle ones
 * here. */
void pool_give_back(struct http_client *client, struct http_pool *pool)
{
	assert(pool->n_requests > 0);
	pool->n_requests--;
	if (pool->n_requests > 0)
		return;
	pool->idle_since_ms = loop_now_ms(client->loop);
	idle_append(client, pool);
	if (client->n_idle > HTTP_MAX_IDLE_POOLS)
		pool_free(client, client->first_idle);
	if (client->idle_timer.loop == NULL)
		timer_start(client->loop, &client->idle_timer, HTTP_POOL_IDLE_MS, on_idle, client);
}

void pool_close_all(struct http_client *client)
{
	struct http_pool *next;

	for (struct http_pool *pool = client->first_idle; pool != NULL; pool = next) {
		next = pool->next_idle;
		pool_free(client, pool);
	}
	timer_stop(&client->idle_timer);
	while (client->n_spare > 0)
		curl_easy_cleanup(client->spare[--client->n_spare]);
}

CURLSH *pool_share(const struct http_pool *pool)
{
	return pool->share;
}

CURL *spare_take(struct http_client *client)
{
	CURL *easy = client->n_spare > 0 ? client->spare[--client->n_spare] : curl_easy_init();

	assert(easy != NULL);
	return easy;
}

/* Leaves nothing of the last request in the handle. */
void spare_give_back(struct http_client *client, CURL *easy)
{
	must_easy(curl_easy_setopt(easy, CURLOPT_SHARE, NULL));
	curl_easy_reset(easy);
	if (client->n_spare < HTTP_MAX_SPARE_EASY)
		client->spare[client->n_spare++] = easy;
	else
		curl_easy_cleanup(easy);
}
