/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

/*
 * One event loop per process: h2o's, with timers, foreign descriptors, signals, deferred calls
 * and calls from other threads on top. Every callback runs inside h2o_evloop_run, so each may
 * end in h2o_send.
 *
 * Timers, watches and deferred calls are embedded in their owner and zero-initialised. Stopping
 * or cancelling one that is not active is nothing. A callback may stop or free any of them,
 * its own included.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop **loop);
/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* The h2o_evloop_t behind it; for gateway/http and base/http_native.c only. */
void *loop_h2o(struct loop *loop);
int64_t loop_now_ms(const struct loop *loop); /* monotonic, fresh at each call */
int64_t loop_unix_us(void);		      /* wall clock */

typedef void loop_cb(void *ctx);

struct timer {
	struct loop *loop; /* NULL while stopped */
	int64_t due_ms;
	uint64_t order; /* among those due at the same time */
	uint32_t heap_index;
	loop_cb *cb;
	void *ctx;
};
/* One shot, at least delay_ms from now. Starting a running timer moves it. Those due in the same
 * millisecond run in the order they were started. */
void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb, void *ctx);
void timer_stop(struct timer *timer);

/* Runs cb once from the loop, after the caller has returned, in order of submission. */
struct deferred {
	struct loop *loop; /* NULL while idle */
	struct deferred *next, *prev;
	loop_cb *cb;
	void *ctx;
};
void loop_defer(struct loop *loop, struct deferred *deferred, loop_cb *cb, void *ctx);
void deferred_cancel(struct deferred *deferred);

/* events are EPOLLIN, EPOLLOUT, EPOLLRDHUP …; level-triggered. The descriptor stays the
 * caller's and must be open while it is watched. */
typedef void watch_cb(void *ctx, uint32_t events);
struct watch {
	struct loop *loop; /* NULL while stopped */
	int fd;
	uint32_t events;
	watch_cb *cb;
	void *ctx;
};
void watch_start(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_cb *cb,
		 void *ctx);
void watch_change(struct watch *watch, uint32_t events);
void watch_stop(struct watch *watch);
/* The same for a descriptor that somebody else has closed already. */
void watch_forget(struct watch *watch);

/* Blocks the signal in this thread and delivers it here instead (signalfd). */
typedef void signal_cb(void *ctx, int signo);
struct loop_signal {
	struct watch watch;
	int fd;
	signal_cb *cb;
	void *ctx;
};
int loop_signal_start(struct loop *loop, struct loop_signal *sig, const sigset_t *signals,
		      signal_cb *cb, void *ctx, struct err *err) MUST_CHECK;
void loop_signal_stop(struct loop_signal *sig);

/* A mailbox that another thread rings: cb runs on the loop at least once after each ring. */
struct bell {
	struct watch watch;
	int fd;
	loop_cb *cb;
	void *ctx;
};
void bell_start(struct loop *loop, struct bell *bell, loop_cb *cb, void *ctx);
void bell_stop(struct bell *bell);
void bell_ring(const struct bell *bell); /* from any thread, async-signal-safe */

#endif
