/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CONNECT_ERROR_H
#define GATEWAY_CORE_CONNECT_ERROR_H

/* Why an attempt to connect did not succeed: one table, for pages, the API and the manual. */

#include <stddef.h>

enum connect_error {
	CONNECT_NO_ERROR,
	CONNECT_DENIED,
	CONNECT_EXPIRED,
	CONNECT_STATE_MISMATCH,
	CONNECT_WRONG_USER,
	CONNECT_PROVIDER_ERROR,
	CONNECT_TOKEN_EXCHANGE_FAILED,
	CONNECT_MISSING_SCOPE,
	CONNECT_REGISTRATION_REFUSED,
	CONNECT_NETWORK,
	CONNECT_ACCOUNT_MISMATCH,
	CONNECT_N_ERRORS,
};

struct connect_error_row {
	const char *code; /* does not change: stored, shown, and what scripts compare */
	int status;	  /* of the page that says it */
	const char *title;
	const char *sentence; /* what happened */
	const char *remedy;   /* what to do */
};
extern const struct connect_error_row connect_errors[CONNECT_N_ERRORS];

/* CONNECT_NO_ERROR for NULL, and for what is no code. */
enum connect_error connect_error_parse(const char *code);

#endif
