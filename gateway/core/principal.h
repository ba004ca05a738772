/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_PRINCIPAL_H
#define GATEWAY_CORE_PRINCIPAL_H

/* Who is asking, as verified. Immutable and refcounted. */

#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"

enum role { ROLE_USER, ROLE_ADMIN, ROLE_PLATFORM };
const char *role_name(enum role role);
int role_parse(const char *name, enum role *out, struct err *err) MUST_CHECK;

#define PRINCIPAL_KEY_BYTES 16

struct principal {
	unsigned refs;
	char tenant_id[UUID_TEXT_BYTES];
	char *tenant;		       /* name */
	char user_id[UUID_TEXT_BYTES]; /* "" for a service key */
	char *user_name;	       /* NULL for a service key */
	char api_key_id[UUID_TEXT_BYTES];
	char *api_key; /* name */
	/* What the records show of it (apikey.h); "" for a browser. */
	char api_key_public[PRINCIPAL_KEY_BYTES];
	enum role role;
	int64_t expires_at_us; /* Unix microseconds; 0: never */
	/* "user:<uuid>" or "key:<uuid>": what sessions are bound to. */
	char subject[5 + UUID_TEXT_BYTES];
};

/* What people know it by: the name of the user, or that of a service key. */
const char *principal_name(const struct principal *principal);

struct principal *principal_ref(struct principal *principal);
void principal_unref(struct principal **principal);

#endif
