/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_REFRESH_RECORD_H
#define OAUTH_REFRESH_RECORD_H

/*
 * What stands in the spool of renewals: who writes it, and what was renewed, sealed as it will
 * stand in the row. Bytes in, a request to the store out.
 */

#include <stdint.h>

#include "base/buf.h"
#include "tokenstore/grant_store.h"

#define REFRESH_RECORD_BYTES                                                                       \
	524288 /* 512 KiB: three sealed values of 32 KiB in hex, and the rest */

enum refresh_record {
	RECORD_OWNER = 1, /* the id of the node that writes from here on */
	RECORD_RENEWAL = 2,
};

/* Appends a GRANT_COMMIT. 0, or -1 if it does not fit. */
int refresh_record_write(const struct grant_request *request, struct buf *out) MUST_CHECK;
/* ERR_PARSE. Everything lives in the arena. */
int refresh_record_read(struct span payload, struct arena *arena, struct grant_request *request,
			struct err *err) MUST_CHECK;

#endif
