/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_HOME_H
#define GATEWAY_APP_HOME_H

/*
 * The name of a data directory: a UUID that is written into it once. By it and its slot a worker is
 * known as the successor of one that died.
 */

#include "base/crypto.h"
#include "base/err.h"

int home_load(const char *data_dir, char out[UUID_TEXT_BYTES], struct err *err) MUST_CHECK;

#endif
