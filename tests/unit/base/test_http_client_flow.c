/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/fakes/http_world.h"

SCRIPT(serve) = {
	{PEER_REQUEST, NULL,      0},
	   { PEER_SEND,	ANSWER_OK, 0},
	{ PEER_AGAIN,  NULL,	    0}
};

SCRIPT(stalls) = {
	{PEER_REQUEST,	NULL,						0},
	{ PEER_SEND,	     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstart", 0},
	{ PEER_AWAIT_CLOSE, NULL,						0},
	{ PEER_CLOSE,	      NULL,						0},
};

#define FLOOD_BYTES ((size_t)32 * 1024 * 1024)

static void pause_it(struct outcome *outcome)
{
	http_pause(outcome->request);
}

/* --- back-pressure ------------------------------------------------------------------------- */

SCRIPT(floods) = {
	{PEER_REQUEST, NULL,						  0		},
	{ PEER_SEND,   "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n", 0	      },
	{ PEER_FLOOD,  NULL,						  FLOOD_BYTES},
	{ PEER_AGAIN,  NULL,						  0	      },
};

SCRIPT(floods_in_chunks) = {
	{PEER_REQUEST, NULL,						    0		},
	{ PEER_SEND,   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0		},
	{ PEER_CHUNKS, NULL,						    FLOOD_BYTES},
	{ PEER_AGAIN,  NULL,						    0	      },
};

struct flow_watch {
	struct peer *peer;
	size_t last;
	size_t unchanged;
};

/* The kernel's buffers are full: nothing was taken in a hundred looks. */
static bool flow_stands_still(void *ctx)
{
	struct flow_watch *flow = ctx;
	size_t now = peer_bytes_sent(flow->peer);

	flow->unchanged = now == flow->last ? flow->unchanged + 1 : 0;
	flow->last = now;
	return flow->unchanged >= 100;
}

static void a_paused_answer_holds_the_peer_back(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const scripts[] = { floods, floods_in_chunks };

	for (size_t i = 0; i < N(scripts); i++) {
		struct flow_watch flow = { 0 };
		struct http_params params;
		struct outcome outcome;

		world->peer = peer_start(&scripts[i], 1);
		flow.peer = world->peer;
		params = world_get(world);
		outcome_init(&outcome, world);
		outcome.on_data = pause_it;
		outcome_start(&outcome, &params);
		world_run_until(world, outcome_has_data, &outcome);
		world_run_until(world, flow_stands_still, &flow);
		assert_int_equal(outcome.reads, 1);
		assert_true(flow.last < FLOOD_BYTES / 2);
		outcome.on_data = NULL;
		http_resume(outcome.request);
		assert_int_equal(outcome.reads, 1);
		outcome_wait(&outcome);
		assert_false(outcome.failed);
		assert_int_equal(outcome.body.len, FLOOD_BYTES);
		outcome_fini(&outcome);
		peer_stop(&world->peer);
	}
}

struct relay {
	struct outcome outcome;
	struct timer timer;
	struct deferred deferred;
	size_t pauses;
};

static void on_relay_resume(void *ctx)
{
	struct relay *relay = ctx;

	if (relay->outcome.request != NULL)
		http_resume(relay->outcome.request);
}

/* Every read pauses and is resumed a turn or a millisecond later, as a relay would. */
static void relay_pause(struct outcome *outcome)
{
	struct relay *relay = (struct relay *)outcome;

	http_pause(outcome->request);
	relay->pauses++;
	buf_clear(&outcome->body);
	if (relay->pauses % 100 == 0)
		timer_start(outcome->world->loop, &relay->timer, 0, on_relay_resume, relay);
	else
		loop_defer(outcome->world->loop, &relay->deferred, on_relay_resume, relay);
}

static void a_relay_that_pauses_at_each_read_is_still_fast(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const scripts[] = { floods, floods_in_chunks };

	for (size_t i = 0; i < N(scripts); i++) {
		struct relay relay = { 0 };
		struct http_params params;
		int64_t before_ms = loop_now_ms(world->loop);

		world->peer = peer_start(&scripts[i], 1);
		params = world_get(world);
		outcome_init(&relay.outcome, world);
		relay.outcome.on_data = relay_pause;
		outcome_start(&relay.outcome, &params);
		outcome_wait(&relay.outcome);
		assert_false(relay.outcome.failed);
		assert_true(relay.pauses > 100);
		assert_in_range(loop_now_ms(world->loop) - before_ms, 0, WORLD_GUARD_MS / 2);
		deferred_cancel(&relay.deferred);
		timer_stop(&relay.timer);
		outcome_fini(&relay.outcome);
		peer_stop(&world->peer);
	}
}

static void pause_and_resume_may_alternate_at_will(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	world_play(world, floods);
	params = world_get(world);
	outcome_init(&outcome, world);
	outcome.on_head = pause_it;
	outcome_start(&outcome, &params);
	http_pause(outcome.request);
	http_resume(outcome.request);
	http_resume(outcome.request);
	world_run_until(world, outcome_has_head, &outcome);
	http_pause(outcome.request);
	http_resume(outcome.request);
	http_pause(outcome.request);
	http_pause(outcome.request);
	outcome.on_data = pause_it;
	http_resume(outcome.request);
	http_pause(outcome.request);
	http_resume(outcome.request);
	world_run_until(world, outcome_has_data, &outcome);
	outcome.on_data = NULL;
	http_resume(outcome.request);
	outcome_wait(&outcome);
	assert_int_equal(outcome.body.len, FLOOD_BYTES);
	outcome_fini(&outcome);
}

struct late {
	struct outcome outcome;
	struct timer hold, resume, pause;
	int64_t until_ms;
};

static void on_late_resume(void *ctx)
{
	struct late *late = ctx;

	http_resume(late->outcome.request);
}

static void on_late_pause(void *ctx)
{
	struct late *late = ctx;

	assert_non_null(late->outcome.request);
	http_pause(late->outcome.request);
	http_resume(late->outcome.request);
}

/* Holds the loop until all three are due in one turn, in this order: the resume, the end of the
 * request's time, and another pause. */
static void on_hold(void *ctx)
{
	struct late *late = ctx;
	struct loop *loop = late->outcome.world->loop;

	timer_start(loop, &late->resume, 5, on_late_resume, late);
	timer_start(loop, &late->pause, late->until_ms - loop_now_ms(loop), on_late_pause, late);
	while (loop_now_ms(loop) <= late->until_ms + 2)
		;
}

static void pause_and_resume_do_not_lose_the_end(void **state)
{
	struct world *world = *state;
	struct late late = { 0 };
	struct http_params params;

	world_play(world, floods);
	params = world_get(world);
	params.total_timeout_ms = 300;
	outcome_init(&late.outcome, world);
	late.outcome.on_data = pause_it;
	late.until_ms = loop_now_ms(world->loop) + 302;
	outcome_start(&late.outcome, &params);
	world_run_until(world, outcome_has_data, &late.outcome);
	timer_start(world->loop, &late.hold, 50, on_hold, &late);
	outcome_wait(&late.outcome);
	assert_outcome_failed(&late.outcome, ERR_TIMEOUT, "", "no end of the answer");
	assert_null(late.pause.loop);
	outcome_fini(&late.outcome);
}

/* --- cancel -------------------------------------------------------------------------------- */

static void cancel_it(struct outcome *outcome)
{
	http_cancel(&outcome->request);
	loop_stop(outcome->world->loop);
}

static void cancel_other(struct outcome *outcome)
{
	http_cancel(&outcome->other->request);
}

static void cancel_both(struct outcome *outcome)
{
	cancel_other(outcome);
	cancel_it(outcome);
}

static void cancel_means_silence(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	world_play(world, stalls);
	params = world_post(world, "body");
	/* before it starts */
	outcome_init(&outcome, world);
	outcome_start(&outcome, &params);
	http_cancel(&outcome.request);
	http_cancel(&outcome.request);
	assert_null(outcome.request);
	/* in its head, in its data, and between two events */
	outcome.on_head = cancel_it;
	outcome_start(&outcome, &params);
	world_run(world);
	world_run_until(world, world_peer_has_closed, world);
	assert_string_equal(outcome.journal, "h");
	outcome_fini(&outcome);
	outcome_init(&outcome, world);
	outcome.on_data = cancel_it;
	outcome_start(&outcome, &params);
	world_run(world);
	world_run_until(world, world_peer_has_closed, world);
	assert_string_equal(outcome.journal, "hd");
	outcome_fini(&outcome);
	outcome_init(&outcome, world);
	outcome_start(&outcome, &params);
	world_run_until(world, outcome_has_data, &outcome);
	http_cancel(&outcome.request);
	world_run_until(world, world_peer_has_closed, world);
	assert_string_equal(outcome.journal, "hd");
	outcome_fini(&outcome);
}

static void on_turn(void *ctx)
{
	struct world *world = ctx;

	loop_stop(world->loop);
}

/* curl closes a socket that is not connected yet without telling; the next one has its number. */
static void a_request_that_is_cancelled_while_it_connects_leaves_nothing(void **state)
{
	struct world *world = *state;
	struct http_params params;

	world_play(world, serve);
	params = world_get(world);
	for (int i = 0; i < 3; i++) {
		struct outcome outcome;
		struct deferred turn = { 0 };

		outcome_init(&outcome, world);
		outcome_start(&outcome, &params);
		/* Behind the request's own turn, in which curl begins to connect. */
		loop_defer(world->loop, &turn, on_turn, world);
		world_run(world);
		outcome_fini(&outcome);
		assert_int_equal(outcome.dones, 0);
	}
	world_get_ok(world, &params);
}

static void a_failure_that_waits_for_its_turn_can_be_cancelled(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	world_play(world, serve);
	params = world_get(world);
	params.url = "nonsense";
	outcome_init(&outcome, world);
	outcome_start(&outcome, &params);
	http_cancel(&outcome.request);
	params = world_get(world);
	world_get_ok(world, &params);
	assert_string_equal(outcome.journal, "");
	outcome_fini(&outcome);
}

static bool other_is_gone(void *ctx)
{
	const struct outcome *outcome = ctx;

	return outcome->other->request == NULL;
}

static void a_callback_may_cancel_other_requests(void **state)
{
	struct world *world = *state;
	void (*const hooks[])(struct outcome *) = { cancel_other, cancel_both };

	world_play(world, stalls);
	for (size_t i = 0; i < N(hooks); i++) {
		for (int where = 0; where < 3; where++) {
			struct http_params params = world_get(world);
			struct outcome one, other;
			size_t n = 900000;
			char *body = mem_new(n);

			outcome_init(&one, world);
			outcome_init(&other, world);
			params.total_timeout_ms = 60;
			one.other = &other;
			if (where == 0)
				one.on_head = hooks[i];
			else if (where == 1)
				one.on_data = hooks[i];
			else
				one.on_done = cancel_other;
			outcome_start(&one, &params);
			params.total_timeout_ms = 0;
			params.method = "POST";
			params.body = (struct span){ body, n };
			outcome_start(&other, &params);
			world_run_until(world, other_is_gone, &one);
			free(body);
			if (one.request != NULL)
				outcome_wait(&one);
			assert_int_equal(other.dones, 0);
			outcome_fini(&one);
			outcome_fini(&other);
		}
	}
	world_run_until(world, world_peer_has_closed, world);
}

/* Right after cancel, while curl still has the other request. */
static void cancel_and_free_body(struct outcome *outcome)
{
	struct outcome *other = outcome->other;

	http_cancel(&other->request);
	free(other->sending);
	other->sending = NULL;
}

SCRIPT(swallows) = {
	{PEER_AWAIT_CLOSE, NULL, 0},
	{ PEER_CLOSE,      NULL, 0},
};

static bool other_is_sending(void *ctx)
{
	const struct world *world = ctx;

	return peer_connections(world->peer) == 1;
}

static void the_body_is_not_read_after_cancel(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const scripts[] = { swallows, serve };

	for (int round = 0; round < 20; round++) {
		struct http_params params;
		struct outcome one, other;

		world->peer = peer_start(scripts, 2);
		params = world_post(world, NULL);
		outcome_init(&one, world);
		outcome_init(&other, world);
		other.sending = mem_new(FLOOD_BYTES);
		params.body = (struct span){ other.sending, FLOOD_BYTES };
		outcome_start(&other, &params);
		world_run_until(world, other_is_sending, world);
		one.other = &other;
		one.on_head = cancel_and_free_body;
		params = world_get(world);
		outcome_start(&one, &params);
		outcome_wait(&one);
		assert_outcome_ok(&one, "ok");
		assert_int_equal(other.n_journal, 0);
		outcome_fini(&one);
		outcome_fini(&other);
		peer_stop(&world->peer);
	}
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_paused_answer_holds_the_peer_back),
		HTTP_TEST(a_relay_that_pauses_at_each_read_is_still_fast),
		HTTP_TEST(pause_and_resume_may_alternate_at_will),
		HTTP_TEST(pause_and_resume_do_not_lose_the_end),
		HTTP_TEST(cancel_means_silence),
		HTTP_TEST(a_request_that_is_cancelled_while_it_connects_leaves_nothing),
		HTTP_TEST(a_failure_that_waits_for_its_turn_can_be_cancelled),
		HTTP_TEST(a_callback_may_cancel_other_requests),
		HTTP_TEST(the_body_is_not_read_after_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
