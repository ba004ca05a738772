/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_TOKEN_REPLY_H
#define OAUTH_TOKEN_REPLY_H

/* What a token endpoint answers (RFC 6749 5), judged. Pure: bytes in, struct out. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/span.h"
#include "oauth/error_reply.h"

#define TOKEN_MAX_BYTES	      32768 /* 32 KiB, of one token */
#define TOKEN_MAX_SCOPE_BYTES 4096
#define TOKEN_MAX_LIFETIME_S  315360000 /* ten years; what claims more is not believed */

/* Borrowed in done. */
struct token_reply {
	struct secret access_token;
	struct secret refresh_token; /* none if absent: a refresh keeps the one it used */
	struct secret id_token;	     /* none if absent */
	const char *token_type;	     /* "Bearer", however the server spells it */
	const char *scope;	     /* NULL: as asked */
	/* -1: not said, or nothing that makes sense (zero, negative, no number, centuries). The
	 * token is good until the resource says otherwise. A reply is not refused for it: the
	 * refresh token that it answers may be used up. */
	int64_t expires_in_s;
	int64_t refresh_expires_in_s;
};

enum token_failure {
	TOKEN_TRANSIENT, /* try again later: network, egress, 5xx, 429, 408, or the server says so
			  */
	TOKEN_TERMINAL,	 /* the grant is dead: somebody has to sign in again */
	TOKEN_CLIENT, /* our registration or settings are refused: signing in does not help, unless
		       * as a client that is registered anew: token_refuses_client */
	TOKEN_NONSENSE, /* no answer of a token endpoint: nothing follows from it */
};

struct token_error {
	enum token_failure kind;
	int http_status;	     /* 0: no answer */
	char code[ERROR_CODE_BYTES]; /* RFC 6749 5.2 `error`, or "" */
	int64_t retry_after_s;	     /* 0: not said */
	bool sent;		     /* it may have reached the server */
	/* For the operator: no secret; of foreign text only error_description, printable ASCII,
	 * cut, and left out if it repeats something secret that was sent. */
	char text[200];
};

struct token_answer {
	int status;
	struct span body;
	struct error_sent sent;
};
/* 0: *reply (to be wiped with token_reply_fini). -1: *error, all but `sent` and `retry_after_s`. */
int token_reply_parse(const struct token_answer *answer, struct arena *arena,
		      struct token_reply *reply, struct token_error *error);
void token_reply_fini(struct token_reply *reply);

/* RFC 6749 5.2: it is the client that the server does not take. One that registered itself (RFC
 * 7591) was forgotten, or has expired. */
bool token_refuses_client(const struct token_error *error);

#endif
