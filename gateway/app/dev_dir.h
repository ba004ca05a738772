/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_DEV_DIR_H
#define GATEWAY_APP_DEV_DIR_H

/* The directory of a development gateway and the key files in it. */

#include "base/err.h"
#include "gateway/app/dev_cluster.h"

#define DEV_DIR_BYTES (DEV_PATH_BYTES - 32) /* names of what is in it fit into DEV_PATH_BYTES */
#define DEV_KEY_BYTES 128

/* Its absolute path. It must exist. */
int dev_dir_take(char taken[DEV_DIR_BYTES], const char *dir, struct err *err) MUST_CHECK;
/* Empty if there is no such file. The caller wipes it. */
void dev_dir_read_key(const char *path, char key[DEV_KEY_BYTES]);

#endif
