/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/csrf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "gateway/http/guard.h"

/* "https://name:port" and "name:port". The scheme cannot be compared: a proxy may have ended TLS.
 */
static bool is_origin_of(const char *origin, const char *host)
{
	const char *authority = strstr(origin, "://");

	return authority != NULL && host != NULL && strcasecmp(authority + 3, host) == 0;
}

bool csrf_same_origin(const struct http_app *app, const char *sec_fetch_site, const char *origin,
		      const char *host)
{
	if (sec_fetch_site != NULL && strcmp(sec_fetch_site, "same-origin") != 0)
		return false;
	if (origin == NULL)
		return sec_fetch_site != NULL;
	return guard_origin(app, origin) && is_origin_of(origin, host);
}

void csrf_token(const char *session, const char *purpose, char out[CSRF_TOKEN_BYTES])
{
	char *text = mem_printf("csrf %s", purpose);
	char room[(SHA256_BYTES + 2) / 3 * 4 + 1];
	uint8_t mac[SHA256_BYTES];

	crypto_hmac_sha256(session, strlen(session), text, strlen(text), mac);
	snprintf(out, CSRF_TOKEN_BYTES, "%.*s", (int)base64url_encode(mac, sizeof(mac), room),
		 room);
	free(text);
}

bool csrf_check(const char *session, const char *purpose, const char *given)
{
	char wanted[CSRF_TOKEN_BYTES];

	csrf_token(session, purpose, wanted);
	return given != NULL && strlen(given) == CSRF_TOKEN_BYTES - 1 &&
	       crypto_equal(given, wanted, CSRF_TOKEN_BYTES - 1);
}
