/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/fakes/http_world.h"

static void note(struct outcome *outcome, char what)
{
	if (outcome->n_journal < sizeof(outcome->journal) - 1)
		outcome->journal[outcome->n_journal++] = what;
}

static void on_head(void *ctx, const struct http_head *head)
{
	struct outcome *outcome = ctx;
	struct buf text;

	assert_non_null(outcome->request);
	assert_true(http_sent(outcome->request));
	note(outcome, 'h');
	outcome->heads++;
	outcome->status = head->status;
	buf_init(&text, 1024 * 1024);
	for (size_t i = 0; i < head->n_headers; i++)
		buf_printf(&text, "%s: %s\n", head->headers[i].name, head->headers[i].value);
	free(outcome->headers);
	outcome->headers = mem_strdup(buf_str(&text));
	buf_fini(&text);
	if (outcome->on_head != NULL)
		outcome->on_head(outcome);
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct outcome *outcome = ctx;

	assert_non_null(outcome->request);
	assert_int_equal(outcome->heads, 1);
	assert_true(n > 0);
	note(outcome, 'd');
	outcome->reads++;
	assert_int_equal(buf_append(&outcome->body, p, n), 0);
	if (outcome->on_data != NULL)
		outcome->on_data(outcome);
}

static void on_done(void *ctx, const struct err *err)
{
	struct outcome *outcome = ctx;

	assert_null(outcome->request);
	note(outcome, 'D');
	outcome->dones++;
	outcome->failed = err != NULL;
	if (err != NULL)
		outcome->err = *err;
	if (outcome->on_done != NULL)
		outcome->on_done(outcome);
	loop_stop(outcome->world->loop);
}

static const struct http_events events = { on_head, on_data, on_done };

void outcome_init(struct outcome *outcome, struct world *world)
{
	*outcome = (struct outcome){ .world = world };
	buf_init(&outcome->body, WORLD_MAX_BODY);
}

void outcome_fini(struct outcome *outcome)
{
	http_cancel(&outcome->request);
	buf_fini(&outcome->body);
	free(outcome->headers);
}

static void on_guard(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened in time");
}

void world_run(struct world *world)
{
	timer_start(world->loop, &world->guard, WORLD_GUARD_MS, on_guard, world);
	loop_run(world->loop);
	timer_stop(&world->guard);
}

void outcome_wait(struct outcome *outcome)
{
	while (outcome->dones == 0)
		world_run(outcome->world);
	assert_int_equal(outcome->dones, 1);
}

static void on_poll(void *ctx)
{
	struct world *world = ctx;

	if (world->holds(world->holds_ctx))
		loop_stop(world->loop);
	else
		timer_start(world->loop, &world->poll, 1, on_poll, world);
}

void world_run_until(struct world *world, bool (*holds)(void *ctx), void *ctx)
{
	world->holds = holds;
	world->holds_ctx = ctx;
	while (!holds(ctx)) {
		timer_start(world->loop, &world->poll, 1, on_poll, world);
		world_run(world);
		timer_stop(&world->poll);
	}
}

int world_set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));
	struct err err;

	world->loop = loop_new();
	world->client = http_client_new(world->loop);
	world->egress = egress_policy_new(NULL, 0, true, &err);
	*state = world;
	return world->egress != NULL ? 0 : -1;
}

int world_tear_down(void **state)
{
	struct world *world = *state;

	http_client_free(&world->client);
	peer_stop(&world->peer);
	egress_policy_unref(&world->egress);
	loop_free(&world->loop);
	free(world);
	return 0;
}

void world_play(struct world *world, const struct peer_step *script)
{
	world->script = script;
	world->peer = peer_start(&world->script, 1);
}

const char *world_url(struct world *world, const char *scheme, const char *host, const char *target)
{
	snprintf(world->url, sizeof(world->url), "%s://%s:%u%s", scheme, host,
		 peer_port(world->peer), target);
	return world->url;
}

struct http_params world_get(struct world *world)
{
	return (struct http_params){
		.method = "GET",
		.url = world_url(world, "http", "127.0.0.1", "/"),
		.egress = world->egress,
		.max_body_bytes = WORLD_MAX_BODY,
	};
}

struct http_params world_post(struct world *world, const char *body)
{
	struct http_params params = world_get(world);

	params.method = "POST";
	params.body = span_of(body);
	return params;
}

void outcome_start(struct outcome *outcome, const struct http_params *params)
{
	http_start(outcome->world->client, &outcome->request, params, &events, outcome);
	assert_non_null(outcome->request);
	assert_int_equal(outcome->n_journal, 0);
}

void outcome_of(struct outcome *outcome, struct world *world, const struct http_params *params)
{
	outcome_init(outcome, world);
	outcome_start(outcome, params);
	outcome_wait(outcome);
}

void assert_outcome_ok(const struct outcome *outcome, const char *body)
{
	if (outcome->failed)
		fail_msg("%s", outcome->err.text);
	assert_int_equal(outcome->status, 200);
	assert_string_equal(buf_str(&outcome->body), body);
}

void assert_outcome_failed(const struct outcome *outcome, enum err_code code, const char *tag,
			   const char *text)
{
	assert_true(outcome->failed);
	if (outcome->err.code != code || strstr(outcome->err.text, text) == NULL ||
	    strcmp(outcome->err.tag, tag) != 0)
		fail_msg("%s, tag \"%s\": %s", err_name(outcome->err.code), outcome->err.tag,
			 outcome->err.text);
}

void world_get_ok(struct world *world, const struct http_params *params)
{
	struct outcome outcome;

	outcome_of(&outcome, world, params);
	assert_outcome_ok(&outcome, "ok");
	outcome_fini(&outcome);
}

bool world_peer_has_closed(void *world)
{
	struct peer *peer = ((struct world *)world)->peer;

	return peer_closed(peer) == peer_connections(peer);
}

bool outcome_has_head(void *outcome)
{
	return ((struct outcome *)outcome)->heads == 1;
}

bool outcome_has_data(void *outcome)
{
	return ((struct outcome *)outcome)->reads == 1;
}
