/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_REASON_H
#define GATEWAY_HTTP_REASON_H

/* The words of a status code, e.g. "Not Found"; never NULL. */
const char *http_reason(int status);

#endif
