/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_DEV_CLUSTER_H
#define GATEWAY_APP_DEV_CLUSTER_H

/*
 * The private PostgreSQL cluster of `tollgate dev`: on a unix socket only, in a directory that
 * nobody else can enter, which is its access control. As root it belongs to the account
 * `postgres`, because the server refuses root, and lies in /var/lib/tollgate-dev, because that
 * account may not be able to enter the development directory.
 */

#include <stdbool.h>

#include "base/err.h"

#define DEV_DATABASE   "tollgate"
#define DEV_PATH_BYTES 256

struct dev_cluster {
	char dir[DEV_PATH_BYTES]; /* holds data/ and the socket */
	char bindir[DEV_PATH_BYTES];
	char log_path[DEV_PATH_BYTES];
	bool as_postgres; /* we are root */
	bool fresh;	  /* initdb was run now */
};

/* Where the cluster of the development directory is; makes nothing. */
int dev_cluster_locate(struct dev_cluster *cluster, const char *dev_dir,
		       struct err *err) MUST_CHECK;
/* Runs initdb if there is none. */
int dev_cluster_create(struct dev_cluster *cluster, struct err *err) MUST_CHECK;
/* A start that was killed may have left its server, which ends when it notices. */
int dev_cluster_await_end(const struct dev_cluster *cluster, int timeout_ms,
			  struct err *err) MUST_CHECK;
/* Becomes the server: for a child process. Returns only on failure. */
int dev_cluster_exec(const struct dev_cluster *cluster);
/* Waits until the server accepts connections. */
int dev_cluster_wait(const struct dev_cluster *cluster, int timeout_ms, struct err *err) MUST_CHECK;
/* postgresql:///DATABASE?host=…&user=ROLE; the caller frees. */
char *dev_cluster_url(const struct dev_cluster *cluster, const char *database, const char *role);
/* Erases it. Refused while a server runs on it. */
int dev_cluster_remove(const struct dev_cluster *cluster, struct err *err) MUST_CHECK;
/* Erases a directory with all that is in it; that there is none is fine. */
int remove_tree(const char *path, struct err *err) MUST_CHECK;

#endif
