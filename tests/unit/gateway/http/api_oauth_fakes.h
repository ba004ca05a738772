/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_HTTP_API_OAUTH_FAKES_H
#define TESTS_UNIT_GATEWAY_HTTP_API_OAUTH_FAKES_H

/* Connecting, renewing and storing that end when a test says so: part of api_fixture.h. */

#include "gateway/core/acquire.h"
#include "gateway/core/connect.h"
#include "oauth/access.h"

/* The one operation that runs, and what it was asked. */
static struct {
	void *slot; /* a struct connect_op ** or one of the others */
	void *ctx;
	connect_requested *linked;
	access_done *renewed;
	access_put_done *put_done;
	access_disconnect_done *disconnected;
	acquire_done *acquired;
	struct grant_key key;
	char actor[64];
	struct grant grant;
	char texts[8][256]; /* of the grant, which is borrowed */
	const struct connection *connection;
	bool now;
	size_t n_cancelled;
} granting;

static void *grant_slot(void *slot, void *ctx)
{
	granting.slot = slot;
	granting.ctx = ctx;
	return &granting;
}

static inline const char *keep_text(size_t i, const char *text)
{
	if (text == NULL)
		return NULL;
	snprintf(granting.texts[i], sizeof(granting.texts[i]), "%s", text);
	return granting.texts[i];
}

int connect_subject(const struct connection *connection, const struct principal *principal,
		    char *out, struct err *err)
{
	out[0] = '\0';
	if (!connection->oauth->per_user)
		return 0;
	if (principal->user_id[0] == '\0')
		return err_set(err, ERR_FORBIDDEN, "a service has no account");
	snprintf(out, GRANT_SUBJECT_BYTES, "user:%s", principal->user_id);
	return 0;
}

void connect_request(struct connects *connects, struct connect_op **slot,
		     const struct connect_request *request, connect_requested *done, void *ctx)
{
	(void)connects;
	granting.connection = request->connection;
	granting.linked = done;
	*slot = grant_slot(slot, ctx);
}

void connect_cancel(struct connect_op **slot)
{
	granting.n_cancelled += *slot != NULL ? 1 : 0;
	*slot = NULL;
}

void access_renew(struct access *access, struct access_op **slot, const struct grant_key *key,
		  const char *actor, access_done *done, void *ctx)
{
	(void)access;
	granting.key = *key;
	snprintf(granting.actor, sizeof(granting.actor), "%s", actor);
	granting.renewed = done;
	*slot = grant_slot(slot, ctx);
}

void access_put(struct access *access, struct access_op **slot, const struct access_put *put,
		access_put_done *done, void *ctx)
{
	struct grant *grant = &granting.grant;

	(void)access;
	assert_string_equal(put->event, "token_ingested");
	assert_null(put->attempt_id);
	granting.key = put->grant->key;
	snprintf(granting.actor, sizeof(granting.actor), "%s", put->actor);
	*grant = *put->grant;
	grant->access_token.reveal = (char *)keep_text(0, grant->access_token.reveal);
	grant->refresh_token.reveal = (char *)keep_text(1, grant->refresh_token.reveal);
	grant->client_secret.reveal = (char *)keep_text(2, grant->client_secret.reveal);
	grant->token_url = keep_text(3, grant->token_url);
	grant->client_id = keep_text(4, grant->client_id);
	grant->scope = keep_text(5, grant->scope);
	grant->authenticated_by = keep_text(6, grant->authenticated_by);
	grant->resource = keep_text(7, grant->resource);
	granting.put_done = done;
	*slot = grant_slot(slot, ctx);
}

void access_disconnect(struct access *access, struct access_op **slot, const struct grant_key *key,
		       const struct access_asker *asker, access_disconnect_done *done, void *ctx)
{
	(void)access;
	granting.key = *key;
	snprintf(granting.actor, sizeof(granting.actor), "%s", asker->actor);
	granting.disconnected = done;
	*slot = grant_slot(slot, ctx);
}

void access_cancel(struct access_op **slot)
{
	granting.n_cancelled += *slot != NULL ? 1 : 0;
	*slot = NULL;
}

void acquire_start(struct acquires *acquires, struct acquire_op **slot,
		   const struct acquire_request *request, acquire_done *done, void *ctx)
{
	(void)acquires;
	granting.connection = request->connection;
	granting.now = request->now;
	snprintf(granting.actor, sizeof(granting.actor), "%s", request->actor);
	granting.acquired = done;
	*slot = grant_slot(slot, ctx);
}

void acquire_cancel(struct acquire_op **slot)
{
	granting.n_cancelled += *slot != NULL ? 1 : 0;
	*slot = NULL;
}

#endif
