/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CONNECT_H
#define GATEWAY_CORE_CONNECT_H

/*
 * Connect: from "this connection wants an account" to a stored grant and a fresh list of tools.
 * An attempt is a row with an id of its own, a state, and ten minutes; everything that a browser
 * does belongs to one: connect_page.h. Knows no HTML and no cookies: http/connect_pages.c does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "gateway/core/principal.h"
#include "gateway/core/tenant.h"

#define CONNECT_LIFETIME_S   600  /* of an attempt */
#define CONNECT_MAX_STEP_UPS 2	  /* with the first authorization that makes three */
#define CONNECT_CHAIN_S	     3600 /* within which they count */

struct access;
struct db;
struct loop;
struct meter;
struct probes;

struct connects;
struct connect_op; /* slot */

/* All borrowed. */
struct connects_params {
	struct loop *loop;
	struct db *db;
	struct tenants *tenants;
	struct access *access;
	struct probes *probes;
	struct meter *meter; /* NULL: nothing is measured */
	const char *deployment;
	const char *public_url;
	const char *client_metadata_url; /* of the operator's own document; NULL: ours */
	bool development; /* authorization servers on loopback may speak plain HTTP */
};
struct connects *connects_new(const struct connects_params *params);
/* Ends what still runs, silently: an answer that is being redeemed is lost. */
void connects_free(struct connects **connects);

/* The subject of the grant that this principal uses on the connection, in out: "" if it is shared,
 * "user:<uuid>" if it is per user. ERR_FORBIDDEN: per user, and the principal is a service key. */
int connect_subject(const struct connection *connection, const struct principal *principal,
		    char *out /* GRANT_SUBJECT_BYTES */, struct err *err) MUST_CHECK;

struct connect_request {
	struct tenant *tenant;
	const struct connection *connection; /* stands in tenant; auth_mode is AUTH_OAUTH */
	const struct principal *principal;   /* who asks, and who has to be in the browser */
	/* Of a challenge: asked for beside what is granted and configured. NULL: nothing more. */
	const char *scope;
};
struct connect_link {
	const char *attempt_id;
	const char *url; /* absolute: public_url/connect/<attempt>. No secret, not signed in */
	int64_t expires_at;
};
/* An open attempt of the same kind with half of its life left is given again. ERR_FORBIDDEN: the
 * grant is shared and the principal no administrator, or a service key is to use one per user;
 * ERR_BAD_REQUEST: the connection's grant needs no browser; ERR_RATE_LIMITED: the upstream goes on
 * demanding a scope that it was asked for CONNECT_MAX_STEP_UPS times; ERR_UNAVAILABLE. */
typedef void connect_requested(void *ctx, const struct connect_link *link, const struct err *err);
void connect_request(struct connects *connects, struct connect_op **slot,
		     const struct connect_request *request, connect_requested *done, void *ctx);
void connect_cancel(struct connect_op **slot);

#endif
