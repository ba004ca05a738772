/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TIMER_HEAP_H
#define BASE_TIMER_HEAP_H

/* Timers of one loop, the earliest first: a binary heap that knows where each timer stands.
 * Private to base/loop.c. */

#include <stdint.h>

#include "base/loop.h"

struct timer_heap {
	struct timer **timers;
	uint32_t n;
	uint32_t room;
	uint64_t next_order;
};

void timer_heap_fini(struct timer_heap *heap);
/* Orders by timer->due_ms, which must not change while the timer is in, then by when it was
 * added. */
void timer_heap_add(struct timer_heap *heap, struct timer *timer);
void timer_heap_remove(struct timer_heap *heap, struct timer *timer);
struct timer *timer_heap_first(const struct timer_heap *heap); /* or NULL */

#endif
