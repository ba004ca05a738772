/* SPDX-License-Identifier: Apache-2.0 */

/* What a call pays for the token that it takes along: CPU time of access_find, with as many grants
 * in memory as a busy worker has, asked for in no order that a cache could like. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oauth/access.h"
#include "tokenstore/grant_store.h"

#define N_GRANTS	  10000
#define N_LOOKUPS	  2000000
#define CEILING_NS	  5000
#define A_YEAR_S	  31536000
#define TOKEN_BYTES	  900 /* a JWT */
#define GOLDEN_RATIO_HASH 2654435761U

struct bench {
	struct loop *loop;
	struct grant_store *store;
	struct access *access;
	struct access_op *op; /* the slot */
	struct seal_key key;
	unsigned n_put;
};

static void key_of(unsigned n, struct grant_key *key)
{
	memset(key, 0, sizeof(*key));
	snprintf(key->tenant_id, sizeof(key->tenant_id), "%08x-0000-4000-8000-000000000001", n % 7);
	snprintf(key->connection_id, sizeof(key->connection_id), "%08x-0000-4000-8000-000000000002",
		 n % 31);
	snprintf(key->subject, sizeof(key->subject), "user:%08x-0000-4000-8000-000000000003", n);
}

static void put_next(void *ctx);

static void on_loaded(void *ctx, enum access_state state, const struct access_token *token,
		      const char *why, const struct err *err)
{
	struct bench *bench = ctx;

	(void)token;
	(void)why;
	if (err != NULL || state != ACCESS_READY) {
		fprintf(stderr, "access_start: %s\n", err != NULL ? err->text : "no token");
		exit(2);
	}
	bench->n_put++;
	put_next(bench);
}

static void on_put(void *ctx, const struct err *err)
{
	struct bench *bench = ctx;
	struct grant_key key;

	if (err != NULL) {
		fprintf(stderr, "access_put: %s\n", err->text);
		exit(2);
	}
	key_of(bench->n_put, &key);
	access_start(bench->access, &bench->op, &key, on_loaded, bench);
}

static void put_next(void *ctx)
{
	struct bench *bench = ctx;
	char token[TOKEN_BYTES];
	struct grant grant = {
		.kind = GRANT_INGESTED,
		.client_auth = "none",
		.access_token = {token, sizeof(token) - 1},
		.expires_at = loop_unix_us() / 1000000 + A_YEAR_S,
	};
	const struct access_put put = { .grant = &grant, .event = "token_ingested" };

	if (bench->n_put == N_GRANTS) {
		loop_stop(bench->loop);
		return;
	}
	memset(token, 'a' + (int)(bench->n_put % 26), sizeof(token) - 1);
	token[sizeof(token) - 1] = '\0';
	key_of(bench->n_put, &grant.key);
	access_put(bench->access, &bench->op, &put, on_put, bench);
}

static bool take(void *ctx, const char *tenant_id, struct access_tenant *out)
{
	struct bench *bench = ctx;

	(void)tenant_id;
	*out = (struct access_tenant){ .keys = &bench->key, .n_keys = 1 };
	return true;
}

static void give_back(void *ctx, struct access_tenant *tenant)
{
	(void)ctx;
	(void)tenant;
}

static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nanoseconds for each lookup. */
static int64_t measure(struct bench *bench)
{
	struct grant_key *keys = calloc(N_GRANTS, sizeof(*keys));
	struct access_token token;
	size_t found = 0;
	int64_t began_ns;
	int64_t took_ns;

	if (keys == NULL)
		exit(2);
	for (unsigned n = 0; n < N_GRANTS; n++)
		key_of(n, &keys[n]);
	began_ns = cpu_ns();
	for (unsigned n = 0; n < N_LOOKUPS; n++)
		found += access_find(bench->access, &keys[n * GOLDEN_RATIO_HASH % N_GRANTS],
				     &token) == ACCESS_READY;
	took_ns = cpu_ns() - began_ns;
	free(keys);
	if (found != N_LOOKUPS) {
		fprintf(stderr, "found %zu of %d\n", found, N_LOOKUPS);
		exit(2);
	}
	return took_ns / N_LOOKUPS;
}

int main(void)
{
	struct bench bench = { .loop = loop_new() };
	const struct access_params params = {
		.loop = bench.loop,
		.store = bench.store = grant_memory_new(bench.loop),
		.client = http_client_new(bench.loop),
		.deployment = "bench",
		.node_id = "00000000-0000-4000-8000-000000000000",
		.refresh_grace_ms = 30000,
		.stale_max_ms = 60000,
		.take = take,
		.give_back = give_back,
		.ctx = &bench,
	};
	struct err err;
	int64_t lookup_ns;

	seal_key_random(&bench.key, 1, 1);
	bench.access = access_new(&params, &err);
	if (bench.access == NULL) {
		fprintf(stderr, "access_new: %s\n", err.text);
		return 2;
	}
	put_next(&bench);
	loop_run(bench.loop);
	lookup_ns = measure(&bench);
	printf("%s token_lookup: %" PRId64 ".%03" PRId64 " us of CPU, ceiling %d us (%d grants)\n",
	       lookup_ns <= CEILING_NS ? "ok" : "not ok", lookup_ns / 1000, lookup_ns % 1000,
	       CEILING_NS / 1000, N_GRANTS);
	return lookup_ns <= CEILING_NS ? 0 : 1;
}
