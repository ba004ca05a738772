/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_TELEMETRY_H
#define GATEWAY_APP_TELEMETRY_H

/* The settings of traces, in the forms that OpenTelemetry gave them, and what follows from them. */

#include "base/loop.h"
#include "base/otlp.h"
#include "gateway/core/tracing.h"

struct config;

#define TELEMETRY_MAX_PAIRS 64
/* For spans to leave when the gateway stops. */
#define TELEMETRY_FLUSH_MS 3000

struct telemetry_pair {
	const char *name;
	const char *value; /* decoded */
};
/* "name=value,name=value", values percent-encoded, in the arena. Returns how many, -1 on failure;
 * err does not say what stands there. */
int telemetry_pairs(const char *text, struct arena *arena,
		    struct telemetry_pair out[TELEMETRY_MAX_PAIRS], struct err *err) MUST_CHECK;

/* Checks of settings. */
int telemetry_headers_check(const char *value, struct err *err);
int telemetry_attributes_check(const char *value, struct err *err);
int telemetry_ratio_check(const char *value, struct err *err);

/* What calls are traced by. Without an endpoint its otlp is NULL. node_id names this process.
 * telemetry_fini frees what it holds. */
int telemetry_init(struct tracing *tracing, struct loop *loop, const struct config *config,
		   const char *node_id, struct err *err) MUST_CHECK;
void telemetry_fini(struct tracing *tracing);

#endif
