/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timer_heap.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"

#define FIRST_ROOM 64

/* Those due at the same time go in the order they were added: a heap alone would shuffle them. */
static bool goes_before(const struct timer *a, const struct timer *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void put(struct timer_heap *heap, uint32_t at, struct timer *timer)
{
	heap->timers[at] = timer;
	timer->heap_index = at;
}

static void sift_up(struct timer_heap *heap, uint32_t at, struct timer *timer)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;

		if (!goes_before(timer, heap->timers[parent]))
			break;
		put(heap, at, heap->timers[parent]);
		at = parent;
	}
	put(heap, at, timer);
}

static void sift_down(struct timer_heap *heap, uint32_t at, struct timer *timer)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= heap->n)
			break;
		if (child + 1 < heap->n &&
		    goes_before(heap->timers[child + 1], heap->timers[child]))
			child++;
		if (!goes_before(heap->timers[child], timer))
			break;
		put(heap, at, heap->timers[child]);
		at = child;
	}
	put(heap, at, timer);
}

void timer_heap_fini(struct timer_heap *heap)
{
	free(heap->timers);
	*heap = (struct timer_heap){ 0 };
}

void timer_heap_add(struct timer_heap *heap, struct timer *timer)
{
	if (heap->n == heap->room) {
		assert(heap->room <= UINT32_MAX / 4);
		heap->room = heap->room > 0 ? heap->room * 2 : FIRST_ROOM;
		heap->timers = mem_resize(heap->timers, heap->room, sizeof(struct timer *));
	}
	timer->order = heap->next_order++;
	heap->n++;
	sift_up(heap, heap->n - 1, timer);
}

void timer_heap_remove(struct timer_heap *heap, struct timer *timer)
{
	uint32_t at = timer->heap_index;
	struct timer *last;

	assert(at < heap->n && heap->timers[at] == timer);
	heap->n--;
	last = heap->timers[heap->n];
	if (last == timer)
		return;
	if (at > 0 && goes_before(last, heap->timers[(at - 1) / 2]))
		sift_up(heap, at, last);
	else
		sift_down(heap, at, last);
}

struct timer *timer_heap_first(const struct timer_heap *heap)
{
	return heap->n > 0 ? heap->timers[0] : NULL;
}
