/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <h2o.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/timer_heap.h"

#define MAX_WAIT_MS    60000
#define MAX_DELAY_MS   (INT64_C(1) << 50)
#define EVENTS_AT_ONCE 128

/* Timers and deferred calls run at most once in each h2o_evloop_run: what they start runs in the
 * next, after the sockets had their chance. */
enum turn {
	TURN_AHEAD, /* a call deferred now still runs in this h2o_evloop_run */
	TURN_TAKEN, /* … runs in the next */
};

struct loop {
	h2o_evloop_t *h2o;
	h2o_timeout_t at_once;
	h2o_timeout_entry_t turn_entry; /* linked while timers or deferred calls must run */
	enum turn turn;
	bool stopping;
	struct timer_heap timers;
	struct deferred *first_deferred, *last_deferred;
	struct deferred mark; /* how far one turn goes */
	/* Watched descriptors stand in an epoll set of their own, which h2o sees as one socket:
	 * h2o never learns of descriptors that a library closes. */
	int epoll_fd;
	h2o_socket_t *epoll_socket;
	size_t n_watches;
	struct epoll_event events[EVENTS_AT_ONCE];
	int n_events, next_event; /* the part not dispatched yet */
};

static int64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t loop_now_ms(const struct loop *loop)
{
	(void)loop;
	return clock_ms(CLOCK_MONOTONIC);
}

int64_t loop_unix_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Makes on_turn run inside h2o_evloop_run. */
static void request_turn(struct loop *loop)
{
	if (h2o_timeout_is_linked(&loop->turn_entry))
		return;
	h2o_timeout_link(loop->h2o, &loop->at_once, &loop->turn_entry);
	/* h2o compares with the wall clock; this stays due when that clock steps back. */
	loop->turn_entry.registered_at = 0;
}

/* No more calls than there are timers now, so that a timer that restarts itself with no delay
 * cannot keep the loop here. */
static void run_timers(struct loop *loop)
{
	int64_t now_ms = loop_now_ms(loop);

	for (uint32_t left = loop->timers.n; left > 0; left--) {
		struct timer *timer = timer_heap_first(&loop->timers);

		if (timer == NULL || timer->due_ms > now_ms)
			return;
		timer_stop(timer);
		timer->cb(timer->ctx);
	}
}

static void deferred_append(struct loop *loop, struct deferred *deferred)
{
	deferred->loop = loop;
	deferred->next = NULL;
	deferred->prev = loop->last_deferred;
	if (loop->last_deferred != NULL)
		loop->last_deferred->next = deferred;
	else
		loop->first_deferred = deferred;
	loop->last_deferred = deferred;
}

/* Up to a mark, so that calls deferred meanwhile wait for the next turn. */
static void run_deferred(struct loop *loop)
{
	deferred_append(loop, &loop->mark);
	while (loop->first_deferred != &loop->mark) {
		struct deferred *deferred = loop->first_deferred;

		deferred_cancel(deferred);
		deferred->cb(deferred->ctx);
	}
	deferred_cancel(&loop->mark);
}

static void on_turn(h2o_timeout_entry_t *entry)
{
	struct loop *loop = H2O_STRUCT_FROM_MEMBER(struct loop, turn_entry, entry);

	loop->turn = TURN_TAKEN;
	run_timers(loop);
	if (loop->first_deferred != NULL)
		run_deferred(loop);
}

static void on_epoll_ready(h2o_socket_t *epoll_socket, const char *problem)
{
	struct loop *loop = epoll_socket->data;

	assert(problem == NULL);
	loop->n_events = epoll_wait(loop->epoll_fd, loop->events, EVENTS_AT_ONCE, 0);
	loop->next_event = 0;
	while (loop->next_event < loop->n_events) {
		const struct epoll_event *event = &loop->events[loop->next_event];
		struct watch *watch = event->data.ptr;
		uint32_t events = event->events;

		loop->next_event++;
		if (watch != NULL)
			watch->cb(watch->ctx, events);
	}
}

struct loop *loop_new(void)
{
	struct loop *loop = mem_new(sizeof(*loop));

	loop->h2o = h2o_evloop_create();
	h2o_timeout_init(loop->h2o, &loop->at_once, 0);
	loop->turn_entry.cb = on_turn;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	assert(loop->epoll_fd >= 0);
	loop->epoll_socket =
		h2o_evloop_socket_create(loop->h2o, loop->epoll_fd, H2O_SOCKET_FLAG_DONT_READ);
	loop->epoll_socket->data = loop;
	h2o_socket_read_start(loop->epoll_socket, on_epoll_ready);
	return loop;
}

void loop_free(struct loop **loop)
{
	struct loop *was = *loop;

	if (was == NULL)
		return;
	*loop = NULL;
	/* Whoever still has one of these would touch the loop after its end. */
	assert(was->timers.n == 0 && was->first_deferred == NULL && was->n_watches == 0);
	h2o_timeout_unlink(&was->turn_entry);
	h2o_timeout_dispose(was->h2o, &was->at_once);
	h2o_socket_close(was->epoll_socket);
	h2o_evloop_destroy(was->h2o);
	timer_heap_fini(&was->timers);
	free(was);
}

/* Returns how long h2o may sleep. */
static int32_t prepare_turn(struct loop *loop)
{
	const struct timer *first = timer_heap_first(&loop->timers);
	int64_t wait_ms = MAX_WAIT_MS;

	loop->turn = TURN_AHEAD;
	if (first != NULL) {
		int64_t left_ms = first->due_ms - loop_now_ms(loop);

		if (left_ms < wait_ms)
			wait_ms = left_ms;
	}
	if (loop->first_deferred == NULL && wait_ms > 0)
		return (int32_t)wait_ms;
	request_turn(loop);
	return 0;
}

void loop_run(struct loop *loop)
{
	loop->stopping = false;
	while (!loop->stopping) {
		if (h2o_evloop_run(loop->h2o, prepare_turn(loop)) < 0)
			assert(errno == EINTR);
	}
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

void *loop_h2o(struct loop *loop)
{
	return loop->h2o;
}

void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb, void *ctx)
{
	timer_stop(timer);
	if (delay_ms > MAX_DELAY_MS)
		delay_ms = MAX_DELAY_MS;
	/* The clock has cut off the running millisecond: one more keeps "at least". */
	timer->due_ms = loop_now_ms(loop) + (delay_ms > 0 ? delay_ms + 1 : 0);
	timer->loop = loop;
	timer->cb = cb;
	timer->ctx = ctx;
	timer_heap_add(&loop->timers, timer);
}

void timer_stop(struct timer *timer)
{
	if (timer->loop == NULL)
		return;
	timer_heap_remove(&timer->loop->timers, timer);
	timer->loop = NULL;
}

void loop_defer(struct loop *loop, struct deferred *deferred, loop_cb *cb, void *ctx)
{
	assert(deferred->loop == NULL);
	deferred->cb = cb;
	deferred->ctx = ctx;
	deferred_append(loop, deferred);
	if (loop->turn == TURN_AHEAD)
		request_turn(loop);
}

void deferred_cancel(struct deferred *deferred)
{
	struct loop *loop = deferred->loop;

	if (loop == NULL)
		return;
	if (deferred->prev != NULL)
		deferred->prev->next = deferred->next;
	else
		loop->first_deferred = deferred->next;
	if (deferred->next != NULL)
		deferred->next->prev = deferred->prev;
	else
		loop->last_deferred = deferred->prev;
	deferred->next = NULL;
	deferred->prev = NULL;
	deferred->loop = NULL;
}

static void watch_control(struct watch *watch, int operation)
{
	struct epoll_event event = { .events = watch->events, .data.ptr = watch };
	int rc = epoll_ctl(watch->loop->epoll_fd, operation, watch->fd, &event);

	assert(rc == 0);
}

void watch_start(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_cb *cb,
		 void *ctx)
{
	assert(watch->loop == NULL);
	*watch = (struct watch){ .loop = loop, .fd = fd, .events = events, .cb = cb, .ctx = ctx };
	watch_control(watch, EPOLL_CTL_ADD);
	loop->n_watches++;
}

void watch_change(struct watch *watch, uint32_t events)
{
	assert(watch->loop != NULL);
	if (watch->events == events)
		return;
	watch->events = events;
	watch_control(watch, EPOLL_CTL_MOD);
}

void watch_stop(struct watch *watch)
{
	if (watch->loop == NULL)
		return;
	watch_control(watch, EPOLL_CTL_DEL);
	watch_forget(watch);
}

/* The kernel lets go of what is closed. */
void watch_forget(struct watch *watch)
{
	struct loop *loop = watch->loop;

	if (loop == NULL)
		return;
	for (int i = loop->next_event; i < loop->n_events; i++) {
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
	}
	loop->n_watches--;
	watch->loop = NULL;
}
