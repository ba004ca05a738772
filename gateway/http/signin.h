/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_SIGNIN_H
#define GATEWAY_HTTP_SIGNIN_H

/* The pages on which users sign in and out. After that a browser may go to one place only: the
 * attempt that it came for, by its id; there is no address that anybody could put there. */

#include "gateway/http/exchange.h"

void signin_page(struct exchange *exchange); /* GET: a code is shown, and used by the POST only */
void signin_post(struct exchange *exchange);
void signout_post(struct exchange *exchange);

#endif
