/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_CREDENTIAL_H
#define GATEWAY_HTTP_CREDENTIAL_H

/* The API key that a request carries, in Authorization: Bearer or X-API-Key. Pure. */

#include "base/err.h"

/* *out is set to the key, borrowed from one of the headers, or to NULL if there is none.
 * ERR_BAD_REQUEST if they carry two different ones. Headers may be NULL. */
int credential_read(const char *authorization, const char *x_api_key, const char **out,
		    struct err *err) MUST_CHECK;

#endif
