/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_HOSTS_H
#define GATEWAY_APP_HOSTS_H

#include <stddef.h>

#include "gateway/app/config.h"

/* What clients may call us: as configured, as public_url says, and by the literal addresses that
 * we listen on, which no foreign name can stand for. In the configuration's arena. */
const char **hosts_collect(const struct config *config, const char *public_url, size_t *n);

#endif
