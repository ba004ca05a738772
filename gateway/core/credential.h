/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CREDENTIAL_H
#define GATEWAY_CORE_CREDENTIAL_H

/*
 * Which token a request to an OAuth connection uses, and getting it into memory, from where the
 * upstream side takes it: the stored grant, renewed if it must be, or for client_credentials
 * a new one. Never asks a person: core/connect.h does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "gateway/core/tenant.h"
#include "gateway/core/upstream.h"

struct access;
struct acquires;
struct credentials;
struct credential_op; /* slot */

/* Borrows both. */
struct credentials *credentials_new(struct access *access, struct acquires *acquires);
void credentials_free(struct credentials **credentials);

/* For upstreams_new; ctx is the access. */
bool credential_find(void *access, const char *tenant_id, const char *connection_id,
		     const char *subject, struct upstream_token *token);
/* There is one in memory. */
bool credential_ready(const struct credentials *credentials, const struct tenant *tenant,
		      const struct connection *connection, const char *subject);

/* Whose account at the upstream the one in memory is; NULL: there is none, or it is not known.
 * Borrowed until the loop turns. */
const char *credential_account(const struct credentials *credentials, const struct tenant *tenant,
			       const struct connection *connection, const char *subject);

/* The secret that the client of a grant of the tenant has in the settings by now, in the tenant;
 * NULL: they know nothing of that client, or of its being used where the grant is renewed. */
struct grant;
const struct secret *credential_client_secret(const struct tenant *tenant,
					      const struct grant *grant);

/* Borrowed until credential_start returns, but tenant is referenced. */
struct credential_request {
	struct tenant *tenant;
	const struct connection *connection; /* stands in tenant; AUTH_OAUTH */
	const char *subject;		     /* as in upstream_request */
	int64_t refused_version;	     /* the upstream takes that one no more; 0: none said */
	const char *actor;		     /* of an acquisition */
};
enum credential_state {
	CREDENTIAL_READY, /* it is in memory */
	CREDENTIAL_NONE,  /* there is no usable grant, and only a person can change that */
};
/* err NULL: why is NULL, or says to people why there is none. err: it may be there again later. */
typedef void credential_done(void *ctx, enum credential_state state, const char *why,
			     const struct err *err);
void credential_start(struct credentials *credentials, struct credential_op **slot,
		      const struct credential_request *request, credential_done *done, void *ctx);
void credential_cancel(struct credential_op **slot);

#endif
