/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/credential.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The token of RFC 6750 section 2.1; NULL if the scheme is another. */
static const char *bearer_token(const char *authorization)
{
	if (authorization == NULL || strncasecmp(authorization, "bearer ", 7) != 0)
		return NULL;
	authorization += 7;
	return authorization + strspn(authorization, " ");
}

int credential_read(const char *authorization, const char *x_api_key, const char **out,
		    struct err *err)
{
	const char *token = bearer_token(authorization);

	if (token != NULL && token[0] == '\0')
		token = NULL;
	if (x_api_key != NULL && x_api_key[0] == '\0')
		x_api_key = NULL;
	*out = token != NULL ? token : x_api_key;
	if (token != NULL && x_api_key != NULL && strcmp(token, x_api_key) != 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "Authorization and X-API-Key carry different keys");
	return 0;
}
