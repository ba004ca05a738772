/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CLIENT_ISSUER_H
#define GATEWAY_CORE_CLIENT_ISSUER_H

/*
 * Which authorization server the client of a connection's settings is for. Settings that name a
 * server say so themselves. Else it is whichever the upstream named when the client was first used,
 * and no other: or an upstream could name one of its own later, and collect the secret.
 */

#include <stdbool.h>

#include "base/err.h"
#include "gateway/core/tenant.h"

struct client_issuer_op; /* slot */
struct db;

/* Whether it has to be asked at all: there is a client, and nothing says for which server. */
bool client_issuer_is_open(const struct connection_oauth *oauth);

struct client_issuer_request {
	const char *tenant_id;
	const char *connection_id;
	const char *issuer; /* that is about to see the client */
};
/* err NULL: this one may. ERR_UNAUTHENTICATED: the client has been used at another, and the text
 * says at which; ERR_UNAVAILABLE. */
typedef void client_issuer_bound(void *ctx, const struct err *err);
/* Copies the request. */
void client_issuer_bind(struct db *db, struct client_issuer_op **slot,
			const struct client_issuer_request *request, client_issuer_bound *done,
			void *ctx);
void client_issuer_cancel(struct client_issuer_op **slot);

#endif
