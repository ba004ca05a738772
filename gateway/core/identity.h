/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_IDENTITY_H
#define GATEWAY_CORE_IDENTITY_H

/*
 * From an API key to a principal. Keys that were verified are remembered until their tenant's
 * configuration changes, so the hot path asks no database.
 */

#include "base/db.h"
#include "base/loop.h"
#include "gateway/core/principal.h"

struct identity;
struct identity_op;
struct keyring;
struct tenants;

/* Borrows all. */
struct identity *identity_new(struct loop *loop, struct db *db, const struct keyring *keyring);
void identity_free(struct identity **identity);
/* What is remembered of a key holds only while its tenant is in memory and confirmed: of any other
 * tenant nobody would tell that a key was revoked. Borrows tenants; NULL: no longer. */
void identity_follow(struct identity *identity, struct tenants *tenants);

enum identity_found {
	IDENTITY_KNOWN,	  /* *principal is a new reference */
	IDENTITY_REFUSED, /* err says why: ERR_UNAUTHENTICATED */
	IDENTITY_UNKNOWN, /* ask the database: identity_start */
};
/* Never blocks. credential is the text of the key. */
enum identity_found identity_find(struct identity *identity, const char *credential,
				  struct principal **principal, struct err *err) MUST_CHECK;

/* err NULL: principal is borrowed. ERR_UNAUTHENTICATED or ERR_UNAVAILABLE. */
typedef void identity_done(void *ctx, struct principal *principal, const struct err *err);
void identity_start(struct identity *identity, struct identity_op **slot, const char *credential,
		    identity_done *done, void *ctx);
void identity_cancel(struct identity_op **slot);

/* The tenant changed: what is remembered of its keys is forgotten. */
void identity_forget(struct identity *identity, const char *tenant_id);

#endif
