/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CONNECT_PAGE_H
#define GATEWAY_CORE_CONNECT_PAGE_H

/*
 * What a browser does with an attempt to connect an account: look at it, go to the authorization
 * server, come back, choose between two accounts, start again. Each step checks anew that the
 * user is the one it is for. The slots and their cancel are those of connect.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "gateway/core/connect.h"
#include "gateway/core/connect_error.h"
#include "gateway/core/connect_rules.h"

enum connect_state {
	CONNECT_OPEN,
	CONNECT_PENDING,  /* the browser is at the authorization server, or back */
	CONNECT_CHOOSING, /* it came back with another account than the connected one */
	CONNECT_CONNECTED,
	CONNECT_FAILED, /* error says why */
};

/* How an attempt stands. Borrowed; NULL: not known, or not to be shown. Of somebody else's attempt
 * and of an answer that belongs to none, only the error is. */
struct connect_view {
	const char *attempt_id;
	enum connect_state state;
	enum connect_error error;
	const char *error_text; /* beside the table's own words */
	const char *connection;
	const char *upstream_host;
	const char *issuer_host;
	const char *redirect_host;
	const char *authorize_origin; /* where the browser will be sent */
	const char *scope;
	bool shared;
	const char *user;
	const char *tenant;
	const char *account;
	const char *former_account; /* the one that is connected now */
	int64_t tools_count;
};

/*
 * Exactly one of view and err is not NULL; url only where the function says so. ERR_NOT_FOUND:
 * there is no such attempt in the principal's tenant; ERR_CONFLICT: the connection is no longer
 * what it was; ERR_UNAVAILABLE, ERR_INTERNAL.
 */
typedef void connect_viewed(void *ctx, const struct connect_view *view, const char *url,
			    const struct err *err);

/* The first look at it finds the authorization server. */
void connect_show(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		  struct principal *principal, connect_viewed *done, void *ctx);

/* The user has agreed to what was shown. url: where to send the browser, or NULL: the view says
 * why not. browser_hash: of a secret that the browser will show again. */
void connect_go(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		struct principal *principal, const uint8_t browser_hash[SHA256_BYTES],
		connect_viewed *done, void *ctx);

/* What came to the redirect URI. Members NULL: absent. Borrowed until connect_return returns. */
struct connect_answer {
	const char *issuer_hash; /* of the address */
	const char *state;
	const char *code;
	const char *error;
	const char *error_description;
	const char *iss;
	struct principal *principal; /* NULL: nobody is signed in */
	const uint8_t *browser_hash;
};
/* Once the answer's state was taken, connect_cancel only silences it: it runs to its end. */
void connect_return(struct connects *connects, struct connect_op **slot,
		    const struct connect_answer *answer, connect_viewed *done, void *ctx);

enum connect_choice {
	CONNECT_REPLACE, /* the account that was connected until now */
	CONNECT_KEEP,	 /* it, and forget the new one */
};
void connect_choose(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		    struct principal *principal, enum connect_choice choice, connect_viewed *done,
		    void *ctx);

/* A new attempt like that one, which has ended. As connect_request; ERR_NOT_FOUND. */
void connect_again(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		   struct principal *principal, connect_requested *done, void *ctx);

/* Appends the client metadata document for servers of that issuer hash. -1: it is no hash, or
 * public_url is not https, so that no server may read it. */
int connect_client_metadata(const char *public_url, const char *issuer_hash,
			    struct buf *out) MUST_CHECK;

#endif
