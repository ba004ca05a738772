/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_REQUEST_STATE_H
#define GATEWAY_CORE_REQUEST_STATE_H

/*
 * The requestState of a modern call that was answered with input_required: what the client brings
 * back with its retry (MCP 2026-07-28, multi round-trip requests). Sealed with the tenant's key
 * and bound to who called what, so that it says nothing to anybody and is good for that call
 * only. It carries no right: the retry passes every step like a new call.
 */

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "gateway/core/tenant.h"

#define REQUEST_STATE_LIFETIME_S 3600

/* All borrowed. */
struct request_state {
	const struct tenant *tenant;
	const char *deployment;
	const char *principal; /* its subject */
	const char *connection_id;
	const char *method;
	const char *tool;
	struct span arguments; /* as sent; absent: none */
};

/* Appends its text. -1: the tenant has no key. */
int request_state_write(const struct request_state *state, int64_t now_s,
			struct buf *out) MUST_CHECK;
/* ERR_INVALID_PARAMS: it is none of ours, or of another call; ERR_TIMEOUT: it is too old. */
int request_state_check(const struct request_state *state, const char *text, int64_t now_s,
			struct err *err) MUST_CHECK;

#endif
