/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/fakes/http_world.h"

/* --- the resolver that curl's lookup threads call is ours ---------------------------------- */

static sem_t slow_lookup; /* "slow.test" waits for it */

static const struct {
	const char *name;
	const char *addresses[2];
} names[] = {
	{"inside.test",	 { "127.0.0.1", NULL }	       },
	{ "metadata.test", { "169.254.169.254", NULL }    },
	{ "both.test",     { "10.255.255.1", "127.0.0.1" }},
	{ "slow.test",     { "127.0.0.1", NULL }	     },
};

static struct addrinfo *entry_new(const char *address, const char *port)
{
	struct sockaddr_in *in = mem_new(sizeof(*in));
	struct addrinfo *entry = mem_new(sizeof(*entry));

	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	inet_pton(AF_INET, address, &in->sin_addr);
	entry->ai_family = AF_INET;
	entry->ai_socktype = SOCK_STREAM;
	entry->ai_addrlen = sizeof(*in);
	entry->ai_addr = (struct sockaddr *)in;
	return entry;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
		const struct addrinfo *restrict hints, struct addrinfo **restrict list)
{
	struct addrinfo **link = list;

	(void)hints;
	if (strcmp(name, "slow.test") == 0)
		sem_wait(&slow_lookup);
	*list = NULL;
	for (size_t i = 0; i < N(names); i++) {
		for (size_t k = 0; k < 2 && strcmp(names[i].name, name) == 0; k++) {
			if (names[i].addresses[k] == NULL)
				continue;
			*link = entry_new(names[i].addresses[k], service);
			link = &(*link)->ai_next;
		}
	}
	return *list != NULL ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
	while (list != NULL) {
		struct addrinfo *next = list->ai_next;

		free(list->ai_addr);
		free(list);
		list = next;
	}
}

SCRIPT(serve) = {
	{PEER_REQUEST, NULL,      0},
	   { PEER_SEND,	ANSWER_OK, 0},
	{ PEER_AGAIN,  NULL,	    0}
};

SCRIPT(no_tls) = {
	{PEER_SEND,	     "HTTP/1.1 400 This is no TLS\r\n\r\n", 0},
	{ PEER_AWAIT_CLOSE, NULL,				  0},
	{ PEER_CLOSE,	      NULL,				  0},
};

static void what_fails_before_the_first_byte_is_unsent(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;
	char text[64];

	world_play(world, no_tls);
	params = world_post(world, "body");
	params.url = world_url(world, "https", "127.0.0.1", "/");
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_UPSTREAM, "unsent", "");
	outcome_fini(&outcome);
	snprintf(text, sizeof(text), "http://127.0.0.1:%u/", peer_unused_port());
	params.url = text;
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_UPSTREAM, "unsent", "127.0.0.1:");
	outcome_fini(&outcome);
	params.url = "http://unknown.localhost.test:1/";
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_FORBIDDEN, "unsent", "https");
	outcome_fini(&outcome);
	params.url = "https://unknown.test/";
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_UPSTREAM, "unsent", "unknown.test");
	outcome_fini(&outcome);
}

static void on_slow(void *ctx)
{
	(void)ctx;
	sem_post(&slow_lookup);
}

static void a_name_lookup_that_hangs_does_not_hang_the_loop(void **state)
{
	struct world *world = *state;
	struct timer late = { 0 };
	struct outcome outcome;
	struct http_params params;
	int64_t before_ms = loop_now_ms(world->loop);

	world_play(world, serve);
	params = world_get(world);
	params.url = "https://slow.test/";
	params.connect_timeout_ms = 40;
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_TIMEOUT, "unsent",
			      "slow.test:443: no connection within 40 ms");
	outcome_fini(&outcome);
	outcome_init(&outcome, world);
	outcome_start(&outcome, &params);
	timer_start(world->loop, &late, 10, on_slow, NULL);
	outcome_fini(&outcome); /* cancels */
	params = world_get(world);
	world_get_ok(world, &params);
	assert_in_range(loop_now_ms(world->loop) - before_ms, 40, WORLD_GUARD_MS / 4);
	timer_stop(&late);
	sem_post(&slow_lookup);
	sem_post(&slow_lookup);
}

static void connections_are_shared_within_a_pool_key_and_policy_only(void **state)
{
	struct world *world = *state;
	char exception[32];
	const char *const allow[] = { exception };
	struct egress_policy *same, *other, *none;
	struct http_params params;
	struct outcome outcome;
	struct err err;

	world_play(world, serve);
	snprintf(exception, sizeof(exception), "127.0.0.1:%u", peer_port(world->peer));
	same = egress_policy_new(NULL, 0, true, &err);
	other = egress_policy_new(allow, 1, false, &err);
	none = egress_policy_new(NULL, 0, false, &err);
	params = world_get(world);
	params.pool_key = "a";
	world_get_ok(world, &params);
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 1);
	params.egress = same;
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 1);
	params.egress = other;
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 2);
	params.pool_key = "b";
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 3);
	params.pool_key = "a";
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 3);
	params.egress = none;
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_FORBIDDEN, "unsent", "https");
	outcome_fini(&outcome);
	params.egress = NULL;
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_FORBIDDEN, "unsent", "no egress policy");
	outcome_fini(&outcome);
	assert_int_equal(peer_connections(world->peer), 3);
	egress_policy_unref(&same);
	egress_policy_unref(&other);
	egress_policy_unref(&none);
}

static void the_policy_is_asked_for_the_address_behind_a_name(void **state)
{
	struct world *world = *state;
	struct egress_policy *strict;
	struct http_params params;
	struct outcome outcome;
	struct err err;

	world_play(world, no_tls);
	strict = egress_policy_new(NULL, 0, false, &err);
	params = world_get(world);
	params.egress = strict;
	params.url = world_url(world, "https", "inside.test", "/");
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_FORBIDDEN, "unsent", "inside.test");
	outcome_fini(&outcome);
	params.url = world_url(world, "https", "metadata.test", "/");
	params.egress = world->egress;
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_FORBIDDEN, "unsent", "metadata.test");
	outcome_fini(&outcome);
	assert_int_equal(peer_connections(world->peer), 0);
	/* Of two addresses the forbidden one is passed over. */
	params.url = world_url(world, "https", "both.test", "/");
	outcome_of(&outcome, world, &params);
	assert_outcome_failed(&outcome, ERR_UPSTREAM, "unsent", "both.test");
	outcome_fini(&outcome);
	assert_int_equal(peer_connections(world->peer), 1);
	egress_policy_unref(&strict);
}

static bool one_was_closed(void *ctx)
{
	struct world *world = ctx;

	return peer_closed(world->peer) > 0;
}

static void the_number_of_idle_pools_is_bounded(void **state)
{
	struct world *world = *state;
	struct http_params params;

	world_play(world, serve);
	params = world_get(world);
	for (int i = 0; i < 256; i++) {
		char key[32];

		snprintf(key, sizeof(key), "tenant %d", i);
		params.pool_key = key;
		world_get_ok(world, &params);
	}
	assert_int_equal(peer_closed(world->peer), 0);
	params.pool_key = "tenant 0";
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 256);
	params.pool_key = "one more";
	world_get_ok(world, &params);
	world_run_until(world, one_was_closed, world);
	assert_int_equal(peer_connections(world->peer), 257);
	params.pool_key = "tenant 0";
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 257);
	params.pool_key = "tenant 1";
	world_get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 258);
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(what_fails_before_the_first_byte_is_unsent),
		HTTP_TEST(a_name_lookup_that_hangs_does_not_hang_the_loop),
		HTTP_TEST(connections_are_shared_within_a_pool_key_and_policy_only),
		HTTP_TEST(the_policy_is_asked_for_the_address_behind_a_name),
		HTTP_TEST(the_number_of_idle_pools_is_bounded),
	};

	if (sem_init(&slow_lookup, 0, 0) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
