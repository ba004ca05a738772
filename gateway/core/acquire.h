/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_ACQUIRE_H
#define GATEWAY_CORE_ACQUIRE_H

/*
 * Getting the token of a connection whose grant is client_credentials (RFC 6749 4.4): no browser
 * is needed, only the client that its settings name. What is got is stored by oauth/access.h,
 * which keeps it alive.
 *
 * Of all that ask in one worker the first acquires, the others wait for it. After a failure the
 * authorization server is left in peace for a while: until then all hear what it said.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "gateway/core/tenant.h"

#define ACQUIRE_PAUSE_MS     5000
#define ACQUIRE_MAX_PAUSE_MS 60000 /* of what a server may ask for with Retry-After */

struct access;
struct db;
struct acquires;   /* those of this worker */
struct acquire_op; /* one who waits: the slot */

struct acquires_params {
	struct loop *loop;
	struct access *access;
	struct db *db;
	bool allow_http; /* authorization servers on loopback without TLS: development */
	/* A new reference to the snapshot in memory, or NULL: what was got for settings that are
	 * superseded is not stored. */
	struct tenant *(*want)(void *ctx, const char *tenant_id);
	void *ctx;
};
struct acquires *acquires_new(const struct acquires_params *params);
/* Nobody may wait. */
void acquires_free(struct acquires **acquires);

/* tenant is referenced; connection stands in it, its auth_mode is AUTH_OAUTH and its grant
 * client_credentials. */
struct acquire_request {
	struct tenant *tenant;
	const struct connection *connection;
	const char *actor; /* for the event: "user:ana", "system:tool-call" */
	bool now;	   /* somebody wants it tried whatever was said before (`reacquire`) */
};
/* err NULL: there is a grant, which access_start finds. ERR_UNAUTHENTICATED: we are refused, and
 * an administrator has to see to the settings; ERR_UNAVAILABLE: later, perhaps. */
typedef void acquire_done(void *ctx, const struct err *err);
void acquire_start(struct acquires *acquires, struct acquire_op **slot,
		   const struct acquire_request *request, acquire_done *done, void *ctx);
/* What is under way goes on: its token is as good for whoever comes next. */
void acquire_cancel(struct acquire_op **slot);

#endif
