/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SAMPLE_CLOCK_PRIV_H
#define GATEWAY_APP_SAMPLE_CLOCK_PRIV_H

/* What the files of the sample upstream `clock` share: sample_clock.c (its tools) and
 * sample_clock_nap.c (the tool `sleep` while it runs). */

#include "gateway/app/sample.h"

#define CLOCK_MAX_SLEEP_MS 60000

struct nap;

struct clock {
	struct nap *naps;
};

/* Answers with a stream, later. Takes the request's arena. */
void nap_start(const struct sample_request *request, int64_t ms);
/* Ends the one of that session and request id (raw JSON) without an answer. */
void nap_cancel(struct sample *sample, const char *session, struct span id);

#endif
