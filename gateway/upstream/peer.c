/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker knows of its upstreams: one peer for each version of a connection. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/upstream/upstream_priv.h"

void peer_close(struct peer *peer)
{
	if (peer->state == PEER_OPENING)
		peer_stop_opening(peer);
	peer->state = PEER_CLOSED;
	peer->terms = (struct peer_terms){ 0 };
	peer->log_level = -1;
}

static void peer_free(struct peer *peer)
{
	assert(peer->n_ops == 0 && peer->waiting == NULL);
	peer_close(peer);
	if (!peer->forgotten)
		HASH_DEL(peer->upstreams->peers, peer);
	free(peer->known.server_name);
	free(peer->known.server_version);
	free(peer->known.instructions);
	free(peer);
}

/* Nobody finds it from now on; its operations run to their end. */
static void peer_forget(struct peer *peer)
{
	if (peer->n_ops == 0) {
		peer_free(peer);
		return;
	}
	HASH_DEL(peer->upstreams->peers, peer);
	peer->forgotten = true;
}

void peer_release(struct peer *peer)
{
	assert(peer->n_ops > 0);
	if (--peer->n_ops == 0 && peer->forgotten)
		peer_free(peer);
}

static struct peer_key key_of(const char *tenant_id, const char *connection_id)
{
	struct peer_key key = { .tenant_id = "" };

	snprintf(key.tenant_id, sizeof(key.tenant_id), "%s", tenant_id);
	snprintf(key.connection_id, sizeof(key.connection_id), "%s", connection_id);
	return key;
}

static struct peer *peer_find(const struct upstreams *upstreams, const char *tenant_id,
			      const char *connection_id)
{
	const struct peer_key key = key_of(tenant_id, connection_id);
	struct peer *peer;

	HASH_FIND(hh, upstreams->peers, &key, sizeof(key), peer);
	return peer;
}

/* A request with an older snapshot than others have has a peer of its own: it must not take a
 * session that was opened elsewhere, or with another credential, to where it goes itself. */
struct peer *peer_hold(struct upstreams *upstreams, const struct tenant *tenant,
		       const struct connection *connection)
{
	struct peer *peer = peer_find(upstreams, tenant->id, connection->id);

	if (peer != NULL && peer->version == connection->version) {
		peer->n_ops++;
		return peer;
	}
	if (peer != NULL && peer->version < connection->version) {
		peer_forget(peer);
		peer = NULL;
	}

	struct peer *made = mem_new(sizeof(*made));

	made->key = key_of(tenant->id, connection->id);
	made->version = connection->version;
	made->upstreams = upstreams;
	made->log_level = -1;
	made->n_ops = 1;
	made->forgotten = peer != NULL;
	if (!made->forgotten)
		HASH_ADD(hh, upstreams->peers, key, sizeof(made->key), made);
	return made;
}

void upstreams_forget(struct upstreams *upstreams, const char *tenant_id, const char *connection_id)
{
	struct peer *peer = peer_find(upstreams, tenant_id, connection_id);

	if (peer != NULL)
		peer_forget(peer);
}

void peers_free(struct upstreams *upstreams)
{
	struct peer *peer;
	struct peer *next;

	HASH_ITER(hh, upstreams->peers, peer, next)
	{
		peer_free(peer);
	}
}

const struct upstream_facts *upstream_facts(struct upstreams *upstreams, const char *tenant_id,
					    const char *connection_id)
{
	struct peer *peer = peer_find(upstreams, tenant_id, connection_id);

	if (peer == NULL || !peer->known.opened)
		return NULL;
	peer->facts = (struct upstream_facts){
		.era = peer->known.era,
		.protocol_version = peer->known.version,
		.introduced = peer->known.introduced,
		.server_name = peer->known.server_name,
		.server_version = peer->known.server_version,
		.instructions = peer->known.instructions,
	};
	return &peer->facts;
}
