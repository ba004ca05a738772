/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/breaker.h"

#include <assert.h>

#define WINDOW_MASK ((1u << BREAKER_WINDOW) - 1)

unsigned breaker_failures(const struct breaker *breaker)
{
	return (unsigned)__builtin_popcount(breaker->outcomes);
}

static void set(struct breaker *breaker, enum breaker_state state, int64_t probe_at_ms)
{
	breaker->state = state;
	breaker->probe_at_ms = probe_at_ms;
	if (state == BREAKER_CLOSED)
		breaker->outcomes = 0;
}

enum breaker_verdict breaker_admit(struct breaker *breaker, int64_t now_ms)
{
	if (breaker->state == BREAKER_CLOSED)
		return BREAKER_PASS;
	if (breaker->state == BREAKER_HALF_OPEN || now_ms < breaker->probe_at_ms)
		return BREAKER_REFUSE;
	set(breaker, BREAKER_HALF_OPEN, breaker->probe_at_ms);
	return BREAKER_PROBE;
}

static void note(struct breaker *breaker, enum breaker_outcome outcome, int64_t now_ms)
{
	breaker->outcomes = ((breaker->outcomes << 1) | (outcome == BREAKER_FAILED)) & WINDOW_MASK;
	if (breaker_failures(breaker) >= BREAKER_FAILURES)
		set(breaker, BREAKER_OPEN, now_ms + BREAKER_PROBE_MS);
}

void breaker_heard(struct breaker *breaker, enum breaker_verdict as, enum breaker_outcome outcome,
		   int64_t now_ms)
{
	assert(as != BREAKER_REFUSE);
	if (breaker->state == BREAKER_CLOSED)
		note(breaker, outcome, now_ms);
	else if (outcome == BREAKER_WELL)
		set(breaker, BREAKER_CLOSED, 0); /* whichever call it was, it was answered now */
	else if (as == BREAKER_PROBE && breaker->state == BREAKER_HALF_OPEN)
		set(breaker, BREAKER_OPEN, now_ms + BREAKER_PROBE_MS);
}

void breaker_put_back(struct breaker *breaker, int64_t now_ms, int64_t delay_ms)
{
	if (breaker->state == BREAKER_HALF_OPEN)
		set(breaker, BREAKER_OPEN, now_ms + delay_ms);
}
