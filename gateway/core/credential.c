/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/credential.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/core/acquire.h"
#include "oauth/access.h"
#include "oauth/client.h"

struct credentials {
	struct access *access;
	struct acquires *acquires;
};

struct credential_op {
	struct credential_op **slot;
	struct credentials *credentials;
	struct tenant *tenant;
	const struct connection *connection;
	struct grant_key key;
	char *actor;
	bool acquired; /* once is enough */
	/* At most one of them runs. */
	struct access_op *access;
	struct acquire_op *acquire;
	credential_done *done;
	void *ctx;
};

struct credentials *credentials_new(struct access *access, struct acquires *acquires)
{
	struct credentials *credentials = mem_new(sizeof(*credentials));

	*credentials = (struct credentials){ access, acquires };
	return credentials;
}

void credentials_free(struct credentials **credentials)
{
	free(*credentials);
	*credentials = NULL;
}

bool credential_find(void *access, const char *tenant_id, const char *connection_id,
		     const char *subject, struct upstream_token *token)
{
	const struct grant_key key = grant_key_of(tenant_id, connection_id, subject);
	struct access_token found;

	if (access_find(access, &key, &found) != ACCESS_READY)
		return false;
	*token = (struct upstream_token){ found.authorization, found.version,
					  found.connected_version };
	return true;
}

bool credential_ready(const struct credentials *credentials, const struct tenant *tenant,
		      const struct connection *connection, const char *subject)
{
	struct upstream_token ignored;

	return credential_find(credentials->access, tenant->id, connection->id, subject, &ignored);
}

const char *credential_account(const struct credentials *credentials, const struct tenant *tenant,
			       const struct connection *connection, const char *subject)
{
	const struct grant_key key = grant_key_of(tenant->id, connection->id, subject);
	struct access_token found;

	return access_find(credentials->access, &key, &found) == ACCESS_READY ? found.account
									      : NULL;
}

static bool is_same(const char *configured, const char *granted)
{
	return granted != NULL && strcmp(configured, granted) == 0;
}

/* The secret of a client goes where somebody consented to, or the settings say: not where whoever
 * brought a token from elsewhere would have it. */
static bool is_client_of(const struct connection *connection, const struct grant *grant)
{
	const struct connection_oauth *oauth = connection->oauth;

	if (oauth == NULL || oauth->client_id == NULL || oauth->client_secret.n == 0 ||
	    !is_same(oauth->client_id, grant->client_id) ||
	    !is_same(client_auth_name(oauth->client_auth), grant->client_auth))
		return false;
	if ((oauth->issuer != NULL && !is_same(oauth->issuer, grant->issuer)) ||
	    (oauth->token_url != NULL && !is_same(oauth->token_url, grant->token_url)))
		return false;
	return grant->kind == GRANT_AUTHORIZATION_CODE || oauth->token_url != NULL;
}

const struct secret *credential_client_secret(const struct tenant *tenant,
					      const struct grant *grant)
{
	for (size_t i = 0; i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];

		if (strcmp(connection->id, grant->key.connection_id) != 0)
			continue;
		if (connection->trial != NULL && is_client_of(connection->trial, grant))
			return &connection->trial->oauth->client_secret;
		return is_client_of(connection, grant) ? &connection->oauth->client_secret : NULL;
	}
	return NULL;
}

static void op_free(struct credential_op *op)
{
	access_cancel(&op->access);
	acquire_cancel(&op->acquire);
	tenant_unref(&op->tenant);
	free(op->actor);
	free(op);
}

static void finish(struct credential_op *op, enum credential_state state, const char *why,
		   const struct err *err)
{
	credential_done *done = op->done;
	void *ctx = op->ctx;

	/* why and err may lie in what is freed now, but not in op. */
	*op->slot = NULL;
	op_free(op);
	done(ctx, state, why, err);
}

static void on_access(void *ctx, enum access_state state, const struct access_token *token,
		      const char *why, const struct err *err);

static void on_acquired(void *ctx, const struct err *err)
{
	struct credential_op *op = ctx;

	if (err == NULL)
		access_start(op->credentials->access, &op->access, &op->key, on_access, op);
	else if (err->code == ERR_UNAUTHENTICATED)
		finish(op, CREDENTIAL_NONE, err->text, NULL);
	else
		finish(op, CREDENTIAL_NONE, NULL, err);
}

static bool may_acquire(const struct credential_op *op)
{
	return op->connection->oauth->grant == OAUTH_GRANT_CLIENT_CREDENTIALS && !op->acquired;
}

static void on_access(void *ctx, enum access_state state, const struct access_token *token,
		      const char *why, const struct err *err)
{
	struct credential_op *op = ctx;

	(void)token; /* whoever sends it finds it */
	if (err == NULL && state != ACCESS_READY && may_acquire(op)) {
		op->acquired = true;
		acquire_start(op->credentials->acquires, &op->acquire,
			      &(struct acquire_request){ .tenant = op->tenant,
							 .connection = op->connection,
							 .actor = op->actor },
			      on_acquired, op);
		return;
	}
	finish(op, state == ACCESS_READY ? CREDENTIAL_READY : CREDENTIAL_NONE, why, err);
}

void credential_start(struct credentials *credentials, struct credential_op **slot,
		      const struct credential_request *request, credential_done *done, void *ctx)
{
	struct credential_op *op = mem_new(sizeof(*op));

	assert(*slot == NULL && request->connection->oauth != NULL);
	*op = (struct credential_op){
		.slot = slot,
		.credentials = credentials,
		.tenant = tenant_ref(request->tenant),
		.connection = request->connection,
		.key = grant_key_of(request->tenant->id, request->connection->id, request->subject),
		.actor = mem_strdup(request->actor),
		.done = done,
		.ctx = ctx,
	};
	*slot = op;
	if (request->refused_version != 0)
		access_refused(credentials->access, &op->access, &op->key, request->refused_version,
			       on_access, op);
	else
		access_start(credentials->access, &op->access, &op->key, on_access, op);
}

void credential_cancel(struct credential_op **slot)
{
	struct credential_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	op_free(op);
}
