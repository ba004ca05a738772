/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_CSRF_H
#define GATEWAY_HTTP_CSRF_H

/*
 * That a form was sent by a page of ours: the browser says so (Sec-Fetch-Site, or Origin where it
 * does not know that), and the form knows what only a page of this session does. Pure.
 */

#include <stdbool.h>

#include "gateway/http/app.h"

#define CSRF_TOKEN_BYTES 44

/* Each NULL: the header is not there. Neither of the first two: no. */
bool csrf_same_origin(const struct http_app *app, const char *sec_fetch_site, const char *origin,
		      const char *host);

/* purpose: which form, e.g. an attempt's id. */
void csrf_token(const char *session, const char *purpose, char out[CSRF_TOKEN_BYTES]);
/* given NULL: no. */
bool csrf_check(const char *session, const char *purpose, const char *given);

#endif
