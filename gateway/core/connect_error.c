/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/connect_error.h"

#include <string.h>

/* clang-format off */
const struct connect_error_row connect_errors[CONNECT_N_ERRORS] = {
	[CONNECT_NO_ERROR] = { NULL, 200, NULL, NULL, NULL },
	[CONNECT_DENIED] = { "denied", 403, "Access was declined",
	  "At the authorization server, access was declined. Nothing was connected.",
	  "If that was a mistake, start again and allow the access there." },
	[CONNECT_EXPIRED] = { "expired", 410, "This link has expired",
	  "A link to connect an account is good for ten minutes, and its time is over.",
	  "Start again, or ask for a new link where you got this one." },
	[CONNECT_STATE_MISMATCH] = { "state_mismatch", 400, "This answer was not expected",
	  "The answer of the authorization server does not belong to what this browser began, or has "
	  "been used before. Nothing in it was used.",
	  "Open the link again and start from there, in one tab, and in the browser that you began in." },
	[CONNECT_WRONG_USER] = { "wrong_user", 403, "This link is for somebody else",
	  "You are not signed in as the one who asked for this link. Nothing was connected.",
	  "If the link is yours, sign out and sign in as yourself. If somebody sent it to you, do not "
	  "use it: your account would be connected to theirs." },
	[CONNECT_PROVIDER_ERROR] = { "provider_error", 502, "The authorization server failed",
	  "The authorization server answered with an error, or in a way that cannot be accepted.",
	  "Start again in a moment. If it stays so, give the attempt below to your administrator." },
	[CONNECT_TOKEN_EXCHANGE_FAILED] = { "token_exchange_failed", 502, "No token was given",
	  "You agreed, but then the authorization server did not give the gateway a token.",
	  "Start again. If it stays so, give the attempt below to your administrator: client id, "
	  "secret or client authentication of the connection may be wrong." },
	[CONNECT_MISSING_SCOPE] = { "missing_scope", 403, "Not all rights were granted",
	  "The authorization server granted less than the tools need.",
	  "Start again and leave every right ticked that is asked for. If you were not asked, your "
	  "account may not have that right." },
	[CONNECT_REGISTRATION_REFUSED] = { "registration_refused", 502, "The gateway has no client there",
	  "The authorization server knows no client of this gateway, and did not let it register one.",
	  "Ask your administrator to register a client there by hand and to set its client id on the "
	  "connection." },
	[CONNECT_NETWORK] = { "network", 504, "A server cannot be reached",
	  "The gateway could not reach the server, or got no answer in time.",
	  "Start again in a moment. If it stays so, give the attempt below to your administrator." },
	[CONNECT_ACCOUNT_MISMATCH] = { "account_mismatch", 409, "That is another account",
	  "You signed in over there with another account than the one that is connected.",
	  "The account that was connected before is kept. Start again to use another one." },
};
/* clang-format on */

enum connect_error connect_error_parse(const char *code)
{
	for (int i = 1; code != NULL && i < CONNECT_N_ERRORS; i++) {
		if (strcmp(connect_errors[i].code, code) == 0)
			return (enum connect_error)i;
	}
	return CONNECT_NO_ERROR;
}
