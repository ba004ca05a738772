/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/key_holder.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/app/key_watch.h"
#include "gateway/app/node.h"
#include "gateway/core/tenant.h"
#include "tokenstore/keyring.h"

struct key_holder {
	struct key_holder_params params;
	struct key_watch *watch;
	struct keyring *keyring; /* NULL: none that can be used */
	struct node *node;
	struct tenants *tenants; /* NULL: nobody borrows the keyring but the node */
};

static const struct log_subject subject = { .component = "keyring" };

static void log_keys(const struct keyring *keyring)
{
	uint32_t ids[KEYRING_MAX_KEYS];

	log_info(&subject, "it has %zu keys now, and wraps with key %u", keyring_ids(keyring, ids),
		 (unsigned)keyring_primary(keyring));
}

static void take_keys(struct key_holder *holder, struct keyring *keyring)
{
	struct err err;

	if (keyring_take(holder->keyring, &keyring, &err) < 0) {
		log_error(&subject, "keyring_file %s: %s; the keys stay what they were",
			  holder->params.path, err.text);
		return;
	}
	log_keys(holder->keyring);
	node_keys_changed(holder->node);
	tenants_keys_changed(holder->tenants);
}

static void on_changed(void *ctx, struct keyring *keyring)
{
	struct key_holder *holder = ctx;

	if (holder->tenants != NULL) {
		take_keys(holder, keyring);
		return;
	}
	node_use_keyring(holder->node, keyring);
	keyring_free(&holder->keyring);
	holder->keyring = keyring;
}

struct key_holder *key_holder_new(const struct key_holder_params *params)
{
	struct key_holder *holder = mem_new(sizeof(*holder));
	struct err err;

	holder->params = *params;
	holder->watch = key_watch_new(&(struct key_watch_params){
		.loop = params->loop,
		.path = params->path,
		.interval_ms = KEY_WATCH_MS,
		.meter = params->meter,
		.changed = on_changed,
		.ctx = holder,
	});
	holder->keyring = key_watch_load(holder->watch, &err);
	if (holder->keyring == NULL)
		log_error(&subject, "%s", err.text);
	return holder;
}

void key_holder_free(struct key_holder **slot)
{
	struct key_holder *holder = *slot;

	if (holder == NULL)
		return;
	*slot = NULL;
	key_watch_free(&holder->watch);
	keyring_free(&holder->keyring);
	free(holder);
}

struct keyring *key_holder_keyring(const struct key_holder *holder)
{
	return holder->keyring;
}

void key_holder_follow(struct key_holder *holder, struct node *node)
{
	holder->node = node;
}

/* Who serves with the right keyring is not replaced by one that has it no more. */
void key_holder_seal(struct key_holder *holder, enum board_seal seal)
{
	const struct key_holder_params *params = &holder->params;

	if (seal == SEAL_OTHER_KEYRING)
		log_error(&subject,
			  "keyring_file %s is not the keyring that this database's secrets are "
			  "sealed with",
			  params->path);
	if (board_slot_open(params->board, params->seat)) {
		params->refused(params->ctx);
		return;
	}
	log_error(&subject, "sealed: nothing is served until the right keyring lies at %s",
		  params->path);
	params->board->seats[params->seat].sealed = (int)seal;
	params->sealed(params->ctx);
}

void key_holder_open(struct key_holder *holder, struct tenants *tenants)
{
	struct board_seat *seat = &holder->params.board->seats[holder->params.seat];

	if (seat->sealed != SEAL_NONE)
		log_info(&subject, "unsealed");
	seat->sealed = SEAL_NONE;
	holder->tenants = tenants;
}
