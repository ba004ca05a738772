/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_ERROR_REPLY_H
#define OAUTH_ERROR_REPLY_H

/* What an authorization server says when it refuses (RFC 6749 5.2): for the operator's eyes. */

#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"
#include "base/span.h"
#include "oauth/document.h"

#define ERROR_CODE_BYTES	64
#define ERROR_DESCRIPTION_BYTES 91

/* What we sent. A text that repeats a secret of it is not shown. */
struct error_sent {
	struct span form;	     /* the request's body */
	struct span authorization;   /* of the header, or absent */
	const struct secret *secret; /* the client's, or NULL */
};

struct error_reply {
	bool present;		     /* there is an `error` */
	char code[ERROR_CODE_BYTES]; /* "" if it is none of letters, digits, "_", "-", "." */
	char description[ERROR_DESCRIPTION_BYTES]; /* printable ASCII, cut; or "" */
};

/* sent: NULL if nothing secret was. */
void error_reply_read(const struct document *document, const struct error_sent *sent,
		      struct error_reply *reply);
bool error_repeats(const struct error_sent *sent, struct span text);

#endif
