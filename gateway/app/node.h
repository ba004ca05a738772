/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_NODE_H
#define GATEWAY_APP_NODE_H

/*
 * This worker among the others: its row in tollgate.nodes with a heartbeat and the keys that it
 * has, the deployment's settings (its id; that our keyring is the one its secrets were sealed
 * with), and what has to be swept now and then.
 */

#include "base/db.h"
#include "base/loop.h"
#include "gateway/core/board.h"

struct keyring;
struct node;

#define NODE_HEARTBEAT_MS 15000
#define NODE_RETRY_MS	  500
#define NODE_SWEEP_MS	  3600000

struct node_params {
	struct loop *loop;
	struct db *db;
	const struct keyring *keyring; /* NULL: there is none that could be used */
	const char *id;
	const char *home; /* of its data directory: with the slot, whom it succeeds */
	unsigned slot;	  /* slot 0 sweeps */
	/* Once, as soon as Postgres has answered and has its row. deployment lives as long as the
	 * node. err: the database is not ours to use (not migrated; new, and there is no keyring
	 * that could be bound to it). */
	void (*known)(void *ctx, const char *deployment, const struct err *err);
	/* Instead, if the database has secrets and this is not the keyring that they are sealed
	 * with. Then node_use_keyring asks again. */
	void (*sealed)(void *ctx, enum board_seal seal);
	void *ctx;
};
struct node *node_new(const struct node_params *params);
/* While sealed: this may be the one. Borrows it. */
void node_use_keyring(struct node *node, const struct keyring *keyring);
/* The keyring has other keys now: the row says so at once. */
void node_keys_changed(struct node *node);
void node_free(struct node **node);

#endif
