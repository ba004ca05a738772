/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_CONNECT_PAGES_H
#define GATEWAY_HTTP_CONNECT_PAGES_H

/* The pages of an attempt to connect an account (core/connect_page.h), as a browser sees them. */

#include "gateway/http/exchange.h"

void connect_page_get(struct exchange *exchange);  /* /connect/{attempt}: what it will be */
void connect_page_post(struct exchange *exchange); /* what the user does there */
void connect_page_done(struct exchange *exchange); /* …/done: what became of it */
/* /connect/failed/{code}: an error that belongs to no attempt of this user. */
void connect_page_failed(struct exchange *exchange);
/* /oauth/callback/{issuer} */
void connect_page_callback(struct exchange *exchange);
/* /oauth/client-metadata/{issuer}, which ends with .json */
void connect_page_metadata(struct exchange *exchange);

#endif
