/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_BREAKER_H
#define GATEWAY_CORE_BREAKER_H

/*
 * A circuit breaker: after too many failures among the last calls it lets none through, but for one
 * at a time that finds out whether all is well again. Knows neither clock nor calls.
 */

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_WINDOW	 10   /* calls that it looks back on */
#define BREAKER_FAILURES 5    /* among them, and it opens */
#define BREAKER_PROBE_MS 1000 /* while it is open: from one probe to the next */

enum breaker_state {
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN, /* a probe is under way */
};

/* Zero-initialised: closed. */
struct breaker {
	enum breaker_state state;
	unsigned outcomes;   /* of the last calls, the newest in bit 0; 1: it failed */
	int64_t probe_at_ms; /* BREAKER_OPEN: when the next probe may go */
};

enum breaker_verdict {
	BREAKER_REFUSE, /* until probe_at_ms, or until the probe has ended */
	BREAKER_PASS,
	BREAKER_PROBE, /* may go alone; breaker_heard or breaker_put_back must follow */
};
enum breaker_verdict breaker_admit(struct breaker *breaker, int64_t now_ms);

enum breaker_outcome { BREAKER_WELL, BREAKER_FAILED };
/* What became of a call. as is the verdict that it went with. */
void breaker_heard(struct breaker *breaker, enum breaker_verdict as, enum breaker_outcome outcome,
		   int64_t now_ms);
/* The probe has not told anything: another may go after delay_ms. */
void breaker_put_back(struct breaker *breaker, int64_t now_ms, int64_t delay_ms);
unsigned breaker_failures(const struct breaker *breaker);

#endif
