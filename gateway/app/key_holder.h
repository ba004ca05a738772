/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_KEY_HOLDER_H
#define GATEWAY_APP_KEY_HOLDER_H

/*
 * The keyring of a worker: it follows the file, and while it is not the right one the worker is
 * sealed. Everybody who borrows the keyring of a worker that serves sees new keys in place.
 */

#include "base/loop.h"
#include "base/metrics.h"
#include "gateway/core/board.h"

struct key_holder;
struct keyring;
struct node;
struct tenants;

struct key_holder_params {
	struct loop *loop;
	const char *path;
	struct board *board;
	size_t seat;
	struct meter *meter;
	/* There is none that can be used, or it is another one: the worker shall say so to whoever
	 * asks. Again if it is another wrong one. */
	void (*sealed)(void *ctx);
	/* Instead, if somebody serves this slot already, who has the right one. */
	void (*refused)(void *ctx);
	void *ctx;
};
struct key_holder *key_holder_new(const struct key_holder_params *params);
void key_holder_free(struct key_holder **holder);
/* NULL while there is none that can be used. */
struct keyring *key_holder_keyring(const struct key_holder *holder);
/* Who asks the database whether it is the right one. */
void key_holder_follow(struct key_holder *holder, struct node *node);
/* What the node said. */
void key_holder_seal(struct key_holder *holder, enum board_seal seal);
/* It is the right one; from now on it is borrowed by others, and tenants is told of new keys. */
void key_holder_open(struct key_holder *holder, struct tenants *tenants);

#endif
