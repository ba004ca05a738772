/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_NODE_H
#define GATEWAY_APP_NODE_H

/*
 * This worker among the others: its row in tollgate.nodes with a heartbeat, the deployment's
 * settings (its id; that our keyring is the one its secrets were sealed with), and what has to
 * be swept now and then.
 */

#include "base/db.h"
#include "base/loop.h"

struct keyring;
struct node;

#define NODE_HEARTBEAT_MS 15000
#define NODE_RETRY_MS	  500
#define NODE_SWEEP_MS	  3600000

struct node_params {
	struct loop *loop;
	struct db *db;
	const struct keyring *keyring;
	const char *id;
	const char *home; /* of its data directory: with the slot, whom it succeeds */
	unsigned slot;	  /* slot 0 sweeps */
	/* Once, as soon as Postgres has answered and has its row. deployment lives as long as the
	 * node. err: the database is not ours to use (not migrated, another keyring). */
	void (*known)(void *ctx, const char *deployment, const struct err *err);
	void *ctx;
};
struct node *node_new(const struct node_params *params);
void node_free(struct node **node);

#endif
