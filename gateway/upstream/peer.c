/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker knows of its upstreams: one peer for each version of a connection and scope. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gateway/upstream/upstream_priv.h"

void peer_close(struct peer *peer)
{
	if (peer->state == PEER_OPENING)
		peer_stop_opening(peer);
	peer->state = PEER_CLOSED;
	peer->terms = (struct peer_terms){ 0 };
	peer->log_level = -1;
	peer->adopted = false;
}

static void peer_free(struct peer *peer)
{
	assert(peer->forgotten && peer->n_ops == 0 && peer->waiting == NULL);
	peer_close(peer);
	db_cancel(&peer->touch);
	tenant_unref(&peer->tenant);
	free(peer->known.server_name);
	free(peer->known.server_version);
	free(peer->known.instructions);
	free(peer);
}

/* Nobody finds it from now on; its operations run to their end. */
static void peer_forget(struct upstreams *upstreams, struct peer *peer)
{
	HASH_DEL(upstreams->peers, peer);
	peer->forgotten = true;
	if (peer->n_ops == 0)
		peer_free(peer);
}

bool peer_find_token(const struct peer *peer, const struct connection *connection,
		     struct upstream_token *token)
{
	return upstream_find_token(peer->upstreams, peer->key.tenant_id, connection,
				   peer->key.subject, token) &&
	       token->connected_version == peer->key.connected_version;
}

/* Calls of other workers may still run in the session. */
static void peer_end(struct upstreams *upstreams, struct peer *peer)
{
	struct upstream_token token;

	if (peer->state == PEER_OPEN && peer_find_token(peer, peer->connection, &token))
		note_end_session(&(struct note_to){ upstreams, peer->tenant, peer->connection,
						    peer->key.subject, &peer->terms },
				 peer->connection->call_timeout_ms);
	peer_forget(upstreams, peer);
}

void peer_release(struct peer *peer)
{
	assert(peer->n_ops > 0);
	if (--peer->n_ops == 0 && peer->forgotten)
		peer_free(peer);
}

static void make_room(struct upstreams *upstreams)
{
	struct peer *peer;
	struct peer *next;

	HASH_ITER(hh, upstreams->peers, peer, next)
	{
		if (HASH_COUNT(upstreams->peers) < UPSTREAM_MAX_PEERS)
			return;
		if (peer->n_ops == 0)
			peer_forget(upstreams, peer);
	}
}

/* The snapshot that it was last seen in. */
static void peer_switch(struct peer *peer, struct tenant *tenant,
			const struct connection *connection)
{
	struct tenant *old = peer->tenant;

	peer->tenant = tenant_ref(tenant);
	peer->connection = connection;
	tenant_unref(&old);
}

static struct peer *peer_new(struct upstreams *upstreams, const struct peer_key *key)
{
	struct peer *peer = mem_new(sizeof(*peer));

	peer->key = *key;
	peer->upstreams = upstreams;
	peer->log_level = -1;
	return peer;
}

/* Of users who have a token each, each has a session of their own as well. */
static struct peer_key key_of(const struct upstreams *upstreams, const char *tenant_id,
			      const struct connection *connection, const char *scope,
			      const char *subject)
{
	struct upstream_token token;
	struct peer_key key;

	if (connection->auth_mode != AUTH_OAUTH || subject == NULL)
		subject = "";
	if (scope == NULL)
		scope = subject;
	memset(&key, 0, sizeof(key));
	snprintf(key.tenant_id, sizeof(key.tenant_id), "%s", tenant_id);
	snprintf(key.connection_id, sizeof(key.connection_id), "%s", connection->id);
	assert(strlen(scope) < sizeof(key.scope) && strlen(subject) < sizeof(key.subject));
	snprintf(key.scope, sizeof(key.scope), "%s", scope);
	snprintf(key.subject, sizeof(key.subject), "%s", subject);
	key.version = connection->settings_version;
	if (upstream_find_token(upstreams, tenant_id, connection, subject, &token))
		key.connected_version = token.connected_version;
	return key;
}

/* A request with an older snapshot than others have has a peer of its own: it must not take a
 * session that was opened elsewhere, or with another credential, to where it goes itself. */
struct peer *peer_hold(struct upstreams *upstreams, struct tenant *tenant,
		       const struct connection *connection, const char *scope, const char *subject)
{
	const struct peer_key key = key_of(upstreams, tenant->id, connection, scope, subject);
	struct peer *peer;

	HASH_FIND(hh, upstreams->peers, &key, sizeof(key), peer);
	if (peer == NULL) {
		make_room(upstreams);
		peer = peer_new(upstreams, &key);
		peer_switch(peer, tenant, connection);
		HASH_ADD(hh, upstreams->peers, key, sizeof(peer->key), peer);
	} else if (peer->hh.next != NULL) {
		HASH_DEL(upstreams->peers, peer); /* becomes the last that may go */
		HASH_ADD(hh, upstreams->peers, key, sizeof(peer->key), peer);
	}
	peer->n_ops++;
	return peer;
}

struct peer *peer_hold_again(struct peer *peer, struct tenant *tenant,
			     const struct connection *connection)
{
	struct peer *now =
		peer_hold(peer->upstreams, tenant, connection, peer->key.scope, peer->key.subject);

	peer_release(peer);
	return now;
}

static const struct connection *find_connection(const struct tenant *tenant, const char *id)
{
	for (size_t i = 0; tenant != NULL && i < tenant->n_connections; i++) {
		if (strcmp(tenant->connections[i].id, id) == 0)
			return &tenant->connections[i];
	}
	return NULL;
}

/* No peer keeps an old snapshot for longer than it has to. */
void upstreams_tenant_changed(struct upstreams *upstreams, const char *tenant_id,
			      struct tenant *tenant)
{
	const struct connection *connection;
	struct peer *peer;
	struct peer *next;

	HASH_ITER(hh, upstreams->peers, peer, next)
	{
		if (strcmp(peer->key.tenant_id, tenant_id) != 0)
			continue;
		connection = find_connection(tenant, peer->key.connection_id);
		if (connection == NULL)
			peer_end(upstreams, peer);
		else if (connection->settings_version == peer->key.version)
			peer_switch(peer, tenant, connection);
		else if (connection->settings_version > peer->key.version)
			peer_forget(upstreams, peer);
	}
}

void peers_free(struct upstreams *upstreams)
{
	struct peer *peer;
	struct peer *next;

	HASH_ITER(hh, upstreams->peers, peer, next)
	{
		assert(peer->n_ops == 0); /* no request may be running */
		peer_forget(upstreams, peer);
	}
}

void peer_refused(struct peer *peer, unsigned round, const char *session_id)
{
	if (peer->state != PEER_OPEN || peer->round != round)
		return;
	snprintf(peer->lost_session, sizeof(peer->lost_session), "%s", session_id);
	peer_close(peer);
}

void peer_wait(struct peer *peer, struct peer_waiter *waiter, struct tenant *tenant,
	       const struct connection *connection)
{
	assert(peer->state != PEER_OPEN);
	if (peer->state == PEER_CLOSED)
		peer_open(peer, tenant, connection);
	waiter->round = peer->round;
	DL_APPEND(peer->waiting, waiter);
}

void peer_stop_waiting(struct peer *peer, struct peer_waiter *waiter)
{
	DL_DELETE(peer->waiting, waiter);
}

const struct upstream_facts *upstream_facts(struct upstreams *upstreams, const char *tenant_id,
					    const struct connection *connection,
					    const char *subject)
{
	const struct peer_key key = key_of(upstreams, tenant_id, connection, NULL, subject);
	struct peer *peer;

	HASH_FIND(hh, upstreams->peers, &key, sizeof(key), peer);
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
