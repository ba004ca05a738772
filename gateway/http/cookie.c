/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/cookie.h"

#include <string.h>

#include "base/span.h"
#include "gateway/core/connect.h"

static const struct {
	const char *https;
	const char *http;
	int max_age_s;
} cookies[] = {
	[COOKIE_SESSION] = {"__Host-tollgate",		"tollgate",	    BROWSER_LIFETIME_S},
	[COOKIE_CONNECT] = { "__Host-tollgate-connect", "tollgate-connect", CONNECT_LIFETIME_S},
};

static const char *name_of(enum cookie cookie, bool https)
{
	return https ? cookies[cookie].https : cookies[cookie].http;
}

static bool is_token(struct span value)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789-_";

	if (value.n != BROWSER_TOKEN_BYTES - 1)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (strchr(digits, value.p[i]) == NULL)
			return false;
	}
	return true;
}

bool cookie_read(const char *header, enum cookie cookie, bool https, char out[BROWSER_TOKEN_BYTES])
{
	const struct span name = span_of(name_of(cookie, https));
	size_t seen = 0;
	bool good = false;

	while (header != NULL && *header != '\0') {
		const char *at = header + strspn(header, " \t;");
		size_t n = strcspn(at, ";");
		size_t n_name = strcspn(at, "=;");
		struct span value;

		header = at + n;
		if (!span_eq((struct span){ at, n_name }, name) || n_name == n)
			continue;
		seen++;
		value = (struct span){ at + n_name + 1, n - n_name - 1 };
		good = is_token(value);
		if (good) {
			memcpy(out, value.p, value.n);
			out[value.n] = '\0';
		}
	}
	return seen == 1 && good;
}

const char *cookie_write(struct arena *arena, enum cookie cookie, bool https, const char *token)
{
	return arena_printf(arena, "%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s",
			    name_of(cookie, https), token != NULL ? token : "",
			    token != NULL ? cookies[cookie].max_age_s : 0, https ? "; Secure" : "");
}
