/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timer_heap.h"

#define N 500

/* A fixed sequence without order (Knuth's multiplier). */
static int64_t scrambled(uint32_t i)
{
	return (int64_t)(i * UINT32_C(2654435761) % 97);
}

static void check_order(struct timer_heap *heap, uint32_t expected)
{
	int64_t last_ms = -1;
	uint64_t last_order = 0;
	struct timer *first;
	uint32_t n = 0;

	while ((first = timer_heap_first(heap)) != NULL) {
		assert_true(first->due_ms >= last_ms);
		assert_true(first->due_ms > last_ms || first->order > last_order);
		last_ms = first->due_ms;
		last_order = first->order;
		timer_heap_remove(heap, first);
		n++;
	}
	assert_int_equal(n, expected);
}

static void gives_the_earliest_first_and_of_those_the_first_added(void **state)
{
	static struct timer timers[N];
	struct timer_heap heap = { 0 };

	(void)state;
	assert_null(timer_heap_first(&heap));
	for (uint32_t i = 0; i < N; i++) {
		timers[i].due_ms = scrambled(i);
		timer_heap_add(&heap, &timers[i]);
	}
	check_order(&heap, N);
	timer_heap_fini(&heap);
}

static void keeps_its_order_when_any_is_removed(void **state)
{
	static struct timer timers[N];
	struct timer_heap heap = { 0 };

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		timers[i].due_ms = scrambled(i);
		timer_heap_add(&heap, &timers[i]);
	}
	for (uint32_t i = 0; i < N; i += 3)
		timer_heap_remove(&heap, &timers[i]);
	for (uint32_t i = 0; i < N; i += 6) {
		timers[i].due_ms = scrambled(i + 1);
		timer_heap_add(&heap, &timers[i]);
	}
	check_order(&heap, N - (N + 2) / 3 + (N + 5) / 6);
	timer_heap_fini(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_earliest_first_and_of_those_the_first_added),
		cmocka_unit_test(keeps_its_order_when_any_is_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
