/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_DEV_SEED_H
#define GATEWAY_APP_DEV_SEED_H

/* What the development start puts into its own database: tenant demo, user ana, two keys, the
 * sample upstreams. Done again at each start; what is there is left alone. */

#include "base/err.h"
#include "gateway/app/dev_cluster.h"

#define DEV_TENANT "demo"
#define DEV_USER   "ana"
#define DEV_READER "demo_reader"

struct dev_seed {
	const struct dev_cluster *cluster;
	const char *keyring_file;
	const char *admin_key_file; /* written 0600 when a new key is made */
	const char *user_key_file;
	int clock_port;
	int notes_port;
	const char *signin_code; /* made for this start: signs the user in at a browser, once */
};
/* For a child process: makes the database, migrates it, fills it. Returns an exit code. */
int dev_seed_run(void *seed);

#endif
