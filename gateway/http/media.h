/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_MEDIA_H
#define GATEWAY_HTTP_MEDIA_H

/* Content-Type and Accept (RFC 9110 sections 8.3 and 12.5.1). Pure. */

#include <stdbool.h>

/* content_type names media, whatever its parameters; NULL does not. */
bool media_is(const char *content_type, const char *media);
/* accept permits media: a NULL or empty one permits everything. */
bool media_accepted(const char *accept, const char *media);

#endif
